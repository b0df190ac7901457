"""A filter → the rows of a snapshot that match, as masks over its columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tileserver.filters import Bbox, Filter, Interval
from tileserver.snapshot import Snapshot
from tileserver.snapshot.columns import NO_CODE, CategoryColumn, Rows, TimeColumn
from tileserver.snapshot.mercator import quantize_sides
from tileserver.times import NO_TIME

COUNTS_KEPT = 1_000

BLOCK = 65_536
"""Rows that are looked at together where not all are wanted at once."""


@dataclass(frozen=True, slots=True)
class Count:
    count: int
    without_position: int

    @property
    def positioned(self) -> int:
        return self.count - self.without_position


def rows(snapshot: Snapshot, filter: Filter, start: int, stop: int) -> Rows:
    """The numbers of the matching rows among [start, stop), ascending."""
    if filter.is_open:
        return np.arange(start, stop)
    return np.flatnonzero(mask(snapshot, filter, slice(start, stop))) + start


def first(snapshot: Snapshot, filter: Filter, start: int, most: int) -> Rows:
    """The first `most` matching rows from row `start` on; no more rows are looked at than it takes to find them."""
    if filter.is_open:
        return np.arange(start, min(start + most, snapshot.rows))
    found = [np.zeros(0, np.int64)]
    missing = most
    for block in _blocks(snapshot, filter, start):
        found.append(block[:missing])
        missing -= len(found[-1])
        if not missing:
            break
    return np.concatenate(found)


def parts(snapshot: Snapshot, filter: Filter, size: int) -> Iterator[Rows]:
    """All matching rows, `size` at a time; the last part has what is left, and there is none without rows."""
    held = np.zeros(0, np.int64)
    for block in _blocks(snapshot, filter, 0):
        held = np.concatenate([held, block])
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    if len(held):
        yield held


def _blocks(snapshot: Snapshot, filter: Filter, start: int) -> Iterator[Rows]:
    for begin in range(start, snapshot.rows, BLOCK):
        yield rows(snapshot, filter, begin, min(begin + BLOCK, snapshot.rows))


def count(snapshot: Snapshot, filter: Filter) -> Count:
    """How many rows match in all, and how many of them have no position. Counted once for each filter."""
    key = (filter.interval, filter.bbox, filter.categories)
    known = snapshot.counts.get(key)
    if isinstance(known, Count):
        return known
    if filter.is_open:
        counted = Count(snapshot.rows, snapshot.rows - snapshot.positioned)
    else:
        matches = mask(snapshot, filter, slice(0, snapshot.rows))
        counted = Count(int(matches.sum()), int(matches[snapshot.positioned :].sum()))
    if len(snapshot.counts) >= COUNTS_KEPT:
        snapshot.counts.clear()
    snapshot.counts[key] = counted
    return counted


def mask(snapshot: Snapshot, filter: Filter, part: slice) -> NDArray[np.bool_]:
    """Which rows of a part match, shape (rows of the part,)."""
    matches = np.ones(part.stop - part.start, np.bool_)
    if filter.interval is not None:
        matches &= _within(snapshot, filter.interval, part)
    for name, values in filter.categories:
        matches &= _among(snapshot.category(name), values, part)
    if filter.bbox is not None:
        matches &= _inside(snapshot, filter.bbox, part)
    return matches


def _within(snapshot: Snapshot, interval: Interval, part: slice) -> NDArray[np.bool_]:
    field = snapshot.layer.time_field
    column = snapshot.columns[field.name] if field else None
    if not isinstance(column, TimeColumn):
        raise TypeError(f"{snapshot.layer.id} has no time")
    instants = column.values[part]
    start, stop = interval
    matches = instants != NO_TIME if start is None else instants >= start
    return matches if stop is None else matches & (instants < stop)


def _among(column: CategoryColumn, values: tuple[str, ...], part: slice) -> NDArray[np.bool_]:
    wanted = pc.index_in(pa.array(values), column.values)
    codes = np.unique(pc.fill_null(wanted, NO_CODE).to_numpy())
    if "" not in values:
        codes = codes[codes != NO_CODE]
    # One look-up a row: whether its code is wanted; the last place is what -1, no value, finds.
    table = np.zeros(len(column.values) + 1, np.bool_)
    table[codes] = True
    return table[column.codes[part]]


def _inside(snapshot: Snapshot, bbox: Bbox, part: slice) -> NDArray[np.bool_]:
    west, south, east, north = bbox
    (left, right), (top, bottom) = quantize_sides(np.array([west, east]), np.array([north, south]))
    matches = np.zeros(part.stop - part.start, np.bool_)
    placed = slice(part.start, min(part.stop, snapshot.positioned))
    across = snapshot.east[placed] >= left, snapshot.west[placed] <= right
    beside = across[0] | across[1] if west > east else across[0] & across[1]
    if east == 180:
        beside |= snapshot.west[placed] == 0  # a point on the meridian itself, where the world begins again
    matches[: max(placed.stop - placed.start, 0)] = beside & (snapshot.south[placed] >= top) & (snapshot.north[placed] <= bottom)
    return matches

"""A filter → the rows of a snapshot that match: runs where the order serves the filter, single rows where they must be read.

Intervals of time and values of the leading category choose runs. Boxes and areas choose leaves, and the rows of those leaves that
their borders cross. What is left (other categories, other fields) is asked of each row of the runs that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tileserver.filters import Bbox, Filter, Interval
from tileserver.snapshot import Snapshot, conditions
from tileserver.snapshot.cells import Runs, no_runs
from tileserver.snapshot.columns import NO_CODE, CategoryColumn, Rows, TimeColumn
from tileserver.snapshot.mercator import quantize_sides
from tileserver.snapshot.morton import morton, unmorton, unmorton_one
from tileserver.snapshot.order import WORLD_BITS
from tileserver.times import NO_TIME

COUNTS_KEPT = 1_000

BLOCK = 65_536
"""Rows that are looked at together where not all are wanted at once."""

SPAN = 2_048
"""From this mean length on, rows that stand together are read together, not one by one."""


LOOPED = 48
"""Up to how many runs are searched in one after the other, which is quicker then."""


class Place(Protocol):
    """A part of the map."""

    def cover(
        self, west: NDArray[np.uint32], north: NDArray[np.uint32], east: NDArray[np.uint32], south: NDArray[np.uint32]
    ) -> NDArray[np.int8]:
        """Of boxes in world units, their sides included: 1 inside, -1 outside, 0 neither or unknown; shape (k,)."""

    def contains(self, x: NDArray[np.uint32], y: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Which points are in it, shape (k,)."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box in world units, its sides included."""

    west: int
    north: int
    east: int
    south: int

    def cover(
        self, west: NDArray[np.uint32], north: NDArray[np.uint32], east: NDArray[np.uint32], south: NDArray[np.uint32]
    ) -> NDArray[np.int8]:
        inside = (west >= self.west) & (east <= self.east) & (north >= self.north) & (south <= self.south)
        beside = (west > self.east) | (east < self.west) | (north > self.south) | (south < self.north)
        return inside.astype(np.int8) - beside

    def contains(self, x: NDArray[np.uint32], y: NDArray[np.uint32]) -> NDArray[np.bool_]:
        return (x >= self.west) & (x <= self.east) & (y >= self.north) & (y <= self.south)


@dataclass(frozen=True, slots=True)
class Selection:
    """Matching rows with a position, each once."""

    runs: Runs
    rows: Rows
    """Ascending."""

    def __len__(self) -> int:
        return int((self.runs.stops - self.runs.starts).sum()) + len(self.rows)

    def all_rows(self) -> Rows:
        """Ascending."""
        rows = np.concatenate([self.runs.rows(), self.rows])
        rows.sort()
        return rows


@dataclass(frozen=True, slots=True)
class Count:
    count: int
    without_position: int

    @property
    def positioned(self) -> int:
        return self.count - self.without_position


def within(snapshot: Snapshot, filter: Filter, first: int, last: int) -> Selection:
    """The matching rows of a square of the world, between its lowest and its highest Morton code. Of shapes their anchors count."""
    leaves = snapshot.leaves.of(first, last)
    if leaves.stop - leaves.start == 1 and snapshot.leaves.size(leaves.start) > last - first + 1:
        return _select(snapshot, filter, leaves, [], Box(*unmorton_one(first), *unmorton_one(last)))
    return _select(snapshot, filter, leaves, [])


def inside(snapshot: Snapshot, filter: Filter, box: Box) -> Selection:
    """The matching rows of a box of the world."""
    first, last = morton(*np.array([[box.west, box.east], [box.north, box.south]], np.uint32)).tolist()
    return _select(snapshot, filter, snapshot.leaves.of(first, last), [box])


def _select(snapshot: Snapshot, filter: Filter, leaves: slice, places: Sequence[Place], part: Box | None = None) -> Selection:
    """The matching rows of some leaves that lie in all of the places, and in `part`, which has some of the only leaf."""
    places = [*places, *_places(snapshot, filter)]
    which, crossed = _covered(snapshot, leaves, places)
    if not len(which):
        return Selection(no_runs(), np.zeros(0, np.int64))
    if part:
        places.append(part)
        crossed[:] = True
    groups, read_group = _wanted_groups(snapshot, filter)
    read = crossed[:, None] | read_group | _must_read(snapshot, filter)
    bounds = snapshot.leaves.bounds
    runs = Runs(
        bounds[which[:, None], groups].ravel(),
        bounds[which[:, None], groups + 1].ravel(),
        np.repeat(which, len(groups)),
        np.repeat(groups[None], len(which), axis=0).ravel(),
    )
    filled = runs.stops > runs.starts
    runs, read = runs.of(filled), read.ravel()[filled]
    if filter.interval is not None and snapshot.by_time:
        runs = _during(snapshot, runs, filter.interval)
        filled = runs.stops > runs.starts
        runs, read = runs.of(filled), read[filled]
    if not read.any():
        return Selection(runs, np.zeros(0, np.int64))
    return Selection(runs.of(~read), _read(snapshot, filter, runs.of(read), places))


def _places(snapshot: Snapshot, filter: Filter) -> list[Place]:
    """Those of the filter that points are in by their position alone."""
    places: list[Place] = []
    if filter.bbox is not None and snapshot.layer.is_points:
        west, south, east, north = filter.bbox
        if west <= east < 180:  # what crosses the antimeridian, or ends on it, is asked of each row
            (left, right), (top, bottom) = quantize_sides(np.array([west, east]), np.array([north, south]))
            places.append(Box(int(left), int(top), int(right), int(bottom)))
    if filter.area is not None:
        places.append(filter.area.region)
    return places


def _covered(snapshot: Snapshot, leaves: slice, places: Sequence[Place]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which leaves reach into all places, shape (l,), and which of these are not inside of them all, shape (l,)."""
    which = np.arange(leaves.start, leaves.stop)
    crossed = np.zeros(len(which), np.bool_)
    if not places or not len(which):
        return which, crossed
    west, north = unmorton(snapshot.leaves.codes[leaves])
    reach = ((1 << (WORLD_BITS - snapshot.leaves.levels[leaves].astype(np.int64))) - 1).astype(np.uint32)
    covers = np.min([place.cover(west, north, west + reach, north + reach) for place in places], axis=0)
    return which[covers >= 0], (covers == 0)[covers >= 0]


def _wanted_groups(snapshot: Snapshot, filter: Filter) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The groups of a leaf that can hold matching rows, shape (g,), and of which of them the rows must be read, shape (g,)."""
    values = dict(filter.categories).get(snapshot.leading or "")
    if values is None:
        return np.arange(snapshot.groups + 1), np.zeros(snapshot.groups + 1, np.bool_)
    wanted = _wanted_codes(snapshot.category(snapshot.leading or ""), values)
    own = wanted[(wanted >= 0) & (wanted < snapshot.groups)]
    groups = np.append(own, snapshot.groups) if len(own) < len(wanted) else own
    return groups, groups == snapshot.groups


def _must_read(snapshot: Snapshot, filter: Filter) -> bool:
    """Whether the filter asks what neither the order nor the leaves tell."""
    categories = any(name != snapshot.leading for name, _ in filter.categories)
    served_bbox = filter.bbox is None or (snapshot.layer.is_points and filter.bbox[0] <= filter.bbox[2] < 180)
    return categories or filter.where is not None or not served_bbox or (filter.interval is not None and not snapshot.by_time)


def _during(snapshot: Snapshot, runs: Runs, interval: Interval) -> Runs:
    """What of runs, each in the order of time, lies in an interval."""
    instants = _instants(snapshot)
    start, stop = interval
    starts = _bisect(instants, runs.starts, runs.stops, NO_TIME + 1 if start is None else start)
    stops = runs.stops if stop is None else _bisect(instants, starts, runs.stops, stop)
    return Runs(starts, stops, runs.leaves, runs.groups)


def _bisect(values: NDArray[np.int64], starts: NDArray[np.int64], stops: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """In each of many runs of ascending values the first place of one not below `wanted`, shape (r,): all at once, step by step."""
    if len(starts) <= LOOPED:
        spans = zip(starts.tolist(), stops.tolist(), strict=True)
        return np.array([start + int(values[start:stop].searchsorted(wanted)) for start, stop in spans], np.int64)
    places = starts.copy()
    longest = int((stops - starts).max(initial=0))
    for step in (1 << bit for bit in reversed(range(longest.bit_length()))):
        ahead = places + step
        before = values.take(np.minimum(ahead, stops) - 1, mode="clip")
        places += step * ((ahead <= stops) & (before < wanted))
    return places


def _read(snapshot: Snapshot, filter: Filter, runs: Runs, places: Sequence[Place]) -> Rows:
    """The matching rows of runs, read one by one, ascending."""
    starts, stops = runs.spans()
    if int((stops - starts).sum()) < SPAN * len(starts):
        rows = runs.rows()
        return rows[_matches(snapshot, filter, rows, places)]
    found = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        found.append(np.flatnonzero(_matches(snapshot, filter, slice(start, stop), places)) + start)
    return np.concatenate(found)


def _matches(snapshot: Snapshot, filter: Filter, rows: slice | Rows, places: Sequence[Place]) -> NDArray[np.bool_]:
    """Which of rows with a position match and lie in all places; their time is asked only where the order does not tell it."""
    matches = mask(snapshot, filter, rows, timed=snapshot.by_time)
    for place in places:
        matches &= place.contains(snapshot.x[rows], snapshot.y[rows])
    return matches


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
    key = filter.conditions
    known = snapshot.counts.get(key)
    if isinstance(known, Count):
        return known
    if filter.is_open:
        counted = Count(snapshot.rows, snapshot.rows - snapshot.positioned)
    else:
        placed = len(_select(snapshot, filter, slice(0, len(snapshot.leaves)), []))
        without = int(mask(snapshot, filter, slice(snapshot.positioned, snapshot.rows)).sum())
        counted = Count(placed + without, without)
    _keep(snapshot, key, counted)
    return counted


def _keep(snapshot: Snapshot, key: object, counted: Count | bool) -> None:
    if len(snapshot.counts) >= COUNTS_KEPT:
        snapshot.counts.clear()
    snapshot.counts[key] = counted


def exceeds(snapshot: Snapshot, filter: Filter, most: int) -> bool:
    """Whether more than `most` rows with a position match: found once, without reading further than it takes to know."""
    known = snapshot.counts.get(filter.conditions)
    if isinstance(known, Count) or filter.is_open:
        return count(snapshot, filter).positioned > most
    key = "exceeds", filter.conditions, most
    known = snapshot.counts.get(key)
    if not isinstance(known, bool):
        known = _exceeds(snapshot, filter, most)
        _keep(snapshot, key, known)
    return known


def _exceeds(snapshot: Snapshot, filter: Filter, most: int) -> bool:
    found, start, size = 0, 0, 16
    while start < len(snapshot.leaves):
        found += len(_select(snapshot, filter, slice(start, min(start + size, len(snapshot.leaves))), []))
        if found > most:
            return True
        start, size = start + size, size * 4
    return False


def mask(snapshot: Snapshot, filter: Filter, part: slice | Rows, *, timed: bool = False) -> NDArray[np.bool_]:
    """Which rows of a part match, shape (rows of the part,); `timed` rows are known to lie in the filter's interval."""
    matches = np.ones(part.stop - part.start if isinstance(part, slice) else len(part), np.bool_)
    if filter.interval is not None and not timed:
        matches &= _within(snapshot, filter.interval, part)
    for name, values in filter.categories:
        matches &= _among(snapshot.category(name), values, part)
    if filter.bbox is not None:
        matches &= _inside(snapshot, filter.bbox, part)
    if filter.area is not None:
        matches &= _placed(snapshot, filter.area.region, part)
    if filter.where is not None:
        matches &= conditions.matches(snapshot, filter.where, part)
    return matches


def _instants(snapshot: Snapshot) -> NDArray[np.int64]:
    field = snapshot.layer.time_field
    column = snapshot.columns[field.name] if field else None
    if not isinstance(column, TimeColumn):
        raise TypeError(f"{snapshot.layer.id} has no time")
    return column.values


def _within(snapshot: Snapshot, interval: Interval, part: slice | Rows) -> NDArray[np.bool_]:
    instants = _instants(snapshot)[part]
    start, stop = interval
    matches = instants != NO_TIME if start is None else instants >= start
    return matches if stop is None else matches & (instants < stop)


def _among(column: CategoryColumn, values: tuple[str, ...], part: slice | Rows) -> NDArray[np.bool_]:
    codes = _wanted_codes(column, values)
    if len(codes) == 1:
        matches: NDArray[np.bool_] = column.codes[part] == codes[0]
        return matches
    # One look-up a row: whether its code is wanted; the last place is what -1, no value, finds.
    table = np.zeros(len(column.values) + 1, np.bool_)
    table[codes] = True
    return table[column.codes[part]]


def _wanted_codes(column: CategoryColumn, values: tuple[str, ...]) -> NDArray[np.int64]:
    """The codes of values, ascending, those that are none of the column's left out; -1 for the empty value, which is none."""
    found = {column.code_of[value] for value in values if value in column.code_of}
    return np.array(sorted(found | ({NO_CODE} if "" in values else set())), np.int64)


def _placed(snapshot: Snapshot, place: Place, part: slice | Rows) -> NDArray[np.bool_]:
    """Which rows have a position in a place."""
    numbers = np.arange(part.start, part.stop) if isinstance(part, slice) else part
    matches = numbers < snapshot.positioned
    where = numbers[matches]
    matches[matches] = place.contains(snapshot.x[where], snapshot.y[where])
    return matches


def _inside(snapshot: Snapshot, bbox: Bbox, part: slice | Rows) -> NDArray[np.bool_]:
    """Which rows have a box that touches `bbox`."""
    west, south, east, north = bbox
    (left, right), (top, bottom) = quantize_sides(np.array([west, east]), np.array([north, south]))
    numbers = np.arange(part.start, part.stop) if isinstance(part, slice) else part
    matches = numbers < snapshot.positioned
    placed: slice | Rows = numbers[matches]
    if isinstance(part, slice):
        placed = slice(part.start, max(min(part.stop, snapshot.positioned), part.start))
    across = snapshot.east[placed] >= left, snapshot.west[placed] <= right
    beside = across[0] | across[1] if west > east else across[0] & across[1]
    if east == 180:
        beside |= snapshot.west[placed] == 0  # a point on the meridian itself, where the world begins again
    matches[matches] = beside & (snapshot.south[placed] >= top) & (snapshot.north[placed] <= bottom)
    return matches

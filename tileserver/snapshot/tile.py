"""Snapshot + filter + address → the MVT layer of one tile: find the content, of points here, of shapes in `shapes.py` → write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tileserver import mvt, times
from tileserver.errors import BadRequest
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot, select, shapes
from tileserver.snapshot.cells import Cells, Groups
from tileserver.snapshot.columns import CategoryColumn, TimeColumn
from tileserver.snapshot.content import Address, Content, Options
from tileserver.snapshot.detail import cell_level
from tileserver.snapshot.morton import unmorton
from tileserver.snapshot.order import WORLD_BITS

__all__ = ["RENDERER", "Address", "Drawn", "Options", "draw"]

RENDERER = 1
"""Part of every ETag: moves when the same snapshot is drawn to other bytes."""

MOST_BYTES = 500_000
LEAST_FEATURE = 15
"""Bytes of the smallest feature: an id, one attribute, a type, a point."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One layer of a tile."""

    data: bytes
    """Empty when there is nothing to draw."""
    shown: int
    """Rows that the features stand for."""
    total: int
    """Rows of the tile."""
    dropped: Literal["", "attributes", "features"] = ""


def draw(snapshot: Snapshot, filter: Filter, address: Address, options: Options, most_bytes: int = MOST_BYTES) -> Drawn:
    """The layer's part of a tile, at most 500 kB, or what others leave it: attributes go before features.

    Raises:
        BadRequest: `aggregate=never` where that would pass the limit.
    """
    if snapshot.rendered and filter.is_open and filter.properties is None and options == Options():
        found = snapshot.rendered.get(address.z, address.x, address.y)
        if found and len(found[0]) <= most_bytes:
            data, rows = found
            return Drawn(data, rows, rows)
    find = _points if snapshot.layer.is_points else shapes.content
    content = find(snapshot, filter, address, options)
    if options.aggregate == "never" and len(content.geometry) * LEAST_FEATURE > most_bytes:
        raise _over_the_limit()  # before millions of rows are written
    written = _write(snapshot, filter, content) + _labels(snapshot, filter, address)
    if len(written) > most_bytes:
        if options.aggregate == "never":
            raise _over_the_limit()
        return _reduced(snapshot, filter, content, address, most_bytes)
    return Drawn(written, content.total, content.total)


def _over_the_limit() -> BadRequest:
    return BadRequest("This tile would pass 500 kB with every row in it. Leave aggregate out, filter more, or zoom in.")


def _reduced(snapshot: Snapshot, filter: Filter, content: Content, address: Address, most_bytes: int) -> Drawn:
    """Without attributes but the categories, which colours hang on; then without these; then without some of the features."""
    categories = tuple(
        field.name for field in snapshot.layer.categories if filter.properties is None or field.name in filter.properties
    )
    colored, bare = replace(filter, properties=categories), replace(filter, properties=())
    data = _write(snapshot, colored, content) + _labels(snapshot, colored, address)
    labels = _labels(snapshot, bare, address)
    if len(data) > most_bytes:
        data = _write(snapshot, bare, content) + labels
    shown, kept, first = content.total, len(content.geometry), _first(content)
    while len(data) > most_bytes:
        kept = int(kept * 0.9 * most_bytes / len(data))
        labels = labels if kept else b""
        part = _part(content, np.sort(first[:kept]))
        data, shown = _write(snapshot, bare, part) + labels, len(part.members) + int(part.groups.counts.sum())
    return Drawn(data, shown, content.total, "attributes" if shown == content.total else "features")


def _first(content: Content) -> NDArray[np.int64]:
    """The features in the order in which they have a right to be in the tile: groups, then rows; of lines the longest first."""
    members = len(content.members)
    lengths = mvt.lengths(content.geometry)[:members]
    is_line = content.geometry.types[:members] == mvt.LINE
    return np.concatenate([np.arange(members, len(content.geometry)), np.lexsort((-lengths, is_line))])


def _part(content: Content, features: NDArray[np.int64]) -> Content:
    """Some of the features, ascending."""
    members = content.members[features[features < len(content.members)]]
    groups = np.zeros(len(content.groups), np.bool_)
    groups[features[len(members) :] - len(content.members)] = True
    return Content(members, content.groups.of(groups), content.geometry.take(features), content.total)


def _most_members(snapshot: Snapshot, filter: Filter, address: Address, options: Options, found: Cells) -> int:
    """Up to how many members a cell shows as they are."""
    if options.aggregate == "always":
        return 1
    shown = snapshot.members_shown(address.z)
    if options.aggregate == "auto" and (found.counts <= shown).all():
        return shown  # then nothing is to be decided, and the rows outside of the tile need not be counted
    budget = snapshot.layer.tiles.budget
    within_budget = options.aggregate == "never" or (found.counts.sum() <= budget and not select.exceeds(snapshot, filter, budget))
    return int(found.counts.sum()) if within_budget else shown


def _points(snapshot: Snapshot, filter: Filter, address: Address, options: Options) -> Content:
    found = _cells(snapshot, select.within(snapshot, filter, *address.codes), address, options.grid)
    members, groups = found.decide(snapshot, _most_members(snapshot, filter, address, options, found))
    x, y = address.place(snapshot, members)
    if len(groups):
        x = np.concatenate([x, address.units(groups.means("x") - address.left)])
        y = np.concatenate([y, address.units(groups.means("y") - address.top)])
    return Content(members, groups, mvt.points(x, y), int(found.counts.sum()))


def _cells(snapshot: Snapshot, selection: select.Selection, address: Address, grid: int) -> Cells:
    """Rows of a tile by its cells, which are numbered from west to east, row after row from the north."""
    level = cell_level(address.z, grid)
    cells_across = 1 << (level - address.z)
    shift = np.uint32(WORLD_BITS - level)
    first = address.left >> int(shift), address.top >> int(shift)

    def number(x: NDArray[np.uint32], y: NDArray[np.uint32]) -> NDArray[np.int64]:
        cell = (y >> shift).astype(np.int64)
        cell -= first[1]
        cell *= cells_across
        cell += x >> shift
        cell -= first[0]
        return cell

    runs, rows = selection.runs, selection.rows
    whole = snapshot.leaves.levels[runs.leaves] >= level
    if not whole.all():
        rows = np.concatenate([runs.of(~whole).rows(), rows])
        rows.sort(kind="stable")
        runs = runs.of(whole)
    of_run = number(*unmorton(snapshot.leaves.codes[runs.leaves])) if len(runs) else runs.leaves
    return Cells.of(runs, of_run, rows, number(snapshot.x[rows], snapshot.y[rows]), cells_across**2)


def _labels(snapshot: Snapshot, filter: Filter, address: Address) -> bytes:
    """The MVT layer `{id}_labels` of areas: each one's attributes at a point inside it, in one tile only."""
    if snapshot.layer.kind != "areas":
        return b""
    rows = select.within(snapshot, filter, *address.codes).all_rows()
    no_groups = Groups.none(snapshot)
    return _write(snapshot, filter, Content(rows, no_groups, mvt.points(*address.place(snapshot, rows)), len(rows)), "_labels")


def _write(snapshot: Snapshot, filter: Filter, content: Content, suffix: str = "") -> bytes:
    """The MVT layer of a tile's content: rows with their ids and fields, groups with their counts, sums and leading values."""
    if not len(content.geometry):
        return b""
    layer = snapshot.layer
    # A group goes by its first member's id, since no other feature of the tile has it.
    ids = np.concatenate([snapshot.feature_ids[content.members], snapshot.feature_ids[content.groups.first_rows()]])
    names = layer.fields if filter.properties is None else filter.properties
    columns = [_of_members("id", snapshot.columns[layer.id_name].arrow(content.members), content)]
    columns += [_field_column(snapshot, filter, name, content) for name in names if name != layer.id_name]
    if layer.id_name != "id" and layer.id_name in names:
        columns.append(replace(columns[0], name=layer.id_name))
    if len(content.groups):
        columns += _group_columns(snapshot, names, content)
    return mvt.layer(layer.id + suffix, content.geometry, columns, ids)


def _field_column(snapshot: Snapshot, filter: Filter, name: str, content: Content) -> mvt.Column:
    """A field's value of each row, and of each group the leading value if the field is a category."""
    column = snapshot.columns[name]
    if isinstance(column, CategoryColumn):
        asked = dict(filter.categories).get(name, ())
        if len(content.groups) and len(asked) == 1 and asked != ("",):  # then all rows have it
            led = np.full(len(content.groups), column.code_of[asked[0]])
        else:
            led = content.groups.leading(name)
        return mvt.Column(name, column.values, np.concatenate([column.codes[content.members], led]).astype(np.int32))
    if isinstance(column, TimeColumn):
        return _of_members(name, times.to_texts(column.values[content.members], snapshot.layer.zone), content)
    return _of_members(name, column.arrow(content.members), content)


def _of_members(name: str, values: pa.Array, content: Content) -> mvt.Column:
    """An attribute that rows have and groups lack."""
    groups = len(content.groups)
    return mvt.Column(name, pa.concat_arrays([values, pa.nulls(groups, values.type)]) if groups else values)


def _group_columns(snapshot: Snapshot, names: Iterable[str], content: Content) -> list[mvt.Column]:
    """`cluster`, `point_count`, and of each measure its sum: attributes that groups have and rows lack."""
    groups = content.groups
    found = [("cluster", pa.array(np.ones(len(groups), np.bool_))), ("point_count", pa.array(groups.counts))]
    measures = [field.name for field in snapshot.layer.measures if field.name in names]
    found += [(f"sum_{name}", groups.sums(name)) for name in measures]
    lacking = len(content.members)
    return [mvt.Column(name, pa.concat_arrays([pa.nulls(lacking, values.type), values])) for name, values in found]

"""Snapshot + filter + address → the MVT layer of one tile: select → decide cell by cell → write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from tileserver import mvt, times
from tileserver.errors import BadRequest
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot, cells, clip, select
from tileserver.snapshot.cells import Cells, Groups
from tileserver.snapshot.columns import CategoryColumn, Rows, TimeColumn
from tileserver.snapshot.detail import GRID, cell_level
from tileserver.snapshot.mercator import mercator
from tileserver.snapshot.morton import morton, unmorton
from tileserver.snapshot.order import WORLD_BITS

RENDERER = 1
"""Part of every ETag: moves when the same snapshot is drawn to other bytes."""

EXTENT_BITS = 12
EXTENT = 1 << EXTENT_BITS
BUFFER = 64
"""How far shapes are drawn beyond a tile, in tile units. Points are in one tile only."""

MOST_BYTES = 500_000
LEAST_FEATURE = 15
"""Bytes of the smallest feature: an id, one attribute, a type, a point."""


@dataclass(frozen=True, slots=True)
class Address:
    z: int
    x: int
    y: int

    @property
    def span(self) -> int:
        """The side of a tile in world units."""
        return 1 << (WORLD_BITS - self.z)

    @property
    def left(self) -> int:
        """Where it begins in the west, in world units."""
        return self.x * self.span

    @property
    def top(self) -> int:
        """Where it begins in the north, in world units."""
        return self.y * self.span


@dataclass(frozen=True, slots=True)
class Options:
    grid: int = GRID
    aggregate: Literal["auto", "always", "never"] = "auto"


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


@dataclass(frozen=True, slots=True)
class Content:
    """What a tile shows of a layer: rows as they are, and groups; with the geometry of both, in this order."""

    members: Rows
    groups: Groups
    geometry: mvt.Geometry
    total: int


def draw(snapshot: Snapshot, filter: Filter, address: Address, options: Options) -> Drawn:
    """The layer's part of a tile, at most 500 kB: attributes go before features.

    Raises:
        BadRequest: `aggregate=never` where that would pass the limit.
    """
    if snapshot.rendered and filter.is_open and filter.properties is None and options == Options():
        found = snapshot.rendered.get(address.z, address.x, address.y)
        if found:
            data, rows = found
            return Drawn(data, rows, rows)
    make = _points if snapshot.layer.is_points else _shapes
    content = make(snapshot, filter, address, options)
    if options.aggregate == "never" and len(content.geometry) * LEAST_FEATURE > MOST_BYTES:
        raise _over_the_limit()  # before millions of rows are written
    written = _write(snapshot, filter, content) + _labels(snapshot, filter, address)
    if len(written) > MOST_BYTES:
        if options.aggregate == "never":
            raise _over_the_limit()
        return _reduced(snapshot, filter, content, address)
    return Drawn(written, content.total, content.total)


def _over_the_limit() -> BadRequest:
    return BadRequest("This tile would pass 500 kB with every row in it. Leave aggregate out, filter more, or zoom in.")


def _reduced(snapshot: Snapshot, filter: Filter, content: Content, address: Address) -> Drawn:
    """Without attributes but the categories, which colours hang on; then without these; then without the last features."""
    categories = tuple(
        field.name for field in snapshot.layer.categories if filter.properties is None or field.name in filter.properties
    )
    colored, bare = replace(filter, properties=categories), replace(filter, properties=())
    data = _write(snapshot, colored, content) + _labels(snapshot, colored, address)
    labels = _labels(snapshot, bare, address)
    if len(data) > MOST_BYTES:
        data = _write(snapshot, bare, content) + labels
    shown, keep = content.total, len(content.geometry)
    while len(data) > MOST_BYTES:
        keep = int(keep * 0.9 * MOST_BYTES / len(data))
        members = content.members[:keep]
        groups = content.groups.of(np.arange(len(content.groups)) < keep - len(members))
        part = Content(members, groups, content.geometry.take(np.arange(keep)), content.total)
        data, shown = _write(snapshot, bare, part) + labels, len(members) + int(groups.counts.sum())
    return Drawn(data, shown, content.total, "attributes" if shown == content.total else "features")


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
    found = _cells(snapshot, select.within(snapshot, filter, *_codes(address)), address, options.grid)
    members, groups = found.decide(snapshot, _most_members(snapshot, filter, address, options, found))
    x, y = _in_tile(snapshot, members, address)
    if len(groups):
        x = np.concatenate([x, _tile_units(groups.means("x") - address.left, address)])
        y = np.concatenate([y, _tile_units(groups.means("y") - address.top, address)])
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

    whole = snapshot.leaves.levels[selection.runs.leaves] >= level
    runs, rows = selection.runs, selection.rows
    if not whole.all():
        rows = np.concatenate([runs.of(~whole).rows(), rows])
        rows.sort(kind="stable")
        runs = runs.of(whole)
    of_run = number(*unmorton(snapshot.leaves.codes[runs.leaves]))
    return Cells.of(runs, of_run, rows, number(snapshot.x[rows], snapshot.y[rows]), cells_across**2)


def _shapes(snapshot: Snapshot, filter: Filter, address: Address, options: Options) -> Content:
    """Shapes that are large enough to see are drawn as themselves in every tile they reach; small ones by their cells."""
    rows = select.rows(snapshot, filter, 0, snapshot.positioned)
    reach = address.span * BUFFER // EXTENT
    cell = max(address.span // options.grid, 1)
    large = snapshot.widest[rows] >= cell
    # A small shape may reach in from a cell outside, whose decision needs all members of that cell.
    near = _anchored(snapshot, rows, address, (reach // cell + 2) * cell)
    within_budget = len(rows) <= snapshot.layer.tiles.budget and options.aggregate == "auto"
    small = rows[near & ~large]
    codes = snapshot.codes(small) >> np.uint64(2 * (WORLD_BITS - cell_level(address.z, options.grid)))
    number = np.cumsum(np.r_[False, codes[1:] != codes[:-1]]) if len(codes) else np.zeros(0, np.int64)
    nothing = np.zeros(0, np.int64)
    found = Cells.of(cells.no_runs(), nothing, small, number, int(number[-1]) + 1 if len(number) else 0)
    if within_budget or options.aggregate == "never":
        most = len(rows)
    else:
        most = 1 if options.aggregate == "always" else snapshot.members_shown(address.z)
    members, groups = found.decide(snapshot, most)
    members, groups = np.concatenate([rows[large], members]), _own(snapshot, groups, address)
    if most == len(rows):
        members.sort()
    members = members[_reaching(snapshot, members, address, reach)]
    geometry, kept = _geometry(snapshot, members, address)
    members = members[kept]
    corner = snapshot.codes(groups.first_rows())
    return Content(
        members,
        groups,
        mvt.concatenate([geometry, _squares(corner, address, options.grid)]),
        len(members) + int(groups.counts.sum()),
    )


def _anchored(snapshot: Snapshot, rows: Rows, address: Address, margin: int) -> NDArray[np.bool_]:
    """Which rows have their anchor in the tile or within a margin around it, in world units; a mask (k,)."""
    x, y = snapshot.x[rows].astype(np.int64), snapshot.y[rows].astype(np.int64)
    left, top = address.left, address.top
    return (x >= left - margin) & (x < left + address.span + margin) & (y >= top - margin) & (y < top + address.span + margin)


def _reaching(snapshot: Snapshot, rows: Rows, address: Address, reach: int) -> NDArray[np.bool_]:
    """Which rows have a box that touches the tile with its buffer."""
    left, top = address.left - reach, address.top - reach
    right, bottom = left + address.span + 2 * reach, top + address.span + 2 * reach
    return (
        (snapshot.east[rows].astype(np.int64) >= left)
        & (snapshot.west[rows].astype(np.int64) < right)
        & (snapshot.south[rows].astype(np.int64) >= top)
        & (snapshot.north[rows].astype(np.int64) < bottom)
    )


def _own(snapshot: Snapshot, groups: Groups, address: Address) -> Groups:
    """The groups whose cells are the tile's own."""
    first, last = _codes(address)
    code = snapshot.codes(groups.first_rows())
    return groups.of((code >= np.uint64(first)) & (code <= np.uint64(last)))


def _geometry(snapshot: Snapshot, rows: Rows, address: Address) -> tuple[mvt.Geometry, NDArray[np.bool_]]:
    """The shapes of rows clipped to the tile, and which of them are to be seen, a mask (k,).

    One that is too small to be seen is drawn as the smallest square, in the tile of its anchor, so that none gets lost.
    """
    shapes = shapely.from_wkb(snapshot.wkb(rows).to_numpy(zero_copy_only=False))
    shapes = shapely.transform(shapes, lambda degrees: np.stack(mercator(degrees[:, 0], degrees[:, 1]), axis=1))
    drawn, kept = clip.to_tile(shapes, address.z, address.x, address.y, buffer=BUFFER, extent=EXTENT)
    left, top = address.left, address.top
    lost = ~kept & _anchored(snapshot, rows, address, 0)
    lost[lost] = shapely.intersects(shapes[lost], shapely.box(left, top, left + address.span, top + address.span))
    x, y = _in_tile(snapshot, rows[lost], address)
    both = mvt.concatenate([drawn, mvt.squares(x, y, 1)])
    # Back into the order of rows, which is the order of drawing.
    order = np.argsort(np.concatenate([np.flatnonzero(kept), np.flatnonzero(lost)]), kind="stable")
    return both.take(order), kept | lost


def _squares(code: NDArray[np.uint64], address: Address, grid: int) -> mvt.Geometry:
    """The cells that hold these Morton codes, as squares of the tile."""
    side = EXTENT // grid
    corners = zip(unmorton(code), (address.x, address.y), strict=True)
    x, y = (_tile_units(axis.astype(np.int64) - tile * address.span, address) // side * side for axis, tile in corners)
    return mvt.squares(x, y, side)


def _labels(snapshot: Snapshot, filter: Filter, address: Address) -> bytes:
    """The MVT layer `{id}_labels` of areas: each one's attributes at a point inside it, in one tile only."""
    if snapshot.layer.kind != "areas":
        return b""
    rows = select.within(snapshot, filter, *_codes(address)).all_rows()
    no_groups = Groups.none(snapshot)
    return _write(snapshot, filter, Content(rows, no_groups, mvt.points(*_in_tile(snapshot, rows, address)), len(rows)), "_labels")


def _codes(address: Address) -> tuple[int, int]:
    """The first and the last Morton code of a tile."""
    corner = np.array([address.left], np.uint32), np.array([address.top], np.uint32)
    first = int(morton(*corner)[0])
    return first, first + address.span**2 - 1


def _in_tile(snapshot: Snapshot, rows: Rows, address: Address) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The positions of rows in units of the tile, floored, shape (k,) each."""
    axes = ((snapshot.x, address.x), (snapshot.y, address.y))
    x, y = (_tile_units(axis[rows].astype(np.int64) - tile * address.span, address) for axis, tile in axes)
    return x, y


def _tile_units(world: NDArray[np.int64], address: Address) -> NDArray[np.int64]:
    """World units from the tile's corner on → units of the tile, floored."""
    shift = WORLD_BITS - address.z - EXTENT_BITS
    return world >> shift if shift >= 0 else world << -shift


def _write(snapshot: Snapshot, filter: Filter, content: Content, suffix: str = "") -> bytes:
    """The MVT layer of a tile's content: rows with their ids and fields, groups with their counts, sums and leading values."""
    if not len(content.geometry):
        return b""
    layer = snapshot.layer
    # A group goes by its first member's id, since no other feature of the tile has it.
    ids = np.concatenate([snapshot.feature_ids[content.members], snapshot.feature_ids[content.groups.first_rows()]])
    names = layer.fields if filter.properties is None else filter.properties
    columns = [_id_column(snapshot, content)]
    columns += [_field_column(snapshot, filter, name, content) for name in names if name != layer.id_name]
    if layer.id_name != "id" and layer.id_name in names:
        columns.append(replace(columns[0], name=layer.id_name))
    if len(content.groups):
        columns += _group_columns(snapshot, names, content)
    return mvt.layer(layer.id + suffix, content.geometry, columns, ids)


def _id_column(snapshot: Snapshot, content: Content) -> mvt.Column:
    return _column("id", snapshot.columns[snapshot.layer.id_name].arrow(content.members), content)


def _field_column(snapshot: Snapshot, filter: Filter, name: str, content: Content) -> mvt.Column:
    """A field's value of each row, and of each group the leading value if the field is a category."""
    column = snapshot.columns[name]
    if isinstance(column, CategoryColumn):
        asked = dict(filter.categories).get(name, ())
        if len(content.groups) and len(asked) == 1 and asked != ("",):  # then all rows have it
            led = np.full(len(content.groups), column.values.index(asked[0]).as_py())
        else:
            led = content.groups.leading(name)
        return mvt.Column(name, column.values, np.concatenate([column.codes[content.members], led]).astype(np.int32))
    values = column.arrow(content.members)
    if isinstance(column, TimeColumn):
        values = times.to_texts(column.values[content.members], snapshot.layer.zone)
    return _column(name, values, content)


def _group_columns(snapshot: Snapshot, names: Iterable[str], content: Content) -> list[mvt.Column]:
    """`cluster`, `point_count`, and of each measure its sum."""
    groups = content.groups
    found = [("cluster", pa.array(np.ones(len(groups), np.bool_))), ("point_count", pa.array(groups.counts))]
    measures = [field.name for field in snapshot.layer.measures if field.name in names]
    found += [(f"sum_{name}", groups.sums(name)) for name in measures]
    absent = np.full(len(content.members), -1, np.int32)
    columns = (mvt.Column.of(name, values) for name, values in found)
    return [replace(column, codes=np.concatenate([absent, column.codes])) for column in columns]


def _column(name: str, values: pa.Array, content: Content) -> mvt.Column:
    """An attribute that rows have and groups lack."""
    column = mvt.Column.of(name, values)
    return replace(column, codes=np.concatenate([column.codes, np.full(len(content.groups), -1, np.int32)]))

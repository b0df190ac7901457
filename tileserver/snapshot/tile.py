"""Snapshot + filter + address → the MVT layer of one tile: select → decide cell by cell → write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from tileserver import mvt, times
from tileserver.errors import BadRequest
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot, cells, clip, select
from tileserver.snapshot.columns import CategoryColumn, Rows, TimeColumn
from tileserver.snapshot.mercator import mercator
from tileserver.snapshot.morton import morton, unmorton

RENDERER = 1
"""Part of every ETag: moves when the same snapshot is drawn to other bytes."""

EXTENT_BITS = 12
EXTENT = 1 << EXTENT_BITS
BUFFER = 64
"""How far shapes are drawn beyond a tile, in tile units. Points are in one tile only."""

MOST_BYTES = 500_000
FIXED_POINT = 10_000
"""Sums of numbers are taken in whole ten-thousandths, so that they do not depend on the order of rows."""


@dataclass(frozen=True, slots=True)
class Address:
    z: int
    x: int
    y: int

    @property
    def span(self) -> int:
        """The side of a tile in world units."""
        return 1 << (cells.WORLD_BITS - self.z)


@dataclass(frozen=True, slots=True)
class Options:
    grid: int = cells.GRID
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
class Groups:
    """Rows that are drawn as one feature a cell: their numbers, cell after cell, and the cells' runs in them."""

    rows: Rows
    runs: cells.Runs

    def __len__(self) -> int:
        return len(self.runs.starts)


@dataclass(frozen=True, slots=True)
class Content:
    """What a tile shows of a layer: rows as they are, and groups; with the geometry of both, in this order."""

    members: Rows
    groups: Groups
    geometry: mvt.Geometry
    total: int


NO_GROUPS = Groups(np.zeros(0, np.int64), cells.Runs(np.zeros(0, np.int64), np.zeros(0, np.int64)))


def draw(snapshot: Snapshot, filter: Filter, address: Address, options: Options) -> Drawn:
    """The layer's part of a tile, at most 500 kB: attributes go before features.

    Raises:
        BadRequest: `aggregate=never` where that would pass the limit.
    """
    make = _points if snapshot.layer.is_points else _shapes
    content = make(snapshot, filter, address, options)
    written = _write(snapshot, filter, content) + _labels(snapshot, filter, address)
    if len(written) > MOST_BYTES:
        if options.aggregate == "never":
            raise BadRequest("This tile would pass 500 kB with every row in it. Leave aggregate out, filter more, or zoom in.")
        return _reduced(snapshot, filter, content, address)
    return Drawn(written, content.total, content.total)


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
        members, groups = content.members[:keep], max(keep - len(content.members), 0)
        runs = cells.Runs(content.groups.runs.starts[:groups], content.groups.runs.counts[:groups])
        part = Content(members, Groups(content.groups.rows, runs), content.geometry.take(np.arange(keep)), content.total)
        data, shown = _write(snapshot, bare, part) + labels, len(members) + int(runs.counts.sum())
    return Drawn(data, shown, content.total, "attributes" if shown == content.total else "features")


def _as_they_are(snapshot: Snapshot, filter: Filter, options: Options) -> bool:
    if options.aggregate == "auto":
        return select.count(snapshot, filter).positioned <= snapshot.layer.tiles.budget
    return options.aggregate == "never"


def _decide(snapshot: Snapshot, rows: Rows, address: Address, options: Options) -> tuple[Rows, Groups]:
    """Each cell for itself: the rows of cells that show them, and the other cells as groups."""
    runs = cells.runs(cells.cells_at(snapshot.morton[rows], address.z, options.grid))
    most = 1 if options.aggregate == "always" else snapshot.members_shown(address.z)
    crowded = runs.counts > most
    grouped = np.repeat(crowded, runs.counts)
    counts = runs.counts[crowded]
    return rows[~grouped], Groups(rows[grouped], cells.Runs(np.cumsum(counts) - counts, counts))


def _points(snapshot: Snapshot, filter: Filter, address: Address, options: Options) -> Content:
    rows = select.rows(snapshot, filter, *_tile_rows(snapshot, address))
    members, groups = (rows, NO_GROUPS) if _as_they_are(snapshot, filter, options) else _decide(snapshot, rows, address, options)
    if len(groups):
        x = np.concatenate([snapshot.x[members], cells.means(snapshot.x[groups.rows], groups.runs)])
        y = np.concatenate([snapshot.y[members], cells.means(snapshot.y[groups.rows], groups.runs)])
    else:
        x, y = snapshot.x[members], snapshot.y[members]
    geometry = mvt.points(_tile_units(x, address.x, address), _tile_units(y, address.y, address))
    return Content(members, groups, geometry, len(rows))


def _shapes(snapshot: Snapshot, filter: Filter, address: Address, options: Options) -> Content:
    """Shapes that are large enough to see are drawn as themselves in every tile they reach; small ones by their cells."""
    rows = select.rows(snapshot, filter, 0, snapshot.positioned)
    reach = address.span * BUFFER // EXTENT
    if _as_they_are(snapshot, filter, options):
        members, groups = rows, NO_GROUPS
    else:
        cell = address.span // options.grid
        large = snapshot.widest[rows] >= cell
        # A small shape may reach in from a cell outside, whose decision needs all members of that cell.
        near = _anchored(snapshot, rows, address, (reach // cell + 2) * cell)
        small, groups = _decide(snapshot, rows[near & ~large], address, options)
        members, groups = np.concatenate([rows[large], small]), _inside(snapshot, groups, address)
    members = members[_reaching(snapshot, members, address, reach)]
    geometry, kept = _geometry(snapshot, members, address)
    members = members[kept]
    corner = snapshot.morton[groups.rows[groups.runs.starts]]
    return Content(
        members,
        groups,
        mvt.concatenate([geometry, _squares(corner, address, options.grid)]),
        len(members) + int(groups.runs.counts.sum()),
    )


def _anchored(snapshot: Snapshot, rows: Rows, address: Address, margin: int) -> NDArray[np.bool_]:
    """Which rows have their anchor in the tile or within a margin around it, in world units; a mask (k,)."""
    x, y = snapshot.x[rows].astype(np.int64), snapshot.y[rows].astype(np.int64)
    left, top = address.x * address.span, address.y * address.span
    return (x >= left - margin) & (x < left + address.span + margin) & (y >= top - margin) & (y < top + address.span + margin)


def _reaching(snapshot: Snapshot, rows: Rows, address: Address, reach: int) -> NDArray[np.bool_]:
    """Which rows have a box that touches the tile with its buffer."""
    left, top = address.x * address.span - reach, address.y * address.span - reach
    right, bottom = left + address.span + 2 * reach, top + address.span + 2 * reach
    return (
        (snapshot.east[rows].astype(np.int64) >= left)
        & (snapshot.west[rows].astype(np.int64) < right)
        & (snapshot.south[rows].astype(np.int64) >= top)
        & (snapshot.north[rows].astype(np.int64) < bottom)
    )


def _inside(snapshot: Snapshot, groups: Groups, address: Address) -> Groups:
    """The groups whose cells are the tile's own."""
    first, last = _codes(address)
    code = snapshot.morton[groups.rows[groups.runs.starts]]
    own = (code >= np.uint64(first)) & (code <= np.uint64(last))
    counts = groups.runs.counts[own]
    return Groups(groups.rows[np.repeat(own, groups.runs.counts)], cells.Runs(np.cumsum(counts) - counts, counts))


def _geometry(snapshot: Snapshot, rows: Rows, address: Address) -> tuple[mvt.Geometry, NDArray[np.bool_]]:
    """The shapes of rows clipped to the tile, and which of them are to be seen, a mask (k,).

    One that is too small to be seen is drawn as the smallest square, in the tile of its anchor, so that none gets lost.
    """
    shapes = shapely.from_wkb(snapshot.wkb(rows).to_numpy(zero_copy_only=False))
    shapes = shapely.transform(shapes, lambda degrees: np.stack(mercator(degrees[:, 0], degrees[:, 1]), axis=1))
    drawn, kept = clip.to_tile(shapes, address.z, address.x, address.y, buffer=BUFFER, extent=EXTENT)
    left, top = address.x * address.span, address.y * address.span
    lost = ~kept & _anchored(snapshot, rows, address, 0)
    lost[lost] = shapely.intersects(shapes[lost], shapely.box(left, top, left + address.span, top + address.span))
    x = _tile_units(snapshot.x[rows[lost]], address.x, address)
    y = _tile_units(snapshot.y[rows[lost]], address.y, address)
    both = mvt.concatenate([drawn, mvt.squares(x, y, 1)])
    # Back into the order of rows, which is the order of drawing.
    order = np.argsort(np.concatenate([np.flatnonzero(kept), np.flatnonzero(lost)]), kind="stable")
    return both.take(order), kept | lost


def _squares(code: NDArray[np.uint64], address: Address, grid: int) -> mvt.Geometry:
    """The cells that hold these Morton codes, as squares of the tile."""
    side = EXTENT // grid
    x, y = (
        _tile_units(axis, tile, address) // side * side for axis, tile in zip(unmorton(code), (address.x, address.y), strict=True)
    )
    return mvt.squares(x, y, side)


def _labels(snapshot: Snapshot, filter: Filter, address: Address) -> bytes:
    """The MVT layer `{id}_labels` of areas: each one's attributes at a point inside it, in one tile only."""
    if snapshot.layer.kind != "areas":
        return b""
    rows = select.rows(snapshot, filter, *_tile_rows(snapshot, address))
    x, y = snapshot.x[rows], snapshot.y[rows]
    geometry = mvt.points(_tile_units(x, address.x, address), _tile_units(y, address.y, address))
    return _write(snapshot, filter, Content(rows, NO_GROUPS, geometry, len(rows)), "_labels")


def _tile_rows(snapshot: Snapshot, address: Address) -> tuple[int, int]:
    """The rows of a tile, [start, stop): one run, since they are in Morton order."""
    first, last = (np.uint64(code) for code in _codes(address))
    return int(np.searchsorted(snapshot.morton, first)), int(np.searchsorted(snapshot.morton, last, side="right"))


def _codes(address: Address) -> tuple[int, int]:
    """The first and the last Morton code of a tile."""
    corner = np.array([address.x * address.span], np.uint32), np.array([address.y * address.span], np.uint32)
    first = int(morton(*corner)[0])
    return first, first + address.span**2 - 1


def _tile_units(world: NDArray[np.uint32], tile: int, address: Address) -> NDArray[np.int64]:
    """World units → units of the tile at column or row `tile`, floored."""
    shift = cells.WORLD_BITS - address.z - EXTENT_BITS
    units = world.astype(np.int64)
    return (units >> shift if shift >= 0 else units << -shift) - (tile << EXTENT_BITS)


def _write(snapshot: Snapshot, filter: Filter, content: Content, suffix: str = "") -> bytes:
    """The MVT layer of a tile's content: rows with their ids and fields, groups with their counts, sums and leading values."""
    if not len(content.geometry):
        return b""
    layer = snapshot.layer
    ids = np.concatenate([snapshot.feature_ids[content.members], _group_ids(snapshot, content.groups)])
    names = layer.fields if filter.properties is None else filter.properties
    columns = [_id_column(snapshot, content)]
    columns += [_field_column(snapshot, name, content) for name in names if name != layer.id_name]
    if layer.id_name != "id" and layer.id_name in names:
        columns.append(replace(columns[0], name=layer.id_name))
    if len(content.groups):
        columns += _group_columns(snapshot, names, content)
    return mvt.layer(layer.id + suffix, content.geometry, columns, ids)


def _group_ids(snapshot: Snapshot, groups: Groups) -> NDArray[np.uint64]:
    """A group goes by its first member's id, since no other feature of the tile has it."""
    return snapshot.feature_ids[groups.rows[groups.runs.starts]]


def _id_column(snapshot: Snapshot, content: Content) -> mvt.Column:
    return _column("id", snapshot.columns[snapshot.layer.id_name].arrow(content.members), content)


def _field_column(snapshot: Snapshot, name: str, content: Content) -> mvt.Column:
    """A field's value of each row, and of each group the leading value if the field is a category."""
    column = snapshot.columns[name]
    if isinstance(column, CategoryColumn):
        led = cells.leading(column.codes[content.groups.rows], content.groups.runs)
        return mvt.Column(name, column.values, np.concatenate([column.codes[content.members], led]))
    values = column.arrow(content.members)
    if isinstance(column, TimeColumn):
        texts = times.to_texts(column.values[content.members], snapshot.layer.zone)
        values = pa.array(texts, pa.string(), mask=texts == "")
    return _column(name, values, content)


def _group_columns(snapshot: Snapshot, names: Iterable[str], content: Content) -> list[mvt.Column]:
    """`cluster`, `point_count`, and of each measure its sum."""
    groups = content.groups
    found = [("cluster", pa.array(np.ones(len(groups), np.bool_))), ("point_count", pa.array(groups.runs.counts))]
    measures = [field.name for field in snapshot.layer.measures if field.name in names]
    found += [(f"sum_{name}", _sums(snapshot, name, groups)) for name in measures]
    absent = np.full(len(content.members), -1, np.int32)
    columns = (mvt.Column.of(name, values) for name, values in found)
    return [replace(column, codes=np.concatenate([absent, column.codes])) for column in columns]


def _sums(snapshot: Snapshot, name: str, groups: Groups) -> pa.Array:
    """The sum of a measure over each group, shape (g,): exact for integers, in whole ten-thousandths for numbers."""
    values = snapshot.columns[name].arrow(groups.rows)
    whole = pc.fill_null(values, 0).to_numpy(zero_copy_only=False)
    if np.abs(whole.astype(np.float64)).sum() * FIXED_POINT >= 2.0**63:  # beyond what int64 holds: as near as floats come
        return pa.array(np.add.reduceat(whole.astype(np.float64), groups.runs.starts))
    if pa.types.is_integer(values.type):
        return pa.array(np.add.reduceat(whole, groups.runs.starts))
    scaled = np.rint(whole * FIXED_POINT).astype(np.int64)
    return pa.array(np.add.reduceat(scaled, groups.runs.starts) / FIXED_POINT)


def _column(name: str, values: pa.Array, content: Content) -> mvt.Column:
    """An attribute that rows have and groups lack."""
    column = mvt.Column.of(name, values)
    return replace(column, codes=np.concatenate([column.codes, np.full(len(content.groups), -1, np.int32)]))

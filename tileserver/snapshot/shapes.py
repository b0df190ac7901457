"""What a tile shows of shapes: find those near it → let cells decide on the small ones → take their outlines → clip → write."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tileserver import mvt
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot, cells, clip, select
from tileserver.snapshot.cells import Cells, Groups
from tileserver.snapshot.clip import BUFFER, EXTENT
from tileserver.snapshot.columns import Rows
from tileserver.snapshot.content import Address, Content, Options
from tileserver.snapshot.detail import cell_level
from tileserver.snapshot.morton import unmorton
from tileserver.snapshot.order import WORLD_BITS
from tileserver.snapshot.outlines import Outlines, Paths, concatenate
from tileserver.snapshot.select import Box

Mask = NDArray[np.bool_]
Places = NDArray[np.int64]
"""Which ones of k shapes."""

INSIDE = 1
"""What `Box.cover` says of a box."""

LONGEST = 2
"""Sides of a cell that a small polygon is long, at most."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Rows with what is to be known of their boxes, shape (k,) each."""

    rows: Rows
    cover: NDArray[np.int8]
    """As `Box.cover` says, of the tile with its buffer: 1 inside, -1 outside, 0 neither or unknown."""
    width: NDArray[np.uint32]
    height: NDArray[np.uint32]
    """The sides of the box, in world units."""

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, which: Mask | Places) -> Shapes:
        return Shapes(self.rows[which], self.cover[which], self.width[which], self.height[which])

    @property
    def longer(self) -> NDArray[np.uint32]:
        """The longer side of the box."""
        return np.maximum(self.width, self.height)


def content(snapshot: Snapshot, filter: Filter, address: Address, options: Options) -> Content:
    """Shapes that are large enough to see are drawn as themselves in every tile they reach; small ones by their cells."""
    cell = max(address.span // options.grid, 1)
    near = _near(snapshot, filter, address, cell)
    small = _is_small(snapshot, near, cell)
    drawn, groups = _decided(snapshot, filter, address, options, near.rows, small=small)
    drawn &= near.cover >= 0
    # The large ones first: small ones that lie on them are seen.
    shapes = near.of(np.concatenate([np.flatnonzero(drawn & ~small), np.flatnonzero(drawn & small)]))
    geometry, seen = _geometry(snapshot, shapes, address)
    members = shapes.rows[seen]
    if len(groups):
        geometry = mvt.concatenate([geometry, _squares(snapshot.codes(groups.first_rows()), address, options.grid)])
    return Content(members, groups, geometry, len(members) + int(groups.counts.sum()))


def _near(snapshot: Snapshot, filter: Filter, address: Address, cell: int) -> Shapes:
    """The matching rows that reach the tile with its buffer, and all that share their cells, ascending."""
    outlines = _outlines(snapshot)
    reach = address.span * BUFFER // EXTENT
    # A small shape may reach in from a cell outside, whose decision needs all members of that cell.
    around = _around(address, (reach // cell + 1 + LONGEST) * cell)
    rows = outlines.reaching(around.west, around.north, around.east, around.south)
    sides = snapshot.west[rows], snapshot.north[rows], snapshot.east[rows], snapshot.south[rows]
    near = around.cover(*sides) >= 0
    if not filter.is_open:
        near[near] = select.mask(snapshot, filter, rows[near])
    west, north, east, south = (side[near] for side in sides)
    cover = _around(address, reach).cover(west, north, east, south)
    return Shapes(rows[near], cover, east - west, south - north)


def _is_small(snapshot: Snapshot, shapes: Shapes, cell: int) -> Mask:
    """Which shapes their cells decide on, a mask (k,).

    Of polygons it is those whose box covers less than a cell: narrow ones among them would lie on the squares of the others.
    """
    covers = shapes.width.astype(np.float64) * shapes.height < cell**2
    areal = _outlines(snapshot).kinds[shapes.rows] == mvt.POLYGON
    return np.where(areal, covers & (shapes.longer < LONGEST * cell), shapes.longer < cell)


def _outlines(snapshot: Snapshot) -> Outlines:
    if snapshot.outlines is None:
        raise TypeError(f"{snapshot.layer.id} holds points; they have no outlines")
    return snapshot.outlines


def _around(address: Address, margin: int) -> Box:
    """A tile with a margin, in world units, as far as the world goes."""
    end = (1 << WORLD_BITS) - 1
    right, bottom = address.left + address.span + margin, address.top + address.span + margin
    return Box(max(address.left - margin, 0), max(address.top - margin, 0), min(right, end), min(bottom, end))


def _decided(
    snapshot: Snapshot, filter: Filter, address: Address, options: Options, rows: Rows, *, small: Mask
) -> tuple[Mask, Groups]:
    """Which rows are drawn as themselves, a mask (k,), and the tile's own cells that stand for `small` ones, a mask (k,)."""
    every = np.ones(len(rows), np.bool_)
    if options.aggregate == "never":
        return every, Groups.none(snapshot)
    codes = snapshot.codes(rows[small]) >> np.uint64(2 * (WORLD_BITS - cell_level(address.z, options.grid)))
    most = 1 if options.aggregate == "always" else snapshot.members_shown(address.z)
    if not (codes[most:] == codes[:-most]).any():  # rows are in the order of their codes
        return every, Groups.none(snapshot)
    if options.aggregate == "auto" and not select.exceeds(snapshot, filter, snapshot.layer.tiles.budget):
        return every, Groups.none(snapshot)
    number = np.cumsum(np.concatenate([[False], codes[1:] != codes[:-1]]))
    nothing = np.zeros(0, np.int64)
    found = Cells.of(cells.no_runs(), nothing, rows[small], number, int(number[-1]) + 1)
    _, groups = found.decide(snapshot, most)
    every[small] = found.counts[number] <= most
    first, last = address.codes
    code = snapshot.codes(groups.first_rows())
    return every, groups.of((code >= np.uint64(first)) & (code <= np.uint64(last)))


def _geometry(snapshot: Snapshot, shapes: Shapes, address: Address) -> tuple[mvt.Geometry, Mask]:
    """The shapes as they are drawn in the tile, in their order, and which of them are to be seen, a mask (k,).

    One that is too small to be seen is drawn as the smallest square, in the tile of its anchor, so that none gets lost.
    """
    outlines = _outlines(snapshot)
    kinds = outlines.kinds[shapes.rows]
    tiny = (shapes.longer < max(address.span // EXTENT, 1)) & (kinds != mvt.POINT)
    parts, places = [], []
    for kind, draw in ((mvt.POINT, _points), (mvt.LINE, _lines), (mvt.POLYGON, _polygons)):
        which = np.flatnonzero((kinds == kind) & ~tiny)
        if len(which):
            part, order = draw(outlines, shapes.of(which), address)
            parts.append(part)
            places.append(which[order])
    seen = np.zeros(len(shapes), np.bool_)
    for place in places:
        seen[place] = True
    if not seen.all():
        lost = np.flatnonzero(~seen & (kinds > 0))
        lost = lost[_is_lost(snapshot, shapes.of(lost), tiny[lost], address)]
        parts.append(mvt.squares(*address.place(snapshot, shapes.rows[lost]), 1))
        places.append(lost)
        seen[lost] = True
    if not parts:
        return mvt.squares(*address.place(snapshot, shapes.rows), 1), seen
    # Back into the order of the shapes, which is the order of drawing.
    return mvt.concatenate(parts).take(np.argsort(np.concatenate(places))), seen


def _is_lost(snapshot: Snapshot, shapes: Shapes, tiny: Mask, address: Address) -> Mask:
    """Which of the shapes that are not seen in a tile have their anchor in it, and are not seen in others instead."""
    x, y = address.place(snapshot, shapes.rows)
    lost = (x >= 0) & (x < EXTENT) & (y >= 0) & (y < EXTENT)
    unsure = np.flatnonzero(lost & ~tiny & (shapes.cover != INSIDE))
    if len(unsure):  # lost if there is something of it in the tile, but no area
        outlines = _outlines(snapshot)
        lost[unsure[outlines.kinds[shapes.rows[unsure]] == mvt.POINT]] = False
        reaching = clip.lines(_taken(outlines, shapes.rows[unsure], address))
        lost[unsure] &= reaching.shapes[1:] > reaching.shapes[:-1]
    return lost


def _points(outlines: Outlines, shapes: Shapes, address: Address) -> tuple[mvt.Geometry, Places]:
    """Points, floored, and of which shapes they are."""
    paths = outlines.take(shapes.rows, address.z)
    corner = np.array([address.left, address.top])
    inside = clip.points(Paths(address.units(paths.xy - corner), paths.paths, paths.polygons, paths.shapes))
    geometry, kept = mvt.multipoints(inside.xy, inside.shapes)
    return geometry, np.flatnonzero(kept)


def _lines(outlines: Outlines, shapes: Shapes, address: Address) -> tuple[mvt.Geometry, Places]:
    """Lines, those that leave the window clipped, and of which shapes they are."""
    inside = shapes.cover == INSIDE
    order = np.concatenate([np.flatnonzero(inside), np.flatnonzero(~inside)])
    paths = _taken(outlines, shapes.rows[order], address)
    if not inside.all():
        whole, crossing = paths.split(int(np.count_nonzero(inside)))
        paths = concatenate(whole, clip.lines(crossing))
    geometry, kept = mvt.lines(paths.xy, paths.paths, paths.polygons[paths.shapes])
    return geometry, order[kept]


def _polygons(outlines: Outlines, shapes: Shapes, address: Address) -> tuple[mvt.Geometry, Places]:
    """Polygons, those that leave the window clipped and broken ones mended, and of which shapes they are."""
    broken = (outlines.broken[shapes.rows] >> address.z & 1).astype(np.bool_)
    whole = (shapes.cover == INSIDE) & ~broken
    order = np.concatenate([np.flatnonzero(whole), np.flatnonzero(~whole)])
    paths = clip.polygons(_taken(outlines, shapes.rows[order], address), int(np.count_nonzero(whole)), broken[~whole])
    geometry, kept = mvt.polygons(paths.xy, paths.paths, paths.polygons[paths.shapes])
    return geometry, order[kept]


def _taken(outlines: Outlines, rows: Rows, address: Address) -> Paths:
    """The outlines of rows in units of the tile, each vertex on the nearest one: as in the tiles beside it."""
    paths = outlines.take(rows, address.z)
    half = 1 << address.shift >> 1 if address.shift > 0 else 0
    corner = np.array([address.left - half, address.top - half])
    return Paths(address.units(paths.xy - corner), paths.paths, paths.polygons, paths.shapes)


def _squares(code: NDArray[np.uint64], address: Address, grid: int) -> mvt.Geometry:
    """The cells that hold these Morton codes, as squares of the tile."""
    side = EXTENT // grid
    corners = zip(unmorton(code), (address.left, address.top), strict=True)
    x, y = (address.units(axis - np.int64(corner)) // side * side for axis, corner in corners)
    return mvt.squares(x, y, side)

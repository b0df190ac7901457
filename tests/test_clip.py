"""What of an outline is in a tile's window is read back by a decoder that is not ours and compared with GEOS's own intersections.

Outlines are in units of the tile, rounded already, as those of a snapshot's rows are before they are clipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import mapbox_vector_tile
import numpy as np
import pytest
import shapely
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from shapely.affinity import translate
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from tileserver import mvt
from tileserver.mvt.ragged import offsets
from tileserver.snapshot import clip
from tileserver.snapshot.outlines import Paths

LOW, HIGH = -64, 4160
window = shapely.box(LOW, LOW, HIGH, HIGH)
WORLD = shapely.box(-(2**34), -(2**34), 2**34, 2**34)
"""Larger than the world is in units of a tile of zoom 22."""

Ring = list[tuple[int, int]]

numbers = (
    st.integers(-9000, 13000) | st.integers(LOW - 3, LOW + 3) | st.integers(HIGH - 3, HIGH + 3) | st.sampled_from([0, 2000, 4096])
)
places = st.tuples(numbers, numbers)
properties = settings(deadline=None, max_examples=150)


def paths_of(shapes: Sequence[BaseGeometry]) -> Paths:
    """Of polygons, lines or points, single or many."""
    parts, of_shape = shapely.get_parts(np.array(shapes, object), return_index=True)
    lines, of_part = parts, np.arange(len(parts))
    if len(parts) and parts[0].geom_type == "Polygon":
        lines, of_part = shapely.get_rings(parts, return_index=True)
        lines = np.array([shapely.LineString(ring.coords[:-1]) for ring in lines])
    return Paths(
        shapely.get_coordinates(lines).astype(np.int64),
        offsets(shapely.get_num_coordinates(lines)),
        np.searchsorted(of_part, np.arange(len(parts) + 1)),
        np.searchsorted(of_shape, np.arange(len(shapes) + 1)),
    )


def decoded(geometry: mvt.Geometry, kept: np.ndarray[Any, np.dtype[np.bool_]]) -> list[BaseGeometry]:
    """A shape for each outline, empty where nothing was to be seen."""
    data = mvt.layer("layer", geometry)
    features = mapbox_vector_tile.decode(data, default_options={"y_coord_down": True})["layer"]["features"] if data else []
    assert len(features) == len(geometry) == kept.sum()
    found = iter(features)
    return [shape(next(found)["geometry"]) if keep else shapely.Polygon() for keep in kept]


def in_tile(polygons: Sequence[BaseGeometry]) -> list[BaseGeometry]:
    """What is seen of polygons. The whole and valid ones stand first for `clip.polygons`, as they do when a tile is drawn."""
    valid, inside = shapely.is_valid(polygons), np.array([in_window(polygon) for polygon in polygons], np.bool_)
    order = np.argsort(~(valid & inside), kind="stable")
    whole = int((valid & inside).sum())
    paths = clip.polygons(paths_of([polygons[place] for place in order]), whole, ~valid[order][whole:])
    seen = decoded(*mvt.polygons(paths.xy, paths.paths, paths.polygons[paths.shapes]))
    return [seen[place] for place in np.argsort(order)]


def in_window(part: BaseGeometry) -> bool:
    return part.is_empty or (min(part.bounds) >= LOW and max(part.bounds) <= HIGH)


def rounded(points: Any) -> Ring:
    return [(round(x), round(y)) for x, y in points]


def star(draw: Callable[..., Any], center: tuple[int, int], nearest: int, farthest: int) -> Ring:
    radii = draw(st.lists(st.integers(nearest, farthest), min_size=3, max_size=30))
    angles = np.arange(len(radii)) * 2 * np.pi / len(radii)
    return rounded(center + np.array(radii)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))


@st.composite
def stars(draw: Callable[..., Any]) -> shapely.Polygon:
    """With a hole or without, some of them wider than the window."""
    center = draw(places)
    wide = draw(st.sampled_from([300, 3000, 9000]))
    holes = [star(draw, center, 5, wide // 4)] if draw(st.booleans()) else []
    return shapely.Polygon(star(draw, center, wide // 3, wide), holes)


@st.composite
def combs(draw: Callable[..., Any]) -> shapely.Polygon:
    """Teeth that cross a side of the window one after the other, as thin as one unit."""
    widths = draw(st.lists(st.integers(1, 400), min_size=2, max_size=20))
    tips = draw(st.lists(st.integers(2000, 6000), min_size=len(widths), max_size=len(widths)))
    steps = np.cumsum(widths) + draw(st.integers(-500, 4000))
    teeth = [(x, tip if number % 2 else 1900) for number, (x, tip) in enumerate(zip(steps.tolist(), tips, strict=True))]
    comb = shapely.Polygon([(teeth[0][0], 1000), *teeth, (teeth[-1][0], 1000)])
    turned = draw(st.integers(0, 3))
    return shapely.transform(comb, lambda xy: xy if turned == 0 else np.rint(_turned(xy, turned)))


def _turned(xy: Any, quarters: int) -> Any:
    for _ in range(quarters):
        xy = np.stack([xy[:, 1], 4096 - xy[:, 0]], axis=1)
    return xy


@st.composite
def slivers(draw: Callable[..., Any]) -> shapely.Polygon:
    """A unit or so wide, along any direction."""
    (x, y), (u, v) = draw(places), draw(places)
    return shapely.Polygon([(x, y), (u, v), (u + draw(st.integers(-1, 1)), v + draw(st.integers(-1, 1)))])


rings = st.lists(places, min_size=3, max_size=9).map(shapely.Polygon)
"""Any ring at all: crossing itself more often than not, or with spikes, or all in a line."""


@st.composite
def holed(draw: Callable[..., Any]) -> shapely.Polygon:
    """A box with holes that touch it and one another, or contain the window."""
    sides = sorted(draw(st.lists(numbers, min_size=4, max_size=8, unique=True)))
    low, high = draw(st.tuples(numbers, numbers).map(sorted))
    assume(low < high)
    holes = [shapely.box(left, low, right, high) for left, right in pairwise(sides[1:-1])][::2]
    return shapely.Polygon(shapely.box(sides[0], low - 7, sides[-1], high + 9).exterior, [hole.exterior for hole in holes])


polygons = stars() | combs() | slivers() | rings | holed()
multipolygons = st.lists(polygons, min_size=1, max_size=3).map(shapely.MultiPolygon)


@properties
@given(st.lists(polygons | multipolygons, max_size=5))
@example([WORLD])
@example([WORLD.difference(shapely.box(-100, -100, 4200, 4200))])
@example([shapely.MultiPolygon([shapely.box(0, 0, 9, 9), shapely.box(9, 0, 20, 9)])])
@example([shapely.Polygon([(0, 0), (5000, 0), (5000, 9), (4160, 9), (4160, 20), (5000, 20), (5000, 30), (0, 30)])])
def test_polygons_are_their_intersections_with_the_window_and_valid(shapes: list[BaseGeometry]) -> None:
    seen = in_tile(shapes)
    assert all(part.is_valid and in_window(part) for part in seen)
    for outline, tile in zip(shapes, seen, strict=True):
        expected = shapely.intersection(shapely.make_valid(outline, method="structure", keep_collapsed=False), window)
        assert shapely.symmetric_difference(expected, tile).area <= expected.length + tile.length + 2


@properties
@given(stars() | combs() | holed())
def test_neighboring_tiles_meet(area: shapely.Polygon) -> None:
    """In the strip that both have, 64 units on either side of their border, they show the same but for rounding."""
    around = translate(area, 2500, 0)
    (west,), (east,) = in_tile([around]), in_tile([translate(around, -4096, 0)])
    east = translate(east, 4096, 0)
    strip = shapely.box(4096 - 64, LOW, 4096 + 64, HIGH)
    left, right = west.intersection(strip), east.intersection(strip)
    assert shapely.symmetric_difference(left, right).area <= left.length + right.length + 2
    border = shapely.LineString([(4096, 0), (4096, 4096)]).intersection(around.buffer(-2))
    assert border.difference(west).is_empty
    assert border.difference(east).is_empty


@properties
@given(st.lists(st.lists(places, min_size=2, max_size=40), max_size=4))
@example([[(0, HIGH), (4000, HIGH)], [(HIGH, -500), (HIGH, 5000)], [(-9000, -9000), (9000, 9000)]])
@example([[(100, 100), (5000, 100), (5000, 200), (100, 200), (-500, 200), (-500, 300), (50, 300)]])
def test_lines_are_their_intersections_with_the_window(lines: list[list[tuple[int, int]]]) -> None:
    shapes = [shapely.LineString(line) for line in lines]
    paths = clip.lines(paths_of(shapes))
    seen = decoded(*mvt.lines(paths.xy, paths.paths, paths.polygons[paths.shapes]))
    for line, tile in zip(shapes, seen, strict=True):
        expected = shapely.intersection(line, window)
        assert in_window(tile)
        assert tile.difference(expected.buffer(1.5)).is_empty
        assert all(part.within(tile.buffer(1.5)) for part in shapely.get_parts(expected) if part.length > 2)


def test_a_line_that_leaves_and_comes_back_is_two() -> None:
    line = shapely.LineString([(100, 100), (5000, 100), (5000, 200), (100, 200)])
    paths = clip.lines(paths_of([line]))
    seen = decoded(*mvt.lines(paths.xy, paths.paths, paths.polygons[paths.shapes]))
    assert seen == [shapely.MultiLineString([[(100, 100), (HIGH, 100)], [(HIGH, 200), (100, 200)]])]


@properties
@given(st.lists(st.lists(places, min_size=1, max_size=4), max_size=4))
def test_points_are_in_the_tile_itself(points: list[list[tuple[int, int]]]) -> None:
    paths = clip.points(paths_of([shapely.MultiPoint(many) for many in points]))
    seen = decoded(*mvt.multipoints(paths.xy, paths.shapes))
    for many, tile in zip(points, seen, strict=True):
        expected = [(x, y) for x, y in many if 0 <= x < 4096 and 0 <= y < 4096]
        assert shapely.get_coordinates(tile).tolist() == [list(place) for place in expected]


def test_a_polygon_around_the_tile_is_the_window() -> None:
    assert all(
        part.equals(window) for part in in_tile([shapely.box(-9000, -9000, 9000, 9000), WORLD, shapely.box(LOW, LOW, HIGH, HIGH)])
    )


@pytest.mark.parametrize("outside", [WORLD, shapely.box(-100, -100, 4200, 4200), shapely.box(LOW, LOW, HIGH, HIGH)])
def test_a_polygon_with_the_tile_in_its_hole_is_not_seen(outside: shapely.Polygon) -> None:
    ring = outside.buffer(500, join_style="mitre").difference(outside)
    assert in_tile([ring, shapely.box(4161, 0, 5000, 5000), shapely.box(4160, 0, 5000, 5000)]) == [shapely.Polygon()] * 3


def test_polygons_beside_each_other_are_cut_at_the_same_place() -> None:
    """Their edge crosses the window's side halfway between two units, where a rounding error decides."""
    edge = [(4057, 174), (4351, 27)]
    seen = in_tile([shapely.Polygon([*edge, (4351, 300)]), shapely.Polygon([*edge[::-1], (4057, 20)])])
    assert seen[0].touches(seen[1])
    assert seen[0].union(seen[1]).geom_type == "Polygon"


def test_a_polygon_that_crosses_a_side_many_times_falls_apart() -> None:
    teeth = [(4000, 0), *[(5000 if number % 2 else 4100, 10 * number) for number in range(1, 40)], (4000, 400)]
    comb = shapely.Polygon([*teeth])
    hidden = shapely.Polygon([(5000, 0), *[(4100 if number % 2 else 5000, 10 * number) for number in range(1, 40)], (5000, 400)])
    seen = in_tile([comb, hidden])
    assert [len(shapely.get_parts(part)) for part in seen] == [1, 20]
    assert all(part.is_valid for part in seen)


def test_the_parts_of_a_multipolygon_are_one_feature() -> None:
    boxes = [shapely.box(left, 0, left + 50, 50) for left in (0, 100, 9000)]
    assert in_tile([shapely.MultiPolygon(boxes)])[0].equals(shapely.MultiPolygon(boxes[:2]))


def test_no_shapes_are_no_features() -> None:
    assert in_tile([]) == []

"""What a tile shows of shapes is read back by a decoder that is not ours and compared with GEOS's own intersections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely.affinity import affine_transform, scale, translate
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from tileserver import mvt
from tileserver.snapshot import clip
from tileserver.snapshot.mercator import WORLD, mercator

Z, X, Y = 12, 1024, 1600
"""The tile in most tests."""
SIDE = WORLD / 2**Z
UNIT = SIDE / 4096

places = st.integers(-8000, 70000).map(lambda eighths: eighths / 8)
"""Tile units, in the window and around it."""

properties = settings(deadline=None, max_examples=40)


def to_tile(geometries: Sequence[BaseGeometry | None], z: int = Z, x: int = X, y: int = Y) -> tuple[list[BaseGeometry], list[bool]]:
    """What is seen, decoded, in tile units; and the mask."""
    array = np.empty(len(geometries), object)
    array[:] = geometries
    geometry, kept = clip.to_tile(array, z, x, y)
    data = mvt.layer("layer", geometry)
    features = mapbox_vector_tile.decode(data, default_options={"y_coord_down": True})["layer"]["features"] if data else []
    assert len(features) == len(geometry) == kept.sum()
    return [shape(feature["geometry"]) for feature in features], kept.tolist()


def in_world(geometry: BaseGeometry) -> BaseGeometry:
    """From units of the tile Z/X/Y to world units."""
    return affine_transform(geometry, [UNIT, 0, 0, UNIT, X * SIDE, Y * SIDE])


def star(draw: Callable[..., Any], nearest: int, farthest: int) -> NDArray[np.float64]:
    """A ring around (0, 0)."""
    radii = np.array(draw(st.lists(st.integers(8 * nearest, 8 * farthest), min_size=3, max_size=30))) / 8
    angles = np.arange(len(radii)) * 2 * np.pi / len(radii)
    points: NDArray[np.float64] = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return points


@st.composite
def areas(draw: Callable[..., Any]) -> shapely.Polygon:
    """A valid polygon around some point near the tile, in tile units, with a hole or without."""
    center = np.array(draw(st.tuples(places, places)))
    holes = [star(draw, 5, 90) + center] if draw(st.booleans()) else []
    return shapely.Polygon(star(draw, 200, 3000) + center, holes)


@st.composite
def rings(draw: Callable[..., Any]) -> list[tuple[float, float]]:
    """Any ring at all, crossing itself more often than not."""
    number = places | st.sampled_from([-64.0, 0.0, 4096.0, 4160.0, 1000.0])
    points: list[tuple[float, float]] = draw(st.lists(st.tuples(number, number), min_size=3, max_size=9))
    return points


window = shapely.box(-64, -64, 4160, 4160)
core = shapely.box(0, 0, 4096, 4096)


def in_window(part: BaseGeometry) -> bool:
    return min(part.bounds) >= -64 and max(part.bounds) <= 4160


@properties
@given(st.lists(areas(), max_size=4))
def test_polygons_are_their_intersections_with_the_window(shapes: list[shapely.Polygon]) -> None:
    seen, kept = to_tile([in_world(shape) for shape in shapes])
    expected = [shapely.intersection(shape, window) for shape in shapes]
    for part, tile in zip([part for part, keep in zip(expected, kept, strict=True) if keep], seen, strict=True):
        assert shapely.symmetric_difference(part, shapely.make_valid(tile)).area <= 1.5 * part.length + 2
        assert in_window(tile)
    assert all(part.area <= part.length + 2 for part, keep in zip(expected, kept, strict=True) if not keep)


@properties
@given(areas())
def test_the_rings_of_a_polygon_with_holes_do_not_cross_on_the_grid(area: shapely.Polygon) -> None:
    thin = area.difference(shapely.box(*scale(area.envelope, 0.3, 0.001).bounds))
    seen, kept = to_tile([in_world(area), in_world(thin)])
    assert all(part.is_valid for part in shapely.get_parts(seen) if part.interiors)
    assert kept[0] == area.intersects(window) or area.intersection(window).area < 2


@properties
@given(areas())
def test_neighboring_tiles_meet(area: shapely.Polygon) -> None:
    """In the strip that both have, 64 units on either side of their border, they show the same but for rounding."""
    world = translate(in_world(area), 2000 * UNIT, 0)
    strip = shapely.box(4096 - 64, 0, 4096 + 64, 4096)
    (west, _), (east, _) = to_tile([world]), to_tile([world], x=X + 1)
    left = shapely.union_all([shapely.make_valid(part) for part in west]).intersection(strip)
    right = translate(shapely.union_all([shapely.make_valid(part) for part in east]), 4096, 0).intersection(strip)
    both = shapely.union(left, right)
    assert shapely.symmetric_difference(left, right).area <= 2 * both.length
    # On the border itself nothing is missing between the two.
    border = shapely.LineString([(4096, 0), (4096, 4096)])
    gap = shapely.symmetric_difference(left.intersection(border), right.intersection(border))
    assert all(part.length <= 40 for part in shapely.get_parts(gap))


@properties
@given(st.lists(st.tuples(places, places), min_size=2, max_size=40))
def test_lines_are_their_intersections_with_the_window(points: list[tuple[float, float]]) -> None:
    line = shapely.LineString(points)
    seen, kept = to_tile([in_world(line)])
    expected = shapely.intersection(line, window)
    if kept[0]:
        assert shapely.hausdorff_distance(expected, seen[0]) <= 2
    else:
        assert expected.length <= 3


@properties
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), min_size=1), st.integers(0, 2))
def test_a_point_is_in_exactly_one_tile_floored(positions: list[tuple[int, int]], zoom: int) -> None:
    points = [shapely.Point(position) for position in positions]
    side = 2 ** (32 - zoom)
    found: list[tuple[int, int]] = []
    for x in range(2**zoom):
        for y in range(2**zoom):
            seen, _ = to_tile(points, zoom, x, y)
            found += [(x * 4096 + int(point.bounds[0]), y * 4096 + int(point.bounds[1])) for point in seen]
    assert sorted(found) == sorted((x * 4096 // side, y * 4096 // side) for x, y in positions)


@properties
@given(st.lists(rings(), min_size=1, max_size=5), st.booleans())
def test_nothing_that_is_invalid_stops_the_others(exteriors: list[list[tuple[float, float]]], holed: bool) -> None:
    good = shapely.box(-1000, 100, 200, 300)
    broken = [shapely.Polygon(ring, [ring[:3]] if holed else []) for ring in exteriors]
    together = shapely.MultiPolygon(broken)
    seen, kept = to_tile([in_world(shape) for shape in [*broken, together, good]])
    assert kept[-1]
    assert seen[-1].equals(shapely.box(-64, 100, 200, 300))
    assert all(in_window(part) for part in seen)


def test_a_polygon_around_the_tile_is_the_buffered_square() -> None:
    seen, kept = to_tile([in_world(shapely.box(-9000, -9000, 9000, 9000)), shapely.box(0, 0, WORLD, WORLD)])
    assert kept == [True, True]
    assert all(part.equals(window) for part in seen)


def test_a_polygon_around_the_tile_with_the_tile_in_its_hole_is_not_seen() -> None:
    ring = shapely.box(-9000, -9000, 9000, 9000).difference(shapely.box(-100, -100, 4200, 4200))
    _, kept = to_tile([in_world(ring), in_world(shapely.box(4161, 0, 5000, 5000)), in_world(shapely.box(4160, 0, 5000, 5000))])
    assert kept == [False, False, False]


def test_a_polygon_wound_either_way_is_the_same_in_the_tile() -> None:
    area = shapely.box(100, 100, 200, 200).difference(shapely.box(120, 120, 150, 150)).normalize()
    seen, _ = to_tile([in_world(area), in_world(area.reverse())])
    assert all(part.equals(area) for part in seen)
    assert shapely.get_num_interior_rings(seen).tolist() == [1, 1]


def test_what_cannot_be_drawn_is_left_out_and_the_rest_keeps_its_order() -> None:
    nan, inf = float("nan"), float("inf")
    with np.errstate(invalid="ignore"):
        odd = [
            in_world(shapely.Polygon([(0, 0), (50, 0), (nan, 30), (0, 80)])),
            in_world(shapely.LineString([(0, 0), (9, nan), (90, 90)])),
            in_world(shapely.LineString([(0, 0), (inf, 5)])),
            in_world(shapely.Point(nan, nan)),
            in_world(shapely.MultiPoint([(nan, 1), (1, inf)])),
        ]
    empty = [None, shapely.Polygon(), shapely.Point(), shapely.GeometryCollection(), shapely.MultiLineString()]
    points = [in_world(shapely.Point(1, 1)), in_world(shapely.box(0, 0, 30, 30)), in_world(shapely.LineString([(0, 0), (30, 9)]))]
    seen, kept = to_tile([points[0], *odd, points[1], *empty, points[2]])
    assert [part.geom_type for part in seen] == ["Point", "Polygon", "LineString"]
    assert [i for i, keep in enumerate(kept) if keep] == [0, 6, 12]


def test_lines_and_polygons_within_one_tile_unit_are_left_out() -> None:
    tiny = [shapely.box(10.4, 10.4, 11.2, 11.2), shapely.LineString([(10.4, 10.4), (10.9, 11.2)])]
    _, kept = to_tile([in_world(shape) for shape in tiny])
    _, closer = to_tile([in_world(shape) for shape in tiny], Z + 2, 4 * X, 4 * Y)
    assert kept == [False, False]
    assert closer == [True, True]


def test_outlines_are_rounded_to_the_nearest_tile_unit() -> None:
    line = shapely.LineString([(0.4, 0.6), (-9.6, 10.4)])
    seen, _ = to_tile([in_world(line), in_world(shapely.box(0.6, -0.6, 20.4, 19.6))])
    assert seen[0].equals(shapely.LineString([(0, 1), (-10, 10)]))
    assert seen[1].equals(shapely.box(1, -1, 20, 20))


def test_an_outline_of_many_points_keeps_those_that_can_be_seen() -> None:
    circle = shapely.Point(2000, 2000).buffer(900, quad_segs=2000)
    seen, _ = to_tile([in_world(circle)])
    assert shapely.get_num_coordinates(seen[0]) < 200
    assert shapely.hausdorff_distance(circle, seen[0]) < 1.5


def test_of_a_collection_the_parts_of_the_highest_dimension_are_drawn() -> None:
    point, line, area = shapely.Point(1, 1), shapely.LineString([(0, 0), (9, 9)]), shapely.box(5, 5, 50, 50)
    nested = shapely.GeometryCollection([point, shapely.GeometryCollection([line, shapely.MultiPolygon([area])])])
    elsewhere = shapely.GeometryCollection([line, shapely.box(7000, 7000, 8000, 8000)])
    seen, kept = to_tile([in_world(nested), in_world(elsewhere), in_world(shapely.GeometryCollection([point, line]))])
    assert kept == [True, False, True]
    assert seen[0].equals(area)
    assert seen[1].equals(line)


def test_the_parts_of_a_multi_geometry_are_one_feature() -> None:
    boxes = [shapely.box(left, 0, left + 50, 50) for left in (0, 100, 9000)]
    seen, _ = to_tile([in_world(shapely.MultiPolygon(boxes)), in_world(shapely.MultiPoint([(1, 2), (3, 4), (-1, 0)]))])
    assert seen[0].equals(shapely.MultiPolygon(boxes[:2]))
    assert seen[1].equals(shapely.MultiPoint([(1, 2), (3, 4)]))


def test_heights_are_left_aside() -> None:
    line = shapely.LineString([(0, 0, 5), (10, 10, 7)])
    area = shapely.Polygon([(0, 0, 1), (10, 0, 1), (10, 10, 2)])
    seen, _ = to_tile([shapely.transform(shape, lambda place: place * UNIT + np.array([X, Y]) * SIDE) for shape in (line, area)])
    assert seen[0].equals(shapely.LineString([(0, 0), (10, 10)]))
    assert seen[1].area == 50


def test_no_shapes_are_no_features() -> None:
    seen, kept = to_tile([])
    assert seen == []
    assert kept == []


def test_the_tiles_of_a_real_city_hold_its_neighborhoods_whole(city_files: Path) -> None:
    file = city_files / "st_louis" / "neighborhoods_cth.geojson"
    found = shapely.get_parts(shapely.from_geojson(file.read_text()))
    shapes = shapely.transform(found, lambda place: np.stack(mercator(place[:, 0], place[:, 1]), axis=1))
    west, north, east, south = shapely.total_bounds(shapes) // SIDE
    shown = np.zeros(len(shapes))
    for x in range(int(west), int(east) + 1):
        for y in range(int(north), int(south) + 1):
            seen, kept = to_tile(list(shapes), x=x, y=y)
            shown[kept] += [shapely.intersection(shapely.make_valid(part), core).area for part in seen]
    assert shown == pytest.approx(shapely.area(shapes) / UNIT**2, rel=0.005)
    assert len(shapes) > 70

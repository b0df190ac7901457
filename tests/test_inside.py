"""Positions in polygons, by the grid, as shapely finds them one by one."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from tileserver.snapshot.inside import CROSSED, INSIDE, OUTSIDE, Region
from tileserver.snapshot.mercator import WORLD, degrees, mercator, quantize

World = NDArray[np.uint32]


def around(polygon: BaseGeometry, seed: int, count: int = 3_000) -> tuple[World, World]:
    """Positions in and around a polygon: anywhere near, next to its sides, and at its corners."""
    chance = np.random.default_rng(seed)
    west, south, east, north = polygon.bounds
    wide = max(east - west, north - south, 1e-6)
    lon = chance.uniform(west - wide / 4, east + wide / 4, count)
    lat = chance.uniform(south - wide / 4, north + wide / 4, count)
    corners = shapely.get_coordinates(polygon)
    beside = polygon.boundary.interpolate(chance.uniform(0, 1, count // 4), normalized=True)
    near = np.concatenate([corners, shapely.get_coordinates(beside)])
    near = np.concatenate([near, near + chance.normal(0, 2e-7, near.shape)])
    lon, lat = np.concatenate([lon, near[:, 0]]), np.concatenate([lat, near[:, 1]])
    return quantize(np.clip(lon, -180, 179.9999999), np.clip(lat, -85, 85))


def star(chance: np.random.Generator, at: tuple[float, float], wide: float, corners: int) -> BaseGeometry:
    """A polygon with corners at random distances around a point."""
    angles = np.sort(chance.uniform(0, 2 * np.pi, corners))
    distances = wide * chance.uniform(0.05, 1, corners)
    return shapely.make_valid(
        shapely.Polygon(np.stack([at[0] + distances * np.cos(angles), at[1] + distances * np.sin(angles)], axis=-1))
    )


@st.composite
def polygons(draw: st.DrawFn) -> BaseGeometry:
    """Stars with holes, slivers, several parts; from centimetres to half the world, anywhere."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    wide = 10 ** draw(st.floats(-6.5, 1.8))
    at = draw(st.floats(-100, 100)), draw(st.floats(-20, 20))
    shape = star(chance, at, wide, draw(st.integers(3, 40)))
    match draw(st.sampled_from(["whole", "hole", "sliver", "parts"])):
        case "hole":
            shape = shape.difference(star(chance, at, wide / 2, 12))
        case "sliver":
            shape = shapely.Polygon([at, (at[0] + wide, at[1] + wide / 3), (at[0] + wide, at[1] + wide / 3 + wide * 1e-5)])
        case "parts":
            shape = shapely.union_all([shape, star(chance, (at[0] + wide, at[1]), wide, 9)])
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon" and part.is_valid]
    return shapely.MultiPolygon(parts) if len(parts) != 1 else parts[0]


@settings(max_examples=150, deadline=None)
@given(polygons(), st.integers(0, 2**32), st.booleans())
def test_positions_in_a_polygon_are_those_that_shapely_finds_one_by_one(polygon: BaseGeometry, seed: int, boundary: bool) -> None:
    if polygon.is_empty:
        return
    x, y = around(polygon, seed)
    ask = shapely.intersects_xy if boundary else shapely.contains_xy
    np.testing.assert_array_equal(Region(polygon, boundary=boundary).contains(x, y), ask(polygon, *degrees(x, y)))


@settings(max_examples=80, deadline=None)
@given(polygons(), st.integers(0, 2**32))
def test_boxes_that_are_said_to_be_inside_or_outside_hold_no_position_that_is_not(polygon: BaseGeometry, seed: int) -> None:
    if polygon.is_empty:
        return
    chance = np.random.default_rng(seed)
    x, y = around(polygon, seed, 400)
    bits = chance.integers(0, 24, len(x))
    west, north = ((axis >> bits << bits).astype(np.uint32) for axis in (x, y))
    east, south = ((axis + (1 << bits) - 1).astype(np.uint32) for axis in (west.astype(np.int64), north.astype(np.int64)))
    region = Region(polygon)
    told = region.cover(west, north, east, south)
    for share in (0, 0.3, 0.5, 0.9, 1):
        there = region.contains(
            (west + (east - west) * share).astype(np.uint32), (north + (south - north) * share).astype(np.uint32)
        )
        assert there[told == INSIDE].all()
        assert not there[told == OUTSIDE].any()


def test_most_of_a_large_polygon_is_told_without_looking_at_its_sides() -> None:
    polygon = shapely.Point(-92.3, 34.7).buffer(0.1, 64)
    region = Region(polygon)
    (west, east), (south, north) = mercator(np.array([-92.4, -92.2]), np.array([34.6, 34.8]))
    chance = np.random.default_rng(1)
    x = chance.uniform(west, east, 20_000).astype(np.uint32)
    y = chance.uniform(north, south, 20_000).astype(np.uint32)
    told = region.cover(x, y, x, y)
    assert (told == CROSSED).mean() < 0.02
    np.testing.assert_array_equal((told == INSIDE)[told != CROSSED], region.contains(x, y)[told != CROSSED])


def test_boxes_beyond_a_polygon_are_outside_and_boxes_around_it_are_neither() -> None:
    region = Region(shapely.box(-92.4, 34.6, -92.2, 34.8))
    world = np.array([0], np.uint32), np.array([WORLD - 1], np.uint32)
    assert region.cover(world[0], world[0], world[1], world[1]).tolist() == [CROSSED]
    assert region.cover(world[0], world[0], np.array([99], np.uint32), world[1]).tolist() == [OUTSIDE]
    assert region.cover(world[1], world[0], world[1], world[1]).tolist() == [OUTSIDE]


def test_a_polygon_at_the_antimeridian_holds_the_positions_on_it() -> None:
    x, y = quantize(np.array([180.0, -180.0, 179.9, -179.9]), np.array([1.0, 1.0, 1.0, 1.0]))
    east, west = Region(shapely.box(179, 0, 180, 2)), Region(shapely.box(-180, 0, -179, 2))
    assert east.contains(x, y).tolist() == [True, True, True, False]
    assert west.contains(x, y).tolist() == [True, True, False, True]
    assert east.cover(x, y, x, y).tolist()[0] != OUTSIDE


@pytest.mark.parametrize("polygon", [shapely.Polygon(), shapely.MultiPolygon()])
def test_an_empty_polygon_holds_nothing(polygon: BaseGeometry) -> None:
    x, y = quantize(np.array([0.0, -92.3]), np.array([0.0, 34.7]))
    assert not Region(polygon).contains(x, y).any()
    assert Region(polygon).cover(x, y, x, y).tolist() == [OUTSIDE, OUTSIDE]


def test_the_whole_world_holds_every_position() -> None:
    x = np.array([0, 1, 2**31, WORLD - 1], np.uint32)
    assert Region(shapely.box(-180, -90, 180, 90)).contains(x, x).all()

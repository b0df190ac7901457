"""From which zoom on a vertex is drawn, held against GEOS and against what it promises: half a tile unit, and shared borders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tileserver.mvt.ragged import offsets
from tileserver.snapshot import simplify

ZOOMS = range(8, 15)
UNIT = {zoom: 2.0 ** (20 - zoom) for zoom in ZOOMS}
Path = NDArray[np.int64]

properties = settings(deadline=None, max_examples=60)
seeds = st.integers(0, 2**32 - 1)


def zooms_of(paths: Sequence[Path], rings: bool) -> list[NDArray[np.uint8]]:
    """Of the vertices of each path."""
    starts = offsets(np.array([len(path) for path in paths]))
    found = simplify.vertex_zooms(np.concatenate(paths), starts, np.full(len(paths), rings), ZOOMS)
    return [found[start:stop] for start, stop in pairwise(starts.tolist())]


def walk(chance: np.random.Generator, count: int, step: float) -> Path:
    """A path without aim, whose steps are from some thousandths of a tile unit to some units long."""
    steps = chance.normal(0, 1, (count, 2)) * step * 10 ** chance.uniform(-2, 1, (count, 1))
    path: Path = (2**31 + np.cumsum(steps, axis=0)).astype(np.int64)
    return path[np.r_[True, (np.diff(path, axis=0) != 0).any(axis=1)]]


def away(path: Path, drawn: Path, *, ring: bool) -> float:
    """How far two outlines are from each other."""
    made = shapely.linearrings if ring else shapely.linestrings
    return float(shapely.hausdorff_distance(made(path), made(drawn)))


@properties
@given(seed=seeds, count=st.integers(2, 200), step=st.sampled_from([50.0, 1e3, 1e5]))
def test_a_line_keeps_at_each_zoom_what_geos_keeps_of_it(seed: int, count: int, step: float) -> None:
    path = walk(np.random.default_rng(seed), count, step)
    if len(path) < 2:
        return
    [found] = zooms_of([path], rings=False)
    for zoom, unit in UNIT.items():
        twin = shapely.simplify(shapely.linestrings(path), simplify.TOLERANCE * unit, preserve_topology=False)
        assert path[found <= zoom].tolist() == shapely.get_coordinates(twin).tolist()


def test_where_splitting_ends_early_more_vertices_are_kept_and_none_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    path = walk(np.random.default_rng(3), 400, 1e3)
    [whole] = zooms_of([path], rings=False)
    monkeypatch.setattr(simplify, "MOST_ROUNDS", 3)
    [early] = zooms_of([path], rings=False)
    assert (early <= whole).all()
    assert (early < whole).any()


@properties
@given(seed=seeds, count=st.integers(3, 80), step=st.sampled_from([50.0, 1e3, 1e5]))
def test_a_ring_stays_within_half_a_tile_unit_and_has_three_vertices_at_least(seed: int, count: int, step: float) -> None:
    path = walk(np.random.default_rng(seed), count, step)
    if len(path) < 3 or (path[0] == path[-1]).all():
        return
    [found] = zooms_of([path], rings=True)
    for zoom, unit in UNIT.items():
        drawn = path[found <= zoom]
        assert len(drawn) >= 3
        assert away(path, drawn, ring=True) <= unit / 2


def cells(chance: np.random.Generator, size: int, side: int, rough: float) -> list[Path]:
    """The outlines of a grid of cells with crooked borders, which begin anywhere and run either way."""
    grid = [(x, y) for x in range(size) for y in range(size)]
    corners = {at: np.array(at) * side + chance.integers(-side // 4, side // 4, 2) for at in grid}

    def border(start: tuple[int, int], stop: tuple[int, int]) -> Path:
        if (stop, start) in borders:
            return borders[stop, start][::-1]
        if (start, stop) not in borders:
            share = np.sort(chance.random(int(chance.integers(0, 12))))[:, None]
            between = corners[start] * (1 - share) + corners[stop] * share + chance.normal(0, rough, share.shape)
            borders[start, stop] = np.vstack([corners[start], between.astype(np.int64), corners[stop]]) + 2**31
        return borders[start, stop]

    borders: dict[tuple[tuple[int, int], tuple[int, int]], Path] = {}
    rings = []
    for x in range(size - 1):
        for y in range(size - 1):
            around = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)]
            ring = np.vstack([border(*ends)[:-1] for ends in pairwise(around)])
            ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
            rings.append(np.roll(ring[:: chance.choice([-1, 1])], int(chance.integers(0, 99)), axis=0))
    return [rings[number] for number in chance.permutation(len(rings))]


@properties
@given(seed=seeds, size=st.integers(2, 5), side=st.sampled_from([40, 2_000, 100_000]), rough=st.sampled_from([0.0, 10.0, 500.0]))
def test_neighbours_keep_the_same_vertices_of_their_border_at_every_zoom(seed: int, size: int, side: int, rough: float) -> None:
    rings = cells(np.random.default_rng(seed), size, side, rough)
    found = zooms_of(rings, rings=True)
    zooms: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for ring, of_ring in zip(rings, found, strict=True):
        for place, zoom in zip(ring.tolist(), of_ring.tolist(), strict=True):
            zooms[tuple(place)].append(zoom)
        for zoom, unit in UNIT.items():
            drawn = ring[of_ring <= zoom]
            assert len(drawn) >= 3
            assert away(ring, drawn, ring=True) <= unit / 2
    assert all(len(set(each)) == 1 for each in zooms.values())
    assert all(each[0] == ZOOMS.start for each in zooms.values() if len(each) > 2)


def test_an_island_and_the_hole_that_it_fills_stay_the_same() -> None:
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    island = (2**31 + 5_000 * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(np.int64)
    hole = np.roll(island[::-1], 123, axis=0)
    found, of_hole = zooms_of([island, hole], rings=True)
    assert found.tolist() == np.roll(of_hole, -123)[::-1].tolist()
    counts = [int((found <= zoom).sum()) for zoom in ZOOMS]
    assert counts == sorted(counts)
    assert counts[0] < 12 < counts[-1] < 400


def test_a_border_that_only_one_side_has_a_vertex_on_keeps_it() -> None:
    """As of two lots at the back of a third, whose own border knows nothing of where they meet."""
    one = np.array([(0, 0), (9_000, 0), (9_000, 9_000), (0, 9_000)]) + 2**31
    others = [np.array([(x, 0), (x, -9_000), (x + 4_500, -9_000), (x + 4_500, 0)]) + 2**31 for x in (0, 4_500)]
    found = zooms_of([one, *others], rings=True)
    assert all((zooms == ZOOMS.start).all() for zooms in found[1:])


@pytest.mark.parametrize("count", [1, 2])
def test_what_has_no_area_stays_as_it_is(count: int) -> None:
    paths = [np.array([(5, 5), (9, 9)][:count])]
    assert [zooms.tolist() for zooms in zooms_of(paths, rings=True)] == [[ZOOMS.start] * count]
    assert [zooms.tolist() for zooms in zooms_of(paths, rings=False)] == [[ZOOMS.start] * count]


@properties
@given(seed=seeds, reach=st.sampled_from([3, 8, 40]))
def test_polygons_that_cross_themselves_are_told_as_geos_tells_them(seed: int, reach: int) -> None:
    chance = np.random.default_rng(seed)
    shapes = [
        [[chance.integers(0, reach, (chance.integers(1, 8), 2)) for _ in range(chance.integers(1, 3))] for _ in range(parts)]
        for parts in chance.integers(0, 3, 30)
    ]
    polygons = [polygon for shape in shapes for polygon in shape]
    rings = [ring for polygon in polygons for ring in polygon]
    found = simplify.crossing(
        np.concatenate([*rings, np.zeros((0, 2), np.int64)]),
        offsets(np.array([len(ring) for ring in rings], np.int64)),
        offsets(np.array([len(polygon) for polygon in polygons], np.int64)),
        offsets(np.array([len(shape) for shape in shapes])),
    )
    twin = []
    for shape in shapes:
        drawn = [[ring for ring in polygon if has_area(ring)] for polygon in shape if has_area(polygon[0])]
        twin.append(not shapely.MultiPolygon([(rings[0], rings[1:]) for rings in drawn]).is_valid)
    assert found.tolist() == twin


def has_area(ring: Path) -> bool:
    return len(ring) > 2 and shapely.Polygon(ring).area > 0


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1), st.integers(0, 22))
def test_world_units_are_rounded_to_the_nearest_tile_unit(world: list[int], zoom: int) -> None:
    units = simplify.tile_units(np.array([world, world]).T, zoom)
    assert units.tolist() == [[int(np.floor(value / 2.0 ** (20 - zoom) + 0.5))] * 2 for value in world]

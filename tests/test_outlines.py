"""The outlines that a snapshot keeps of its shapes, held against what GEOS makes of each shape by itself."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from crowds import snapshot_of
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry
from town import batch

from tileserver.catalog import GEOMETRY, Layer
from tileserver.snapshot import order, outlines, spool
from tileserver.snapshot.mercator import MAX_LATITUDE, WORLD, mercator, quantize_sides
from tileserver.snapshot.outlines import BLOCK, Outlines

ZOOMS = range(3, 13)
LAYER = Layer.model_validate(
    {
        "id": "shapes",
        "title": "Shapes",
        "kind": "shapes",
        "position": "optional",
        "fields": {"id": {"role": "id", "type": "integer"}},
        "tiles": {"minzoom": ZOOMS.start, "maxzoom": ZOOMS.stop - 1},
    }
)

Place = tuple[int, int]
Nested = list[list[list[Place]]]
"""The vertices of the paths of the polygons of a shape."""


def written(shapes: Sequence[BaseGeometry]) -> Outlines:
    array = np.array(shapes, np.object_)
    wkb = pa.array(shapely.to_wkb(array), pa.binary())
    west, south, east, north = shapely.bounds(array).T.reshape(4, -1)
    boxes = np.stack([*quantize_sides(west, north), *quantize_sides(east, south)], axis=1)
    with tempfile.TemporaryDirectory() as folder:
        return Outlines.open(Path(folder), outlines.write(Path(folder), wkb.take, boxes, ZOOMS))


def at(found: Outlines, row: int, zoom: int) -> Nested:
    """What is drawn of a shape at a zoom."""
    paths = found.take(np.array([row]), zoom)
    vertices = [tuple(place) for place in paths.xy.tolist()]
    lines = [vertices[start:stop] for start, stop in pairwise(paths.paths.tolist())]
    polygons = [lines[start:stop] for start, stop in pairwise(paths.polygons.tolist())]
    assert paths.shapes.tolist() == [0, len(polygons)]
    return polygons


def simple_parts(shape: BaseGeometry) -> list[BaseGeometry]:
    """The parts of the highest dimension."""
    if hasattr(shape, "geoms"):
        parts = [part for each in shape.geoms for part in simple_parts(each)]
        dimension = max((shapely.get_dimensions(part) for part in parts), default=0)
        return [part for part in parts if shapely.get_dimensions(part) == dimension]
    return [] if shape.is_empty else [shape]


def nested(shape: BaseGeometry) -> Nested:
    """All vertices of a shape, place by place."""
    polygons = []
    for part in simple_parts(shape):
        rings = [part.exterior, *part.interiors] if isinstance(part, shapely.Polygon) else [part]
        polygons.append(
            [without_repeated([place(*each) for each in ring.coords], ring.geom_type == "LinearRing") for ring in rings]
        )
    return polygons


def place(lon: float, lat: float) -> Place:
    x, y = mercator(np.array([lon]), np.array([lat]))
    return min(max(round(float(x[0])), 0), WORLD - 1), min(max(round(float(y[0])), 0), WORLD - 1)


def without_repeated(path: list[Place], ring: bool) -> list[Place]:
    path = [path[0]] + [after for before, after in pairwise(path) if after != before]
    return path[:-1] if ring and len(path) > 1 and path[0] == path[-1] else path


def drawn_as(path: list[Place], kind: int) -> BaseGeometry:
    made: BaseGeometry = shapely.linestrings([*path, path[0]] if kind == 3 or len(path) == 1 else path)
    return made


numbers = st.integers(-40, 40)
places = st.tuples(numbers, numbers)
chains = st.lists(places, min_size=2, max_size=9)
rings = st.lists(places, min_size=3, max_size=12)
points = st.builds(shapely.Point, places)
lines = st.builds(shapely.LineString, chains)
polygons = st.builds(shapely.Polygon, rings, st.lists(rings, max_size=2))
single = points | lines | polygons | st.sampled_from([shapely.Point(), shapely.LineString(), shapely.Polygon()])
some = (
    single
    | st.builds(shapely.MultiPoint, st.lists(places, max_size=4))
    | st.builds(shapely.MultiLineString, st.lists(chains, max_size=3))
    | st.builds(shapely.MultiPolygon, st.lists(polygons, max_size=3))
)
collections = st.recursive(some, lambda inner: st.lists(inner, max_size=4).map(shapely.GeometryCollection), max_leaves=6)
crowds = st.lists(collections.filter(lambda shape: not shape.is_empty), max_size=8)
scales = st.sampled_from([1e-6, 1e-3, 0.1, 4.0])
"""Degrees; the widest reach over 180 and 90 by half a world."""


def scaled(shapes: Sequence[BaseGeometry], scale: float) -> list[BaseGeometry]:
    return [shapely.transform(shape, lambda places: places * scale + (20 * scale, 10 * scale)) for shape in shapes]


@settings(max_examples=150, deadline=None)
@given(shapes=crowds, scale=scales)
def test_every_path_of_every_kind_of_shape_is_kept_within_half_a_tile_unit(shapes: list[BaseGeometry], scale: float) -> None:
    shapes = scaled(shapes, scale)
    found = written(shapes)
    assert len(found.kinds) == len(shapes)
    for row, shape in enumerate(shapes):
        full = nested(shape)
        assert found.kinds[row] == shapely.get_dimensions(simple_parts(shape)[0]) + 1
        for zoom in ZOOMS:
            drawn = at(found, row, zoom)
            assert [len(polygon) for polygon in drawn] == [len(polygon) for polygon in full]
            for whole, path in zip(chain(*full), chain(*drawn), strict=True):
                assert [vertex for vertex in whole if vertex in path] == path or len(set(whole)) < len(whole)
                assert len(path) >= min(len(whole), found.kinds[row])
                away = shapely.hausdorff_distance(drawn_as(whole, found.kinds[row]), drawn_as(path, found.kinds[row]))
                assert away <= 2.0 ** (19 - zoom)


@settings(max_examples=100, deadline=None)
@given(shapes=crowds, scale=scales)
def test_what_crosses_itself_on_the_grid_of_a_zoom_is_told(shapes: list[BaseGeometry], scale: float) -> None:
    shapes = scaled(shapes, scale)
    found = written(shapes)
    for row, shape in enumerate(shapes):
        for zoom in ZOOMS:
            unit = 2.0 ** (20 - zoom)
            rounded = [
                [[(x // unit, y // unit) for x, y in half(path, unit)] for path in polygon] for polygon in at(found, row, zoom)
            ]
            parts = [[ring for ring in polygon if has_area(ring)] for polygon in rounded if has_area(polygon[0])]
            broken = found.kinds[row] == 3 and not shapely.MultiPolygon([(part[0], part[1:]) for part in parts]).is_valid
            (west, north), (east, south) = (place(*corner) for corner in corners(shape))
            assert bool(found.broken[row] >> zoom & 1) == (broken and max(east - west, south - north) >= unit)
    assert (found.broken < 1 << ZOOMS.stop).all()


def half(path: list[Place], unit: float) -> list[tuple[float, float]]:
    return [(x + unit / 2, y + unit / 2) for x, y in path]


def has_area(ring: list[tuple[float, float]]) -> bool:
    return len(ring) > 2 and shapely.Polygon(ring).area > 0


def corners(shape: BaseGeometry) -> tuple[tuple[float, float], tuple[float, float]]:
    west, south, east, north = shape.bounds
    return (west, north), (east, south)


def test_the_ends_of_the_world_are_its_first_and_its_last_unit() -> None:
    found = written([shapely.box(-180, -90, 180, 90), shapely.box(170, MAX_LATITUDE, 180, 89), shapely.Point(180, -90)])
    [[world]], [[top]], [[point]] = (at(found, row, ZOOMS.stop - 1) for row in range(3))
    assert sorted(world) == [(0, 0), (0, WORLD - 1), (WORLD - 1, 0), (WORLD - 1, WORLD - 1)]
    assert {y for _, y in top} == {0}
    assert point == [(WORLD - 1, WORLD - 1)]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), count=st.integers(0, 400), box=st.tuples(*[st.integers(0, WORLD)] * 4))
def test_a_box_reaches_all_rows_that_it_touches(seed: int, count: int, box: tuple[int, ...]) -> None:
    chance = np.random.default_rng(seed)
    low = chance.uniform((-170, -80), (160, 70), (count, 2))
    high = low + 10 ** chance.uniform(-5, 1, (count, 2))
    shapes = [shapely.box(*ends) for ends in np.hstack([low, high]).tolist()]
    found = written(shapes)
    (left, right), (top, bottom) = sorted(box[::2]), sorted(box[1::2])
    reached = found.reaching(left, top, right, bottom)
    touched = []
    for row, shape in enumerate(shapes):
        (west, north), (east, south) = (place(*corner) for corner in corners(shape))
        if west <= right and east >= left and north <= bottom and south >= top:
            touched.append(row)
    assert set(touched) <= set(reached.tolist())
    assert (np.diff(reached) > 0).all()
    assert len(found.boxes) == -(-count // BLOCK)


def a_coverage_and_more(count: int) -> list[dict[str, Any]]:
    """Crooked strips that share their borders, each cut by many of them; lines; shapes of many parts; some without position."""
    chance = np.random.default_rng(count)
    steps = np.linspace(-92.4, -92.2, 200)
    borders = [
        np.stack([steps, 34 + row / 100 + chance.normal(0, 1e-3, 200).cumsum() / 30], axis=1) for row in range(count // 10 + 2)
    ]
    cuts = np.linspace(0, 199, 9).astype(int)
    strips = [
        shapely.Polygon([*low[start : stop + 1], *high[start : stop + 1][::-1]])
        for low, high in pairwise(borders)
        for start, stop in pairwise(cuts.tolist())
    ]
    lines = [shapely.LineString(border) for border in borders]
    many = [shapely.GeometryCollection([strips[0], shapely.Point(0, 0)]), shapely.MultiPolygon([strips[1], strips[3]])]
    shapes = [*strips, *lines, *many, None, None, None]
    return [{"id": number, GEOMETRY: shape} for number, shape in enumerate(shapes)]


def test_a_build_in_parts_and_in_any_order_writes_the_same_outlines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = a_coverage_and_more(80)
    monkeypatch.setattr(order, "SMALL_LEAF", 4)
    one = snapshot_of(LAYER, tmp_path / "one", batch(LAYER, made))
    monkeypatch.setattr(spool, "PART", 20)
    monkeypatch.setattr(outlines, "BATCH", 7)
    shuffled = [made[number] for number in np.random.default_rng(0).permutation(len(made))]
    cut = [batch(LAYER, shuffled[start : start + 17]) for start in range(0, len(made), 17)]
    other = snapshot_of(LAYER, tmp_path / "other", *cut)
    assert other.revision == one.revision
    assert one.outlines is not None
    assert len(one.outlines.kinds) == one.positioned == len(made) - 3


def test_strips_that_share_borders_share_them_at_every_zoom(tmp_path: Path) -> None:
    found = snapshot_of(LAYER, tmp_path, batch(LAYER, a_coverage_and_more(60))).outlines
    assert found is not None
    areas = np.flatnonzero(found.kinds == 3).tolist()
    once = {str(at(found, row, ZOOMS.stop - 1)): row for row in areas}.values()  # the first strip is there twice
    vertices = []
    for zoom in ZOOMS:
        drawn = [shapely.Polygon(polygons[0][0]) for row in once if len(polygons := at(found, row, zoom)) == 1]
        assert len(drawn) == 56
        assert shapely.coverage_is_valid(drawn) or zoom < 8  # where they are a few tile units high, they may touch
        vertices.append(int(shapely.get_num_coordinates(drawn).sum()))
    assert vertices == sorted(vertices)
    assert vertices[0] * 5 < vertices[-1]


def test_a_layer_without_shapes_has_outlines_without_any(tmp_path: Path) -> None:
    for rows in ([], [{"id": 1, GEOMETRY: None}]):
        found = snapshot_of(LAYER, tmp_path, batch(LAYER, rows)).outlines
        assert found is not None
        assert len(found.take(found.reaching(0, 0, WORLD, WORLD), 5).xy) == len(found.kinds) == 0

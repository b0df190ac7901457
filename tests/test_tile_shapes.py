"""What tiles of shapes hold: each shape as itself or in the count of one square, and areas with their labels."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import numpy as np
import pyarrow as pa
import pytest
import shapely
from crowds import CITY, snapshot_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry
from twin import address_of, world

from tileserver.catalog import Layer, Tiles
from tileserver.filters import Area, Filter
from tileserver.snapshot import Snapshot, prerender, select
from tileserver.snapshot.inside import Region
from tileserver.snapshot.mercator import geographic
from tileserver.snapshot.tile import Address, Options, draw

BUDGET = Tiles().budget
KINDS = ("THEFT", "FIRE", "NOISE", None)
TILE = shapely.box(0, 0, 4096, 4096)
PARCELS = Layer.model_validate(
    {"id": "parcels", "title": "Parcels", "kind": "shapes", "fields": {"id": {"role": "id"}, "kind": {"role": "category"}}}
)


def decoded(data: bytes, layer: str) -> list[dict[str, Any]]:
    tile = mapbox_vector_tile.decode(data, default_options={"y_coord_down": True}) if data else {}
    features: list[dict[str, Any]] = tile.get(layer, {"features": []})["features"]
    return features


def tiles_over(zoom: int) -> Iterator[Address]:
    """All tiles of a zoom that the city touches."""
    west, south, east, north = CITY
    corners = shapely.Point(west - 0.05, north + 0.05), shapely.Point(east + 0.05, south - 0.05)
    first, last = (address_of(world(corner), zoom) for corner in corners)
    for x in range(first.x, last.x + 1):
        for y in range(first.y, last.y + 1):
            yield Address(zoom, x, y)


def shapes(seed: int, count: int) -> pa.RecordBatch:
    """Squares, slivers and lines, from a metre to some kilometres, mostly small."""
    random = np.random.default_rng(seed)
    corners = random.uniform(CITY[:2], CITY[2:], (count, 2))
    sizes = 10 ** random.uniform(-5, -1, count)
    made = np.array(
        [
            shapely.box(x, y, x + size, y + size * (0.7 if index % 3 == 1 else 1e-4))
            if index % 3
            else shapely.LineString([(x, y), (x + size, y + size), (x + size, y)])
            for index, ((x, y), size) in enumerate(zip(corners, sizes, strict=True))
        ]
    )
    return batch_of(made)


def batch_of(shapes: Sequence[BaseGeometry] | NDArray[np.object_]) -> pa.RecordBatch:
    kinds = [KINDS[index % 4] for index in range(len(shapes))]
    arrays = [
        pa.array([f"P{index}" for index in range(len(shapes))]),
        pa.array(kinds),
        pa.array(shapely.to_wkb(shapes), pa.binary()),
    ]
    return pa.record_batch(arrays, schema=PARCELS.schema)


@settings(max_examples=10)
@given(
    count=st.sampled_from([300, BUDGET + 700]),
    seed=st.integers(0, 5),
    zoom=st.integers(0, 12),
    grid=st.sampled_from([16, 64, 128]),
)
def test_every_shape_is_drawn_or_counted_once(
    tmp_path_factory: pytest.TempPathFactory, count: int, seed: int, zoom: int, grid: int
) -> None:
    snapshot = snapshot_of(PARCELS, tmp_path_factory.mktemp("shapes"), shapes(seed, count))
    ids: set[str] = set()
    grouped = 0
    for address in tiles_over(zoom):
        for feature in decoded(draw(snapshot, Filter(), address, Options(grid=grid)).data, "parcels"):
            if feature["properties"].get("cluster"):
                grouped += feature["properties"]["point_count"]
                assert feature["geometry"]["type"] == "Polygon"
            else:
                ids.add(feature["properties"]["id"])
    assert len(ids) + grouped == count
    assert grouped == 0 or count > BUDGET


def test_a_narrow_polygon_is_in_the_square_of_its_cell_but_a_line_and_a_wide_one_are_not(tmp_path: Path) -> None:
    cell = 2 ** (32 - 10 - 6)
    corner = np.array(world(shapely.Point(-92.3, 34.7))) // cell * cell

    def box(left: float, top: float, right: float, bottom: float) -> BaseGeometry:
        """Around a cell's middle, in cells."""
        x, y = geographic(*(corner + cell * (0.5 + np.array([[left, top], [right, bottom]]))).T)
        return shapely.Polygon.from_bounds(x[0], y[1], x[1], y[0])

    narrow, wide = box(-0.75, -0.1, 0.75, 0.1), box(-0.75, -0.5, 0.75, 0.5)
    line = shapely.LineString([narrow.bounds[:2], narrow.bounds[2:]])
    snapshot = snapshot_of(PARCELS, tmp_path, batch_of([narrow, wide, line, *[box(-0.01, -0.01, 0.01, 0.01)] * BUDGET]))
    address = address_of((int(corner[0]), int(corner[1])), 10)
    seen = [feature["properties"] for feature in decoded(draw(snapshot, Filter(), address, Options()).data, "parcels")]
    assert {row["id"] for row in seen if "id" in row} == {"P1", "P2"}
    assert [row["point_count"] for row in seen if "cluster" in row] == [BUDGET + 1]


@settings(max_examples=20)
@given(seed=st.integers(0, 9), zoom=st.integers(8, 16), spread=st.sampled_from([0.3, 1, 4]))
def test_shapes_beside_each_other_leave_no_gap_in_tiles_nor_between(
    tmp_path_factory: pytest.TempPathFactory, seed: int, zoom: int, spread: float
) -> None:
    """A net over the four tiles that meet in a corner."""
    x, y = 62 << (zoom - 8), 100 << (zoom - 8)
    side = 2 ** (32 - zoom)
    center = np.array([x, y]) * side
    places = center + np.random.default_rng(seed).uniform(-spread * side, spread * side, (40, 2))
    cells = shapely.voronoi_polygons(shapely.MultiPoint(places), extend_to=shapely.Point(center).buffer(5 * side)).geoms
    net = shapely.transform(np.array(cells), lambda xy: np.stack(geographic(*np.clip(xy, 0, 2**32 - 1).T), axis=1))
    snapshot = snapshot_of(PARCELS, tmp_path_factory.mktemp("net"), batch_of(net))
    for column, row in ((x - 1, y - 1), (x, y - 1), (x - 1, y), (x, y)):
        drawn = draw(snapshot, Filter(), Address(zoom, column, row), Options(aggregate="never"))
        seen = [shape(feature["geometry"]) for feature in decoded(drawn.data, "parcels")]
        assert all(part.is_valid for part in seen)
        assert TILE.within(shapely.union_all(seen))


def test_a_shape_with_the_tile_in_its_hole_is_not_in_it(tmp_path: Path) -> None:
    hole = shapely.box(-92.5, 34.5, -92, 35)
    around = shapely.box(-180, -90, 180, 90).difference(hole)
    tile = Address(14, *(side >> 18 for side in world(shapely.Point(-92.25, 34.75))))
    snapshot = snapshot_of(PARCELS, tmp_path, batch_of([around, shapely.box(-180, -90, 180, 90)]))
    assert [feature["properties"]["id"] for feature in decoded(draw(snapshot, Filter(), tile, Options()).data, "parcels")] == ["P1"]
    (seen,) = decoded(draw(snapshot, Filter(), Address(14, 0, 0), Options()).data, "parcels")[:1]
    assert shape(seen["geometry"]).equals(shapely.box(0, 0, 4160, 4160))


def test_the_shortest_lines_go_first_where_a_tile_would_be_too_large(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    sizes = 10 ** random.uniform(-3, -1.5, 30_000)
    corners = random.uniform(CITY[:2], CITY[2:], (len(sizes), 2))
    steps = np.linspace(0, 1, 9)[:, None] * [1, 0] + random.uniform(-0.1, 0.1, (9, 2))
    lines = [shapely.LineString(corner + size * steps) for corner, size in zip(corners, sizes, strict=True)]
    layer = PARCELS.model_copy(update={"tiles": Tiles(budget=20_000)})
    snapshot = snapshot_of(layer, tmp_path, batch_of(lines))
    address = address_of(world(shapely.Point((CITY[0] + CITY[2]) / 2, (CITY[1] + CITY[3]) / 2)), 9)
    drawn = draw(snapshot, Filter(), address, Options(grid=128))
    seen = decoded(drawn.data, "parcels")
    assert len(drawn.data) <= 500_000
    assert drawn.dropped == "features"
    assert drawn.shown < drawn.total
    shown = {feature["id"] for feature in seen}
    rows = np.flatnonzero(np.isin(snapshot.feature_ids, list(shown)))
    left_out = np.flatnonzero(~np.isin(snapshot.feature_ids, list(shown)) & (snapshot.widest >= address.span // 128))
    inside = snapshot.widest[rows] >= address.span // 128
    assert np.median(snapshot.widest[rows][inside]) > np.median(snapshot.widest[left_out])


def test_tiles_drawn_beforehand_are_those_drawn_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerender, "MANY_SHAPES", 100)
    snapshot = snapshot_of(PARCELS, tmp_path, shapes(3, 3000))
    rendered = snapshot.rendered
    assert rendered is not None
    for address in tiles_over(9):
        found = rendered.get(address.z, address.x, address.y)
        snapshot.rendered = None
        drawn = draw(snapshot, Filter(), address, Options())
        assert found is None or found == (drawn.data, drawn.total)
        assert found or drawn.total < 200  # those of large shapes that reach in are few
    assert len(rendered.keys) > 10


def test_what_touches_the_antimeridian_is_drawn_and_counted(tmp_path: Path) -> None:
    shapes = [shapely.box(170, 10, 180, 15), shapely.LineString([(179, 20), (180, 21)]), shapely.box(-180, -10, 180, -5)]
    wkb = pa.array(shapely.to_wkb(shapes), pa.binary())
    some = pa.record_batch([pa.array(["a", "b", "c"]), pa.nulls(3, pa.string()), wkb], schema=PARCELS.schema)
    snapshot = snapshot_of(PARCELS, tmp_path, some)
    assert select.count(snapshot, Filter(bbox=(175, -20, 180, 30))).count == 3
    assert select.count(snapshot, Filter(bbox=(-179, -20, -170, 30))).count == 1
    assert [
        feature["properties"]["id"] for feature in decoded(draw(snapshot, Filter(), Address(5, 31, 14), Options()).data, "parcels")
    ]


def test_an_area_has_its_label_in_one_tile_and_inside(tmp_path: Path) -> None:
    ring = shapely.Polygon([(-92.5, 34.6), (-92.1, 34.6), (-92.1, 34.9), (-92.2, 34.9), (-92.2, 34.7), (-92.5, 34.7)])
    wards = Layer.model_validate({"id": "wards", "title": "Wards", "kind": "areas", "fields": {"name": {}}})
    one = pa.record_batch([pa.array([7]), pa.array(["One"]), pa.array([shapely.to_wkb(ring)], pa.binary())], schema=wards.schema)
    snapshot = snapshot_of(wards, tmp_path, one)
    labels = [
        (address, feature)
        for address in tiles_over(11)
        for feature in decoded(draw(snapshot, Filter(), address, Options()).data, "wards_labels")
    ]
    assert len(labels) == 1
    address, feature = labels[0]
    x, y = (tile * 4096 + unit for tile, unit in zip((address.x, address.y), feature["geometry"]["coordinates"], strict=True))
    lon = x / 4096 / 2**11 * 360 - 180
    lat = float(np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * y / 4096 / 2**11)))))
    assert ring.contains(shapely.Point(lon, lat))
    assert feature["properties"] == {"id": 7, "name": "One"}


@settings(max_examples=40)
@given(
    bbox=st.none() | st.tuples(st.floats(-92.7, -92.3), st.floats(34.5, 34.75), st.floats(-92.3, -92), st.floats(34.75, 35)),
    kinds=st.none() | st.sampled_from([("THEFT",), ("", "FIRE"), ("none of them",)]),
    ward=st.none() | st.sampled_from([(-92.5, 34.65, -92.3, 34.8), (-92.36, 34.7, -92.359, 34.701)]),
)
def test_shapes_are_found_by_their_boxes_and_in_an_area_by_their_middle(
    parcels: Snapshot,
    bbox: tuple[float, float, float, float] | None,
    kinds: tuple[str, ...] | None,
    ward: tuple[float, float, float, float] | None,
) -> None:
    area = Area("wards", "1", "0", Region(shapely.box(*ward))) if ward else None
    filter = Filter(bbox=bbox, categories=(("kind", kinds),) if kinds else (), area=area)
    batch = shapes(1, 700)
    expected = 0
    for kind, wkb in zip(batch.column("kind").to_pylist(), batch.column("geometry").to_pylist(), strict=True):
        shape = shapely.from_wkb(wkb)
        west, south, east, north = shape.bounds
        touches = bbox is None or (east >= bbox[0] and west <= bbox[2] and north >= bbox[1] and south <= bbox[3])
        lies = ward is None or shapely.box(*ward).intersects(shapely.Point((west + east) / 2, (south + north) / 2))
        expected += touches and lies and (kinds is None or (kind or "") in kinds)
    assert select.count(parcels, filter) == select.Count(expected, 0)
    for most in (0, expected - 1, expected):
        parcels.counts.clear()
        assert select.exceeds(parcels, filter, most) == (expected > most)


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return snapshot_of(PARCELS, tmp_path_factory.mktemp("parcels"), shapes(1, 700))

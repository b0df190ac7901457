"""What tiles hold, counted by an independent decoder, against a slow, obvious twin that loops over the rows."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tileserver import times
from tileserver.catalog import Layer, Tiles
from tileserver.errors import BadRequest, SnapshotError
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot, select
from tileserver.snapshot.build import build
from tileserver.snapshot.detail import MOST_MEMBERS
from tileserver.snapshot.tile import Address, Options, draw

BUDGET = Tiles().budget
BOUNDS = (-92.6, 34.6, -92.1, 34.9)
KINDS = ("THEFT", "FIRE", "NOISE", None)
FIRST_DAY = times.to_instant(datetime(2024, 1, 1, tzinfo=UTC))

REPORTS = Layer.model_validate(
    {
        "id": "reports",
        "title": "Reports",
        "kind": "events",
        "position": "optional",
        "fields": {
            "id": {"role": "id", "type": "integer"},
            "at": {"role": "time"},
            "kind": {"role": "category"},
            "loss": {"type": "number", "measure": True},
            "units": {"type": "integer", "measure": True},
            "note": {},
        },
    }
)
PARCELS = Layer.model_validate(
    {"id": "parcels", "title": "Parcels", "kind": "shapes", "fields": {"id": {"role": "id"}, "kind": {"role": "category"}}}
)


@dataclass(frozen=True)
class Row:
    id: int
    at: int
    kind: str | None
    loss: float | None
    units: int | None
    note: str | None
    position: tuple[float, float] | None


def rows(seed: int, count: int) -> list[Row]:
    """Some spots with many rows each, some rows all over, some at one place, some without position."""
    random = np.random.default_rng(seed)
    west, south, east, north = BOUNDS
    spots = random.uniform([west, south], [east, north], (5, 2))
    where = [*(spots[random.integers(0, 5, count)] + random.normal(0, 0.004, (count, 2)))]
    for index in random.integers(0, count, count // 3):
        where[index] = spots[0]
    for index in random.integers(0, count, count // 3):
        where[index] = random.uniform([west, south], [east, north])
    return [
        Row(
            id=index,
            at=FIRST_DAY + int(random.integers(0, 365)) * times.DAY,
            kind=KINDS[int(random.integers(0, 4))],
            loss=None if random.random() < 0.3 else round(float(random.uniform(-9, 999)), 2),
            units=None if random.random() < 0.3 else int(random.integers(-3, 9)),
            note=None if random.random() < 0.5 else f"note {int(random.integers(0, 20))} – ü",
            position=None if random.random() < 0.05 else (round(float(place[0]), 7), round(float(place[1]), 7)),
        )
        for index, place in enumerate(where)
    ]


def batch(rows: list[Row]) -> pa.RecordBatch:
    points = [None if row.position is None else shapely.to_wkb(shapely.Point(row.position)) for row in rows]
    columns = {name: [getattr(row, name) for row in rows] for name in ("id", "at", "kind", "loss", "units", "note")}
    arrays = [pa.array(columns.get(field.name, points), field.type) for field in REPORTS.schema]
    return pa.record_batch(arrays, schema=REPORTS.schema)


def snapshot_of(layer: Layer, folder: Path, *batches: pa.RecordBatch) -> Snapshot:
    return Snapshot(layer, folder / layer.id / build(layer, batches, folder))


class Many:
    """More rows than the budget, so that cells decide. No dataclass, since Hypothesis would print all of it."""

    def __init__(self, rows: list[Row], snapshot: Snapshot) -> None:
        self.rows, self.snapshot = rows, snapshot


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Many:
    made = rows(1, BUDGET + 1_500)
    return Many(made, snapshot_of(REPORTS, tmp_path_factory.mktemp("many"), batch(made)))


def world(position: tuple[float, float]) -> tuple[int, int]:
    """Web Mercator in 2^32 steps, with Python's own floats."""
    lon, lat = position
    x = (lon + 180) / 360
    y = 0.5 - math.asinh(math.tan(math.radians(lat))) / (2 * math.pi)
    return round(x * 2**32) % 2**32, min(max(round(y * 2**32), 0), 2**32 - 1)


def matches(row: Row, filter: Filter) -> bool:
    if filter.interval:
        start, stop = filter.interval
        if (start is not None and row.at < start) or (stop is not None and row.at >= stop):
            return False
    if filter.bbox:
        if row.position is None:
            return False
        west, south, east, north = filter.bbox
        if not (west <= row.position[0] <= east and south <= row.position[1] <= north):
            return False
    return all((getattr(row, name) or "") in values for name, values in filter.categories)


Feature = tuple[tuple[int, int], dict[str, Any]]


def twin(made: list[Row], filter: Filter, address: Address, options: Options, shown: int) -> list[Feature]:
    """The features of a tile as (place in the tile, properties), one row after the other."""
    chosen = [row for row in made if row.position is not None and matches(row, filter)]
    shift = 32 - address.z
    members: dict[tuple[int, int], list[tuple[tuple[int, int], Row]]] = defaultdict(list)
    for row in chosen:
        assert row.position is not None
        x, y = world(row.position)
        if (x >> shift, y >> shift) == (address.x, address.y):
            side = 2**shift // options.grid
            members[x // side, y // side].append(((x, y), row))
    most = 1 if options.aggregate == "always" else shown
    whole = options.aggregate == "never" or (options.aggregate == "auto" and len(chosen) <= BUDGET)
    features: list[Feature] = []
    for inside in members.values():
        if whole or len(inside) <= most:
            features += [(units(place, address), properties(row)) for place, row in inside]
        else:
            mean = sum(x for (x, _), _ in inside) // len(inside), sum(y for (_, y), _ in inside) // len(inside)
            features.append((units(mean, address), aggregate([row for _, row in inside], made)))
    return features


def units(place: tuple[int, int], address: Address) -> tuple[int, int]:
    x, y = (math.floor(Fraction(axis, 2 ** (32 - address.z)) * 4096) for axis in place)
    return x - address.x * 4096, y - address.y * 4096


def properties(row: Row) -> dict[str, Any]:
    told = {
        "id": row.id,
        "at": datetime.fromtimestamp(row.at / 1e6, UTC).isoformat(),
        "kind": row.kind,
        "loss": row.loss,
        "units": row.units,
        "note": row.note,
    }
    return {name: value for name, value in told.items() if value is not None}


def aggregate(inside: list[Row], everything: list[Row]) -> dict[str, Any]:
    overall = Counter(row.kind for row in everything)
    told: dict[str, Any] = {"cluster": True, "point_count": len(inside)}
    kinds = Counter(row.kind for row in inside if row.kind)
    if kinds:
        told["kind"] = min(kinds, key=lambda kind: (-kinds[kind], -overall[kind], kind))
    told["sum_units"] = sum(row.units or 0 for row in inside)
    told["sum_loss"] = sum(round((row.loss or 0) * 10_000) for row in inside) / 10_000
    return told


def decoded(data: bytes, layer: str = "reports") -> list[dict[str, Any]]:
    tile = mapbox_vector_tile.decode(data, default_options={"y_coord_down": True}) if data else {}
    features: list[dict[str, Any]] = tile.get(layer, {"features": []})["features"]
    return features


def as_pairs(data: bytes) -> list[Feature]:
    return [(tuple(feature["geometry"]["coordinates"]), feature["properties"]) for feature in decoded(data)]


FILTERS = st.builds(
    Filter,
    interval=st.none()
    | st.tuples(st.none() | st.integers(0, 300), st.none() | st.integers(301, 370)).map(
        lambda days: (
            None if days[0] is None else FIRST_DAY + days[0] * times.DAY,
            None if days[1] is None else FIRST_DAY + days[1] * times.DAY,
        )
    ),
    bbox=st.none() | st.just((-92.4, 34.65, -92.2, 34.8)),
    categories=st.sampled_from(
        [(), (("kind", ("THEFT",)),), (("kind", ("", "FIRE")),), (("kind", ("FIRE", "NOISE", "THEFT", "x")),)]
    ),
)
OPTIONS = st.builds(Options, grid=st.sampled_from([16, 32, 64, 128]), aggregate=st.sampled_from(["auto", "always", "never"]))


def address_of(position: tuple[float, float], zoom: int) -> Address:
    x, y = world(position)
    return Address(zoom, x >> (32 - zoom), y >> (32 - zoom))


@settings(max_examples=60)
@given(filter=FILTERS, options=OPTIONS, zoom=st.integers(0, 16), which=st.integers(0, 3_499))
def test_a_tile_of_points_is_what_the_twin_draws(many: Many, filter: Filter, options: Options, zoom: int, which: int) -> None:
    made, snapshot = many.rows, many.snapshot
    address = address_of(made[which].position or (-92.3, 34.7), zoom)
    try:
        drawn = draw(snapshot, filter, address, options)
    except BadRequest:
        assert options.aggregate == "never"
        return
    expected = twin(made, filter, address, options, snapshot.members_shown(address.z))
    key = lambda feature: (feature[0], sorted(feature[1].items(), key=str))  # noqa: E731 - named for both sides
    assert sorted(as_pairs(drawn.data), key=key) == sorted(expected, key=key)
    assert drawn.shown == drawn.total == sum(told.get("point_count", 1) for _, told in expected)


def tiles_over(zoom: int) -> Iterator[Address]:
    """All tiles of a zoom that the city's bounds touch."""
    west, south, east, north = BOUNDS
    first, last = address_of((west - 0.05, north + 0.05), zoom), address_of((east + 0.05, south - 0.05), zoom)
    for x in range(first.x, last.x + 1):
        for y in range(first.y, last.y + 1):
            yield Address(zoom, x, y)


@settings(max_examples=20)
@given(filter=FILTERS, zoom=st.integers(0, 12), grid=st.sampled_from([16, 64]))
def test_the_tiles_of_a_zoom_add_up_to_the_count(many: Many, filter: Filter, zoom: int, grid: int) -> None:
    made, snapshot = many.rows, many.snapshot
    ids, grouped = [], 0
    for address in tiles_over(zoom):
        for feature in decoded(draw(snapshot, filter, address, Options(grid=grid)).data):
            if feature["properties"].get("cluster"):
                grouped += feature["properties"]["point_count"]
            else:
                ids.append(feature["properties"]["id"])
    counted = select.count(snapshot, filter)
    assert len(ids) == len(set(ids))
    assert len(ids) + grouped == counted.positioned
    assert counted.count == sum(matches(row, filter) for row in made)


def test_few_rows_are_drawn_as_they_are_at_every_zoom(tmp_path: Path) -> None:
    made = rows(2, 300)
    snapshot = snapshot_of(REPORTS, tmp_path, batch(made))
    features = decoded(draw(snapshot, Filter(), Address(0, 0, 0), Options()).data)
    assert {feature["properties"]["id"] for feature in features} == {row.id for row in made if row.position}
    assert {feature["id"] for feature in features} == {row.id for row in made if row.position}


def test_the_same_rows_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    made = rows(3, 400)
    forward = snapshot_of(REPORTS, tmp_path / "a", batch(made))
    backward = snapshot_of(REPORTS, tmp_path / "b", batch(made[200:][::-1]), batch(made[:200]))
    assert forward.revision == backward.revision
    assert draw(forward, Filter(), Address(0, 0, 0), Options()) == draw(backward, Filter(), Address(0, 0, 0), Options())
    assert snapshot_of(REPORTS, tmp_path / "c", batch(made[1:])).revision != forward.revision


def test_a_layer_without_rows_is_a_layer(tmp_path: Path) -> None:
    snapshot = snapshot_of(REPORTS, tmp_path)
    assert snapshot.rows == 0
    assert snapshot.extent is None
    assert snapshot.time_range is None
    assert draw(snapshot, Filter(), Address(0, 0, 0), Options()).data == b""
    assert select.count(snapshot, Filter(interval=(0, 1))) == select.Count(0, 0)


def test_a_damaged_snapshot_is_recognised(tmp_path: Path) -> None:
    revision = build(REPORTS, [batch(rows(4, 50))], tmp_path)
    column = tmp_path / "reports" / revision / "field.at.values"
    column.write_bytes(column.read_bytes()[:-1])
    with pytest.raises(SnapshotError, match="damaged"):
        Snapshot(REPORTS, tmp_path / "reports" / revision)
    column.unlink()
    with pytest.raises(SnapshotError, match="missing"):
        Snapshot(REPORTS, tmp_path / "reports" / revision)


def test_a_tile_over_the_limit_loses_attributes_before_features(tmp_path: Path) -> None:
    made = [Row(id, FIRST_DAY, "FIRE", None, None, f"{id}" * 100, (-92.3 + id / 1e6, 34.7)) for id in range(BUDGET)]
    snapshot = snapshot_of(REPORTS, tmp_path, batch(made))
    drawn = draw(snapshot, Filter(), Address(0, 0, 0), Options())
    assert drawn.dropped == "attributes"
    assert drawn.shown == drawn.total == len(made)
    assert len(drawn.data) <= 500_000
    assert all(set(feature["properties"]) == {"id", "kind"} for feature in decoded(drawn.data))
    with pytest.raises(BadRequest, match="500 kB"):
        draw(snapshot, Filter(), Address(0, 0, 0), Options(aggregate="never"))


def test_chosen_properties_are_all_that_a_tile_carries(many: Many) -> None:
    features = decoded(draw(many.snapshot, Filter(properties=("loss",)), Address(9, 124, 203), Options()).data)
    names = {name for feature in features for name in feature["properties"]}
    assert names <= {"id", "loss", "cluster", "point_count", "sum_loss"}
    assert {"cluster", "point_count", "sum_loss"} <= names


def test_cells_show_more_members_the_closer_one_looks(many: Many) -> None:
    shown = [many.snapshot.members_shown(zoom) for zoom in range(17)]
    assert shown == sorted(shown)
    assert set(shown) <= set(MOST_MEMBERS)
    assert shown[many.snapshot.detail_zoom] == 16
    fullest = Counter(world(row.position)[0] >> 16 << 16 | world(row.position)[1] >> 16 for row in many.rows if row.position)
    assert max(fullest.values()) > 16  # there is a crowded cell, and still a detail zoom


def shapes(seed: int, count: int) -> pa.RecordBatch:
    """Squares and lines, from a metre to some kilometres, mostly small."""
    random = np.random.default_rng(seed)
    corners = random.uniform(BOUNDS[:2], BOUNDS[2:], (count, 2))
    sizes = 10 ** random.uniform(-5, -1, count)
    made = np.array(
        [
            shapely.box(x, y, x + size, y + size * 0.7)
            if index % 3
            else shapely.LineString([(x, y), (x + size, y + size), (x + size, y)])
            for index, ((x, y), size) in enumerate(zip(corners, sizes, strict=True))
        ]
    )
    kinds = [KINDS[index % 4] for index in range(count)]
    arrays = [pa.array([f"P{index}" for index in range(count)]), pa.array(kinds), pa.array(shapely.to_wkb(made), pa.binary())]
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


def test_a_box_at_180_degrees_holds_what_lies_there(tmp_path: Path) -> None:
    places = [(-92.3, 34.7), (180.0, 1.0), (-180.0, 2.0), (179.9, 3.0)]
    made = [Row(id, FIRST_DAY, None, None, None, None, place) for id, place in enumerate(places)]
    snapshot = snapshot_of(REPORTS, tmp_path, batch(made))
    boxes = [(-180, -90, 179.99999999, 90), (180, -90, 180, 90), (180, -90, -170, 90), (170, -90, 180, 90), (170, -90, -170, 90)]
    assert [select.count(snapshot, Filter(bbox=box)).count for box in boxes] == [4, 2, 2, 3, 3]


def test_sums_beyond_what_integers_hold_stay_near(tmp_path: Path) -> None:
    made = [Row(id, FIRST_DAY, None, 1e15, 9 * 10**17, None, (-92.3, 34.7)) for id in range(BUDGET + 1)]
    snapshot = snapshot_of(REPORTS, tmp_path, batch(made))
    [feature] = decoded(draw(snapshot, Filter(), Address(0, 0, 0), Options()).data)
    assert feature["properties"]["sum_units"] == pytest.approx(9e17 * len(made))
    assert feature["properties"]["sum_loss"] == pytest.approx(1e15 * len(made))


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

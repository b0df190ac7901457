"""The demo city is made up, always the same, and plausible: points on their streets, areas without gaps, days with a rhythm."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tileserver import catalog, demo, privacy
from tileserver.demo import city, events, ground
from tileserver.errors import ConfigError

CATALOG = catalog.load(Path(__file__).parents[1] / "layers")
FEW = 4_000
MANY = 100_000
EVENTS = [layer.id for layer in CATALOG.values() if layer.kind == "events"]
AREAS = [layer.id for layer in CATALOG.values() if layer.kind == "areas"]


@cache
def table(id: str, count: int = FEW, seed: int = 1) -> pa.Table:
    schema = CATALOG[id].schema
    return pa.Table.from_batches(demo.batches(id, schema, events=count, seed=seed), schema)


def geometries(id: str, count: int = FEW) -> NDArray[np.object_]:
    return np.asarray(shapely.from_wkb(table(id, count)["geometry"].to_numpy()))


def meters(degrees: NDArray[np.object_]) -> NDArray[np.object_]:
    return np.asarray(shapely.transform(degrees, lambda points: (points - ground.CENTER) * ground.METERS_PER_DEGREE))


def wall(id: str, count: int) -> pa.ChunkedArray:
    """The time column as the city's clocks show it."""
    time = CATALOG[id].time_field
    assert time is not None
    return pc.local_timestamp(table(id, count)[time.name].cast(pa.timestamp("us", CATALOG[id].timezone)))


def written(tables: Mapping[str, pa.Table]) -> dict[str, bytes]:
    """The bytes of tables, as Arrow streams."""
    streams = {}
    for name, rows in tables.items():
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        streams[name] = sink.getvalue().to_pybytes()
    return streams


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_city() -> None:
    first = written({layer_id: table(layer_id) for layer_id in demo.LAYERS})
    table.cache_clear()
    city.build.cache_clear()
    assert written({layer_id: table(layer_id) for layer_id in reversed(demo.LAYERS)}) == first  # whatever was made before
    other = written({layer_id: table(layer_id, seed=2) for layer_id in ("water", "streets")})
    assert all(other[layer_id] != first[layer_id] for layer_id in other)


def test_every_layer_says_in_both_languages_that_it_is_made_up() -> None:
    assert len(demo.LAYERS) == len(set(demo.LAYERS)) >= 11
    assert set(demo.LAYERS) == set(CATALOG)
    for layer in CATALOG.values():
        assert layer.description.endswith("A made-up city for demonstration: no real records.")
        assert str(layer.translations["es"].description).endswith("no hay registros reales.")
        assert (layer.attribution, layer.license) == ("Demo city (made up)", "CC0-1.0")


def test_everything_lies_within_the_bounds_and_is_valid() -> None:
    for layer in CATALOG.values():
        west, south, east, north = shapely.total_bounds(geometries(layer.id))
        assert layer.bounds[0] <= west < east <= layer.bounds[2]
        assert layer.bounds[1] <= south < north <= layer.bounds[3]
        assert shapely.is_valid(geometries(layer.id)).all()


def test_nothing_happens_in_the_water() -> None:
    water = shapely.union_all(geometries("water"))
    shapely.prepare(water)
    for layer in CATALOG.values():
        if layer.is_points:
            points = geometries(layer.id, MANY if layer.kind == "events" else FEW)
            assert (shapely.get_type_id(points) == 0).all()
            assert not shapely.intersects(water, points).any()


def test_ids_are_unique_and_those_of_events_count_on_within_their_year() -> None:
    for layer_id, layer in CATALOG.items():
        assert pc.count_distinct(table(layer_id)[layer.id_name]).as_py() == table(layer_id).num_rows
    ids = table("police_incidents")["incident_id"].to_pylist()
    in_2024 = [each for each, year in zip(ids, pc.year(wall("police_incidents", FEW)).to_pylist(), strict=True) if year == 2024]
    assert in_2024 == [f"PI-2024-{number:06}" for number in range(1, len(in_2024) + 1)]


def test_every_category_has_its_label_and_every_label_its_rows() -> None:
    for layer_id, layer in CATALOG.items():
        for field in layer.categories:
            assert set(table(layer_id)[field.name].to_pylist()) == set(field.labels)


def test_labels_stand_in_the_order_of_the_legend() -> None:
    for layer_id in EVENTS:
        for field in CATALOG[layer_id].categories:
            counts = {row["values"]: row["counts"] for row in pc.value_counts(table(layer_id, MANY)[field.name]).to_pylist()}
            ordered = [counts[value] for value in field.labels]
            assert all(more * 1.1 > less for more, less in pairwise(ordered))  # kinds of like size may swap


@pytest.mark.parametrize("id", AREAS)
def test_areas_cover_the_city_without_gaps_or_overlaps(id: str) -> None:
    areas, wards = geometries(id), geometries("wards")
    assert shapely.coverage_is_valid(areas)
    assert shapely.area(areas).sum() == pytest.approx(shapely.union_all(areas).area, rel=1e-9)
    assert shapely.area(areas).sum() == pytest.approx(shapely.area(wards).sum(), rel=1e-9)
    assert shapely.symmetric_difference(shapely.union_all(areas), shapely.union_all(wards)).area < 1e-9
    assert pc.sum(table(id)["population"]) == pc.sum(table("wards")["population"])


def test_there_are_seven_wards_with_about_as_many_people() -> None:
    people = table("wards")["population"].to_pylist()
    assert [table(layer_id).num_rows for layer_id in ("wards", "neighborhoods", "police_beats")] == [7, 40, 25]
    assert max(people) < 1.5 * min(people)
    assert 150_000 < sum(people) < 260_000


def test_streets_are_few_features_and_cross_the_river_on_bridges_only() -> None:
    river = geometries("water")[table("water")["class"].to_pylist().index("river")]
    crossing = np.flatnonzero(shapely.intersects(river, geometries("streets")))
    classes = table("streets")["class"].to_pylist()
    assert set(classes) == {"motorway", "arterial", "local"}
    assert 1_000 < len(classes) < 2_000
    assert 3 <= len(crossing) <= 8
    assert all(classes[street] != "local" for street in crossing)


def test_an_address_names_the_street_nearest_to_it() -> None:
    streets = shapely.STRtree(meters(geometries("streets")))
    names = table("streets")["name"].to_pylist()
    for layer_id in ("police_incidents", "service_requests", "business_licenses"):
        nearest = streets.query_nearest(meters(geometries(layer_id)[::4]), all_matches=False)[1]
        addresses = table(layer_id)["address"].to_pylist()[::4]
        right = [address.endswith(f"00 block of {names[street]}") for address, street in zip(addresses, nearest, strict=True)]
        assert np.mean(right) > 0.95


def test_the_rules_of_privacy_find_nothing_left_to_hide() -> None:
    for layer_id in EVENTS:
        for batch in table(layer_id).to_batches():
            assert privacy.admit(CATALOG[layer_id], batch).batch.equals(batch)


def test_licenses_are_issued_on_weekdays_and_burglars_come_by_night() -> None:
    weekday = pc.day_of_week(wall("business_licenses", MANY)).to_numpy()
    assert np.bincount(weekday, minlength=7)[5:].sum() < 0.06 * len(weekday)
    hour = pc.hour(wall("police_incidents", MANY)).to_numpy()
    burglary = table("police_incidents", MANY)["offense"].to_numpy() == "BURGLARY"
    by_night = (hour < 6) | (hour >= 22)
    assert by_night[burglary].mean() > 0.55 > by_night[~burglary].mean()


def test_grass_grows_in_summer_and_some_kinds_grow_or_decline() -> None:
    month = pc.month(wall("service_requests", MANY)).to_numpy()
    grass = month[table("service_requests", MANY)["request_type"].to_numpy() == "TALL_GRASS"]
    assert np.isin(grass, [5, 6, 7, 8]).sum() > 3 * np.isin(grass, [11, 12, 1, 2]).sum()
    year = pc.year(wall("police_incidents", MANY)).to_numpy()
    offense = table("police_incidents", MANY)["offense"].to_numpy()
    for kind, sign in (("VEHICLE_THEFT", 1), ("BURGLARY", -1)):
        before, after = ((year[offense == kind] == each).sum() for each in (2017, 2025))
        assert sign * (after - before) > 0.2 * before


def test_ten_years_end_on_the_evening_of_a_fixed_day() -> None:
    for layer_id in EVENTS:
        first, last = (moment.as_py() for moment in pc.min_max(wall(layer_id, MANY)).values())
        assert first.date().isoformat() == "2016-11-01"
        assert "2026-10-28" < last.isoformat() < "2026-10-31T21"
    assert pc.max(table("service_requests", MANY)["closed_at"]).as_py().isoformat() < "2026-11-01T05"


def test_some_addresses_come_up_again_and_again() -> None:
    points = shapely.get_coordinates(geometries("police_incidents", MANY))
    times = np.sort(np.unique(points, axis=0, return_counts=True)[1])[::-1]
    assert times[0] > 60
    assert times[:100].sum() > 0.04 * len(points)
    assert (times == 1).sum() > 1_000


def test_the_land_bank_holds_parcels_of_the_city() -> None:
    parcels = dict(zip(table("parcels")["parcel_id"].to_pylist(), table("parcels")["geometry"].to_pylist(), strict=True))
    bank = table("land_bank_properties")
    assert bank.num_rows >= 2_500
    assert len(parcels) > 20_000
    assert all(
        parcels[parcel] == shape for parcel, shape in zip(bank["parcel_id"].to_pylist(), bank["geometry"].to_pylist(), strict=True)
    )


@given(st.integers(0, 5_000_000))
def test_the_layers_of_events_share_them_all(count: int) -> None:
    shares = events.split(count)
    assert set(shares) == set(EVENTS)
    assert sum(shares.values()) == count
    assert min(shares.values()) >= 0


@pytest.mark.parametrize("count", [0, 1, 1_000])
def test_there_are_as_many_events_as_were_asked_for(count: int) -> None:
    rows = [sum(batch.num_rows for batch in demo.batches(layer_id, CATALOG[layer_id].schema, events=count)) for layer_id in EVENTS]
    assert sum(rows) == count
    assert max(rows) <= demo.BATCH


def test_what_the_city_does_not_have_is_named() -> None:
    schema = CATALOG["schools"].schema.append(pa.field("mascot", pa.string()))
    with pytest.raises(ConfigError, match=r"schools\.toml: fields\.mascot: .* it has id, name, address"):
        list(demo.batches("schools", schema))
    with pytest.raises(ConfigError, match="volcanoes: the demo city has no such layer"):
        list(demo.batches("volcanoes", schema))

"""The two stores: every test of the contract runs against both, PostGIS and the folder."""

import asyncio
import os
import re
import secrets
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres import run_sql
from serving import wait_until

from tileserver.catalog import Layer
from tileserver.errors import StoreError
from tileserver.stores import PostgisStore, Published, State, Store, open_store

ID = {"key": {"role": "id", "type": "integer"}}
FIELDS: dict[str, dict[str, Any]] = {
    **ID,
    "at": {"role": "time"},
    "kind": {"role": "category"},
    "loss": {"type": "number"},
    "units": {"type": "integer"},
    "open": {"type": "boolean"},
    "note": {},
}
Row = dict[str, Any]


@pytest.fixture
def token() -> str:
    """Makes the names of one test its own."""
    return secrets.token_hex(4)


@pytest.fixture(params=["postgis", "folder"])
def address(request: pytest.FixtureRequest, tmp_path: Path, token: str) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path)
        return
    postgres: str = request.getfixturevalue("postgres")
    yield postgres
    clean_up(postgres, token)


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    with open_store(address) as opened:
        yield opened


@pytest.fixture
def city(postgres: str, token: str) -> Iterator["City"]:
    """A city's own database, which knows nothing of us."""
    city = City(postgres, token)
    city.run(f"CREATE SCHEMA {city.schema}")
    yield city
    clean_up(postgres, token)


class City:
    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self.token = token
        self.schema = f"test_{token}"

    def run(self, sql: str) -> list[Any]:
        return run_sql(self.address, sql)

    def read(self, layer: Layer) -> list[Row]:
        with open_store(self.address) as store:
            return rows_of(store, layer)


def clean_up(address: str, token: str) -> None:
    run_sql(address, f"DROP SCHEMA IF EXISTS test_{token} CASCADE")
    if run_sql(address, "SELECT FROM pg_tables WHERE schemaname = 'tileserver' AND tablename = 'layers'"):
        run_sql(address, f"DELETE FROM tileserver.layers WHERE layer LIKE '%_{token}'")


def layer_of(token: str, fields: dict[str, dict[str, Any]] | None = None, **more: Any) -> Layer:
    given = {
        "id": f"reports_{token}",
        "title": "Reports",
        "kind": "places",
        "table": f"test_{token}.reports",
        "fields": fields or FIELDS,
    }
    return Layer.model_validate(given | more)


def batch_of(layer: Layer, rows: Iterable[Row]) -> pa.RecordBatch:
    """Rows as a batch; a geometry is a tuple, or shapely's. What a row leaves out is null."""
    full = [{**dict.fromkeys(layer.schema.names), **row} for row in rows]
    for row in full:
        shape = shapely.Point(row["geometry"]) if isinstance(row["geometry"], tuple) else row["geometry"]
        row["geometry"] = shape if shape is None or isinstance(shape, bytes) else shapely.to_wkb(shape)
    return pa.RecordBatch.from_pylist(full, schema=layer.schema)


def rows_of(store: Store, layer: Layer) -> list[Row]:
    """All rows, sorted by id, geometries as text."""
    batches = list(store.read(layer))
    assert all(batch.schema.equals(layer.schema) for batch in batches)
    rows: list[Row] = [row for batch in batches for row in batch.to_pylist()]
    for row in rows:
        row["geometry"] = row["geometry"] and shapely.to_wkt(shapely.from_wkb(row["geometry"]), rounding_precision=5)
    return sorted(rows, key=lambda row: row[layer.id_name])


def counts(published: Published) -> tuple[int, int, int, int, int]:
    """(published, unchanged, superseded, removed, revision)."""
    return published.published, published.unchanged, published.superseded, published.removed, published.state.revision


def test_rows_come_back_as_they_were_given(store: Store, token: str) -> None:
    layer = layer_of(token)
    at = datetime(2024, 2, 29, 12, 0, 0, 123456, UTC)
    row = {"key": 2, "at": at, "kind": "Öl", "loss": -1.5, "units": -(2**63), "open": False, "note": "", "geometry": (-92.25, 34.5)}
    assert store.state(layer) is None
    assert counts(store.publish(layer, [batch_of(layer, [row]), batch_of(layer, [{"key": 1}])])) == (2, 0, 0, 0, 1)
    empty = {"key": 1, **dict.fromkeys(layer.schema.names[1:])}
    assert rows_of(store, layer) == [empty, {**row, "geometry": "POINT (-92.25 34.5)"}]


def test_a_layer_without_an_id_field_keeps_its_numbers(store: Store, token: str) -> None:
    layer = layer_of(token, {"note": {}})
    store.publish(layer, [batch_of(layer, [{"id": 2**62, "note": "a"}, {"id": -1}])])
    assert [row["id"] for row in rows_of(store, layer)] == [-1, 2**62]


def test_the_same_rows_again_change_nothing_but_the_date(store: Store, token: str) -> None:
    layer = layer_of(token)
    batch = batch_of(layer, [{"key": n, "note": str(n), "loss": n / 7, "geometry": (n, n) if n % 2 else None} for n in range(50)])
    first = store.publish(layer, [batch])
    again = store.publish(layer, [batch[:20], batch[20:]], replace=True)
    assert counts(again) == (0, 50, 0, 0, 1)
    assert store.state(layer) == again.state
    dates = [published.state.published_at for published in (first, again)]
    assert dates == sorted({date for date in dates if date})


def test_the_last_row_of_an_id_counts(store: Store, token: str) -> None:
    layer = layer_of(token)
    rows = [{"key": 1, "note": "first"}, {"key": 2, "note": "other"}, {"key": 1, "note": "second"}]
    assert counts(store.publish(layer, [batch_of(layer, rows), batch_of(layer, [{"key": 1, "note": "last"}])])) == (2, 0, 2, 0, 1)
    assert [row["note"] for row in rows_of(store, layer)] == ["last", "other"]


def test_an_append_keeps_the_other_rows_and_a_replace_removes_them(store: Store, token: str) -> None:
    layer = layer_of(token)
    store.publish(layer, [batch_of(layer, [{"key": 1}, {"key": 2}])])
    assert counts(store.publish(layer, [batch_of(layer, [{"key": 2, "geometry": (1, 2)}, {"key": 3}])])) == (2, 0, 0, 0, 2)
    assert [row["key"] for row in rows_of(store, layer)] == [1, 2, 3]
    assert counts(store.publish(layer, [batch_of(layer, [{"key": 3}])], replace=True)) == (0, 1, 0, 2, 3)
    assert [row["key"] for row in rows_of(store, layer)] == [3]


def test_nothing_given_appends_nothing_and_replaces_everything(store: Store, token: str) -> None:
    layer = layer_of(token)
    assert counts(store.publish(layer, [])) == (0, 0, 0, 0, 1)
    assert rows_of(store, layer) == []
    store.publish(layer, [batch_of(layer, [{"key": 1}])])
    assert counts(store.publish(layer, [batch_of(layer, [])])) == (0, 0, 0, 0, 2)
    assert counts(store.publish(layer, [], replace=True)) == (0, 0, 0, 1, 3)
    assert rows_of(store, layer) == []


def test_odd_values_become_what_both_stores_can_hold(store: Store, token: str) -> None:
    layer = layer_of(token)
    odd = {"key": 1, "loss": float("nan"), "note": "a\0b\0", "kind": "\0", "geometry": shapely.Point()}
    zero = {"key": 2, "loss": -0.0, "geometry": (float("inf"), 1.0)}
    store.publish(layer, [batch_of(layer, [odd, zero, {"key": 3, "loss": float("inf")}])])
    one, two, three = rows_of(store, layer)
    assert (one["loss"], one["note"], one["kind"], one["geometry"]) == (None, "ab", "", None)
    assert (str(two["loss"]), two["geometry"], three["loss"]) == ("0.0", None, float("inf"))
    assert counts(store.publish(layer, [batch_of(layer, [odd, zero])])) == (0, 2, 0, 0, 1)


def test_shapes_are_kept_in_two_dimensions(store: Store, token: str) -> None:
    layer = layer_of(token, ID, kind="shapes")
    wkts = ["POLYGON Z ((0 0 5, 1 0 5, 1 1 5, 0 0 5))", "MULTILINESTRING ((0 0, 1 1))", "POLYGON EMPTY", "POINT (3 4)"]
    store.publish(layer, [batch_of(layer, [{"key": n, "geometry": shapely.from_wkt(wkt)} for n, wkt in enumerate(wkts)])])
    read = [row["geometry"] for row in rows_of(store, layer)]
    assert read == ["POLYGON ((0 0, 1 0, 1 1, 0 0))", "MULTILINESTRING ((0 0, 1 1))", None, "POINT (3 4)"]


@pytest.mark.parametrize("shape", [shapely.box(0, 0, 1, 1), shapely.MultiPoint([(0, 0), (1, 1)]), b"\x01\x02"])
def test_what_is_no_point_is_refused_in_a_layer_of_points(store: Store, token: str, shape: shapely.Geometry | bytes) -> None:
    layer = layer_of(token)
    with pytest.raises(StoreError, match="1 geometries are not valid WKB of points"):
        store.publish(layer, [batch_of(layer, [{"key": 1}, {"key": 2, "geometry": shape}])])
    assert store.state(layer) is None


def test_a_row_without_id_is_refused_by_the_name_of_the_column(store: Store, token: str) -> None:
    layer = layer_of(token)
    store.publish(layer, [batch_of(layer, [{"key": 1}])])
    with pytest.raises(StoreError, match='1 rows have nothing in "key"'):
        store.publish(layer, [batch_of(layer, [{"key": 2}]), batch_of(layer, [{"note": "who?"}])], replace=True)
    assert [row["key"] for row in rows_of(store, layer)] == [1]


def test_rows_of_another_schema_are_refused(store: Store, token: str) -> None:
    layer = layer_of(token)
    batch = batch_of(layer_of(token, ID), [{"key": 1}])
    with pytest.raises(StoreError, match=r"the rows have the columns key \(int64\), geometry \(binary\)"):
        store.publish(layer, [batch])


def test_a_failure_halfway_leaves_the_old_rows_and_a_rerun_succeeds(store: Store, token: str) -> None:
    layer = layer_of(token)
    store.publish(layer, [batch_of(layer, [{"key": 1, "note": "old"}])])
    before = store.state(layer)

    def broken() -> Iterator[pa.RecordBatch]:
        yield batch_of(layer, [{"key": 1, "note": "new"}])
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="the file is gone"):
        store.publish(layer, broken(), replace=True)
    assert [row["note"] for row in rows_of(store, layer)] == ["old"]
    assert store.state(layer) == before
    assert counts(store.publish(layer, [batch_of(layer, [{"key": 1, "note": "new"}])])) == (1, 0, 0, 0, 2)


def test_a_publisher_that_is_killed_leaves_the_old_rows_and_a_rerun_succeeds(store: Store, address: str, token: str) -> None:
    layer = layer_of(token, ID)
    store.publish(layer, [batch_of(layer, [{"key": 1}])])
    program = f"""
        import time
        from tileserver.catalog import Layer
        from tileserver.stores import open_store
        import pyarrow as pa
        layer = Layer.model_validate_json({layer.model_dump_json(include={"id", "title", "kind", "table", "fields"})!r})
        def batches():
            yield pa.RecordBatch.from_pylist([{{"key": 2, "geometry": None}}], schema=layer.schema)
            print("halfway", flush=True)
            time.sleep(60)
        open_store({address!r}).publish(layer, batches(), replace=True)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True) as publisher:
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == "halfway\n"
        os.kill(publisher.pid, signal.SIGKILL)
    assert [row["key"] for row in rows_of(store, layer)] == [1]
    assert counts(store.publish(layer, [batch_of(layer, [{"key": 3}])], replace=True)) == (1, 0, 0, 1, 2)
    if isinstance(store, PostgisStore):
        assert not run_sql(address, f"SELECT FROM pg_class WHERE relname LIKE 'staging\\_%\\_{layer.id}'")


def test_two_publishes_at_once_both_arrive(address: str, token: str) -> None:
    layer = layer_of(token)
    results = []

    def publish(key: int) -> None:
        with open_store(address) as store:
            results.append(store.publish(layer, [batch_of(layer, [{"key": key}])]))

    threads = [threading.Thread(target=publish, args=[key]) for key in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.state.revision for result in results) == [1, 2, 3]
    with open_store(address) as store:
        assert [row["key"] for row in rows_of(store, layer)] == [0, 1, 2]


def test_a_publish_that_takes_too_long_sends_the_next_one_away(store: Store, address: str, token: str, monkeypatch: Any) -> None:
    layer = layer_of(token)
    monkeypatch.setattr("tileserver.stores.postgis.LOCK_WAIT", 1)
    monkeypatch.setattr("tileserver.stores.folder.LOCK_WAIT", 0.1)

    def slow() -> Iterator[pa.RecordBatch]:
        with open_store(address) as other, pytest.raises(StoreError, match=f"{layer.id} is being published by another process"):
            other.publish(layer, [])
        yield batch_of(layer, [{"key": 1}])

    assert counts(store.publish(layer, slow())) == (1, 0, 0, 0, 1)


def test_a_field_declared_later_gets_a_column_and_one_of_another_type_is_an_error(store: Store, token: str) -> None:
    layer = layer_of(token, ID)
    store.publish(layer, [batch_of(layer, [{"key": 1}])])
    wider = layer_of(token, {**ID, "note": {}})
    assert counts(store.publish(wider, [batch_of(wider, [{"key": 1}, {"key": 2, "note": "b"}])])) == (1, 1, 0, 0, 2)
    assert [row["note"] for row in rows_of(store, wider)] == [None, "b"]
    other = layer_of(token, {**ID, "note": {"type": "number"}})
    with pytest.raises(StoreError, match=r'the column "note" of .* is of type (text|string), the layer declares double'):
        store.publish(other, [batch_of(other, [{"key": 1}])])
    assert [row["note"] for row in rows_of(store, wider)] == [None, "b"]


def test_a_field_that_does_not_tell_the_stored_rows_apart_is_no_id(store: Store, token: str) -> None:
    layer = layer_of(token, {"note": {}})
    store.publish(layer, [batch_of(layer, [{"id": 1, "note": "a"}, {"id": 2, "note": "a"}])])
    other = layer_of(token, {"note": {"role": "id"}})
    with pytest.raises(StoreError, match=r'have the same "note"|no primary key or unique index on "note"'):
        store.publish(other, [batch_of(other, [{"note": "a"}])])
    assert len(rows_of(store, layer)) == 2


def test_a_replace_takes_the_types_that_the_layer_declares_now(store: Store, token: str) -> None:
    layer = layer_of(token, {**ID, "note": {}})
    store.publish(layer, [batch_of(layer, [{"key": 1, "note": "7"}, {"key": 2}, {"key": 3}])])
    other = layer_of(token, {**ID, "note": {"type": "number"}})
    rows: list[Row] = [{"key": 1, "note": 7.0}, {"key": 2}]
    assert counts(store.publish(other, [batch_of(other, rows)], replace=True)) == (1, 1, 0, 1, 2)
    assert [row["note"] for row in rows_of(store, other)] == [7.0, None]


@pytest.mark.parametrize("table", ['a"b{c}$1', "select", "🚲" * 15 + "bus"])
def test_names_of_any_kind_work(store: Store, token: str, table: str) -> None:
    names = ["a'b", "a]b", "a%b", "{a}", "$1", "select", "🚲", "n" * 63, "row_number", "given", "old"]
    layer = layer_of(token, {'a"b': {"role": "id"}, **{name: {} for name in names}}, table=f"test_{token}.{table}")
    row = {'a"b': "a", **{name: name for name in names}, "geometry": (1, 2)}
    assert counts(store.publish(layer, [batch_of(layer, [row])])) == (1, 0, 0, 0, 1)
    assert counts(store.publish(layer, [batch_of(layer, [row | {"old": "new"}])], replace=True)) == (1, 0, 0, 0, 2)
    assert rows_of(store, layer) == [row | {"old": "new", "geometry": "POINT (1 2)"}]


def test_a_layer_never_published_cannot_be_read(store: Store, token: str) -> None:
    with pytest.raises(StoreError, match="ingest"):
        list(store.read(layer_of(token)))


VALUES = st.fixed_dictionaries(
    {
        "key": st.integers(0, 6),
        "at": st.none() | st.datetimes(timezones=st.just(UTC)),
        "kind": st.sampled_from([None, "A", "B"]),
        "loss": st.none() | st.floats(allow_nan=False),
        "units": st.none() | st.integers(-(2**63), 2**63 - 1),
        "open": st.none() | st.booleans(),
        "note": st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
        "geometry": st.none() | st.tuples(st.integers(-180, 180), st.integers(-90, 90)),
    }
)


PUBLISHES = st.lists(st.tuples(st.booleans(), st.lists(st.lists(VALUES, max_size=6), max_size=3)), min_size=2, max_size=4)
Publishes = list[tuple[bool, list[list[Row]]]]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PUBLISHES)
def test_any_publishes_into_a_folder_equal_a_dictionary(tmp_path: Path, token: str, publishes: Publishes) -> None:
    check_publishes(str(tmp_path), token, publishes)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PUBLISHES)
def test_any_publishes_into_postgis_equal_a_dictionary(city: "City", publishes: Publishes) -> None:
    check_publishes(city.address, city.token, publishes)


def check_publishes(address: str, token: str, publishes: Publishes) -> None:
    """Publishes into a table and into a dictionary, which must agree after each."""
    example = secrets.token_hex(4)
    layer = layer_of(token, id=f"reports_{example}_{token}", table=f"test_{token}.reports_{example}")
    held: dict[int, Row] = {}
    revision = 0
    with open_store(address) as store:
        for replace, batches in publishes:
            given = [row for rows in batches for row in rows]
            latest = {row["key"]: row for row in given}
            changed = {key: row for key, row in latest.items() if held.get(key) != row}
            removed = held.keys() - latest.keys() if replace else set()
            held = {key: row for key, row in held.items() if key not in removed} | changed
            revision += bool(changed or removed or not revision)
            result = store.publish(layer, [batch_of(layer, rows) for rows in batches], replace=replace)
            assert counts(result) == (len(changed), len(latest) - len(changed), len(given) - len(latest), len(removed), revision)
            assert rows_of(store, layer) == rows_of_twin(held)


def rows_of_twin(held: dict[int, Row]) -> list[Row]:
    points = {key: row["geometry"] and f"POINT ({row['geometry'][0]} {row['geometry'][1]})" for key, row in held.items()}
    return [{**row, "geometry": points[key]} for key, row in sorted(held.items())]


def test_a_folder_holds_geoparquet_of_the_current_and_the_previous_revision(tmp_path: Path, token: str) -> None:
    layer = layer_of(token, kind="shapes")
    with open_store(str(tmp_path)) as store:
        for key in (3, 1, 2):
            store.publish(layer, [batch_of(layer, [{"key": key, "geometry": shapely.box(key, 0, key + 1, 5)}])])
    folder = tmp_path / layer.id
    assert sorted(path.name for path in folder.iterdir()) == ["2.parquet", "3.parquet", "current.json", "lock"]
    current = orjson.loads((folder / "current.json").read_bytes())
    assert (current["revision"], current["rows"], current["file"]) == (3, 3, "3.parquet")
    table = pq.read_table(folder / "3.parquet")
    assert table["key"].to_pylist() == [1, 2, 3]
    column = {"encoding": "WKB", "geometry_types": ["Polygon"], "bbox": [1.0, 0.0, 4.0, 5.0]}
    assert orjson.loads(table.schema.metadata[b"geo"]) == {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": column},
    }


def test_a_folder_reads_null_for_a_field_declared_later_and_drops_one_that_is_no_longer(tmp_path: Path, token: str) -> None:
    old, new = layer_of(token, {**ID, "note": {}}), layer_of(token, {**ID, "loss": {"type": "number"}})
    with open_store(str(tmp_path)) as store:
        store.publish(old, [batch_of(old, [{"key": 1, "note": "private"}])])
        assert rows_of(store, new) == [{"key": 1, "loss": None, "geometry": None}]
        assert counts(store.publish(new, [batch_of(new, [{"key": 1}])])) == (0, 1, 0, 0, 1)
    assert pq.read_schema(tmp_path / new.id / "1.parquet").names == ["key", "loss", "geometry"]


@pytest.mark.parametrize("name", ["current.json", "1.parquet"])
def test_a_damaged_file_of_a_folder_is_named(tmp_path: Path, token: str, name: str) -> None:
    layer = layer_of(token)
    with open_store(str(tmp_path)) as store:
        store.publish(layer, [batch_of(layer, [{"key": 1}])])
        (tmp_path / layer.id / name).write_bytes(b'{"revision": 1')
        with pytest.raises(StoreError, match=rf"{name}: damaged"):
            list(store.read(layer))


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StoreError, match="not a folder"):
        open_store(str(tmp_path / "data"))


def test_a_city_table_reads_in_degrees_and_on_the_citys_clock(city: City) -> None:
    city.run(f"""
        CREATE TABLE {city.schema}.reports AS
        SELECT '00000000-0000-4000-8000-00000000000' || n AS key, timestamp '2024-07-01 12:00' AS at, date '2024-01-02' AS day,
               'x'::varchar(9) AS kind, 1.5::numeric(9, 2) AS loss, 7::smallint AS units,
               ST_SetSRID(ST_MakePoint(500000, 3842000 + n), 26915) AS position
        FROM generate_series(1, 2) AS n
    """)
    city.run(f"ALTER TABLE {city.schema}.reports ALTER key TYPE uuid USING key::uuid")
    fields = {**FIELDS, "key": {"role": "id"}, "day": {"type": "datetime"}}
    del fields["open"], fields["note"]
    layer = layer_of(city.token, fields, timezone="America/Chicago")
    first, _ = city.read(layer)
    assert first["key"] == "00000000-0000-4000-8000-000000000001"
    assert (first["at"], first["day"]) == (datetime(2024, 7, 1, 17, tzinfo=UTC), datetime(2024, 1, 2, 6, tzinfo=UTC))
    assert (first["kind"], first["loss"], first["units"]) == ("x", 1.5, 7)
    longitude, latitude = shapely.get_coordinates(shapely.from_wkt(first["geometry"]))[0]
    assert (longitude, latitude) == pytest.approx((-93.0, 34.7195), abs=1e-3)


def test_a_view_of_geographies_reads_too(city: City) -> None:
    city.run(
        f"CREATE VIEW {city.schema}.reports AS SELECT 'a' AS key, 'SRID=4326;POINT(1 2)'::geography AS geom, 'x'::text AS secret"
    )
    layer = layer_of(city.token, {"key": {"role": "id"}})
    assert city.read(layer) == [{"key": "a", "geometry": "POINT (1 2)"}]
    with open_store(city.address) as store:
        assert store.state(layer) == State(0, None)
        with pytest.raises(StoreError, match="is a view"):
            store.publish(layer, [])


def test_odd_geometries_are_rows_without_position_and_the_others_are_read(city: City) -> None:
    odd = [
        "SRID=26915;POINT(500000 3842000)",
        "SRID=26915;POINT(1e30 1e30)",
        "SRID=26915;POINT(NaN NaN)",
        "SRID=4326;POINT ZM(1 2 3 4)",
        "SRID=4326;MULTIPOINT((5 6))",
        "SRID=4326;POINT EMPTY",
        "SRID=3857;LINESTRING(0 0,1 1)",
    ]
    city.run(f"CREATE TABLE {city.schema}.reports (key int PRIMARY KEY, geometry geometry, geom geometry)")
    for key, wkt in enumerate(odd):
        city.run(f"INSERT INTO {city.schema}.reports VALUES ({key}, '{wkt}')")
    first, *others = [row["geometry"] for row in city.read(layer_of(city.token, ID))]
    assert others == [None, None, "POINT (1 2)", "POINT (5 6)", None, None]
    assert str(first).startswith("POINT (-93 34.7")


def test_curves_are_read_as_lines(city: City) -> None:
    city.run(
        f"CREATE TABLE {city.schema}.reports AS SELECT 1 AS key, 'SRID=4326;CIRCULARSTRING(0 0, 1 1, 2 0)'::geometry AS geometry"
    )
    [row] = city.read(layer_of(city.token, ID, kind="shapes"))
    assert row["geometry"].startswith("LINESTRING (0 0, ")
    assert shapely.length(shapely.from_wkt(row["geometry"])) == pytest.approx(3.14159, abs=1e-2)


def test_values_that_no_type_can_hold_are_null(city: City) -> None:
    city.run(f"""
        CREATE TABLE {city.schema}.reports AS
        SELECT 1 AS key, 'infinity'::timestamptz AS at, 'NaN'::float8 AS loss, 1e300::float8 AS units, 'g'::text AS geometry
    """)
    layer = layer_of(city.token, {**ID, "at": {"role": "time"}, "loss": {"type": "number"}, "units": {"type": "integer"}})
    assert city.read(layer) == [{"key": 1, "at": None, "loss": None, "units": None, "geometry": None}]


def test_rows_are_told_apart_by_a_whole_number_or_by_the_declared_field(city: City) -> None:
    city.run(f"CREATE TABLE {city.schema}.reports AS SELECT 7 AS fid, 1 AS id, 'a' AS note")
    layer = layer_of(city.token, {"note": {}})
    with pytest.raises(StoreError, match='declare the field that tells its rows apart with role = "id"'):
        city.read(layer)
    city.run(f"ALTER TABLE {city.schema}.reports ADD PRIMARY KEY (fid)")
    assert city.read(layer) == [{"id": 7, "note": "a", "geometry": None}]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("AS SELECT 1 AS key", "lacks columns that the layer declares: note"),
        ("AS SELECT 1 AS key, 5 AS note, 'POINT(1 2)'::geometry AS geom", "UpdateGeometrySRID"),
        ("AS SELECT 'x' AS key, 'y' AS note", 'the column "key" .* is of type text, which cannot be read as the declared bigint'),
        ("AS SELECT NULL::int AS key, '' AS note", '1 rows have nothing in "key"'),
        ("(key int, note text, a geometry, b geometry)", "has several geometry columns: a, b"),
        ("AS SELECT 1 AS key, 2 AS note, 'SRID=999001;POINT(1 2)'::geometry AS geom", "the SRID 999001"),
    ],
)
def test_a_table_that_cannot_be_read_as_declared_is_an_error_that_says_so(city: City, table: str, message: str) -> None:
    city.run(f"CREATE TABLE {city.schema}.reports {table}")
    with pytest.raises(StoreError, match=message):
        city.read(layer_of(city.token, {**ID, "note": {}}))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("(key bigint, note text)", 'no primary key or unique index on "key" alone'),
        ("(key bigint UNIQUE DEFERRABLE, note text)", 'no primary key or unique index on "key" alone'),
        ("(key int PRIMARY KEY, note text)", '"key" of .* is of type integer, the layer declares bigint'),
        ("(key bigint UNIQUE, note varchar(9))", r'"note" of .* is of type character varying\(9\), the layer declares text'),
        ("(key bigint UNIQUE, geometry geometry(Point, 26915))", r"of type geometry\(Point,26915\), the layer declares"),
        ("(key bigint UNIQUE, secret int NOT NULL)", r"a constraint of the table forbids one of the rows \(.*column secret"),
    ],
)
def test_a_table_that_cannot_be_published_into_is_left_as_it_was(city: City, table: str, message: str) -> None:
    city.run(f"CREATE TABLE {city.schema}.reports {table}")
    columns = f"SELECT attname FROM pg_attribute WHERE attrelid = '{city.schema}.reports'::regclass"
    before = city.run(columns)
    layer = layer_of(city.token, {**ID, "note": {}})
    with open_store(city.address) as store:
        with pytest.raises(StoreError, match=message):
            store.publish(layer, [batch_of(layer, [{"key": 1}])])
        assert store.state(layer) == State(0, None)
    assert city.run(columns) == before


def test_a_city_table_can_be_published_into(city: City) -> None:
    city.run(f"CREATE TABLE {city.schema}.reports (key bigint UNIQUE, extra text DEFAULT 'kept')")
    city.run(f"INSERT INTO {city.schema}.reports VALUES (1), (2)")
    layer = layer_of(city.token, {**ID, "note": {}})
    with open_store(city.address) as store:
        assert counts(store.publish(layer, [batch_of(layer, [{"key": 2, "note": "b", "geometry": (1, 2)}, {"key": 1}])])) == (
            1,
            1,
            0,
            0,
            1,
        )
        assert [row["note"] for row in rows_of(store, layer)] == [None, "b"]
    assert [row["extra"] for row in city.run(f"SELECT extra FROM {city.schema}.reports")] == ["kept", "kept"]
    assert city.run(f"SELECT FROM pg_indexes WHERE schemaname = '{city.schema}' AND indexdef LIKE '%gist (geometry)%'")


def test_a_published_table_has_a_key_an_index_and_plain_types(city: City) -> None:
    layer = layer_of(city.token, {"at": {"role": "time"}, "note": {}}, kind="events")
    with open_store(city.address) as store:
        store.publish(layer, [])
    columns = city.run(f"""
        SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute
        WHERE attrelid = '{city.schema}.reports'::regclass AND attnum > 0
    """)
    types = ["bigint", "timestamp with time zone", "text", "geometry(Point,4326)"]
    assert [tuple(column) for column in columns] == list(zip(["id", "at", "note", "geometry"], types, strict=True))
    indexes = [
        row["indexdef"] for row in city.run(f"SELECT indexdef FROM pg_indexes WHERE schemaname = '{city.schema}' ORDER BY 1")
    ]
    assert [index.partition(" USING ")[2] for index in indexes] == ["gist (geometry)", "btree (id)"]


def test_an_empty_table_keeps_its_indexes_whoever_reads_it(city: City) -> None:
    layer = layer_of(city.token)
    own = f'CREATE INDEX "by place" ON {city.schema}.reports USING gist (geometry) WITH (fillfactor = 70) WHERE (note IS NULL)'
    indexes = f"SELECT indexdef FROM pg_indexes WHERE schemaname = '{city.schema}' ORDER BY 1"

    async def publish_beside_a_reader(store: Store) -> None:
        connection = await asyncpg.connect(city.address)
        try:
            async with connection.transaction():
                await connection.execute(f"SELECT FROM {city.schema}.reports")
                await asyncio.to_thread(store.publish, layer, [batch_of(layer, [{"key": 2, "geometry": (1, 2)}])])
        finally:
            await connection.close()

    with open_store(city.address) as store:
        store.publish(layer, [])
        city.run(own)
        before = city.run(indexes)
        assert counts(store.publish(layer, [batch_of(layer, [{"key": 1, "geometry": (1, 2)}])])) == (1, 0, 0, 0, 2)
        assert (len(before), city.run(indexes)) == (3, before)
        store.publish(layer, [], replace=True)
        asyncio.run(publish_beside_a_reader(store))
        assert city.run(indexes) == before
        assert [row["key"] for row in rows_of(store, layer)] == [2]


def test_unchanged_rows_are_not_touched(city: City) -> None:
    layer = layer_of(city.token)
    versions = f"SELECT key, xmin FROM {city.schema}.reports ORDER BY key"
    with open_store(city.address) as store:
        store.publish(layer, [batch_of(layer, [{"key": 1, "geometry": (1, 2)}, {"key": 2}])])
        before = city.run(versions)
        store.publish(layer, [batch_of(layer, [{"key": 1, "geometry": (1, 2)}, {"key": 2, "note": "new"}])], replace=True)
    after = city.run(versions)
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


@pytest.mark.parametrize("state", ["idle in transaction", "idle"])
def test_a_connection_that_is_cut_in_a_publish_leaves_the_old_rows(city: City, state: str) -> None:
    layer = layer_of(city.token)

    def cut() -> Iterator[pa.RecordBatch]:
        yield batch_of(layer, [{"key": 2}])
        # The one in a transaction holds the lock and is to merge; of the two idle ones one loads, as soon as it has done so.
        ours = f"FROM pg_stat_activity WHERE application_name = 'tileserver' AND state = '{state}'"
        wait_until(lambda: len(city.run(f"SELECT {ours}")) == (1 if state == "idle in transaction" else 2))
        assert city.run(f"SELECT pg_terminate_backend(pid) {ours}")
        yield batch_of(layer, [{"key": 3}])

    with open_store(city.address) as store:
        store.publish(layer, [batch_of(layer, [{"key": 1}])])
        with pytest.raises(StoreError, match=r"^postgresql://127\.0\.0\.1"):
            store.publish(layer, cut(), replace=True)
        assert [row["key"] for row in rows_of(store, layer)] == [1]
        assert counts(store.publish(layer, [batch_of(layer, [{"key": 2}])])) == (1, 0, 0, 0, 2)
    assert not city.run(f"SELECT FROM pg_class WHERE relname LIKE 'staging\\_%\\_{layer.id}'")


def test_a_row_that_others_insert_during_a_publish_is_updated(city: City) -> None:
    layer = layer_of(city.token)
    with open_store(city.address) as store:
        store.publish(layer, [batch_of(layer, [{"key": 1}])])

    async def insert_beside(publish: threading.Thread) -> None:
        connection = await asyncpg.connect(city.address)
        try:
            async with connection.transaction():
                await connection.execute(f"INSERT INTO {city.schema}.reports (key, note) VALUES (2, 'theirs')")
                publish.start()
                waiting = "SELECT FROM pg_stat_activity WHERE application_name = 'tileserver' AND wait_event_type = 'Lock'"
                await asyncio.to_thread(wait_until, lambda: bool(city.run(waiting)))
        finally:
            await connection.close()

    results = []

    def publish() -> None:
        with open_store(city.address) as store:
            results.append(counts(store.publish(layer, [batch_of(layer, [{"key": 2, "note": "ours"}, {"key": 3}])])))

    thread = threading.Thread(target=publish)
    asyncio.run(insert_beside(thread))
    thread.join()
    assert results == [(2, 0, 0, 0, 2)]
    assert [(row["key"], row["note"]) for row in city.read(layer)] == [(1, None), (2, "ours"), (3, None)]


def test_a_store_goes_on_after_its_connection_was_lost(city: City) -> None:
    layer = layer_of(city.token)
    with open_store(city.address) as store:
        first = store.publish(layer, [batch_of(layer, [{"key": 1}])])
        assert city.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tileserver'")
        assert store.state(layer) == first.state


def test_a_locked_table_is_an_error_and_not_a_wait(city: City, monkeypatch: Any) -> None:
    layer = layer_of(city.token)
    monkeypatch.setattr("tileserver.stores.postgis.LOCK_WAIT", 1)

    async def publish_while_locked(store: Store) -> None:
        connection = await asyncpg.connect(city.address)
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {city.schema}.reports")
                await asyncio.to_thread(store.publish, layer, [batch_of(layer, [{"key": 2}])])
        finally:
            await connection.close()

    with open_store(city.address) as store:
        store.publish(layer, [batch_of(layer, [{"key": 1}])])
        with pytest.raises(StoreError, match="another session holds a lock on the table"):
            asyncio.run(publish_while_locked(store))
        assert [row["key"] for row in rows_of(store, layer)] == [1]


def test_a_reader_gets_rows_and_with_a_grant_the_revision(city: City) -> None:
    layer = layer_of(city.token)
    role = f"reader_{city.token}"
    with open_store(city.address) as store:
        published = store.publish(layer, [batch_of(layer, [{"key": 1}])])
    city.run(f"CREATE ROLE {role} LOGIN PASSWORD 'p@ss/w?rd'")
    try:
        server = city.address.rpartition("@")[2]
        with open_store(f"postgresql://{role}:p%40ss%2Fw%3Frd@{server}") as reader:
            with pytest.raises(StoreError, match="may not look into the schema"):
                list(reader.read(layer))
            city.run(f"GRANT USAGE ON SCHEMA {city.schema} TO {role}")
            with pytest.raises(StoreError, match=r"this role may not read of .*: key, at"):
                list(reader.read(layer))
            city.run(f"GRANT SELECT ON {city.schema}.reports TO {role}")
            assert [row["key"] for row in rows_of(reader, layer)] == [1]
            assert reader.state(layer) == State(0, None)
            with pytest.raises(StoreError, match="the role lacks a right"):
                reader.publish(layer, [batch_of(layer, [{"key": 2}])])
            city.run(f"GRANT USAGE ON SCHEMA tileserver TO {role}")
            city.run(f"GRANT SELECT ON tileserver.layers TO {role}")
            assert reader.state(layer) == published.state
    finally:
        city.run(f"DROP OWNED BY {role}")
        city.run(f"DROP ROLE {role}")


def test_row_security_keeps_a_table_and_its_views_from_being_copied(city: City) -> None:
    city.run(f"CREATE TABLE {city.schema}.cases AS SELECT 1 AS key")
    city.run(f"CREATE VIEW {city.schema}.reports AS SELECT * FROM (SELECT * FROM {city.schema}.cases) AS inner_query")
    layer = layer_of(city.token, ID)
    assert len(city.read(layer)) == 1
    city.run(f"ALTER TABLE {city.schema}.cases ENABLE ROW LEVEL SECURITY")
    for name in ("reports", "cases"):
        with pytest.raises(StoreError, match="has row-level security"):
            city.read(layer_of(city.token, ID, table=f"{city.schema}.{name}"))


def test_a_read_is_one_moment_of_the_table(city: City) -> None:
    layer = layer_of(city.token, {**ID, "note": {}})
    city.run(f"CREATE TABLE {city.schema}.reports AS SELECT n AS key, repeat('x', 500) AS note FROM generate_series(1, 60000) AS n")
    with open_store(city.address) as store:
        batches = store.read(layer)
        read = len(next(batches))
        assert read < 60_000
        city.run(f"DELETE FROM {city.schema}.reports WHERE key % 2 = 0")
        assert read + sum(map(len, batches)) == 60_000


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r":[^:/@]+@", ":s3cret@", "the user or the password is wrong"),
        (r"/[^/]*$", "/nowhere", "there is no such database"),
        (r":\d+/", ":1/", "cannot be reached"),
        (r":\d+/", ":70000/", "the address is not of the form"),
        (r":[^:/@]+@", ":s3cret/s3cret@", "the address is not of the form"),
    ],
)
def test_a_store_that_cannot_be_opened_says_why_and_keeps_the_password(
    postgres: str, token: str, pattern: str, replacement: str, message: str
) -> None:
    with open_store(re.sub(pattern, replacement, postgres)) as store:
        with pytest.raises(StoreError, match=message) as caught:
            store.state(layer_of(token))
        shown = f"{store!r} {caught.value}"
    assert "s3cret" not in shown
    assert str(urlsplit(postgres).password) not in shown
    assert caught.value.__suppress_context__

"""GeoPackage, FlatGeobuf, GeoParquet and lines of GeoJSON hold the rows of the count, as others' readers see them."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from town import Town, report

from tileserver.catalog import GEOMETRY
from tileserver.downloads import gdal
from tileserver.filters import Filter
from tileserver.snapshot import Live, Snapshot, select

FORMATS = ("gpkg", "fgb", "parquet", "geojsonl")

LOTS = """
    title = "Lots"
    description = "What is built on."
    kind = "shapes"
    position = "optional"
    [fields]
    fid = { role = "id", type = "integer", title = "Number" }
    FID = {}
    geom = { title = "What the assessor calls geometry", description = "As filed", unit = "ft" }
    bbox = { type = "boolean" }
    Rooms = { type = "integer" }
    rooms = { type = "number" }
    "select" = { type = "datetime" }
"""
SQUARE = shapely.box(-92.3, 34.7, -92.29, 34.71)
ROWS: list[dict[str, Any]] = [
    {
        "fid": 1,
        "FID": "a'b",
        "geom": "=x",
        "bbox": True,
        "Rooms": 3,
        "rooms": 0.5,
        "select": -30_000_000_000_000_000,
        GEOMETRY: SQUARE,
    },
    {
        "fid": 2**60,
        "FID": "é\u2019",
        "bbox": False,
        GEOMETRY: shapely.MultiPolygon([SQUARE, shapely.box(-92.2, 34.7, -92.19, 34.71)]),
    },
    {"fid": -3, GEOMETRY: None},
]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    town = Town(tmp_path_factory.mktemp("town"))
    (town.settings.layers / "lots.toml").write_text(LOTS, "utf-8")
    town.reloaded().publish("lots", ROWS)
    return town.settle()


@pytest.fixture(scope="module")
def client(town: Town) -> Iterator[TestClient]:
    with town.client() as client:
        yield client


def table(content: bytes, format: str, folder: Path) -> pa.Table:
    """A download as Arrow, `geometry` in WKB, by a reader that is not ours."""
    path = folder / f"download.{format}"
    path.write_bytes(content)
    if format == "parquet":
        return pq.read_table(path)
    if not content:  # lines without any are a document that says nothing of its columns
        return pa.table({"number": pa.array([], pa.string())})
    # Not as Arrow: in that way GDAL 3.12 takes a FlatGeobuf's missing geometry for that of another row.
    meta, _, shapes, columns = pyogrio.raw.read(path, datetime_as_string=True)
    arrays = [pa.array(column, from_pandas=True) for column in columns]
    for at, dtype in enumerate(meta["dtypes"]):
        if dtype.startswith("datetime"):
            arrays[at] = pa.array([text and datetime.fromisoformat(text) for text in arrays[at].to_pylist()])
    return pa.table([*arrays, pa.array(shapes, pa.binary())], [*meta["fields"], GEOMETRY])


conditions = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.lists(st.sampled_from(["NOISE", "FIRE", "", "NOTHING"]), min_size=1, max_size=2),
        "last": st.sampled_from(["24h", "3d", "1y"]),
        "bbox": st.sampled_from(["-92.3,34.7,-92.28,34.702", "-92.29,34.6,-92.2,34.8", "0,0,1,1"]),
        "properties": st.sampled_from(["kind", "cost,at"]),
    },
)


@given(query=conditions)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_formats_hold_the_rows_of_the_count(client: TestClient, tmp_path: Path, query: dict[str, Any]) -> None:
    asked = {name: value for name, value in query.items() if name != "properties"}
    count = client.get("/count/reports", params=asked).json()["count"]
    expected = [feature["id"] for feature in client.get("/downloads/reports.geojson", params=asked).json()["features"]]
    assert len(expected) == count
    for format in FORMATS:
        rows = table(client.get(f"/downloads/reports.{format}", params=query).content, format, tmp_path)
        numbers = rows["number" if "number" in rows.column_names else "id"].to_pylist()
        # A FlatGeobuf's index has an order of its own.
        assert sorted(numbers) == sorted(expected) if format == "fgb" else numbers == expected


@pytest.mark.parametrize("format", FORMATS)
def test_values_are_those_that_came_in(client: TestClient, tmp_path: Path, format: str) -> None:
    answer = client.get(f"/downloads/reports.{format}")
    rows = {row["number"]: row for row in table(answer.content, format, tmp_path).to_pylist()}
    seventh, expected = rows["R-0007"], report(7)
    assert seventh["at"].timestamp() * 1_000_000 == expected["at"]
    assert (seventh["kind"], rows["R-0008"]["kind"], seventh["cost"], seventh["note"]) == ("FIRE", None, 1.75, "note 7")
    assert shapely.equals_exact(shapely.from_wkb(seventh[GEOMETRY]), expected[GEOMETRY], tolerance=1e-7)
    assert rows["R-0300"][GEOMETRY] is None
    assert set(seventh) - {"fid", "id", "bbox", GEOMETRY} == {"number", "at", "kind", "cost", "note"}


@pytest.mark.parametrize("format", ["gpkg", "fgb", "parquet"])
def test_names_that_a_format_has_for_itself_and_mixed_shapes_are_kept(client: TestClient, tmp_path: Path, format: str) -> None:
    answer = client.get(f"/downloads/lots.{format}")
    rows = table(answer.content, format, tmp_path)
    assert answer.status_code == 200
    assert sorted(rows["fid"].to_pylist()) == [-3, 1, 2**60]
    first = next(row for row in rows.to_pylist() if row["fid"] == 1)
    assert [first[name] for name in ("geom", "Rooms")] == ["=x", 3]
    assert {0.5, "a'b"} <= {value for name, value in first.items() if name.lower().rstrip("_") in ("rooms", "fid")}
    assert first["select"].year == 1019
    shapes = shapely.from_wkb(rows[GEOMETRY].to_numpy())
    assert shapely.area(shapes[~shapely.is_missing(shapes)]).sum() == pytest.approx(0.0003)
    assert np.count_nonzero(shapely.is_missing(shapes)) == 1


def test_the_same_rows_are_the_same_bytes(town: Town, client: TestClient) -> None:
    with town.client() as other:
        for address in [f"/downloads/{id}.{format}" for id in ("reports", "lots", "wards") for format in FORMATS]:
            ours, theirs = client.get(address), other.get(address)
            assert ours.content == theirs.content
            assert ours.headers["etag"] == theirs.headers["etag"]
            assert not ours.headers["etag"].startswith("W/")


def test_a_title_that_changes_makes_another_file(town: Town, client: TestClient) -> None:
    before = client.get("/downloads/wards.gpkg")
    file = town.settings.layers / "wards.toml"
    text = file.read_text("utf-8")
    try:
        file.write_text(text.replace('"Wards"', '"Districts"'), "utf-8")
        with town.client() as other:
            after = other.get("/downloads/wards.gpkg")
    finally:
        file.write_text(text, "utf-8")
    assert before.headers["etag"] != after.headers["etag"]
    assert [b"Districts" in answer.content for answer in (before, after)] == [False, True]


def test_a_geopackage_is_whole_indexed_and_says_what_its_columns_mean(client: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "lots.gpkg"
    path.write_bytes(client.get("/downloads/lots.gpkg").content)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA application_id").fetchone() == (int.from_bytes(b"GPKG", "big"),)
        contents = database.execute("SELECT table_name, identifier, description, last_change FROM gpkg_contents").fetchall()
        assert contents == [("lots", "Lots", "What is built on.", "2000-01-01T00:00:00.000Z")]
        told = database.execute("SELECT name, description FROM gpkg_data_columns WHERE column_name = 'geom'").fetchall()
        assert told == [("What the assessor calls geometry", "As filed (ft)")]
        kind = database.execute("SELECT column_name, geometry_type_name, srs_id FROM gpkg_geometry_columns").fetchone()
        assert kind == ("geom_", "MULTIPOLYGON", 4326)
        assert database.execute("SELECT count(*) FROM rtree_lots_geom_").fetchone() == (2,)


def test_a_flatgeobuf_has_an_index_unless_a_row_has_no_position(client: TestClient, tmp_path: Path) -> None:
    def indexed(address: str) -> bool:
        path = tmp_path / "download.fgb"
        path.write_bytes(client.get(address).content)
        return bool(pyogrio.read_info(path)["capabilities"]["fast_spatial_filter"])

    assert indexed("/downloads/reports.fgb?bbox=-93,34,-92,35")
    assert indexed("/downloads/wards.fgb")
    assert not indexed("/downloads/reports.fgb")


def test_geoparquet_tells_the_box_of_each_row_and_group(client: TestClient) -> None:
    file = pq.ParquetFile(io.BytesIO(client.get("/downloads/reports.parquet").content))
    geo = json.loads(file.metadata.metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    assert (geo["version"], column["encoding"], column["geometry_types"]) == ("1.1.0", "WKB", ["Point"])
    assert column["bbox"] == pytest.approx([-92.3, 34.7, -92.251, 34.705])
    assert column["covering"]["bbox"] == {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}
    paths = [file.metadata.row_group(0).column(n).path_in_schema for n in range(file.metadata.num_columns)]
    least = file.metadata.row_group(0).column(paths.index("bbox.xmin")).statistics.min
    assert least == column["bbox"][0]
    assert file.schema_arrow.field("cost").metadata[b"unit"] == b"USD"
    assert file.schema_arrow.field("at").type == pa.timestamp("us", tz="UTC")


def test_geoparquet_tells_no_box_where_no_row_has_a_position(client: TestClient) -> None:
    file = pq.ParquetFile(io.BytesIO(client.get("/downloads/reports.parquet?datetime=2023-11-27T10:13:20Z").content))
    column = json.loads(file.metadata.metadata[b"geo"])["columns"]["geometry"]
    assert file.read().column("number").to_pylist() == ["R-0300"]
    assert (column["geometry_types"], "bbox" in column) == ([], False)


def test_geoparquet_names_its_box_so_that_no_field_is_in_the_way(client: TestClient) -> None:
    file = pq.ParquetFile(io.BytesIO(client.get("/downloads/lots.parquet").content))
    column = json.loads(file.metadata.metadata[b"geo"])["columns"]["geometry"]
    assert column["covering"]["bbox"]["xmin"] == ["bbox_", "xmin"]
    assert column["geometry_types"] == ["MultiPolygon", "Polygon"]
    assert file.read().column("bbox").to_pylist() == [True, False, None]
    assert file.read().column("bbox_").to_pylist()[2] is None


def test_lines_are_features_each_by_itself(client: TestClient) -> None:
    answer = client.get("/downloads/reports.geojsonl?kind=FIRE")
    lines = answer.text.splitlines()
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines] == client.get("/downloads/reports.geojson?kind=FIRE").json()["features"]
    assert client.get("/downloads/reports.geojsonl?kind=NOTHING").content == b""


def test_head_ranges_and_types(client: TestClient) -> None:
    types = {}
    for format in FORMATS:
        path = f"/downloads/reports.{format}"
        whole, head = client.get(path), client.head(path)
        types[format] = head.headers["content-type"]
        assert head.headers["content-length"] == str(len(whole.content))
        part = client.get(path, headers={"Range": "bytes=100-199", "If-Range": whole.headers["etag"]})
        assert (part.status_code, part.content) == (206, whole.content[100:200])
        assert client.get(path, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert types == {
        "gpkg": "application/geopackage+sqlite3",
        "fgb": "application/vnd.flatgeobuf",
        "parquet": "application/vnd.apache.parquet",
        "geojsonl": "application/x-ndjson",
    }


def test_what_gdal_cannot_write_is_said_in_its_words(town: Town, client: TestClient, tmp_path: Path) -> None:
    live: Live = client.app.state.live  # type: ignore[attr-defined]  # starlette's TestClient names any ASGI application
    snapshot: Snapshot = live.snapshot(live.layer("wards"))
    (tmp_path / "wards.fgb").mkdir()
    parts = select.parts(snapshot, Filter(), 10)
    with pytest.raises(RuntimeError, match=r"FlatGeobuf: [\s\S]*wards\.fgb"):
        gdal.write(tmp_path / "wards.fgb", snapshot, Filter(), parts, driver="FlatGeobuf")

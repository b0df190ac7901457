"""Files that are damaged, odd, or made to do harm: a sentence, or rejected rows, and never a trace or an end of the process."""

from __future__ import annotations

import csv
import os
import sqlite3
import struct
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from pyogrio.raw import write_arrow
from test_ingest import held, layer_of, rejects

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest import Ledger, ingest
from tileserver.ingest.geometry_column import shapes_of, shapes_of_wkb
from tileserver.stores import FolderStore

ODD = layer_of({"kind": "shapes", "position": "optional", "fields": {"tag": {"role": "id"}, "note": {}}})
SPOTS = layer_of({"kind": "places", "position": "optional", "fields": {"tag": {"role": "id"}, "note": {}}})
POINT: bytes = shapely.to_wkb(shapely.Point(-92.3, 34.7))
CURVE = b"\x01\x08\x00\x00\x00" + struct.pack("<I6d", 3, 0, 0, 1, 1, 2, 0)
LEVEL = b"\x01\x07\x00\x00\x00\x01\x00\x00\x00"


def bring(path: Path, layer: Layer = ODD) -> Ledger:
    return ingest(layer, FolderStore(path.parent / "store"), [path.name], folder=path.parent, home=path.parent)


def spots(path: Path, shapes: list[bytes | None]) -> None:
    table = pa.table({"tag": [str(row) for row in range(len(shapes))], "shape": pa.array(shapes, pa.binary())})
    # A FlatGeobuf with an index has no rows without position.
    options = {"SPATIAL_INDEX": "NO"} if path.suffix == ".fgb" else {}
    write_arrow(table, path, driver=None, geometry_name="shape", geometry_type="Point", crs="EPSG:4326", **options)


def geoparquet(path: Path, shapes: pa.Array[Any]) -> None:
    geo = {"version": "1.1.0", "primary_column": "shape", "columns": {"shape": {"encoding": "WKB"}}}
    table = pa.table({"tag": [str(row) for row in range(len(shapes))], "shape": shapes})
    pq.write_table(table.replace_schema_metadata({"geo": orjson.dumps(geo)}), path)


@pytest.mark.parametrize(
    "level",
    [
        b"\x02\x07\x00\x25\x11\x01\x00\x00\x00",  # GEOS goes on in the order before, where this is a collection
        b"\x01\x07\x00\x01\x00\x01\x00\x00\x00",  # GEOS looks at the lower half of the kind only
        b"\x01\x0f\x00\x00\x00\x01\x00\x00\x00",
    ],
)
def test_what_geos_would_read_in_another_way_is_refused(level: bytes) -> None:
    deep = LEVEL + level * 300_000 + POINT
    found = shapes_of_wkb(pa.array([deep, POINT]), None)
    assert found.unreadable.tolist() == [True, False]
    assert shapes_of(pa.array([deep.hex(), POINT.hex()]), None).unreadable.tolist() == [True, False]


def test_long_geometries_with_all_dimensions_are_read() -> None:
    line = shapely.LineString(np.random.default_rng(1).random((200, 3)))
    given = [shapely.to_wkb(line, flavor=flavor, byte_order=order) for flavor in ("iso", "extended") for order in (0, 1)]
    assert not shapes_of_wkb(pa.array(given), None).unreadable.any()


@pytest.mark.parametrize("name", ["spots.fgb", "spots.gpkg"])
def test_rows_without_position_come_back_from_every_format(name: str, tmp_path: Path) -> None:
    spots(tmp_path / name, [POINT, None, POINT, None])
    bring(tmp_path / name, SPOTS)
    assert [row["geometry"] is None for row in held(tmp_path, SPOTS)] == [False, True, False, True]


COLUMNS = {
    "decimal": pa.array([Decimal("1.5")]),
    "dictionary": pa.array(["1"]).dictionary_encode(),
    "null": pa.nulls(1),
    "bool": pa.array([True]),
    "binary": pa.array([b"\xff"]),
    "date": pa.array([date(2020, 1, 1)]),
    "time": pa.array([time(1, 2, 3)], pa.time64("ns")),
    "odd time": pa.array([1_001], pa.int64()).cast(pa.time64("ns")),
    "list": pa.array([[1]]),
    "struct": pa.array([{"a": 1}]),
    "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
    "view": pa.array(["1"], pa.string_view()),
    "far": pa.array([2**60], pa.int64()).cast(pa.timestamp("us")),
    "duration": pa.array([2**60], pa.int64()).cast(pa.duration("s")),
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("role", ["lon", "tag", "note"])
def test_a_column_of_any_type_is_read_or_left_out(role: str, kind: str, tmp_path: Path) -> None:
    columns = {"tag": pa.array(["1"]), "note": pa.array(["x"]), "lon": pa.array([1.5]), "lat": pa.array([2.5])}
    pq.write_table(pa.table({**columns, role: COLUMNS[kind]}), tmp_path / "odd.parquet")
    ledger = bring(tmp_path / "odd.parquet", SPOTS).as_json()
    assert ledger["read"] == 1
    if role == "lon":
        read = kind in ("decimal", "dictionary", "view")
        assert [row["geometry"] is not None for row in held(tmp_path, SPOTS)] == [read]


def test_geometries_that_are_not_bytes_are_told(tmp_path: Path) -> None:
    for shapes in (pa.array([1]), pa.array(["POINT (1 2)"]), pa.array([[1.0, 2.0]])):
        geoparquet(tmp_path / "odd.parquet", shapes)
        with pytest.raises(IngestError, match="its geometries are not WKB"):
            bring(tmp_path / "odd.parquet")


def test_two_columns_of_one_name_are_told(tmp_path: Path) -> None:
    columns = [pa.array(["1"]), pa.array([1.0]), pa.array([1.0]), pa.array([2.0])]
    pq.write_table(pa.Table.from_arrays(columns, ["tag", "lon", "lon", "lat"]), tmp_path / "odd.parquet")
    with pytest.raises(IngestError, match="more than one column is called lon"):
        bring(tmp_path / "odd.parquet", SPOTS)


def test_a_damaged_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    spots(tmp_path / "whole.fgb", [POINT])
    (tmp_path / "cut.fgb").write_bytes((tmp_path / "whole.fgb").read_bytes()[:100])
    with pytest.raises(IngestError, match="cannot be read; it is damaged") as told:
        bring(tmp_path / "cut.fgb")
    assert told.value.__cause__ is not None


def test_a_first_line_without_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_bytes(b"tag," + b"x" * csv.field_size_limit() + b"\n1,2\n")
    with pytest.raises(IngestError, match="its first line is longer than 64 MiB"):
        bring(tmp_path / "long.csv")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_text_with_the_mark_of_utf_16_or_32_is_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_bytes("tag,note\n1,Café Ω\n".encode(encoding))
    bring(tmp_path / "odd.csv")
    assert [(row["tag"], row["note"]) for row in held(tmp_path, ODD)] == [("1", "Café Ω")]


def test_text_of_a_geopackage_that_is_not_utf_8_is_replaced(tmp_path: Path) -> None:
    table = pa.table({"tag": ["1"], "note": ["x"], "shape": pa.array([None], pa.binary())})
    write_arrow(table, tmp_path / "odd.gpkg", driver="GPKG", geometry_name="shape", geometry_type="Point", crs="EPSG:4326")
    database = sqlite3.connect(tmp_path / "odd.gpkg")
    for (trigger,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
        database.execute(f'drop trigger "{trigger}"')
    database.execute("update odd set note = cast(x'ff41' as text)")
    database.commit()
    database.close()
    bring(tmp_path / "odd.gpkg")
    assert [row["note"] for row in held(tmp_path, ODD)] == ["\ufffdA"]


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "odd.csv")
    with pytest.raises(IngestError, match="is a pipe or a device"):
        bring(tmp_path / "odd.csv")


def test_shapes_beyond_the_globe_are_rejected(tmp_path: Path) -> None:
    shapes = [shapely.box(-1e308, -1e308, 1e308, 1e308), shapely.box(170, 0, 181, 1), shapely.box(170, 0, 180 + 1e-9, 1)]
    bad = LEVEL[:1] + b"\x02\x00\x00\x00" + struct.pack("<I4d", 2, float("nan"), 1, 2, 3)
    geoparquet(tmp_path / "odd.parquet", pa.array([*map(shapely.to_wkb, shapes), bad, CURVE], pa.binary()))
    bring(tmp_path / "odd.parquet")
    assert [reason for _, _, reason in rejects(tmp_path)] == ["outside the coordinate system"] * 3
    assert shapely.from_wkt(held(tmp_path, ODD)[0]["geometry"]).bounds == (170, 0, 180, 1)


def test_a_tangle_is_beyond_repair_and_a_long_outline_with_a_flaw_is_not(tmp_path: Path) -> None:
    tangle = np.random.default_rng(1).random((3_000, 2))
    turn = np.linspace(0, 2 * np.pi, 20_000)
    outline = np.column_stack((np.cos(turn), np.sin(turn)))
    outline[[100, 101]] = outline[[101, 100]]
    given = [shapely.to_wkb(shapely.Polygon(places)) for places in (tangle, outline)]
    geoparquet(tmp_path / "odd.parquet", pa.array(given, pa.binary()))
    assert bring(tmp_path / "odd.parquet").as_json()["repaired"] == 1
    assert [reason for _, _, reason in rejects(tmp_path)] == ["an invalid geometry that cannot be repaired"]


def test_messages_show_few_names_and_no_signs_that_a_terminal_obeys(tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text(",".join(["\x1b[31m" + "x" * 1000, *(f"c{number}" for number in range(5_000))]) + "\n1\n")
    with pytest.raises(IngestError) as told:
        bring(tmp_path / "odd.csv")
    assert "\x1b" not in str(told.value)
    assert "4,981 more" in str(told.value)
    assert len(str(told.value)) < 1_000

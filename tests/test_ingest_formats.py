"""The formats that know types, and those that come in one feature a line: the same rows, whatever they come in."""

from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyogrio.raw import write_arrow
from test_ingest import held, layer_of, rejects

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest import READERS, Ledger, ingest
from tileserver.ingest.geometry_column import shapes_of, shapes_of_wkb
from tileserver.ingest.rows import BATCH
from tileserver.ingest.sources import fetch
from tileserver.stores import FolderStore

TREES: dict[str, Any] = {
    "kind": "places",
    "timezone": "America/Chicago",
    "bounds": (-93, 34, -92, 35),
    "fields": {
        "tag": {"role": "id"},
        "kind": {},
        "height": {"type": "number"},
        "rings": {"type": "integer"},
        "public": {"type": "boolean"},
        "planted": {"type": "datetime"},
    },
}
PLACES = [(-92.3, 34.7), (-92.2, 34.6), (-92.1, 34.5)]
TABLE = pa.table(
    {
        "tag": [1, 2, 3],
        "kind": ["oak", None, "é"],
        "height": [5.0, 2.5, None],
        "rings": pa.array([7.0, 8.0, 9.0]),
        "public": [True, False, None],
        "planted": pa.array([datetime(2020, 7, 2, 3, 4, 5), None, datetime(1999, 1, 1)], pa.timestamp("ms")),
        "wkb_geometry": pa.array(list(shapely.to_wkb(shapely.points(PLACES))), pa.binary()),
    }
)
DRIVERS = {"trees.gpkg": "GPKG", "trees.fgb": "FlatGeobuf", "trees.xlsx": "XLSX"}
SUMMER, WINTER = datetime(2020, 7, 2, 8, 4, 5, tzinfo=UTC), datetime(1999, 1, 1, 6, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {"tag": "1", "kind": "oak", "height": 5.0, "rings": 7, "public": True, "planted": SUMMER, "geometry": "POINT (-92.3 34.7)"},
    {"tag": "2", "kind": None, "height": 2.5, "rings": 8, "public": False, "planted": None, "geometry": "POINT (-92.2 34.6)"},
    {"tag": "3", "kind": "é", "height": None, "rings": 9, "public": None, "planted": WINTER, "geometry": "POINT (-92.1 34.5)"},
]


def write(
    path: Path, table: pa.Table = TABLE, *, crs: str | None = "EPSG:4326", layer: str | None = None, append: bool = False
) -> None:
    """A file as GDAL writes it; without a column of geometries if the table has none."""
    own = "wkb_geometry" in table.column_names
    shape: dict[str, Any] = {"geometry_type": None}
    if own:
        shape = {"geometry_name": "wkb_geometry", "geometry_type": "Point", "crs": crs}
    write_arrow(table, path, driver=DRIVERS.get(path.name, "ESRI Shapefile"), layer=layer, append=append, **shape)


def geoparquet(path: Path, table: pa.Table, **column: Any) -> None:
    geo = {"version": "1.1.0", "primary_column": "wkb_geometry", "columns": {"wkb_geometry": {"encoding": "WKB", **column}}}
    pq.write_table(table.replace_schema_metadata({"geo": orjson.dumps(geo)}), path, row_group_size=2)


def bring(path: Path, layer: Layer | None = None) -> Ledger:
    folder = path.parent
    return ingest(layer or layer_of(TREES), FolderStore(folder / "store"), [path.name], folder=folder, home=folder)


def stored(path: Path, layer: Layer | None = None) -> list[dict[str, Any]]:
    bring(path, layer)
    return held(path.parent, layer or layer_of(TREES))


def projected(crs: str) -> pa.Table:
    """The table with its positions in another system, taken by hand from PROJ's `cs2cs`."""
    assert crs == "EPSG:3857"
    radius = 6_378_137.0
    places = [(radius * np.radians(x), radius * np.log(np.tan(np.pi / 4 + np.radians(y) / 2))) for x, y in PLACES]
    wkb = pa.array(list(shapely.to_wkb(shapely.points(places))), pa.binary())
    return TABLE.set_column(TABLE.schema.get_field_index("wkb_geometry"), "wkb_geometry", wkb)


def where(rows: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(round(point.x, 6), round(point.y, 6)) for point in (shapely.from_wkt(row["geometry"]) for row in rows)]


# Formats


@pytest.mark.parametrize("name", ["trees.gpkg", "trees.fgb"])
def test_every_format_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    assert bring(tmp_path / name).as_json()["read"] == 3
    assert held(tmp_path, layer_of(TREES)) == ROWS


def test_a_geoparquet_file_gives_the_same_rows_in_parts(tmp_path: Path) -> None:
    geoparquet(tmp_path / "trees.parquet", TABLE)
    assert stored(tmp_path / "trees.parquet") == ROWS


def test_a_shapefile_gives_the_same_rows(tmp_path: Path) -> None:
    # Its columns know dates but no times, and no booleans without a value.
    table = TABLE.drop_columns(["planted"]).append_column("planted", pa.array([date(2020, 7, 2), None, date(1999, 1, 1)]))
    write(tmp_path / "trees.shp", table)
    rows = stored(tmp_path / "trees.shp")
    assert [{**row, "planted": None} for row in rows] == [{**row, "planted": None} for row in ROWS]
    assert [row["planted"] for row in rows] == [datetime(2020, 7, 2, 5, tzinfo=UTC), None, WINTER]


def test_a_workbook_gives_the_same_rows_and_its_rejects_have_the_row_of_the_sheet(tmp_path: Path) -> None:
    table = TABLE.drop_columns(["wkb_geometry"])
    for axis, name in enumerate(("lon", "lat")):
        table = table.append_column(name, pa.array([place[axis] for place in PLACES]))
    write(tmp_path / "trees.xlsx", table)
    assert stored(tmp_path / "trees.xlsx") == ROWS
    bounded = layer_of(TREES | {"bounds": (-93, 34.55, -92, 35)})
    assert bring(tmp_path / "trees.xlsx", bounded).rejected == 1
    assert rejects(tmp_path) == [("trees.xlsx", 4, "outside the bounds")]


@pytest.mark.parametrize("name", ["trees.gpkg", "trees.parquet"])
def test_typed_times_need_none_of_the_layers_formats(name: str, tmp_path: Path) -> None:
    if name == "trees.gpkg":
        write(tmp_path / name)
    else:
        geoparquet(tmp_path / name, TABLE)
    assert stored(tmp_path / name, layer_of(TREES, ingest={"dates": ["%m/%d/%Y"]})) == ROWS


def test_a_time_with_an_offset_is_an_instant(tmp_path: Path) -> None:
    aware = TABLE["planted"].cast(pa.timestamp("ns")).cast(pa.timestamp("ns", tz="America/New_York"))
    geoparquet(tmp_path / "trees.parquet", TABLE.drop_columns(["planted"]).append_column("planted", aware))
    assert stored(tmp_path / "trees.parquet")[0]["planted"] == datetime(2020, 7, 2, 3, 4, 5, tzinfo=UTC)


def test_values_of_other_types_become_text_as_people_write_it(tmp_path: Path) -> None:
    kinds = [
        pa.array([1.0, 123456789012.0, 0.25]),
        pa.array([Decimal("1.50"), None, Decimal("2.00")]),
        pa.array([date(2020, 1, 2)] * 3),
    ]
    kinds += [pa.array([[1, 2], [], None]), pa.array([b"oak", None, b"\xff"]), pa.array(["a", "b", "a"]).dictionary_encode()]
    found = []
    for number, column in enumerate(kinds):
        path = tmp_path / f"{number}" / "trees.parquet"
        path.parent.mkdir()
        geoparquet(path, TABLE.drop_columns(["kind"]).append_column("kind", column))
        found.append([row["kind"] for row in stored(path)])
    assert found == [
        ["1", "123456789012", "0.25"],
        ["1.50", None, "2.00"],
        ["2020-01-02"] * 3,
        ["[1,2]", "[]", None],
        ["oak", None, "\ufffd"],
        ["a", "b", "a"],
    ]


def test_a_number_that_is_not_whole_is_no_integer_and_counted(tmp_path: Path) -> None:
    table = TABLE.drop_columns(["rings"]).append_column("rings", pa.array([7.5, 8.0, float("nan")]))
    geoparquet(tmp_path / "trees.parquet", table)
    assert bring(tmp_path / "trees.parquet").blanked == {"rings": 1}
    assert [row["rings"] for row in held(tmp_path, layer_of(TREES))] == [None, 8, None]


def test_the_number_of_a_row_in_a_geopackage_can_be_its_id(tmp_path: Path) -> None:
    write(tmp_path / "trees.gpkg")
    layer = layer_of(TREES | {"fields": {"fid": {"role": "id", "type": "integer"}, "kind": {}}})
    assert [(row["fid"], row["kind"]) for row in stored(tmp_path / "trees.gpkg", layer)] == [(1, "oak"), (2, None), (3, "é")]


def test_suffixes_count_in_any_case(tmp_path: Path) -> None:
    geoparquet(tmp_path / "TREES.PARQUET", TABLE)
    assert stored(tmp_path / "TREES.PARQUET") == ROWS


# Coordinate systems


def test_a_file_says_its_coordinate_system(tmp_path: Path) -> None:
    (tmp_path / "gpkg").mkdir()
    write(tmp_path / "gpkg" / "trees.gpkg", projected("EPSG:3857"), crs="EPSG:3857")
    assert where(stored(tmp_path / "gpkg" / "trees.gpkg")) == PLACES
    crs = {"id": {"authority": "EPSG", "code": 3857}}
    geoparquet(tmp_path / "trees.parquet", projected("EPSG:3857"), crs=crs)
    assert where(stored(tmp_path / "trees.parquet")) == PLACES


def test_the_layer_files_coordinate_system_wins(tmp_path: Path) -> None:
    write(tmp_path / "trees.gpkg", projected("EPSG:3857"), crs="EPSG:26915")
    assert where(stored(tmp_path / "trees.gpkg", layer_of(TREES, ingest={"crs": "EPSG:3857"}))) == PLACES


@pytest.mark.parametrize("name", ["trees.shp", "trees.gpkg", "trees.parquet"])
def test_without_any_coordinate_system_degrees_are_taken_and_meters_refused(name: str, tmp_path: Path) -> None:
    for folder, table in (("degrees", TABLE), ("meters", projected("EPSG:3857"))):
        (tmp_path / folder).mkdir()
        _write_without_crs(tmp_path / folder / name, table.drop_columns(["planted", "public"]))
    assert where(stored(tmp_path / "degrees" / name)) == PLACES
    with pytest.raises(
        IngestError, match=rf"{name}: its positions are not longitudes and latitudes, and nothing says what they are"
    ):
        bring(tmp_path / "meters" / name)


def _write_without_crs(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        geoparquet(path, table, crs=None)
        return
    with pytest.warns(UserWarning, match="crs"):
        write(path, table, crs=None)


def test_a_table_of_feet_without_a_coordinate_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trees.csv").write_text("tag,east,north\n1,888708.3,1028833\n2,0,0\n")
    with pytest.raises(IngestError, match=r'nothing says what they are; name their coordinate system, such as "EPSG:26951"'):
        bring(tmp_path / "trees.csv", layer_of(TREES, ingest={"x": "east", "y": "north"}))


# Parts


def test_of_several_layers_one_is_named(tmp_path: Path) -> None:
    write(tmp_path / "trees.gpkg", layer="oaks")
    write(tmp_path / "trees.gpkg", TABLE.slice(0, 1), layer="elms", append=True)
    with pytest.raises(IngestError, match=r"holds several layers: oaks, elms\. Say which under \[ingest\] part"):
        bring(tmp_path / "trees.gpkg")
    with pytest.raises(IngestError, match=r"holds no palms, which .* Its layers are: oaks, elms"):
        bring(tmp_path / "trees.gpkg", layer_of(TREES, ingest={"part": "palms"}))
    assert bring(tmp_path / "trees.gpkg", layer_of(TREES, ingest={"part": "elms"})).read == 1


def test_of_several_sheets_one_is_named(tmp_path: Path) -> None:
    table = TABLE.select(["tag", "kind"])
    write(tmp_path / "trees.xlsx", table, layer="2019")
    write(tmp_path / "trees.xlsx", table.slice(1), layer="2020", append=True)
    optional = {**TREES, "position": "optional"}
    with pytest.raises(IngestError, match=r"holds several sheets: 2019, 2020\."):
        bring(tmp_path / "trees.xlsx", layer_of(optional))
    assert bring(tmp_path / "trees.xlsx", layer_of(optional, ingest={"part": "2020"})).read == 2


# Files that are not what they say


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".shp", ".xlsx", ".parquet", ".zip"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xffnoise" * 400, b'<OGRVRTDataSource><OGRVRTLayer name="a"/></OGRVRTDataSource>', b"SQLite format 3\0" * 8],
)
def test_random_bytes_are_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"trees{suffix}"
    path.write_bytes(content)
    with pytest.raises(IngestError, match=rf"^trees\{suffix}: "):
        bring(path)
    assert not (tmp_path / "store" / "stops" / "current.json").exists()


@pytest.mark.parametrize("name", ["trees.gpkg", "trees.fgb", "trees.shp", "trees.xlsx", "trees.parquet"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_file_is_refused_whole(name: str, share: float, tmp_path: Path) -> None:
    many = pa.concat_tables([TABLE.drop_columns(["tag", "planted"])] * 700).append_column("tag", pa.array(range(2_100)))
    path = tmp_path / name
    if name == "trees.parquet":
        geoparquet(path, many)
    else:
        write(path, many.drop_columns(["wkb_geometry"]) if name == "trees.xlsx" else many)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(IngestError, match=rf"^{name}: "):
        bring(path, layer_of(TREES, position="optional"))
    assert not (tmp_path / "store" / "stops" / "current.json").exists()


def test_a_path_that_means_something_else_to_gdal_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a.zip!b"
    folder.mkdir()
    write(tmp_path / "trees.gpkg")
    (tmp_path / "trees.gpkg").rename(folder / "trees.gpkg")
    with pytest.raises(IngestError, match="means something else to GDAL; rename it"):
        bring(folder / "trees.gpkg")


@pytest.mark.parametrize("share", [0.2, 0.95])
def test_a_shapefile_whose_table_is_truncated_is_refused(share: float, tmp_path: Path) -> None:
    write(tmp_path / "trees.shp")
    table = (tmp_path / "trees.dbf").read_bytes()
    (tmp_path / "trees.dbf").write_bytes(table[: int(len(table) * share)])
    with pytest.raises(IngestError, match=r"trees\.shp: is damaged: \.dbf ends before the length that it says"):
        bring(tmp_path / "trees.shp")


def test_a_shapefile_without_its_index_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "trees.shp")
    (tmp_path / "trees.shx").unlink()
    with pytest.raises(IngestError, match=r"trees\.shp: cannot be read: it is damaged, or a file that belongs to it is missing"):
        bring(tmp_path / "trees.shp")


# One feature a line


def feature(tag: Any, kind: Any = None) -> dict[str, Any]:
    point = {"type": "Point", "coordinates": list(PLACES[0])}
    return {"type": "Feature", "properties": {"tag": tag, "kind": kind}, "geometry": point}


@pytest.mark.parametrize("suffix", [".geojsonl", ".geojsons", ".ndjson"])
def test_features_come_one_a_line(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"trees{suffix}"
    path.write_bytes(
        b"\n".join([orjson.dumps(feature(1, "oak")), b"", orjson.dumps(feature(2.0, "é")), b"{", b"[1]", orjson.dumps(None)])
    )
    ledger = bring(path)
    assert (ledger.read, ledger.published, ledger.reasons) == (5, 2, {"not a GeoJSON feature": 3})
    assert [(row["tag"], row["kind"]) for row in held(tmp_path, layer_of(TREES))] == [("1", "oak"), ("2", "é")]
    assert [line for _, line, _ in rejects(tmp_path)] == [4, 5, 6]


def test_records_after_a_separator_may_go_over_lines(tmp_path: Path) -> None:
    records = [orjson.dumps(feature(tag), option=orjson.OPT_INDENT_2) + b"\n" for tag in (1, 2)] + [b"{\n"]
    (tmp_path / "trees.geojsons").write_bytes(b"".join(b"\x1e" + record for record in records))
    ledger = bring(tmp_path / "trees.geojsons")
    assert (ledger.read, ledger.published) == (3, 2)
    height = records[0].count(b"\n") + records[1].count(b"\n")
    assert [line for _, line, _ in rejects(tmp_path)] == [1 + height]


@settings(max_examples=25)
@given(tags=st.lists(st.integers(1, 99), max_size=9), separated=st.booleans())
def test_a_sequence_equals_the_collection_of_its_features(
    tags: list[int], separated: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sequence")
    features = [feature(tag, f"kind {place}") for place, tag in enumerate(tags)]
    (folder / "a.geojson").write_bytes(orjson.dumps({"type": "FeatureCollection", "features": features}))
    (folder / "b.geojsonl").write_bytes(b"".join(b"\x1e" * separated + orjson.dumps(each) + b"\n" for each in features))
    one, other = bring(folder / "a.geojson"), bring(folder / "b.geojsonl")
    assert (other.read, other.published, other.unchanged, other.superseded) == (one.read, 0, one.published, one.superseded)
    assert one.read == len(tags)


def test_a_long_sequence_is_read_in_parts(tmp_path: Path) -> None:
    (tmp_path / "trees.ndjson").write_bytes(b"".join(orjson.dumps(feature(tag)) + b"\n" for tag in range(BATCH + 1)))
    layer = layer_of(TREES)
    parts = list(READERS["geojson_lines"](layer, fetch(["trees.ndjson"], tmp_path, layer)[0]))
    assert [len(rows.lines) for rows in parts] == [BATCH, 1]
    assert parts[1].lines.tolist() == [BATCH + 1]
    assert 0 < parts[0].end <= parts[1].end == (tmp_path / "trees.ndjson").stat().st_size


def test_a_collection_under_the_name_of_a_sequence_is_explained(tmp_path: Path) -> None:
    (tmp_path / "trees.ndjson").write_bytes(orjson.dumps({"type": "FeatureCollection", "features": [feature(1)]}))
    with pytest.raises(IngestError, match=r"trees\.ndjson, line 1: holds a whole FeatureCollection; call the file \.geojson"):
        bring(tmp_path / "trees.ndjson")


# WKT and WKB in a column

POINT = shapely.Point(*PLACES[0])
SPELLINGS = {
    "WKT": POINT.wkt,
    "WKB": shapely.to_wkb(POINT, hex=True),
    "EWKT": f"SRID=4326;{POINT.wkt}",
    "EWKB": shapely.to_wkb(shapely.set_srid(POINT, 4326), hex=True, include_srid=True),
    "Z": shapely.to_wkb(shapely.Point(*PLACES[0], 7), hex=True),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_column_of_a_table_holds_geometries(spelling: str, tmp_path: Path) -> None:
    layer = layer_of(TREES, ingest={"geometry": "the_geom"})
    (tmp_path / "trees.csv").write_text(f'tag,the_geom\n1,"{SPELLINGS[spelling]}"\n')
    assert where(stored(tmp_path / "trees.csv", layer)) == PLACES[:1]
    pq.write_table(pa.table({"tag": [1], "the_geom": [SPELLINGS[spelling]]}), tmp_path / "trees.parquet")
    assert bring(tmp_path / "trees.parquet", layer).unchanged == 1
    write(tmp_path / "trees.xlsx", pa.table({"tag": [1], "the_geom": [SPELLINGS[spelling]]}))
    assert bring(tmp_path / "trees.xlsx", layer).unchanged == 1


def test_a_column_of_bytes_holds_geometries(tmp_path: Path) -> None:
    pq.write_table(pa.table({"tag": [1], "the_geom": [shapely.to_wkb(POINT)]}), tmp_path / "trees.parquet")
    assert where(stored(tmp_path / "trees.parquet", layer_of(TREES, ingest={"geometry": "the_geom"}))) == PLACES[:1]


def test_an_srid_in_a_column_is_its_coordinate_system(tmp_path: Path) -> None:
    x, y = shapely.get_coordinates(shapely.from_wkb(projected("EPSG:3857")["wkb_geometry"][0].as_py()))[0]
    (tmp_path / "trees.csv").write_text(f"tag,shape\n1,SRID=3857;POINT ({x} {y})\n2,SRID=4326;POINT (-92.3 34.7)\n3,nowhere\n4,\n")
    layer = layer_of(TREES, position="optional", ingest={"geometry": "shape"})
    ledger = bring(tmp_path / "trees.csv", layer)
    # What differs from the first is not guessed at.
    assert ledger.blanked == {"position": 2}
    assert where(held(tmp_path, layer)[:1]) == PLACES[:1]
    assert [row["geometry"] for row in held(tmp_path, layer)[1:]] == [None, None, None]


def test_a_layer_of_outlines_takes_them_from_a_column(tmp_path: Path) -> None:
    square = shapely.box(-92.4, 34.6, -92.3, 34.7)
    wards = {"kind": "areas", "bounds": (-93, 34, -92, 35), "fields": {"ward": {"role": "id"}}}
    layer = layer_of(wards, ingest={"geometry": "outline"})
    (tmp_path / "wards.csv").write_text(f'ward,outline\n1,"{square.wkt}"\n2,"{POINT.wkt}"\n')
    ledger = bring(tmp_path / "wards.csv", layer)
    assert ledger.reasons == {"a geometry of another kind than the layer's": 1}
    assert shapely.from_wkt(held(tmp_path, layer)[0]["geometry"]).equals(square)


def nested(kind: int, depth: int) -> bytes:
    """A collection in a collection in a collection …"""
    head = b"\x01" + kind.to_bytes(4, "little") + b"\x01\0\0\0"
    return head * depth + shapely.to_wkb(POINT)


@pytest.mark.parametrize("kind", [4, 5, 6, 7])
def test_geometries_nested_without_end_are_unreadable(kind: int) -> None:
    # GEOS reads them by recursion: without a bound this ends the process.
    found = shapes_of_wkb(pa.array([nested(kind, 200_000), shapely.to_wkb(POINT), b"\x01\x07\0\0\0\xff\xff\xff\xff" * 500]), None)
    assert found.unreadable.tolist() == [True, False, True]
    text = "GEOMETRYCOLLECTION(" * 200_000 + POINT.wkt + ")" * 200_000
    assert shapes_of(pa.array([text, POINT.wkt, nested(kind, 200_000).hex()]), None).unreadable.tolist() == [True, False, True]


def test_curves_are_unreadable_and_take_nothing_else_with_them() -> None:
    texts = ["CIRCULARSTRING (0 0, 1 1, 2 0)", POINT.wkt, "CURVEPOLYGON (CIRCULARSTRING (0 0, 1 1, 2 0, 1 -1, 0 0))"]
    assert shapes_of(pa.array(texts), None).unreadable.tolist() == [True, False, True]


@given(st.lists(st.one_of(st.none(), st.binary(max_size=60)), max_size=5))
def test_any_bytes_are_a_geometry_or_unreadable(values: list[bytes | None]) -> None:
    found = shapes_of_wkb(pa.array(values, pa.binary()), None)
    assert len(found.shapes) == len(values)
    assert [value is not None for value in values] == (found.unreadable | ~shapely.is_missing(found.shapes)).tolist()


large = st.integers(20, 60).flatmap(
    lambda count: st.lists(st.tuples(st.floats(-90, 90), st.floats(-90, 90)), min_size=count, max_size=count)
)


@given(large, st.sampled_from(["line", "points", "polygons"]), st.booleans(), st.booleans(), st.sampled_from(["extended", "iso"]))
def test_large_geometries_of_every_kind_are_read(places: Any, kind: str, high: bool, big: bool, flavor: Any) -> None:
    points = [(*place, 5.0) if high else place for place in places]
    shape: shapely.Geometry
    match kind:
        case "line":
            shape = shapely.LineString(points)
        case "points":
            shape = shapely.MultiPoint(points)
        case _:
            shape = shapely.MultiPolygon([shapely.box(x, y, x + 1, y + 1) for x, y in places])
    collected = shapely.GeometryCollection([shape, shapely.MultiLineString([[(0, 0), (1, 1)]])])
    wkb = shapely.to_wkb(collected, byte_order=0 if big else 1, flavor=flavor)
    [read] = shapes_of_wkb(pa.array([wkb]), None).shapes
    assert shapely.equals_identical(read, collected)


def test_the_citys_files_have_positions_in_a_column_of_text(city_files: Path, tmp_path: Path) -> None:
    layer = layer_of({"kind": "places", "fields": {"property": {}}}, ingest={"geometry": "the_geom"})
    ledger = ingest(layer, FolderStore(tmp_path / "a"), ["Historic.csv"], folder=city_files / "little_rock", home=tmp_path)
    assert (ledger.read, ledger.published) == (227, 227)
    by_xy = layer_of({"kind": "places", "fields": {"property": {}}})
    again = ingest(by_xy, FolderStore(tmp_path / "b"), ["Historic.csv"], folder=city_files / "little_rock", home=tmp_path)
    assert again.published == 227
    by_text, by_number = (sorted(shapely.from_wkb(row["geometry"]).x for row in _rows(tmp_path / name, layer)) for name in "ab")
    assert np.allclose(by_text, by_number, atol=1e-7, rtol=0)


def _rows(store: Path, layer: Layer) -> list[dict[str, Any]]:
    return [row for batch in FolderStore(store).read(layer) for row in batch.to_pylist()]


def test_a_zip_of_a_shapefile_gives_the_same_rows(tmp_path: Path) -> None:
    table = TABLE.drop_columns(["planted", "public"])
    write(tmp_path / "trees.shp", table)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for suffix in ("SHP", "dbf", "shx", "prj", "cpg"):
            archive.write(tmp_path / f"trees.{suffix.lower()}", f"data/trees.{suffix}")
        archive.writestr("__MACOSX/data/._trees.shp", b"")
        archive.writestr("readme.pdf", b"")
    rows = stored(tmp_path / "a.zip")
    assert [(row["tag"], row["kind"], row["geometry"]) for row in rows] == [
        (row["tag"], row["kind"], row["geometry"]) for row in ROWS
    ]

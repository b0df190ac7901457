"""GeoJSON: what is a feature, where it is, and how its values become text."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import shapely
from test_ingest import held, layer_of, rejects

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest import Ledger, geojson_file, ingest
from tileserver.stores import FolderStore

TREES: dict[str, Any] = {
    "kind": "places",
    "bounds": (-93, 34, -92, 35),
    "fields": {"tag": {"role": "id"}, "kind": {}, "height": {"type": "number"}, "planted": {"type": "datetime"}},
}
WARDS: dict[str, Any] = {"kind": "areas", "bounds": (-93, 34, -92, 35), "fields": {"ward": {"role": "id"}}}
HERE = {"type": "Point", "coordinates": [-92.3, 34.7]}
SQUARE = [[-92.4, 34.6], [-92.3, 34.6], [-92.3, 34.7], [-92.4, 34.7], [-92.4, 34.6]]
BOW = [[-92.4, 34.6], [-92.3, 34.7], [-92.3, 34.6], [-92.4, 34.7], [-92.4, 34.6]]


def feature(geometry: Any = HERE, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def collection(*features: Any, **members: Any) -> bytes:
    return orjson.dumps({"type": "FeatureCollection", **members, "features": features})


def bring(folder: Path, layer: Layer, content: bytes, name: str = "file.geojson") -> Ledger:
    (folder / name).write_bytes(content)
    return ingest(layer, FolderStore(folder / "store"), [name], folder=folder, home=folder)


def geometries(folder: Path, layer: Layer) -> dict[str, str | None]:
    return {row[layer.id_name]: row["geometry"] for row in held(folder, layer)}


# Documents


def test_a_collection_and_a_single_feature_are_read(tmp_path: Path) -> None:
    layer = layer_of(TREES)
    assert bring(tmp_path, layer, collection(feature(tag="1"), feature(tag="2"))).published == 2
    assert bring(tmp_path, layer, b"\xef\xbb\xbf" + orjson.dumps(feature(tag="3")), "one.JSON").published == 1
    assert bring(tmp_path, layer, collection()).files == {"file.geojson": 0}
    assert list(geometries(tmp_path, layer)) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"type": "FeatureCollection", "features": [}', "not valid JSON: line 1, column 44"),
        (b"[1, 2]", "holds no GeoJSON features; it must be a FeatureCollection or a Feature"),
        (orjson.dumps(HERE), "holds no GeoJSON features"),
        (collection(feature(number=1)), "no column for tag, the layer's id. Its columns are number"),
        (collection(feature(tag=1), crs={"type": "link"}), "its crs member names no coordinate system"),
        (
            collection(feature(tag=1), crs={"type": "name", "properties": {"name": "urn:x"}}),
            '"urn:x" is not a coordinate system that PROJ can turn',
        ),
    ],
)
def test_a_document_that_cannot_be_read_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(IngestError) as raised:
        bring(tmp_path, layer_of(TREES), content)
    assert "file.geojson: " in str(raised.value)
    assert message in str(raised.value)


def test_rejects_have_the_number_of_their_feature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geojson_file, "BATCH", 2)
    layer = layer_of(TREES)
    bare = {"type": "Feature", "properties": None, "geometry": HERE}
    ledger = bring(
        tmp_path,
        layer,
        collection(feature(tag="1"), None, feature(), feature(None, tag="4"), feature(tag="5"), {"type": "Point"}, bare),
    )
    assert [(line, reason) for _, line, reason in rejects(tmp_path)] == [
        (2, "not a GeoJSON feature"),
        (3, "no tag"),
        (4, "no position"),
        (6, "not a GeoJSON feature"),
        (7, "no tag"),
    ]
    assert (ledger.read, ledger.published) == (7, 2)


# Values


def test_values_become_text_as_they_are_written(tmp_path: Path) -> None:
    layer = layer_of(TREES)
    kinds = [5.0, 5.25, True, None, "  oak ", {"a": [1]}, 12345678901234567890, 1e300]
    bring(tmp_path, layer, collection(*(feature(tag=float(number), kind=kind) for number, kind in enumerate(kinds))))
    assert [row["tag"] for row in held(tmp_path, layer)] == ["0", "1", "2", "3", "4", "5", "6", "7"]
    found = [row["kind"] for row in held(tmp_path, layer)]
    assert found == ["5", "5.25", "true", None, "oak", '{"a":[1]}', "12345678901234567890", "1e+300"]


def test_a_feature_id_is_a_column_of_its_own(tmp_path: Path) -> None:
    layer = layer_of(TREES, ingest={"rename": {"id": "tag"}})
    bring(tmp_path, layer, collection({**feature(kind="oak"), "id": 7}, {**feature(id="own"), "id": 8}))
    assert [(row["tag"], row["kind"]) for row in held(tmp_path, layer)] == [("7", "oak"), ("own", None)]


def test_a_number_is_a_time_in_milliseconds(tmp_path: Path) -> None:
    layer = layer_of(TREES, timezone="America/Chicago", ingest={"dates": ["%m/%d/%Y"]})
    times = [1470425787000, 1470425787000.5, "8/5/2016", "2016-08-05T19:36:27Z", 1e30, True]
    ledger = bring(tmp_path, layer, collection(*(feature(tag=number, planted=time) for number, time in enumerate(times))))
    found = [row["planted"] and row["planted"].isoformat() for row in held(tmp_path, layer)]
    expected = [
        "2016-08-05T19:36:27+00:00",
        "2016-08-05T19:36:27.000500+00:00",
        "2016-08-05T05:00:00+00:00",
        "2016-08-05T19:36:27+00:00",
    ]
    assert found == [*expected, None, None]
    assert ledger.blanked == {"planted": 2}


# Positions


def test_a_place_is_a_point_and_nothing_else(tmp_path: Path) -> None:
    layer = layer_of(TREES)
    shapes = {
        "flat": {"type": "Point", "coordinates": [-92.3, 34.7, 120]},
        "single": {"type": "MultiPoint", "coordinates": [[-92.3, 34.7]]},
        "double": {"type": "MultiPoint", "coordinates": [[-92.3, 34.7], [-92.4, 34.7]]},
        "line": {"type": "LineString", "coordinates": SQUARE},
        "empty": {"type": "Point", "coordinates": []},
        "zero": {"type": "Point", "coordinates": [0, 0]},
        "away": {"type": "Point", "coordinates": [34.7, -92.3]},
        "torn": {"type": "Point", "coordinates": ["x", None]},
        "other": {"type": "Circle"},
        "text": "POINT (-92.3 34.7)",
        "none": None,
    }
    ledger = bring(tmp_path, layer, collection(*(feature(shape, tag=tag) for tag, shape in shapes.items())))
    assert geometries(tmp_path, layer) == {"flat": "POINT (-92.3 34.7)", "single": "POINT (-92.3 34.7)"}
    assert [reason for _, _, reason in rejects(tmp_path)] == [
        "a geometry of another kind than the layer's",
        "a geometry of another kind than the layer's",
        "no position",
        "position 0,0",
        "outside the bounds",
        "a position that cannot be read",
        "a position that cannot be read",
        "a position that cannot be read",
        "no position",
    ]
    assert ledger.reasons["a position that cannot be read"] == 3


def test_where_a_position_is_optional_rows_without_one_are_kept(tmp_path: Path) -> None:
    layer = layer_of(TREES, position="optional")
    shapes = [None, {"type": "Point", "coordinates": [0, 0]}, {"type": "Circle"}, {"type": "Point", "coordinates": [34.7, -92.3]}]
    ledger = bring(tmp_path, layer, collection(*(feature(shape, tag=number) for number, shape in enumerate(shapes))))
    assert geometries(tmp_path, layer) == {"0": None, "1": None, "2": None}
    assert (ledger.blanked, ledger.reasons) == ({"position": 1}, {"outside the bounds": 1})


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:EPSG::26951", "EPSG:26951"])
def test_the_coordinate_system_of_an_old_file_is_honoured(name: str, tmp_path: Path) -> None:
    layer = layer_of(TREES, ingest={"crs": "EPSG:3857"})
    # Arkansas North, in metres: the origin of its eastings lies 400 km west of 92° W.
    content = collection(
        feature({"type": "Point", "coordinates": [400_000, 40_000]}, tag="1"), crs={"type": "name", "properties": {"name": name}}
    )
    bring(tmp_path, layer, content)
    [place] = geometries(tmp_path, layer).values()
    assert place is not None
    x, y = (float(text) for text in place.removeprefix("POINT (").removesuffix(")").split())
    assert (round(x, 6), 34.69 < y < 34.7) == (-92, True)


def test_crs84_by_its_old_name_leaves_degrees_as_they_are(tmp_path: Path) -> None:
    layer = layer_of(TREES)
    bring(
        tmp_path, layer, collection(feature(tag="1"), crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}})
    )
    bring(tmp_path, layer, collection(feature(tag="2"), crs={"type": "EPSG", "properties": {"code": 4326}}))
    assert set(geometries(tmp_path, layer).values()) == {"POINT (-92.3 34.7)"}


def test_areas_are_polygons_mended_where_they_cross_themselves(tmp_path: Path) -> None:
    layer = layer_of(WARDS)
    flat = [[-92.4, 34.6], [-92.3, 34.6], [-92.4, 34.6], [-92.4, 34.6]]
    shapes = {
        "square": {"type": "Polygon", "coordinates": [[[*place, 120] for place in SQUARE]]},
        "bow": {"type": "Polygon", "coordinates": [BOW]},
        "flat": {"type": "Polygon", "coordinates": [flat]},
        "point": HERE,
        "mixed": {"type": "GeometryCollection", "geometries": [{"type": "Polygon", "coordinates": [SQUARE]}]},
        "empty": {"type": "Polygon", "coordinates": []},
        "open": {"type": "Polygon", "coordinates": [SQUARE[:3]]},
        "none": None,
        "away": {"type": "Polygon", "coordinates": [[[y, x] for x, y in SQUARE]]},
        "edge": {"type": "Polygon", "coordinates": [[[x - 0.65, y] for x, y in SQUARE]]},
    }
    ledger = bring(tmp_path, layer, collection(*(feature(shape, ward=ward) for ward, shape in shapes.items())))
    found = geometries(tmp_path, layer)
    assert list(found) == ["bow", "edge", "square"]
    assert found["square"] == "POLYGON ((-92.4 34.6, -92.3 34.6, -92.3 34.7, -92.4 34.7, -92.4 34.6))"
    assert str(found["bow"]).startswith("MULTIPOLYGON (((")
    assert [reason for _, _, reason in rejects(tmp_path)] == [
        "an invalid geometry that cannot be repaired",
        "a geometry of another kind than the layer's",
        "a geometry of another kind than the layer's",
        "no position",
        "a position that cannot be read",
        "no position",
        "outside the coordinate system",
    ]
    assert ledger.repaired == 1
    assert "Repaired: 1 invalid outline." in ledger.in_words()


def test_shapes_are_anything_but_collections(tmp_path: Path) -> None:
    layer = layer_of(WARDS, kind="shapes")
    shapes = {
        "line": {"type": "LineString", "coordinates": SQUARE[:2]},
        "point": HERE,
        "bow": {"type": "Polygon", "coordinates": [BOW]},
        "dot": {"type": "LineString", "coordinates": [SQUARE[0], SQUARE[0]]},
        "mixed": {"type": "GeometryCollection", "geometries": [HERE]},
        "zero": {"type": "Point", "coordinates": [0, 0]},
    }
    ledger = bring(tmp_path, layer, collection(*(feature(shape, ward=ward) for ward, shape in shapes.items())))
    assert list(geometries(tmp_path, layer)) == ["bow", "line", "point"]
    assert ledger.reasons == {
        "an invalid geometry that cannot be repaired": 1,
        "a geometry of another kind than the layer's": 1,
        "position 0,0": 1,
    }


def test_areas_in_another_coordinate_system_are_brought_to_degrees(tmp_path: Path) -> None:
    layer = layer_of(WARDS, bounds=(-94, 34, -92, 35), ingest={"crs": "EPSG:26915"})
    # UTM zone 15, whose eastings are 500,000 at 93° W.
    square = [[500_000, 3_840_000], [501_000, 3_840_000], [501_000, 3_841_000], [500_000, 3_840_000]]
    beyond = [[1e12, 3_840_000], [501_000, 3_840_000], [501_000, 3_841_000], [1e12, 3_840_000]]
    shapes = {"in": {"type": "Polygon", "coordinates": [square]}, "out": {"type": "Polygon", "coordinates": [beyond]}}
    bring(tmp_path, layer, collection(*(feature(shape, ward=ward) for ward, shape in shapes.items())))
    found = geometries(tmp_path, layer)
    assert list(found) == ["in"]
    assert shapely.from_wkt(str(found["in"])).bounds == pytest.approx((-93, 34.702029, -92.98908, 34.711046), abs=1e-5)
    assert [reason for _, _, reason in rejects(tmp_path)] == ["outside the coordinate system"]


def test_areas_from_a_table_without_outlines_have_no_position(tmp_path: Path) -> None:
    (tmp_path / "wards.csv").write_text("ward,lon,lat\n1,-92.3,34.7\n2,,\n")
    for position, reasons in (("required", {"no position": 2}), ("optional", {})):
        layer = layer_of(WARDS, position=position)
        ledger = ingest(layer, FolderStore(tmp_path / position), ["wards.csv"], folder=tmp_path, home=tmp_path)
        assert (ledger.reasons, ledger.published) == (reasons, 2 - sum(reasons.values()))

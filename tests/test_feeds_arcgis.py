"""Layers of ArcGIS servers, from one that counts, lists ids, pages and fails as they do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely
from feeding import bring, held, known, left, numbers, stops
from hypothesis import given
from hypothesis import strategies as st
from web_servers import Answer, ArcGis, cut, says, serving, status

from tileserver.errors import IngestError
from tileserver.ingest.feeds import esri_json

DAY = 86_400_000
NOON = 1_704_164_640_000
"""2024-01-02 03:04 UTC."""
IDS = [1, 2, 3, 40, 41, 42, 43, 900, 5000, 5001]


def feature(number: int, edited: int = NOON, outcome: str | None = "WARNING", place: Any = "here") -> tuple[dict[str, Any], Any]:
    attributes = {"OBJECTID": number, "number": number, "at": NOON, "outcome": outcome, "EditDate": edited}
    return attributes, {"x": -92.3, "y": 34.7} if place == "here" else place


@pytest.fixture
def site() -> Iterator[ArcGis]:
    site = ArcGis([feature(number) for number in IDS])
    with serving(site):
        yield site


@pytest.mark.parametrize("formats", ["JSON, geoJSON, PBF", "JSON, AMF"])
def test_a_layer_is_read_by_ranges_of_ids(site: ArcGis, tmp_path: Path, formats: str) -> None:
    site.formats = formats
    ledger = bring(tmp_path, site.url, page=1000)
    assert (ledger.read, ledger.published, ledger.files) == (10, 10, {site.url: 10})
    ranges = [asked.query["where"] for asked in site.pages()]
    assert ranges[:2] == ["(OBJECTID >= 1 AND OBJECTID <= 3)", "(OBJECTID >= 40 AND OBJECTID <= 42)"]
    assert len(ranges) == 4
    assert {(asked.query["outSR"], asked.query["orderByFields"], asked.query["f"]) for asked in site.pages()} == {
        ("4326", "OBJECTID", "geojson" if "geoJSON" in formats else "json")
    }
    assert {row["at"].isoformat() for row in held(tmp_path)} == {"2024-01-02T03:04:00+00:00"}
    assert {shapely.from_wkb(row["geometry"]).wkt for row in held(tmp_path)} == {"POINT (-92.3 34.7)"}


@pytest.mark.parametrize("ending", ["/", "/query", "/query?where=1=1&outFields=*&f=html"])
def test_an_address_may_be_that_of_a_query(site: ArcGis, tmp_path: Path, ending: str) -> None:
    assert bring(tmp_path, site.url + ending).read == 10


def test_what_was_not_edited_is_not_read_again(site: ArcGis, tmp_path: Path) -> None:
    bring(tmp_path, site.url)
    site.forget()
    for replace in (False, True):
        ledger = bring(tmp_path, site.url, replace=replace)
        assert (ledger.read, list(ledger.not_modified), numbers(tmp_path)) == (0, [site.url], IDS)
    assert len(site.asked) == 2
    assert known(tmp_path) == {site.url: {"edited": site.edited}}


def test_only_what_was_edited_since_is_read_where_features_tell(site: ArcGis, tmp_path: Path) -> None:
    site.edit_field, site.edited = "EditDate", NOON
    bring(tmp_path, site.url)
    site.features[4] = feature(41, NOON + 3 * DAY, "ARREST")
    site.features.append(feature(6000, NOON + 3 * DAY))
    site.features = [
        each if each[0]["number"] in (41, 6000) else feature(each[0]["number"], NOON - 2 * DAY) for each in site.features
    ]
    site.edited = NOON + 3 * DAY
    site.forget()
    ledger = bring(tmp_path, site.url)
    assert (ledger.read, ledger.published) == (2, 2)
    assert numbers(tmp_path) == [*IDS, 6000]
    [listed] = [asked for asked in site.asked if "returnIdsOnly" in asked.query]
    assert listed.query["where"] == "(EditDate >= TIMESTAMP '2024-01-01 03:04:00')"
    del site.features[0]
    assert bring(tmp_path, site.url, replace=True).unchanged == 0
    site.edited += DAY
    assert bring(tmp_path, site.url, replace=True).removed == 1


def test_without_a_time_of_edit_all_is_read_each_time(site: ArcGis, tmp_path: Path) -> None:
    site.edited = None
    bring(tmp_path, site.url)
    assert (bring(tmp_path, site.url).unchanged, known(tmp_path)) == (10, {site.url: {}})


@pytest.mark.parametrize("shown", [1, 2])
def test_an_answer_that_holds_less_than_it_was_asked_for_is_gone_on_with(site: ArcGis, tmp_path: Path, shown: int) -> None:
    site.shown = shown
    assert bring(tmp_path, site.url).published == 10
    assert numbers(tmp_path) == IDS


def test_a_server_that_gives_nothing_says_so(site: ArcGis, tmp_path: Path) -> None:
    site.shown = 0
    with pytest.raises(IngestError, match="gives not even one feature at a time"):
        bring(tmp_path, site.url)


def test_features_that_come_and_go_meanwhile_are_no_error(site: ArcGis, tmp_path: Path) -> None:
    def change() -> None:
        site.features = [each for each in site.features if each[0]["number"] not in (42, 43, 900)] + [feature(7000)]

    site.before_page = [lambda: None, change]
    site.edited = None
    assert bring(tmp_path, site.url).published == 7
    bring(tmp_path, site.url)
    assert numbers(tmp_path) == [1, 2, 3, 40, 41, 5000, 5001, 7000]


def test_ids_that_are_listed_in_parts_are_put_together(site: ArcGis, tmp_path: Path) -> None:
    parts = [{"objectIds": [3, 1, 2], "exceededTransferLimit": True}, {"objectIds": IDS[3:]}]
    site.faults = [None, *(says(part) for part in parts)]
    assert bring(tmp_path, site.url).published == 10
    assert site.asked[2].query["where"] == "(OBJECTID > 3)"


def test_a_server_that_lists_the_same_ids_for_ever_is_left(site: ArcGis, tmp_path: Path) -> None:
    again = says({"objectIds": [1, 2, 3], "exceededTransferLimit": True})
    site.faults = [None, *[again] * 9]
    with pytest.raises(IngestError, match="gives the same object ids again, so nothing is changed"):
        bring(tmp_path, site.url)
    assert len(site.asked) == 3


@pytest.mark.parametrize("formats", ["JSON, geoJSON", "JSON"])
def test_a_server_that_gives_the_same_page_for_ever_is_left(site: ArcGis, tmp_path: Path, formats: str) -> None:
    site.formats = formats
    attributes, _ = feature(1)
    page = {"attributes": attributes, "properties": attributes, "geometry": None}
    again = says({"features": [page], "exceededTransferLimit": True})
    site.faults = [None, None, None, *[again] * 9]
    with pytest.raises(IngestError, match="gives the same object ids again, so nothing is changed"):
        bring(tmp_path, site.url)
    assert len(site.pages()) == 2


@pytest.mark.parametrize(
    ("place", "document"),
    [
        (0, b'{"fields": [], "objectIdField": "OBJECTID", "editingInfo": {"lastEditDate": 1e300}}'),
        (0, b'{"fields": [], "objectIdField": "OBJECTID", "editingInfo": {"lastEditDate": 9000000000000000000}}'),
        (1, b'{"objectIds": [1, 99999999999999999999999]}'),
        (1, b'{"objectIds": [1, 18446744073709551615]}'),
        (3, b'{"features": [{"properties": {"OBJECTID": 1e23}, "geometry": null}]}'),
    ],
)
def test_numbers_that_no_id_or_date_can_be_are_refused(site: ArcGis, tmp_path: Path, place: int, document: bytes) -> None:
    site.faults = [None] * place + [lambda _: Answer(200, document)]
    with pytest.raises(IngestError, match="answers something else than an ArcGIS server does"):
        bring(tmp_path, site.url)


def test_a_layer_that_was_last_edited_in_the_year_1_is_read_and_asked_for_changes(site: ArcGis, tmp_path: Path) -> None:
    site.edit_field, site.edited = "EditDate", -62_135_596_800_000
    bring(tmp_path, site.url)
    site.edited = NOON
    site.forget()
    assert bring(tmp_path, site.url).unchanged == 10
    assert "TIMESTAMP '1970-01-01 00:00:00'" in site.asked[1].query["where"]


@pytest.mark.parametrize("miscounts", [3, -3])
def test_nothing_changes_if_the_features_are_not_as_many_as_counted(site: ArcGis, tmp_path: Path, miscounts: int) -> None:
    site.edited = None
    bring(tmp_path, site.url)
    site.miscounts = miscounts
    del site.features[0]
    with pytest.raises(IngestError, match=r"it lists 9 features, but says that it has (12|6), so nothing is changed"):
        bring(tmp_path, site.url, replace=True)
    assert numbers(tmp_path) == IDS
    assert left(tmp_path) == []


def test_an_empty_layer_replaces_nothing(site: ArcGis, tmp_path: Path) -> None:
    site.edited = None
    bring(tmp_path, site.url)
    site.features = []
    with pytest.raises(IngestError, match="holds no rows, so nothing is replaced"):
        bring(tmp_path, site.url, replace=True)
    assert numbers(tmp_path) == IDS


def test_the_where_and_the_token_of_an_address_are_used(site: ArcGis, tmp_path: Path) -> None:
    site.token = "canary"
    with pytest.raises(IngestError, match=r"answers the error 499\. It wants a token"):
        bring(tmp_path, site.url)
    ledger = bring(tmp_path, f"{site.url}?where=number>100&token=canary")
    assert (ledger.read, numbers(tmp_path)) == (3, [900, 5000, 5001])
    assert "canary" not in str(ledger.as_json())
    assert site.pages()[0].query["where"] == "(number>100) AND (OBJECTID >= 900 AND OBJECTID <= 5001)"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            {"code": 400, "message": "Unable to complete operation.", "details": ["canary"]},
            "the error 400. It does not take the query",
        ),
        ({"code": 498, "message": "Invalid token: canary"}, "the error 498. Its token is not valid"),
        ("canary", r"the error \(unknown\)"),
    ],
)
def test_an_error_in_a_good_answer_is_told(site: ArcGis, tmp_path: Path, error: Any, message: str) -> None:
    site.faults = [None, says({"error": error})]
    with pytest.raises(IngestError, match=message) as failed:
        bring(tmp_path, site.url)
    assert "canary" not in str(failed.value)
    assert len(site.asked) == 2


def test_troubles_that_pass_are_borne(site: ArcGis, tmp_path: Path) -> None:
    site.faults = [status(503), None, says({"error": {"code": 504}}), None, None, cut(40), None, status(429, Retry_After="0")]
    assert bring(tmp_path, site.url).published == 10
    assert numbers(tmp_path) == IDS


def test_a_failed_run_goes_on_at_the_next_page(site: ArcGis, tmp_path: Path) -> None:
    site.faults = [None] * 5 + [status(503)] * 6
    with pytest.raises(IngestError, match="given up after 5 retries"):
        bring(tmp_path, site.url)
    site.forget()
    assert bring(tmp_path, site.url).published == 10
    assert [asked.query["where"] for asked in site.pages()] == [
        "(OBJECTID >= 43 AND OBJECTID <= 5000)",
        "(OBJECTID >= 5001 AND OBJECTID <= 5001)",
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"type": "Group Layer", "fields": None}, "is no layer of features"),
        ({"type": "Feature Layer", "fields": []}, "has no object ids"),
        ([], "answers something else than an ArcGIS server does"),
    ],
)
def test_what_is_no_layer_of_features_is_refused(site: ArcGis, tmp_path: Path, document: Any, message: str) -> None:
    site.faults = [says(document)]
    with pytest.raises(IngestError, match=message):
        bring(tmp_path, site.url)


def test_a_service_is_no_layer(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"name one of them, such as https://gis\.example\.org/rest/services/Stops/MapServer/0"):
        bring(tmp_path, "https://user:canary@gis.example.org/rest/services/Stops/MapServer")


# Esri's JSON


def test_esri_geometries_are_those_of_geojson() -> None:
    outer, hole = [[0, 0], [0, 9], [9, 9], [9, 0], [0, 0]], [[2, 2], [4, 2], [4, 4], [2, 4], [2, 2]]
    island, elsewhere = [[3, 3], [3, 3.5], [3.5, 3.5], [3, 3]], [[20, 0], [20, 1], [21, 1], [20, 0]]
    assert esri_json.geometry({"x": 1, "y": 2, "z": 3}) == {"type": "Point", "coordinates": [1, 2]}
    assert esri_json.geometry({"x": "NaN", "y": "NaN"}) is None
    assert esri_json.geometry({"rings": []}) is None
    assert esri_json.geometry({"paths": [[[0, 0, 7], [1, 1, 7]]]}) == {"type": "MultiLineString", "coordinates": [[[0, 0], [1, 1]]]}
    assert esri_json.geometry({"points": [[0, 0]]}) == {"type": "MultiPoint", "coordinates": [[0, 0]]}
    assert esri_json.geometry({"rings": [outer, hole, island, elsewhere]}) == {
        "type": "MultiPolygon",
        "coordinates": [[outer, hole], [island], [elsewhere]],
    }
    assert esri_json.geometry({"rings": [hole]}) == {"type": "MultiPolygon", "coordinates": [[hole]]}


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), min_size=1, max_size=8, unique_by=lambda each: each[:2]
    )
)
def test_squares_with_and_without_holes_keep_their_area(squares: list[tuple[int, int, bool]]) -> None:
    rings, area = [], 0.0
    for column, row, holed in squares:
        x, y = column * 10, row * 10
        rings.append([[x, y], [x, y + 8], [x + 8, y + 8], [x + 8, y], [x, y]])
        rings += [[[x + 1, y + 1], [x + 3, y + 1], [x + 3, y + 3], [x + 1, y + 3], [x + 1, y + 1]]] if holed else []
        area += 64 - 4 * holed
    made = esri_json.geometry({"rings": rings[::-1]})
    assert made is not None
    polygons = [shapely.Polygon(shell, holes) for shell, *holes in made["coordinates"]]
    assert shapely.MultiPolygon(polygons).is_valid
    assert sum(each.area for each in polygons) == area


def test_positions_of_no_layer_of_points_are_read(site: ArcGis, tmp_path: Path) -> None:
    site.formats = "JSON"
    ring = {"rings": [[[-92.3, 34.7], [-92.3, 34.8], [-92.2, 34.8], [-92.3, 34.7]]]}
    site.features = [feature(1, place=ring), feature(2, place=None)]
    ledger = bring(tmp_path, site.url, layer=stops(kind="areas", position="required"))
    assert (ledger.published, ledger.reasons) == (1, {"no position": 1})

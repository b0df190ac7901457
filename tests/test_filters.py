"""Query parameters become one canonical filter a layer, or a clear refusal."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus

import mapbox_vector_tile
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from town import WARDS, Town

from tileserver import filters, times
from tileserver.catalog import GEOMETRY, Layer
from tileserver.errors import BadRequest, ConfigError
from tileserver.filters import Area, Filter, periods
from tileserver.snapshot.inside import Region

REPORTS = Layer.model_validate(
    {
        "id": "reports",
        "title": "Reports",
        "kind": "events",
        "timezone": "America/Chicago",
        "fields": {"at": {"role": "time"}, "kind": {"role": "category"}, "status": {"role": "category"}, "note": {}},
    }
)
SCHOOLS = Layer.model_validate({"id": "schools", "title": "Schools", "kind": "places", "fields": {"level": {"role": "category"}}})

COMPLETE = times.to_instant(datetime(2024, 3, 15, 17, 30, tzinfo=UTC))


def area_of(layer: str, id: str) -> Area:
    """As if every area had the same place."""
    return Area(layer, id, "r1", Region(shapely.box(-92.4, 34.6, -92.2, 34.8)))


def parsed(*items: tuple[str, str]) -> Filter:
    return filters.parse([REPORTS], items, lambda _: COMPLETE, area_of)["reports"]


def told(filter: Filter) -> str:
    assert filter.interval is not None
    return filters.interval_text(REPORTS, filter.interval)


def test_a_date_is_the_whole_day_on_the_layers_clock_also_when_it_changes() -> None:
    assert told(parsed(("datetime", "2024-07-04"))) == "2024-07-04T00:00:00-05:00/2024-07-04T23:59:59.999999-05:00"
    interval = parsed(("datetime", "2024-03-10")).interval
    assert interval is not None
    assert interval[1] is not None
    assert interval[0] is not None
    assert interval[1] - interval[0] == 23 * times.HOUR


def test_both_ends_of_an_interval_are_included() -> None:
    filter = parsed(("datetime", "2024-01-01T00:00:00Z/2024-01-02T00:00:00Z"))
    assert filter.interval == (
        times.to_instant(datetime(2024, 1, 1, tzinfo=UTC)),
        times.to_instant(datetime(2024, 1, 2, tzinfo=UTC)) + 1,
    )


def test_a_plus_that_arrived_as_a_space_is_a_plus() -> None:
    spelled = ["2024-01-01T06:00:00+06:00", "2024-01-01T06:00:00 06:00", "2024-01-01t00:00:00z", "2023-12-31T18:00:00.000-06:00"]
    assert len({parsed(("datetime", text)) for text in spelled}) == 1
    assert len({parsed(("datetime", text)).text for text in spelled}) == 1


def test_open_sides_are_open_and_open_on_both_is_no_condition() -> None:
    assert parsed(("datetime", "../2024-01-01")).interval == parsed(("datetime", "/2024-01-01")).interval
    assert parsed(("datetime", "2024-01-01/..")).interval == (*(parsed(("datetime", "2024-01-01")).interval or ())[:1], None)
    assert parsed(("datetime", "../..")) == Filter()


@pytest.mark.parametrize(
    "text",
    ["2024-02-30", "0000-01-01", "10000-01-01", "2024-01-02/2024-01-01", "2024-01-01T25:00:00Z", "2024-01-01T00:00:00", "", "now",
     "2024-01-01/2024-01-02/2024-01-03", "２０２４-01-01", "2024-1-1", "2024-01-01T00:00:00+99:00", "1e3", "\x00"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="datetime"):
        parsed(("datetime", text))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("24h", "2024-03-14T13:00:00-05:00/2024-03-15T12:59:59.999999-05:00"),
        ("1d", "2024-03-15T00:00:00-05:00/2024-03-15T23:59:59.999999-05:00"),
        ("7d", "2024-03-09T00:00:00-06:00/2024-03-15T23:59:59.999999-05:00"),
        ("1w", "2024-03-09T00:00:00-06:00/2024-03-15T23:59:59.999999-05:00"),
        ("6m", "2023-09-16T00:00:00-05:00/2024-03-15T23:59:59.999999-05:00"),
        ("1y", "2023-03-16T00:00:00-05:00/2024-03-15T23:59:59.999999-05:00"),
        ("ytd", "2024-01-01T00:00:00-06:00/2024-03-15T23:59:59.999999-05:00"),
    ],
)
def test_last_ends_with_the_step_in_which_the_layer_is_complete(text: str, meaning: str) -> None:
    filter = parsed(("last", text))
    assert told(filter) == meaning
    assert filter.relative
    assert filter == parsed(("datetime", meaning))


@pytest.mark.parametrize("text", ["0d", "-1d", "1", "d", "1.5d", "99999d", "9999y", "1D", " 7d", "٧d", ""])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="last"):
        parsed(("last", text))


@given(st.dates(date(1950, 1, 1), date(2060, 1, 1)), st.integers(1, 400))
def test_months_before_a_day_are_whole_and_never_overlap(end: date, count: int) -> None:
    begin = periods._months_before(end, count)
    assert begin < end
    assert (end.year - begin.year) * 12 + end.month - begin.month == count
    assert begin.day == end.day or (begin + timedelta(days=1)).day == 1


@pytest.mark.parametrize(
    "text",
    ["1,2,3", "1,2,3,4,5", "nan,0,1,1", "inf,0,1,1", "0,5,1,4", "a,b,c,d", "-181,0,1,1", "0,0,1,91", "1e1,0,1,1", "", "1_0,0,1,1"],
)
def test_what_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="bbox"):
        parsed(("bbox", text))


def test_spellings_of_one_filter_are_one() -> None:
    one = parsed(("kind", "A"), ("kind", "B"), ("bbox", "-92.50,34,-92,35.0"), ("properties", "note,at"))
    other = parsed(("properties", "at,note,"), ("kind", "B"), ("bbox", "-92.5,34.,-92.0,35"), ("kind", "A"), ("kind", "B"))
    assert one == other
    assert one.text == other.text
    assert one.text != parsed(("kind", "A,B")).text


@pytest.mark.parametrize(
    "name", ["nothing", "note", "kind'--", "id", "_at", "where", ".kind", "schools.level", "reports.nothing", "reports."]
)
def test_an_undeclared_field_is_refused_in_the_same_words_as_none(name: str) -> None:
    with pytest.raises(BadRequest) as one:
        parsed((name, "1"))
    with pytest.raises(BadRequest) as other:
        parsed(("certainly_nothing", "1"))
    assert str(one.value) == str(other.value)


def test_a_second_value_for_what_takes_one_is_refused() -> None:
    for name, value in (("datetime", "2024-01-01"), ("last", "7d"), ("bbox", "0,0,1,1"), ("properties", "at")):
        with pytest.raises(BadRequest, match=f"{name} takes one value"):
            parsed((name, value), (name, value))
    with pytest.raises(BadRequest, match="exclude each other"):
        parsed(("datetime", "2024-01-01"), ("last", "7d"))


def test_on_several_layers_a_parameter_goes_to_those_that_have_it_and_a_prefix_to_one() -> None:
    items = [("last", "7d"), ("level", "high"), ("bbox", "0,0,1,1"), ("reports.bbox", "2,2,3,3"), ("reports.kind", "A")]
    asked = filters.parse([REPORTS, SCHOOLS], items, lambda _: COMPLETE, area_of)
    assert asked["schools"] == Filter(bbox=(0, 0, 1, 1), categories=(("level", ("high",)),))
    assert asked["reports"].bbox == (2, 2, 3, 3)
    assert asked["reports"].categories == (("kind", ("A",)),)
    with pytest.raises(BadRequest, match="Unknown parameter"):
        filters.parse([SCHOOLS], [("last", "7d")], lambda _: COMPLETE, area_of)


def test_a_layers_own_time_takes_the_place_of_the_common_one() -> None:
    asked = filters.parse([REPORTS, SCHOOLS], [("last", "7d"), ("reports.datetime", "2024-01-01")], lambda _: COMPLETE, area_of)
    assert asked["reports"] == parsed(("datetime", "2024-01-01"))


@pytest.mark.parametrize(
    "text", ["9999-12-31", "../9999-12-31", "0001-01-01", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
)
def test_the_first_and_the_last_day_there_is_can_be_told(text: str) -> None:
    assert told(parsed(("datetime", text))).count("/") == 1


def test_undeclared_properties_are_refused_in_the_same_words() -> None:
    with pytest.raises(BadRequest) as one:
        parsed(("properties", "secret"))
    with pytest.raises(BadRequest) as other:
        parsed(("properties", "at,nothing"))
    assert str(one.value) == str(other.value)
    assert parsed(("properties", "")).properties == ()


def test_a_default_filter_is_a_filter_of_its_layer() -> None:
    layer = REPORTS.model_copy(update={"default_filter": {"last": "30d", "kind": ("FIRE", "NOISE")}})
    filters.check_default(layer)
    assert filters.default_items(layer) == [("last", "30d"), ("kind", "FIRE"), ("kind", "NOISE")]
    for wrong in ({"last": "soon"}, {"colour": "red"}, {"last": ("7d", "30d")}):
        with pytest.raises(ConfigError, match=r"reports\.toml: default_filter: "):
            filters.check_default(REPORTS.model_copy(update={"default_filter": wrong}))


# An area of another layer


def test_an_area_is_part_of_the_filter_with_its_revision() -> None:
    filter = parsed(("area", "wards:3"))
    assert filter.area == Area("wards", "3", "r1", Region(shapely.Polygon()))
    assert '"wards","3","r1"' in filter.text
    assert not filter.is_open
    assert filter != parsed(("area", "wards:4"))
    assert filter.moves
    assert parsed(("area", "wards:a:b")).area == Area("wards", "a:b", "r1", Region(shapely.Polygon()))


@pytest.mark.parametrize("text", ["", ":", "wards", "wards:", ":3"])
def test_what_names_no_area_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="area takes"):
        parsed(("area", text))
    with pytest.raises(ConfigError, match=r"default_filter: area takes"):
        filters.check_default(REPORTS.model_copy(update={"default_filter": {"area": text}}))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("filters") / "town").settle()


@pytest.fixture
def client(town: Town) -> Iterator[TestClient]:
    with town.client() as client:
        yield client


def test_rows_in_an_area_are_counted_downloaded_and_drawn_alike(client: TestClient) -> None:
    ward = shapely.box(-92.3, 34.6, -92.2, 34.8)
    rows = client.get("/downloads/reports.geojson").json()["features"]
    inside = [row["id"] for row in rows if row["geometry"] and shapely.intersects(shapely.geometry.shape(row["geometry"]), ward)]
    assert 0 < len(inside) < len(rows)
    counted = client.get("/count/reports?area=wards:2").json()
    assert counted["count"] == len(inside)
    assert [row["id"] for row in client.get("/downloads/reports.geojson?area=wards:2").json()["features"]] == inside
    assert client.get("/ogc/collections/reports/items?area=wards:2&limit=1000").json()["numberMatched"] == len(inside)
    found = mapbox_vector_tile.decode(client.get("/tiles/reports/2/0/1.mvt?area=wards:1&aggregate=always").content)
    drawn = sum(feature["properties"].get("point_count", 1) for feature in found["reports"]["features"])
    assert drawn == client.get("/count/reports?area=wards:1").json()["count"]


def test_a_filter_and_a_polygon_in_it_say_what_parameters_and_an_area_do(client: TestClient) -> None:
    polygon = "S_INTERSECTS(geometry, BBOX(-92.4, 34.6, -92.3, 34.8))"
    for one, other in (
        ({"filter": "kind = 'NOISE' AND at >= DATE('2023-11-20')"}, {"kind": "NOISE", "datetime": "2023-11-20/.."}),
        ({"filter": polygon}, {"area": "wards:1"}),
    ):
        counts = [client.get("/count/reports", params=params).json()["count"] for params in (one, other)]
        assert counts[0] == counts[1] > 0
    tags = [
        client.get("/tiles/reports/5/7/12.mvt", params=params).headers["etag"]
        for params in ({"filter": "kind = 'NOISE'"}, {"kind": "NOISE"}, {"filter": "kind = 'FIRE'"})
    ]
    assert tags[0] == tags[1] != tags[2]


def test_an_answer_of_two_layers_carries_both_revisions_and_is_never_immutable(town: Town, client: TestClient) -> None:
    tiles = client.get("/tiles/reports.json?area=wards:2&kind=NOISE").json()["tiles"][0]
    assert "area=wards%3A2" in tiles
    address = tiles.removeprefix("http://testserver").format(z=2, x=0, y=1)
    before = client.get(address)
    assert "immutable" in client.get(address.replace("area=wards%3A2&", "")).headers["cache-control"]
    assert "immutable" not in before.headers["cache-control"]
    picture = client.get("/raster/reports/tilejson.json?area=wards:2").json()["tiles"][0].removeprefix("http://testserver")
    assert "immutable" not in client.get(picture.format(z=2, x=0, y=1)).headers["cache-control"]
    old = client.get("/count/reports?area=wards:2").json()

    town.publish("wards", [WARDS[0], WARDS[1] | {GEOMETRY: shapely.box(-92.29, 34.6, -92.2, 34.8)}])
    new = client.get("/count/reports?area=wards:2").json()
    assert new["count"] < old["count"]
    assert new["revision"] == old["revision"]
    assert new["area"]["revision"] != old["area"]["revision"]
    after = client.get(address, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == HTTPStatus.OK
    assert after.headers["etag"] != before.headers["etag"]


@pytest.mark.parametrize("area", ["wards:99", "wards:two", "schools:1", "reports:R-0001", "nothing:1", "wards:<script>"])
def test_an_area_that_is_not_there_is_refused_without_being_told_back(client: TestClient, area: str) -> None:
    answer = client.get("/count/reports", params={"area": area})
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert answer.json()["detail"].startswith("area names no")
    assert area not in answer.text


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2_000,
        "NOT " * 1_000 + "cost = 1",
        "cost IN (" + ",".join(["1"] * 5_000) + ")",
        "S_WITHIN(geometry, POLYGON((" + ",".join(["1 2"] * 10_000) + ")))",
        "cost = 1e400",
        "cost = 1/0",
        "kind = 5",
        "pg_sleep(10) = 1",
        "secret = 1",
        "kind = 'x",
    ],
    ids=lambda text: f"{text[:20]}… {len(text)}",
)
def test_filters_that_cannot_be_are_refused_everywhere(client: TestClient, text: str) -> None:
    for path in ("/count/reports", "/tiles/reports/2/0/1.mvt", "/downloads/reports.csv", "/ogc/collections/reports/items"):
        answer = client.get(path, params={"filter": text})
        assert answer.status_code in (
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.REQUEST_URI_TOO_LONG,
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        )
        assert answer.headers["cache-control"] == "no-store"
        assert "secret" not in answer.text
        assert "pg_sleep" not in answer.text
    assert client.get("/count/reports?filter=TRUE").status_code == HTTPStatus.OK


def test_pages_of_items_go_on_under_a_filter_and_end_under_another(client: TestClient) -> None:
    page = client.get("/ogc/collections/reports/items", params={"filter": "cost > 10", "limit": 100}).json()
    following = next(link["href"] for link in page["links"] if link["rel"] == "next")
    seen = {row["id"] for row in page["features"]} | {row["id"] for row in client.get(following).json()["features"]}
    assert len(seen) == 200
    assert client.get(following.replace("cost+%3E+10", "cost+%3E+11")).status_code == HTTPStatus.BAD_REQUEST

"""OGC API – Features: its shapes, its pages, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from town import Town, report

from tileserver.catalog import GEOMETRY
from tileserver.filters import Filter
from tileserver.forget import forget
from tileserver.ogc import cursor
from tileserver.ogc.cursor import Cursor
from tileserver.snapshot import FORMAT, Live
from tileserver.stores import open_store

COUNTED = """
    title = "Counted"
    kind = "events"
    publish = "counts"
    [fields]
    number = { role = "id" }
    at = { role = "time" }
"""
ODD = """
    title = "Odd ids"
    kind = "places"
    license = "https://creativecommons.org/publicdomain/zero/1.0/"
    [fields]
    name = { role = "id" }
    limit = { role = "category" }
"""
ODD_IDS = ["a/b", "100%", "é ?&=#", "..", "a+b", "<i>", "7"]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    town = Town(tmp_path_factory.mktemp("town"))
    (town.settings.layers / "counted.toml").write_text(COUNTED, "utf-8")
    (town.settings.layers / "odd.toml").write_text(ODD, "utf-8")
    town.reloaded().publish("counted", [{"number": "1", "at": 0, GEOMETRY: shapely.Point(-92.3, 34.7)}])
    town.publish("odd", [{"name": id, "limit": "1", GEOMETRY: shapely.Point(-92.3, 34.7)} for id in ODD_IDS])
    return town.settle()


@pytest.fixture(scope="module")
def client(town: Town) -> Iterator[TestClient]:
    with town.client() as client:
        yield client


LINK = {
    "type": "object",
    "required": ["href", "rel"],
    "properties": {"href": {"type": "string", "pattern": "^https?://"}, "rel": {"type": "string"}, "type": {"type": "string"}},
}
LINKS = {"type": "array", "items": LINK}
COLLECTION = {
    "type": "object",
    "required": ["id", "links", "extent", "itemType", "crs"],
    "properties": {
        "links": LINKS,
        "itemType": {"const": "feature"},
        "crs": {"type": "array", "prefixItems": [{"const": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}]},
        "extent": {
            "properties": {
                "spatial": {
                    "required": ["bbox"],
                    "properties": {"bbox": {"items": {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "number"}}}},
                },
                "temporal": {
                    "required": ["interval"],
                    "properties": {"interval": {"items": {"minItems": 2, "maxItems": 2, "items": {"type": ["string", "null"]}}}},
                },
            }
        },
    },
}
FEATURE = {
    "type": "object",
    "required": ["type", "id", "geometry", "properties"],
    "properties": {
        "type": {"const": "Feature"},
        "id": {"type": ["string", "integer"]},
        "geometry": {"anyOf": [{"type": "null"}, {"required": ["type", "coordinates"]}]},
        "properties": {"type": "object"},
    },
}
SHAPES = {
    "/ogc": {"required": ["title", "links"], "properties": {"links": LINKS}},
    "/ogc/conformance": {
        "required": ["conformsTo"],
        "properties": {"conformsTo": {"contains": {"const": "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core"}}},
    },
    "/ogc/collections": {
        "required": ["links", "collections"],
        "properties": {"links": LINKS, "collections": {"type": "array", "items": COLLECTION}},
    },
    "/ogc/collections/reports": COLLECTION,
    "/ogc/collections/reports/items": {
        "required": ["type", "features", "links", "timeStamp", "numberMatched", "numberReturned"],
        "properties": {
            "type": {"const": "FeatureCollection"},
            "features": {"type": "array", "items": FEATURE},
            "links": LINKS,
            "timeStamp": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$"},
            "numberMatched": {"type": "integer"},
            "numberReturned": {"type": "integer"},
        },
    },
    "/ogc/collections/wards/items/1": FEATURE,
}


@pytest.mark.parametrize("path", SHAPES)
def test_answers_have_the_shapes_of_the_standard(client: TestClient, path: str) -> None:
    answer = client.get(path)
    jsonschema.validate(answer.json(), SHAPES[path])
    geojson = "/items" in path
    assert answer.headers["content-type"] == ("application/geo+json" if geojson else "application/json")
    assert client.head(path).headers["content-length"] == str(len(answer.content))
    assert client.get(path, params={"f": "json"}).status_code == 200


def test_every_link_answers_with_the_type_that_it_tells(client: TestClient) -> None:
    pages = [
        "/ogc",
        "/ogc/",
        "/ogc/collections",
        "/ogc/collections/reports",
        "/ogc/collections/reports/items?limit=3&kind=FIRE&f=json",
    ]
    links = [link for page in pages for link in client.get(page).json()["links"]]
    assert {"self", "service-desc", "conformance", "data", "items", "collection", "next"} == {link["rel"] for link in links}
    for link in links:
        answer = client.get(link["href"])
        assert (answer.status_code, answer.headers["content-type"]) == (200, link["type"])


def test_the_description_names_addresses_and_parameters_that_are_taken(client: TestClient) -> None:
    answer = client.get("/ogc/api")
    api = answer.json()
    assert answer.headers["content-type"] == "application/vnd.oai.openapi+json;version=3.0"
    assert (api["openapi"], api["servers"]) == ("3.0.3", [{"url": "http://testserver/ogc"}])
    values = {
        "limit": "2", "bbox": "-93,34,-92,35", "datetime": "2023-11-20/..", "last": "7d", "properties": "kind", "kind": "FIRE",
        "f": "json", "area": "wards:1", "filter": "cost > 1", "filter-lang": "cql2-text",
    }  # fmt: skip
    named = {each["name"] for each in api["paths"]["/collections/reports/items"]["get"]["parameters"]}
    assert named == {*values, "cursor"}
    for name, value in values.items():
        assert client.get("/ogc/collections/reports/items", params={name: value}).status_code == 200
    for path in api["paths"]:
        if "{" not in path:
            assert client.get(f"/ogc{path}").status_code == 200


def test_a_layer_of_counts_is_no_collection(client: TestClient) -> None:
    ids = [collection["id"] for collection in client.get("/ogc/collections").json()["collections"]]
    assert ids == ["odd", "reports", "schools", "wards"]
    assert "counted" not in client.get("/ogc/api").text
    for path in ("", "/items", "/items/1"):
        assert client.get(f"/ogc/collections/counted{path}").status_code == 404


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=NaN", "limit=1e3", "limit=", "limit=%2B1", "limit=1&limit=2", "limit=１", "cursor=", "cursor=a",
     "cursor=a&cursor=a", "f=html", "f=json&f=json", "secret=1", "crs=EPSG:3857", "bbox=1,2,3", "bbox=1,2,x,3,4,5", "datetime=x",
     "offset=10", "kind.x=1", "properties=secret"],
)  # fmt: skip
def test_what_items_do_not_take_is_refused(client: TestClient, query: str) -> None:
    answer = client.get(f"/ogc/collections/reports/items?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_other_addresses_take_no_parameters_and_unknown_ones_are_not_there(client: TestClient) -> None:
    for path in (
        "/ogc",
        "/ogc/conformance",
        "/ogc/api",
        "/ogc/collections",
        "/ogc/collections/reports",
        "/ogc/collections/wards/items/1",
    ):
        assert client.get(f"{path}?limit=1").status_code == 400
    unknown = ["nothing", "nothing/items", "reports/", "reports/items/", "reports/items/R-9999", "reports/items/%00"]
    unknown += ["wards/items/01", "wards/items/1e0", "wards/items/99999999999999999999", "schools/items/x"]
    for path in unknown:
        assert client.get(f"/ogc/collections/{path}", follow_redirects=False).status_code == 404
    assert client.post("/ogc/collections/reports/items").status_code == 405


def test_a_page_has_at_most_ten_thousand_items_and_a_hundred_unless_asked(client: TestClient) -> None:
    assert client.get("/ogc/collections/reports/items").json()["numberReturned"] == 100
    page = client.get("/ogc/collections/reports/items?limit=1000000000000").json()
    assert (page["numberReturned"], page["numberMatched"]) == (301, 301)
    assert "next" not in {link["rel"] for link in page["links"]}


def test_one_item_is_found_by_its_id_whatever_it_is_made_of(client: TestClient) -> None:
    for id in ODD_IDS:
        if id == "..":  # no client keeps such a path
            continue
        item = client.get(f"/ogc/collections/odd/items/{quote(id, safe='')}").json()
        assert item["id"] == item["properties"]["name"] == id
        own = next(link["href"] for link in item["links"] if link["rel"] == "self")
        assert client.get(own).json() == item
    item = client.get("/ogc/collections/reports/items/R-0300").json()
    assert (item["geometry"], item["properties"]["cost"]) == (None, 75.0)


def test_a_category_called_limit_does_not_shadow_the_limit(client: TestClient) -> None:
    page = client.get("/ogc/collections/odd/items?limit=2").json()
    assert (page["numberReturned"], page["numberMatched"]) == (2, len(ODD_IDS))
    assert page["features"][0]["properties"]["limit"] == "1"


def test_a_box_with_heights_is_one_without(client: TestClient) -> None:
    flat = client.get("/ogc/collections/reports/items?bbox=-92.3,34.7,-92.28,34.702").json()
    high = client.get("/ogc/collections/reports/items?bbox=-92.3,34.7,-100,-92.28,34.702,9000.5").json()
    assert flat["features"] == high["features"]
    assert 0 < flat["numberMatched"] < 301


def test_an_unchanged_page_is_304_and_each_encoding_has_its_own_tag(client: TestClient) -> None:
    path = "/ogc/collections/reports/items?limit=5&last=7d"
    plain, packed = client.get(path), client.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json()["features"] == plain.json()["features"]
    assert plain.headers["etag"] != packed.headers["etag"]
    again = client.get(path, headers={"If-None-Match": plain.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", plain.headers["etag"])
    other = client.get(f"{path}&kind=FIRE", headers={"If-None-Match": plain.headers["etag"]})
    assert other.status_code == 200


def pages(client: TestClient, query: dict[str, Any], layer: str = "reports") -> Iterator[dict[str, Any]]:
    page = client.get(f"/ogc/collections/{layer}/items", params=query).json()
    yield page
    while links := [link["href"] for link in page["links"] if link["rel"] == "next"]:
        page = client.get(links[0]).json()
        yield page


conditions = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.lists(st.sampled_from(["NOISE", "FIRE", "", "NOTHING"]), min_size=1, max_size=2),
        "last": st.sampled_from(["24h", "3d", "1y", "2000y"]),
        "bbox": st.sampled_from(["-92.3,34.7,-92.28,34.702", "-92.29,34.6,-92.2,34.8", "0,0,1,1"]),
        "properties": st.sampled_from(["kind", "cost,at"]),
    },
)


@given(query=conditions, limit=st.integers(1, 120))
@settings(max_examples=25)
def test_the_pages_of_a_filter_hold_each_matching_row_once(client: TestClient, query: dict[str, Any], limit: int) -> None:
    asked = {name: value for name, value in query.items() if name != "properties"}
    rows = client.get("/downloads/reports.geojson", params=query).json()["features"]
    count = client.get("/count/reports", params=asked).json()["count"]
    limit = max(limit, count // 12)
    every = list(pages(client, {**query, "limit": limit}))
    assert [feature for page in every for feature in page["features"]] == rows
    assert [page["numberMatched"] for page in every] == [count] * len(every)
    assert len(every) == max(-(-count // limit), 1)


PLACES = [shapely.Point(-92.3, 34.7), shapely.Point(-92.25, 34.75), shapely.Point(10, 50), None]


@given(
    places=st.lists(st.sampled_from(PLACES), min_size=12, max_size=12),
    later=st.lists(st.sampled_from([*PLACES, "gone"]), min_size=16, max_size=16),
    limit=st.integers(1, 5),
    kind=st.sampled_from([None, "NOISE"]),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_pages_go_on_in_the_revision_that_they_began_with(
    tmp_path_factory: pytest.TempPathFactory, places: list[Any], later: list[Any], limit: int, kind: str | None
) -> None:
    town = Town(tmp_path_factory.mktemp("moving"))
    before = [report(number, **{GEOMETRY: place}) for number, place in enumerate(places)]
    after = [report(number, cost=1.0, **{GEOMETRY: place}) for number, place in enumerate(later) if not isinstance(place, str)]
    query = {"limit": limit, "kind": kind} if kind else {"limit": limit}
    town.publish("reports", before)
    with town.client() as client:
        every = []
        for page in pages(client, query):
            every.append(page)
            if len(every) == 1:
                town.publish("reports", after)
        again = list(pages(client, query))
    for told, rows in ((every, before), (again, after)):
        costs = {row["number"]: row["cost"] for row in rows if kind in (None, row["kind"])}
        features = [feature for page in told for feature in page["features"]]
        assert {feature["id"]: feature["properties"]["cost"] for feature in features} == costs
        assert len(features) == len(costs)
        assert {page["numberMatched"] for page in told} == {len(costs)}
        assert len({page["revision"] for page in told}) == 1
    assert every[0]["revision"] != again[0]["revision"]


CHANGED = "The data have changed since this page was made. Begin again without cursor."


def test_pages_of_a_revision_that_is_gone_begin_again(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    with town.client() as client:
        first = client.get("/ogc/collections/reports/items?limit=100").json()
        second = following(first)
        town.publish("reports", [report(number, cost=1.0) for number in range(300)])
        kept = client.get(second)
        assert kept.status_code == 200
        assert kept.json()["revision"] == first["revision"]
        assert client.get(second, headers={"If-None-Match": kept.headers["etag"]}).status_code == 304
        town.publish("reports", [report(number, cost=2.0) for number in range(300)])
        for query in ({}, {"If-None-Match": kept.headers["etag"]}):
            gone = client.get(second, headers=query)
            assert (gone.status_code, gone.json()["detail"], gone.headers["cache-control"]) == (400, CHANGED, "no-store")
        assert client.get("/ogc/collections/reports/items?limit=100").json()["features"][0]["properties"]["cost"] == 2


def test_a_page_never_tells_a_record_that_was_forgotten_since(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    with town.client() as client:
        second = following(client.get("/ogc/collections/reports/items?limit=100").json())
        [*_, last] = [feature["id"] for feature in client.get(second).json()["features"]]
        layer = town.layers["reports"]
        with open_store(town.settings.store) as store:
            forget(layer, [last], store, town.settings)
        answer = client.get(second)
        assert (answer.status_code, answer.json()["detail"]) == (400, CHANGED)
        told = [feature["id"] for page in pages(client, {"limit": 100}) for feature in page["features"]]
        assert (len(told), last in told) == (300, False)


def test_pages_stop_where_another_layer_file_holds_and_where_files_are_damaged(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    first = "/ogc/collections/reports/items?limit=100"
    with town.client() as client:
        page = client.get(first).json()
    snapshot = town.settings.snapshots / "reports" / page["revision"]
    manifest = snapshot / "manifest.json"
    whole = manifest.read_bytes()
    for damage in (b"{", whole.replace(b'"format":%d' % FORMAT, b'"format":0')):
        manifest.write_bytes(damage)
        with town.client() as client:
            assert {client.get(first).status_code, client.get(following(page)).status_code} == {503}
    manifest.write_bytes(whole)
    path = town.settings.layers / "reports.toml"
    path.write_text(path.read_text().replace("note = {}", "") + '[privacy]\ninclude = { kind = ["FIRE"] }\n')
    town.reloaded().publish("reports", [report(number) for number in range(300)])
    assert snapshot.exists()
    with town.client() as client:
        assert client.get(following(page)).json()["detail"] == CHANGED
        assert {feature["properties"]["kind"] for feature in client.get(first).json()["features"]} == {"FIRE"}


@pytest.mark.parametrize("layer", ["reports", "odd", "schools", "wards"])
def test_a_page_begins_with_any_row(client: TestClient, layer: str) -> None:
    whole = client.get(f"/ogc/collections/{layer}/items", params={"limit": 1_000}).json()
    single = list(pages(client, {"limit": 1 if len(whole["features"]) < 10 else 50}, layer))
    assert [feature for page in single for feature in page["features"]] == whole["features"]
    for feature in whole["features"][-3:]:
        item = client.get(f"/ogc/collections/{layer}/items/{quote(str(feature['id']), safe='')}")
        assert feature["id"] == ".." or {key: item.json()[key] for key in feature} == feature


def following(page: dict[str, Any]) -> str:
    """The link to the next page."""
    link: str = next(link["href"] for link in page["links"] if link["rel"] == "next")
    return link


def begin(client: TestClient, query: str) -> str:
    page = client.get(f"/ogc/collections/reports/items?limit=2&{query}").json()
    return following(page).rpartition("cursor=")[2]


@given(data=st.data())
@settings(max_examples=40)
def test_a_forged_or_altered_cursor_is_refused(client: TestClient, data: st.DataObject) -> None:
    good = begin(client, "kind=FIRE")
    place = data.draw(st.integers(0, len(good) - 1))
    letter = data.draw(st.sampled_from("ABCDwxyz0189-_=+/ é"))
    changed = data.draw(st.sampled_from([good[:place] + letter + good[place + 1 :], good[:place], good + letter]))
    answer = client.get("/ogc/collections/reports/items", params={"kind": "FIRE", "cursor": changed})
    assert answer.status_code == (200 if changed == good else 400)


@given(revision=st.binary(min_size=8, max_size=8), row=st.sampled_from([0, 300, 301, 2**31, 2**63, 2**64 - 1]))
def test_a_cursor_with_a_checksum_of_ones_own_finds_nothing_that_is_not_public(
    client: TestClient, revision: bytes, row: int
) -> None:
    live: Live = client.app.state.live  # type: ignore[attr-defined]  # starlette's TestClient names any ASGI application
    layer = live.layer("reports")
    path, current = "/ogc/collections/reports/items", live.current(layer).revision
    made = cursor.write(Cursor(revision.hex(), row), layer, Filter())
    assert client.get(path, params={"cursor": made}).json()["detail"] == CHANGED
    own = client.get(path, params={"cursor": cursor.write(Cursor(current, row), layer, Filter()), "limit": 1})
    assert own.status_code == (200 if row < 301 else 400)


def test_a_cursor_is_for_the_filter_and_the_layer_that_it_was_made_for(client: TestClient) -> None:
    good = begin(client, "kind=FIRE")
    path = "/ogc/collections/reports/items"
    assert client.get(path, params={"kind": "FIRE", "cursor": good, "limit": 7, "properties": "cost"}).status_code == 200
    assert client.get(path, params={"kind": "NOISE", "cursor": good}).status_code == 400
    assert client.get("/ogc/collections/schools/items", params={"cursor": begin(client, "")}).status_code == 400


def test_links_lead_to_the_public_address(tmp_path: Path) -> None:
    town = Town(tmp_path / "town", public_url="https://maps.example.org").settle()
    with town.client() as client:
        for path in ("/ogc", "/ogc/collections", "/ogc/collections/reports/items?limit=1"):
            hrefs = [link["href"] for link in client.get(path, headers={"Host": "evil.example"}).json()["links"]]
            assert all(href.startswith("https://maps.example.org/ogc") for href in hrefs)

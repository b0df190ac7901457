"""What there is, and how many rows of it match."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import shapely
from starlette.testclient import TestClient
from town import SCHOOLS, Town, report

from tileserver.catalog import GEOMETRY


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with Town(tmp_path_factory.mktemp("town")).settle().client() as client:
        yield client


def test_every_layer_is_told_with_its_fields_and_links(client: TestClient) -> None:
    told = client.get("/layers").json()["layers"]
    assert [layer["id"] for layer in told] == ["reports", "schools", "wards"]
    reports = told[0]
    assert (reports["rows"], reports["rows_without_position"]) == (301, 1)
    assert {field["name"] for field in reports["fields"]} == {"number", "at", "kind", "cost", "note"}
    kind = next(field for field in reports["fields"] if field["name"] == "kind")
    assert kind["values"] == [
        {"value": "NOISE", "label": "Noise", "description": "Loud music, and the like.", "count": 101},
        {"value": "FIRE", "label": "FIRE", "description": "", "count": 100},
    ]
    assert kind["without_value"] == 100
    assert reports == client.get("/layers/reports").json()


def test_values_stand_in_the_order_of_their_labels_and_then_by_their_counts(tmp_path: Path) -> None:
    town = Town(tmp_path)
    file = town.settings.layers / "schools.toml"
    file.write_text(file.read_text().replace('"category" }', '"category", labels = { primary = "Primary", middle = "Middle" } }'))
    levels = ["high", "high", "high", "adult", "adult", "middle", "primary"]
    town.reloaded().publish("schools", [SCHOOLS[0] | {"id": id, "level": level} for id, level in enumerate(levels)])
    with town.client() as client:
        fields = client.get("/layers/schools").json()["fields"]
    values = next(field["values"] for field in fields if field["name"] == "level")
    assert [each["value"] for each in values] == ["primary", "middle", "high", "adult"]


def test_a_layer_that_is_not_ready_is_named_with_the_reason(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.publish("schools", SCHOOLS)
    with town.client() as client:
        told = client.get("/layers").json()
        detail = client.get("/count/wards").json()["detail"]
    assert [layer["id"] for layer in told["layers"]] == ["schools"]
    assert [(layer["id"], layer["title"]) for layer in told["waiting"]] == [("reports", "Reports"), ("wards", "Wards")]
    assert told["waiting"][1]["detail"] == detail


def test_rows_that_lie_far_off_are_in_the_extent_and_not_in_the_first_view(tmp_path: Path) -> None:
    town = Town(tmp_path)
    astray = [report(number, **{GEOMETRY: shapely.Point(-60, 10 + number - 300)}) for number in (300, 301)]
    town.publish("reports", [*(report(number) for number in range(300)), *astray])
    with town.client() as client:
        told, tiles = client.get("/layers/reports").json(), client.get("/tiles/reports.json").json()
    assert told["extent"] == tiles["bounds"] == [-92.3, 10, -60, 34.705]
    west, south, east, north = told["initial_extent"]
    assert (west, north) == (-92.3, 34.705)
    assert -92.251 <= east < -92.2
    assert 34.69 < south <= 34.7
    assert tiles["center"] == [pytest.approx((west + east) / 2), pytest.approx((south + north) / 2), 12]


def test_where_no_row_lies_far_off_the_first_view_holds_all(client: TestClient) -> None:
    for layer in client.get("/layers").json()["layers"]:
        assert layer["initial_extent"] == layer["extent"]


def test_every_link_of_a_layer_answers(client: TestClient) -> None:
    links = client.get("/layers/schools").json()["links"]
    flat = [links["self"], links["tilejson"], links["style"], links["count"], *links["downloads"].values()]
    assert all(link.startswith("http://testserver/") for link in flat)
    assert [client.get(link).status_code for link in flat] == [200] * len(flat)
    assert client.get(links["tiles"].format(z=8, x=62, y=101)).status_code == 200


def test_times_are_on_the_layers_clock(client: TestClient) -> None:
    told = client.get("/layers/reports").json()
    assert told["time_range"] == ["2023-11-14T16:13:20-06:00", "2023-11-27T04:13:20-06:00"]
    assert told["complete_through"] == told["time_range"][1]
    assert client.get("/layers/schools").json()["time_range"] is None


def test_a_count_holds_rows_without_position_and_says_which_time_it_meant(client: TestClient) -> None:
    everything = client.get("/count/reports").json()
    assert (everything["count"], everything["without_position"]) == (301, 1)
    assert "datetime" not in everything
    recent = client.get("/count/reports?last=1d").json()
    assert recent["datetime"] == "2023-11-27T00:00:00-06:00/2023-11-27T23:59:59.999999-06:00"
    assert recent["count"] == 5
    assert client.get("/count/reports?bbox=-93,34,-92,35").json()["without_position"] == 0
    assert client.get("/count/reports?kind=").json()["count"] == 100


def test_what_an_address_does_not_take_is_refused(client: TestClient) -> None:
    for path in (
        "/layers?a=1",
        "/layers/reports?kind=FIRE",
        "/count/reports?a=1",
        "/count/schools?last=7d",
        "/styles/all.json?a=1",
    ):
        assert client.get(path).status_code == 400
    for path in (
        "/layers/nothing",
        "/count/nothing",
        "/count",
        "/layers/reports/",
        "/styles/nothing.json",
        "/docs",
        "/openapi.json",
    ):
        assert client.get(path, follow_redirects=False).status_code == 404


def test_an_unchanged_answer_is_304(client: TestClient) -> None:
    for path in ("/layers", "/layers/reports", "/count/reports", "/tiles/reports.json", "/styles/all.json"):
        tag = client.get(path).headers["etag"]
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 304

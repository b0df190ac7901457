"""The Esri VectorTileServer, as ArcGIS and QGIS ask for it."""

from __future__ import annotations

from collections.abc import Iterator

import mapbox_vector_tile
import pytest
from starlette.testclient import TestClient
from town import Town

SERVICE = "/arcgis/rest/services/reports/VectorTileServer"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with Town(tmp_path_factory.mktemp("esri")).settle().client() as client:
        yield client


@pytest.mark.parametrize("path", [SERVICE, SERVICE + "/"])
def test_a_service_tells_its_tiles_zooms_and_extent(client: TestClient, path: str) -> None:
    told = client.get(path, params={"f": "json"}).json()
    lods = told["tileInfo"]["lods"]
    assert (told["type"], told["capabilities"], told["tiles"]) == ("indexedVector", "TilesOnly", ["tile/{z}/{y}/{x}.pbf"])
    assert [lod["level"] for lod in lods] == list(range(15))
    assert told["maxzoom"] == 14
    assert lods[3]["scale"] == pytest.approx(295_828_763.795777 / 8)
    assert told["fullExtent"]["xmin"] == pytest.approx(-10_274_789, abs=2)  # 92.3 degrees west
    assert told["fullExtent"]["ymin"] == pytest.approx(4_121_894, abs=2_000)


def test_a_posted_form_is_read_and_what_clients_add_is_ignored(client: TestClient) -> None:
    posted = client.post(SERVICE, data={"f": "pjson", "token": "", "callback": "x"})
    got = client.get(SERVICE, params={"f": "json", "_ts": "1", "cacheKey": "a"})
    assert posted.json() == got.json()
    assert posted.text.count("\n") > 20
    assert client.post(SERVICE, content=b"f=json&x=" + b"1" * 5_000).status_code == 413


def test_without_a_form_people_get_a_page_that_runs_nothing(client: TestClient) -> None:
    page = client.get(SERVICE)
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>Reports</h1>" in page.text
    assert page.headers["content-security-policy"] == "default-src 'none'"
    assert client.get(SERVICE, params={"f": "<b>"}).status_code == 400


def test_a_tile_goes_by_row_before_column(client: TestClient) -> None:
    ours = client.get("/tiles/reports/8/62/101.mvt")
    theirs = client.get(f"{SERVICE}/tile/8/101/62.pbf?token=x")
    assert theirs.content == ours.content
    assert theirs.headers["etag"] == ours.headers["etag"]
    assert mapbox_vector_tile.decode(theirs.content)["reports"]["features"]
    assert client.get(f"{SERVICE}/tile/8/101/x.pbf").status_code == 404


def test_the_directory_lists_what_there_is(client: TestClient) -> None:
    listed = client.get("/arcgis/rest/services", params={"f": "json"}).json()["services"]
    assert {"name": "wards", "type": "VectorTileServer"} in listed
    assert client.get("/arcgis/rest/info", params={"f": "json"}).json()["authInfo"] == {"isTokenBasedSecurity": False}
    assert client.get("/arcgis/rest/services/nothing/VectorTileServer", params={"f": "json"}).status_code == 404


def test_the_style_is_relative_and_draws_what_the_layers_own_style_draws(client: TestClient) -> None:
    root = client.get(f"{SERVICE}/resources/styles/root.json").json()
    flat = client.get("/styles/reports.json?for=qgis").json()
    assert root["sources"] == {"esri": {"type": "vector", "url": "../../"}}
    assert [each["id"] for each in root["layers"]] == [each["id"] for each in flat["layers"]]
    assert {each["source"] for each in root["layers"]} == {"esri"}
    assert client.get(f"{SERVICE}/resources/styles?f=pjson").json() == root


def test_what_the_style_refers_to_is_there(client: TestClient) -> None:
    resources = f"{SERVICE}/resources"
    fonts = client.get(f"{resources}/fonts/Noto Sans Regular/0-255.pbf")
    assert fonts.content == client.get("/fonts/Noto Sans Regular/0-255.pbf").content
    assert client.get(f"{resources}/sprites/sprite@2x.png").headers["content-type"] == "image/png"
    assert client.get(f"{resources}/sprites/sprite.json").json()

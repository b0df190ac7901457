"""What all answers have in common: limits, links, headers, and errors that tell nothing they should not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from town import Town


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with Town(tmp_path_factory.mktemp("town")).settle().client() as client:
        yield client


def test_a_long_query_and_long_headers_are_refused_before_anything_else(client: TestClient) -> None:
    query = client.get(f"/count/reports?kind={'A' * 5_000}")
    assert (query.status_code, query.headers["content-type"]) == (414, "application/problem+json")
    header = client.get("/count/reports", headers={"X-Long": "A" * 20_000})
    assert (header.status_code, header.headers["content-type"]) == (431, "application/problem+json")


@pytest.mark.parametrize(
    "path",
    ["/layers", "/tiles/reports/8/62/101.mvt", "/nothing", "/count/reports?secret=1", f"/layers?{'a' * 5_000}", "/viewer/nothing"],
)
def test_pages_of_any_origin_may_read_every_answer(client: TestClient, path: str) -> None:
    headers = client.get(path, headers={"Origin": "https://elsewhere.example"}).headers
    assert headers["access-control-allow-origin"] == "*"
    assert "Tile-Detail" in headers["access-control-expose-headers"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_document_comes_in_the_encoding_that_is_asked_for(client: TestClient) -> None:
    for path in ("/layers", "/tiles/reports.json", "/styles/all.json", "/count/reports"):
        plain, packed = client.get(path), client.get(path, headers={"Accept-Encoding": "gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.json() == plain.json()
        assert packed.headers["etag"] != plain.headers["etag"]
        assert packed.headers["vary"] == "Accept-Encoding"


def test_a_browser_that_asks_first_is_told_what_it_may_send(client: TestClient) -> None:
    asked = {
        "Origin": "https://elsewhere.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "if-none-match",
    }
    answer = client.options("/layers", headers=asked)
    assert answer.status_code == 204
    assert "If-None-Match" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/<script>alert(1)</script>", "/layers/", "//elsewhere.example/", "/tiles", "/viewer/../pyproject.toml"]
)
def test_what_is_not_there_is_a_problem_document_and_no_redirect(client: TestClient, path: str) -> None:
    answer = client.get(f"http://testserver{path}", follow_redirects=False)
    assert answer.status_code == 404
    assert set(answer.json()) == {"type", "title", "status", "detail"}
    assert answer.headers["cache-control"] == "no-store"
    assert "script" not in answer.text


def test_links_are_absolute_and_follow_the_host_but_no_forwarded_header(client: TestClient) -> None:
    headers = {
        "Host": "maps.example:8443",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
        "X-Forwarded-Proto": "ftp",
    }
    told = client.get("/tiles/reports.json", headers=headers).json()
    assert told["tiles"][0].startswith("http://maps.example:8443/tiles/reports/")
    for host in ("evil.example/path", 'a"b', "a b", ""):
        assert client.get("/tiles/reports.json", headers={"Host": host}).status_code == 400


def test_the_public_url_of_the_settings_goes_before_any_host(tmp_path: Path) -> None:
    with Town(tmp_path / "town", public_url="https://maps.example/").settle().client() as client:
        for path in ("/layers", "/tiles/reports.json", "/styles/all.json"):
            answer = client.get(path, headers={"Host": "evil.example"})
            assert "https://maps.example/" in answer.text
            assert "evil.example" not in answer.text

"""Tiles over HTTP: what is refused, what is sent, and for how long it may be kept."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import mapbox_vector_tile
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from town import Town, report

from tileserver.answers import IMMUTABLE, REVALIDATE
from tileserver.app import create_app
from tileserver.catalog import GEOMETRY
from tileserver.snapshot.tile import MOST_BYTES
from tileserver.tiles.render import _share

TILE = "/tiles/reports/8/62/101.mvt"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with Town(tmp_path_factory.mktemp("town")).settle().client() as client:
        yield client


def features(content: bytes, layer: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = mapbox_vector_tile.decode(content)[layer]["features"]
    return found


@pytest.mark.parametrize("suffix", [".mvt", ".pbf", ""])
def test_a_tile_answers_with_and_without_suffix(client: TestClient, suffix: str) -> None:
    answer = client.get(f"/tiles/reports/8/62/101{suffix}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.mapbox-vector-tile"
    assert len(features(answer.content, "reports")) == 300


@pytest.mark.parametrize(
    "path",
    ["-1/0/0", "8/-1/0", "2/4/0", "2/0/4", "2/2147483647/0", "99999999999999999999/0/0", "2.5/1/1", "2/0x1/1", "2/+1/1", "2/%201/1",
     "2/1e3/1", "2/%00/1", "2/%EF%BC%91/1", "2/1/01", "2//1", "2/1/.mvt", "2/1/1.mvt.json", "2/1/1.pbf.json",
     "2/1/..%2f1", "23/0/0"],
)  # fmt: skip
def test_what_is_no_tile_of_the_grid_is_not_there(client: TestClient, path: str) -> None:
    answer = client.get(f"/tiles/reports/{path}", follow_redirects=False)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("zoom", [0, 1, 15])
def test_a_zoom_outside_the_layers_zooms_is_not_there(client: TestClient, zoom: int) -> None:
    assert client.get(f"/tiles/reports/{zoom}/0/0.mvt").status_code == 404
    assert client.get(f"/tiles/reports,schools/{zoom}/0/0.mvt").status_code in (200, 204)


def test_an_empty_tile_is_204(client: TestClient) -> None:
    answer = client.get("/tiles/reports/8/0/0.mvt")
    assert answer.status_code == 204
    assert answer.content == b""
    assert "etag" in answer.headers


@pytest.mark.parametrize(
    "name", ["nothing", "a" * 10_000, "<script>", "reports'--", "Reports", "reports,", "reports%2C", "re%00ports"]
)
def test_a_layer_that_is_not_there_is_404_and_not_told_back(client: TestClient, name: str) -> None:
    answer = client.get(f"/tiles/{name}/8/62/101.mvt")
    assert answer.status_code == 404
    assert name not in answer.text


def test_a_layer_named_often_counts_once_and_too_many_are_refused(client: TestClient) -> None:
    often = client.get(f"/tiles/{','.join(['reports'] * 1_000)}/8/62/101.mvt")
    assert often.headers["etag"] == client.get(TILE).headers["etag"]
    assert client.get(f"/tiles/{','.join(f'layer{n}' for n in range(17))}/8/62/101.mvt").status_code == 400


def test_several_layers_come_in_one_tile_in_any_order(client: TestClient) -> None:
    one = client.get("/tiles/reports,schools,wards/8/62/101.mvt")
    other = client.get("/tiles/wards,schools,reports/8/62/101.mvt")
    assert one.content == other.content
    assert set(mapbox_vector_tile.decode(one.content)) == {"reports", "schools", "wards", "wards_labels"}


def test_the_id_is_a_property_under_both_names(client: TestClient) -> None:
    first = features(client.get(TILE).content, "reports")[0]["properties"]
    assert isinstance(first, dict)
    assert first["id"] == first["number"]
    assert str(first["at"]).endswith("-06:00")


def test_a_filter_changes_the_tile_and_spellings_of_one_share_it(client: TestClient) -> None:
    fires = client.get(f"{TILE}?kind=FIRE&kind=FIRE&bbox=-93,34,-92,35.0")
    assert len(features(fires.content, "reports")) == 100
    assert fires.headers["etag"] == client.get(f"{TILE}?bbox=-93.0,34.0,-92,35&kind=FIRE").headers["etag"]
    assert fires.headers["etag"] != client.get(TILE).headers["etag"]
    assert client.get(f"{TILE}?kind=NOTHING").status_code == 204


@pytest.mark.parametrize(
    "query",
    ["cache=1", "number=1", "secret=1", "kind=A&grid=7", "grid=64&grid=64", "aggregate=sometimes",
     "aggregate=auto", "datetime=now", "limit=1", "rev=1&rev=2", "filter=a"],
)  # fmt: skip
def test_what_a_tile_does_not_take_is_refused(client: TestClient, query: str) -> None:
    answer = client.get(f"{TILE}?{query}")
    assert answer.status_code == 400
    assert answer.json()["title"] == "Bad Request"


def test_cache_busters_leave_the_cache_as_it_is(tmp_path: Path) -> None:
    app = create_app(Town(tmp_path / "town").settle().settings)
    with TestClient(app) as client:
        client.get(TILE)
        for number in range(200):
            assert client.get(f"{TILE}?_={number}").status_code == 400
            assert client.get(f"{TILE}?rev={number}").status_code == 200
        assert app.state.tile_cache.entries == 1


def test_the_encodings_have_their_own_etags_and_the_same_content(client: TestClient) -> None:
    plain = client.get(TILE)
    packed = client.get(TILE, headers={"Accept-Encoding": "gzip, deflate"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert packed.headers["etag"] != plain.headers["etag"]
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in client.get(TILE, headers={"Accept-Encoding": "gzip;q=0, br"}).headers


def test_who_has_the_tile_is_told_so(client: TestClient) -> None:
    tag = client.get(TILE).headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        answer = client.get(TILE, headers={"If-None-Match": known})
        assert answer.status_code == 304
        assert answer.content == b""
        assert answer.headers["etag"] == tag
    assert client.get(TILE, headers={"If-None-Match": '"other"'}).status_code == 200


def test_head_equals_get_and_other_methods_are_refused(client: TestClient) -> None:
    head, get = client.head(TILE), client.get(TILE)
    assert head.status_code == 200
    assert head.headers == get.headers
    for method in ("PUT", "POST", "DELETE", "TRACE"):
        refused = client.request(method, TILE)
        assert refused.status_code == 405
        assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_only_the_live_revision_is_kept_for_ever(client: TestClient) -> None:
    revision = client.get("/layers/reports").json()["revision"]
    assert client.get(f"{TILE}?rev={revision}").headers["cache-control"] == IMMUTABLE
    assert client.get(f"{TILE}?rev=other").headers["cache-control"] == REVALIDATE
    assert client.get(TILE).headers["cache-control"] == REVALIDATE
    assert client.get(f"{TILE}?rev={revision}&last=7d").headers["cache-control"] == REVALIDATE
    assert client.get(f"{TILE}?rev=other").headers["etag"] == client.get(TILE).headers["etag"]


def test_tilejson_leads_to_the_tiles(client: TestClient) -> None:
    told = client.get("/tiles/reports.json?kind=FIRE&last=7d").json()
    assert told["tilejson"] == "3.0.0"
    assert (told["minzoom"], told["maxzoom"]) == (2, 14)
    assert told["bounds"] == [-92.3, 34.7, -92.251, 34.705]
    assert "last=" not in told["tiles"][0]
    path = told["tiles"][0].removeprefix("http://testserver").format(z=8, x=62, y=101)
    answer = client.get(path)
    assert answer.headers["cache-control"] == IMMUTABLE
    assert len(features(answer.content, "reports")) == client.get("/count/reports?kind=FIRE&last=7d").json()["count"]
    assert told["vector_layers"][0]["fields"]["cost"] == "Number (USD)"
    assert told["tilestats"]["layers"][0]["count"] == 300


def test_tilejson_of_several_layers_holds_them_all(client: TestClient) -> None:
    told = client.get("/tiles/wards,reports.json?last=1d&reports.kind=FIRE").json()
    assert [layer["id"] for layer in told["vector_layers"]] == ["reports", "wards", "wards_labels"]
    assert "reports.datetime=" in told["tiles"][0]
    assert (
        client.get(told["tiles"][0].removeprefix("http://testserver").format(z=8, x=62, y=101)).headers["cache-control"]
        == IMMUTABLE
    )


def test_a_publish_is_seen_at_once_and_moves_the_etag(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    with town.client() as client:
        before = client.get(TILE)
        town.publish("reports", [report(1)])
        after = client.get(TILE, headers={"If-None-Match": before.headers["etag"]})
        assert after.status_code == 200
        assert len(features(after.content, "reports")) == 1
        town.publish("reports", [report(number) for number in range(300)] + [report(300, geometry=None)])
        assert client.get(TILE).headers["etag"] == before.headers["etag"]


def test_a_layer_without_a_snapshot_asks_to_try_again(tmp_path: Path) -> None:
    with Town(tmp_path / "town").client() as client:
        answer = client.get(TILE)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200


def test_the_bytes_on_the_wire_are_gzip(client: TestClient) -> None:
    with client.stream("GET", TILE, headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert len(raw) == int(answer.headers["content-length"])
    assert gzip.decompress(raw) == client.get(TILE).content


def test_what_a_tile_dropped_is_told(tmp_path: Path) -> None:
    town = Town(tmp_path / "town")
    town.publish("reports", [report(number, note=f"{number}" * 100) for number in range(1_900)])
    with town.client() as client:
        answer = client.get("/tiles/reports/2/0/1.mvt")
        assert answer.headers["tile-detail"] == "shown=1900, total=1900, dropped=attributes"
        assert len(answer.content) <= 500_000
        assert len(features(answer.content, "reports")) == 1_900
        refused = client.get("/tiles/reports/2/0/1.mvt?aggregate=never")
        assert (refused.status_code, "500 kB" in refused.json()["detail"]) == (400, True)
        assert "tile-detail" not in client.get("/tiles/reports/2/0/1.mvt?properties=kind").headers


def test_a_layer_has_one_place_in_memory_for_all_tiles_that_it_is_a_part_of(tmp_path: Path) -> None:
    app = create_app(Town(tmp_path / "town").settle().settings)
    with TestClient(app) as client:
        both = client.get(TILE.replace("reports", "reports,schools"))
        assert app.state.tile_cache.entries == 3
        filtered = client.get(TILE.replace("reports", "reports,schools"), params={"reports.kind": "A"})
        assert app.state.tile_cache.entries == 5
        alone = client.get(TILE, headers={"Accept-Encoding": "identity"})
        assert app.state.tile_cache.entries == 5
    assert both.content.startswith(alone.content)
    assert filtered.content != both.content


def test_several_layers_keep_to_the_limit_together_and_small_ones_stay_whole(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    town.publish("reports", [report(number, note="x" * 300 + f"{number}") for number in range(1_000)])
    large = [{"id": n, "name": "y" * 300 + f"{n}", GEOMETRY: shapely.Point(-92.3, 34.7 + n / 1e4)} for n in range(1_000)]
    town.publish("schools", large)
    with town.client() as client:
        reports, schools, wards = (client.get(f"/tiles/{name}/2/0/1.mvt") for name in ("reports", "schools", "wards"))
        together = client.get("/tiles/reports,schools,wards/2/0/1.mvt")
        refused = client.get("/tiles/reports,schools,wards/2/0/1.mvt?aggregate=never")
    assert "tile-detail" not in reports.headers
    assert len(reports.content) + len(schools.content) > 500_000 >= len(together.content)
    assert together.content.endswith(wards.content)
    assert together.headers["tile-detail"] == "shown=2002, total=2002, dropped=attributes"
    assert refused.status_code == 400


@given(st.lists(st.integers(0, 700_000), min_size=1, max_size=16))
def test_shares_keep_to_the_limit_and_leave_nothing_that_fits(sizes: list[int]) -> None:
    share = _share(sizes)
    kept = sum(min(size, share) for size in sizes)
    assert kept <= MOST_BYTES
    assert kept == sum(sizes) or kept > MOST_BYTES - len(sizes)

"""The base map of others under the city's layers, and who may frame the viewer: in a real browser, under the server's policy."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from browsing import chromium, listen, settle
from playwright.sync_api import Browser, Page, expect
from serving import free_port, status, wait_until
from town import Town

from tileserver.app import create_app
from tileserver.errors import ConfigError
from tileserver.settings import load, shipped

LAND = {
    "type": "Feature",
    "properties": {"name": "Landmark"},
    "geometry": {"type": "Polygon", "coordinates": [[[-93, 34], [-91.5, 34], [-91.5, 35.5], [-93, 35.5], [-93, 34]]]},
}


class Files(SimpleHTTPRequestHandler):
    """A folder that pages of any origin may read."""

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def files(folder: Path) -> Iterator[str]:
    """The origin of a web server of a folder."""

    def handler(*given: Any) -> Files:
        return Files(*given, directory=str(folder))

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def listening(town: Town) -> Iterator[str]:
    """The origin of a town's server."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_app(town.settings), port=port, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: status(f"http://127.0.0.1:{port}/health/live") == 200)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def town(folder: Path, **settings: Any) -> Town:
    """With schools that have names, so that labels are asked for."""
    made = Town(folder, **settings)
    schools = made.settings.layers / "schools.toml"
    schools.write_text(schools.read_text().replace("name = {}", 'name = { role = "name" }'), "utf-8")
    return made.reloaded().settle()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 900, "height": 600}, locale="en-US")
    yield page
    page.close()


def seen(page: Page, origin: str) -> dict[str, list[str]]:
    """Of what is on the map around the schools: per source the style layers that draw something."""
    page.goto(f"{origin}/?layers=schools&map=12/34.72/-92.3")
    settle(page)
    script = "() => document.querySelector('#map').map.queryRenderedFeatures().map(({ source, layer }) => [source, layer.id])"
    found: dict[str, list[str]] = {}
    for source, layer in page.evaluate(script):
        found.setdefault(source, []).append(layer)
    return found


def base_style(**given: Any) -> Mapping[str, Any]:
    """A style whose addresses are relative to its own."""
    land = {"id": "land", "type": "fill", "source": "schools", "paint": {"fill-color": "#d8e8c8"}}
    label = {
        "id": "schools-label",
        "type": "symbol",
        "source": "schools",
        "layout": {"text-field": "{name}", "text-font": ["Their Font"], "icon-image": "their-icon"},
    }
    source = {"type": "geojson", "data": "land.geojson"}
    return {"version": 8, "sources": {"schools": source}, "layers": [land, label], **given}


def publish_style(folder: Path) -> None:
    """A style with data, glyphs and icons of its own, under names that the city has too."""
    own = {"glyphs": "letters/{fontstack}/{range}.pbf", "sprite": "icons"}
    (folder / "style.json").write_text(json.dumps(base_style(**own)))
    (folder / "land.geojson").write_text(json.dumps(LAND))
    shutil.copytree(shipped("viewer") / "vendor/fonts/Noto Sans Bold", folder / "letters/Their Font")
    with town(folder / "town").client() as client:
        for suffix in (".png", "@2x.png"):
            (folder / f"icons{suffix}").write_bytes(client.get(f"/sprites/all{suffix}").content)
        for suffix in (".json", "@2x.json"):
            there = client.get(f"/sprites/all{suffix}").json()
            (folder / f"icons{suffix}").write_text(json.dumps({"their-icon": there["drop-pink"]}))


def test_a_style_of_another_origin_lies_below_with_its_own_letters_and_icons(page: Page, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    publish_style(tmp_path / "base")
    said, asked = listen(page), []
    page.on("request", lambda request: asked.append(request.url))
    with files(tmp_path / "base") as base, listening(town(tmp_path / "city", basemap=f"{base}/style.json")) as origin:
        found = seen(page, origin)
        page.screenshot(path=tmp_path / "basemap.png")
    assert set(found["basemap:schools"]) == {"basemap:land", "basemap:schools-label"}
    assert {"schools", "schools-label"} <= set(found["schools"])
    assert said == []
    letters = {re.sub(r"%20", " ", url) for url in asked if "255.pbf" in url}
    assert {f"{base}/letters/Their Font/0-255.pbf", f"{origin}/fonts/Noto Sans Regular/0-255.pbf"} <= letters


def test_a_base_map_that_is_away_leaves_the_city_in_sight(page: Page, tmp_path: Path) -> None:
    with listening(town(tmp_path, basemap=f"http://127.0.0.1:{free_port()}/style.json")) as origin:
        found = seen(page, origin)
        expect(page.locator("#status")).to_contain_text("The base map did not load")
    assert found.keys() == {"schools"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PMTiles archive of some land, made by tippecanoe."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "land.geojson").write_text(json.dumps(LAND))
    tippecanoe = Path(sys.executable).with_name("tippecanoe")
    command: list[str | Path] = [tippecanoe, "-q", "-z8", "-l", "land", "-o", folder / "base.pmtiles", folder / "land.geojson"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "base.pmtiles"


def test_an_archive_lies_below(page: Page, tmp_path: Path, archive: Path) -> None:
    said = listen(page)
    with listening(town(tmp_path, basemap=str(archive))) as origin:
        found = seen(page, origin)
        page.screenshot(path=tmp_path / "archive.png")
    assert set(found["basemap:archive"]) == {"basemap:land-fill"}
    assert {"schools", "schools-label"} <= set(found["schools"])
    assert said == []


def test_an_archive_is_read_by_ranges(tmp_path: Path, archive: Path) -> None:
    whole = archive.read_bytes()
    with town(tmp_path, basemap=str(archive)).client() as client:
        assert client.get("/styles/all.json").json()["metadata"]["tileserver:basemap"] == "http://testserver/basemap.pmtiles"
        part = client.get("/basemap.pmtiles", headers={"Range": "bytes=7-126"})
        assert (part.status_code, part.content) == (206, whole[7:127])
        assert part.headers["content-range"] == f"bytes 7-126/{len(whole)}"
        assert client.head("/basemap.pmtiles").headers["content-length"] == str(len(whole))
        assert client.get("/basemap.pmtiles", headers={"Range": f"bytes={len(whole)}-"}).status_code == 416


def test_without_an_archive_there_is_none(tmp_path: Path) -> None:
    with town(tmp_path).client() as client:
        assert client.get("/basemap.pmtiles").status_code == 404
        assert "metadata" not in client.get("/styles/all.json").json()


def policy(folder: Path, **settings: Any) -> dict[str, str]:
    """The content security policy of the page, by directive."""
    with Town(folder, **settings).client() as client:
        told = client.get("/").headers["content-security-policy"]
    return dict(directive.strip().partition(" ")[::2] for directive in told.split(";"))


def test_the_policy_allows_what_the_settings_name_and_no_code_in_the_page(tmp_path: Path) -> None:
    plain = policy(tmp_path / "plain")
    assert (plain["connect-src"], plain["frame-ancestors"], plain["default-src"]) == ("'self'", "'self'", "'self'")
    url = "https://tiles.example.com:8443/style.json?key=1"
    told = policy(tmp_path / "told", basemap=url, embed_origins=" https://www.example.org   https://*.example.net ")
    assert told["connect-src"] == "'self' https://tiles.example.com:8443"
    assert told["img-src"] == "'self' data: blob: https://tiles.example.com:8443"
    assert told["frame-ancestors"] == "'self' https://www.example.org https://*.example.net"
    assert "unsafe" not in str(told)
    assert policy(tmp_path / "all", embed_origins="*")["frame-ancestors"] == "*"


def test_a_page_of_a_named_origin_may_frame_the_viewer_and_no_other(page: Page, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    with files(tmp_path / "site") as site:
        for name, origins in (("open", site), ("closed", "https://www.example.org")):
            with listening(town(tmp_path / name, embed_origins=origins)) as origin:
                (tmp_path / "site" / f"{name}.html").write_text(f'<iframe src="{origin}/" width="800" height="500"></iframe>')
                page.goto(f"{site}/{name}.html")
                inside = page.frame_locator("iframe").get_by_role("heading", name="City map")
                expect(inside).to_have_count(1 if name == "open" else 0)


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("basemap", "ftp://example.org/style.json", "beginning with"),
        ("basemap", "https://user:password@example.org/style.json", "beginning with"),
        ("basemap", "https://example.org;script-src/style.json", "beginning with"),
        ("basemap", "https://example.org/a b", "beginning with"),
        ("basemap", "https://*.example.org/style.json", "beginning with"),
        ("basemap", "nowhere.pmtiles", "cannot be read"),
        ("basemap", __file__, "no PMTiles archive"),
        ("embed_origins", "www.example.org", "must be origins"),
        ("embed_origins", "https://www.example.org/page", "must be origins"),
        ("embed_origins", "https://www.example.org; script-src *", "must be origins"),
        ("embed_origins", "* https://www.example.org", "must be origins"),
    ],
)
def test_a_setting_that_cannot_act_is_refused_at_the_start(setting: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(**{setting: value})
    assert str(caught.value).startswith(f"TILESERVER_{setting.upper()}: ")
    assert reason in str(caught.value)
    assert "password" not in str(caught.value)

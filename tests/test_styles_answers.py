"""What a map loads beside its tiles: styles, glyphs, icons, by their addresses."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from starlette.testclient import TestClient
from test_styles import complaints
from town import Town

from tileserver.styles.sprites import PAINTS, SHAPES, SIDE

RANGES = ("0-255", "256-511", "8192-8447")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with Town(tmp_path_factory.mktemp("town")).settle().client() as client:
        yield client


def test_rows_without_a_value_are_drawn_and_have_an_entry_of_their_own(client: TestClient) -> None:
    for query in ("", "?for=qgis"):
        style = client.get(f"/styles/reports.json{query}").json()
        (legend,) = (
            found["tileserver:legend"] for layer in style["layers"] if "tileserver:legend" in (found := layer.get("metadata", {}))
        )
        assert [entry["label"] for entry in legend] == ["Noise", "FIRE", "No value", "Other"]
        assert (
            len(
                [
                    layer
                    for layer in style["layers"]
                    if ["!has", "kind"] in layer["filter"] and ["!has", "cluster"] in layer["filter"]
                ]
            )
            == 1
        )
    level = client.get("/styles/schools.json").json()["layers"]
    assert "No value" not in str(level)


Message = dict[int, list[Any]]
"""Of a protocol buffer: each field's values, numbers or bytes."""


def message(data: bytes) -> Message:
    """A protocol buffer without its schema: varints and what has a length (protobuf.dev, "Encoding")."""
    found: Message = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        value, at = varint(data, at)
        if key & 7 == 2:
            found.setdefault(key >> 3, []).append(data[at : at + value])
            at += value
        else:
            assert key & 7 == 0
            found.setdefault(key >> 3, []).append(value)
    return found


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def signed(value: int) -> int:
    return value >> 1 ^ -(value & 1)


def stack_of(data: bytes) -> tuple[str, str, dict[str, Message]]:
    """Name, range, and glyphs by their character."""
    (stack,) = message(data)[1]
    told = message(stack)
    glyphs = [message(glyph) for glyph in told.get(3, [])]
    return told[1][0].decode(), told[2][0].decode(), {chr(glyph[1][0]): glyph for glyph in glyphs}


def test_the_letters_of_english_and_spanish_are_there(client: TestClient) -> None:
    for font in ("Noto Sans Regular", "Noto Sans Bold"):
        letters: set[str] = set()
        for span in RANGES:
            answer = client.get(f"/fonts/{font}/{span}.pbf")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
            name, told, glyphs = stack_of(answer.content)
            assert (name, told) == (font, span)
            letters |= glyphs.keys()
        wanted = "".join(map(chr, range(32, 127))) + "áéíóúüñÁÉÍÓÚÜÑ¿¡ªº«»çàèâêîôœ°½–—‘’“”…•€"
        assert set(wanted) - letters == set()


def test_a_glyph_is_a_field_of_distances_with_a_border(client: TestClient) -> None:
    _, _, glyphs = stack_of(client.get("/fonts/Noto Sans Regular/0-255.pbf").content)
    for letter, glyph in glyphs.items():
        width, height = glyph[3][0], glyph[4][0]
        assert len(glyph.get(2, [b""])[0]) == ((width + 6) * (height + 6) if width else 0), letter
    stroke = glyphs["I"]
    field = np.frombuffer(stroke[2][0], np.uint8).reshape(stroke[4][0] + 6, stroke[3][0] + 6)
    assert field[len(field) // 2].max() >= 192 > field[:, 0].max()
    assert field[0].max() < field[3:-3].max()
    # A capital letter stands on the line, 26 pixels below the top of the font, and is 17 high.
    assert (signed(stroke[6][0]), stroke[7][0]) == (-8, 8)
    assert 17 <= stroke[4][0] <= 18
    assert (glyphs[" "].get(2), glyphs[" "][7]) == (None, [6])


def test_the_first_known_font_of_a_stack_wins(client: TestClient) -> None:
    asked = client.get("/fonts/Arial Unicode MS,Noto Sans Bold,Noto Sans Regular/0-255.pbf")
    assert asked.content == client.get("/fonts/Noto Sans Bold/0-255.pbf").content
    assert asked.content != client.get("/fonts/Noto Sans Regular/0-255.pbf").content


@pytest.mark.parametrize("span", ["1024-1279", "65280-65535"])
def test_characters_that_the_font_lacks_are_an_empty_stack(client: TestClient, span: str) -> None:
    answer = client.get(f"/fonts/Noto Sans Regular/{span}.pbf")
    assert answer.status_code == 200
    assert stack_of(answer.content) == ("Noto Sans Regular", span, {})


@pytest.mark.parametrize(
    "path",
    [
        *("Arial/0-255", "../viewer/0-255", "LICENSE.txt/0-255"),
        *(f"Noto Sans Regular/{span}" for span in ("0-256", "1-256", "65536-65791", "00-255", "256-255", "٠-255")),
    ],
)
def test_an_unknown_font_or_range_is_not_found(client: TestClient, path: str) -> None:
    answer = client.get(f"/fonts/{path}.pbf")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "Arial" not in answer.text


def test_glyphs_are_kept_and_known_again(client: TestClient) -> None:
    plain = client.get("/fonts/Noto Sans Regular/0-255.pbf")
    small = client.get("/fonts/Noto Sans Regular/0-255.pbf", headers={"Accept-Encoding": "gzip"})
    assert (small.headers["content-encoding"], small.content) == ("gzip", plain.content)
    assert plain.headers["etag"] != small.headers["etag"]
    assert "max-age=86400" in plain.headers["cache-control"]
    again = client.get("/fonts/Noto Sans Regular/0-255.pbf", headers={"If-None-Match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def pixels(png: bytes) -> NDArray[np.uint8]:
    """Of a PNG, as GDAL reads it: shape (height, width, 4)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with MemoryFile(png) as file, file.open(driver="PNG") as opened:
            return np.moveaxis(np.asarray(opened.read(), np.uint8), 0, -1)


@pytest.mark.parametrize(("suffix", "scale"), [("", 1), ("@2x", 2)])
def test_every_icon_has_its_color_and_a_white_halo(client: TestClient, suffix: str, scale: int) -> None:
    index = client.get(f"/sprites/all{suffix}.json").json()
    picture = pixels(client.get(f"/sprites/all{suffix}.png").content)
    assert {f"{shape}-{paint}" for shape in SHAPES for paint in PAINTS} <= index.keys()
    for name, icon in index.items():
        assert icon["width"] == icon["height"] == SIDE * scale
        assert icon["pixelRatio"] == scale
        part = picture[icon["y"] : icon["y"] + SIDE * scale, icon["x"] : icon["x"] + SIDE * scale]
        color = [*bytes.fromhex(PAINTS[name.partition("-")[2]][1:]), 255]
        assert (part == color).all(axis=-1).sum() > 12 * scale**2, name
        assert (part[..., :3].min(axis=-1)[part[..., 3] > 150] > 235).sum() >= 4 * scale, name
        assert max(part[:, (0, -1), 3].max(), part[(0, -1), :, 3].max()) == 0, name


@pytest.mark.parametrize("name", ["all", "sprite", "schools", "reports"])
def test_every_layer_finds_the_icons_at_its_own_address(client: TestClient, name: str) -> None:
    for suffix in (".json", ".png", "@2x.json", "@2x.png"):
        assert client.get(f"/sprites/{name}{suffix}").content == client.get(f"/sprites/all{suffix}").content


@pytest.mark.parametrize("name", ["nothing.json", "all", "all.svg", "all@3x.png", "all@2x", "..%2fall.json", "all.json.png"])
def test_other_icons_are_not_found(client: TestClient, name: str) -> None:
    assert client.get(f"/sprites/{name}").status_code == 404


def test_all_addresses_of_a_style_are_absolute_and_answer(client: TestClient) -> None:
    for id in ("all", "reports", "schools", "wards"):
        style = client.get(f"/styles/{id}.json").json()
        assert all(source["url"].startswith("http://testserver/tiles/") for source in style["sources"].values())
        fonts = {font for layer in style["layers"] for font in layer.get("layout", {}).get("text-font", [])} or {"Noto Sans Bold"}
        addresses = [style["glyphs"].replace("{fontstack}", font).replace("{range}", "0-255") for font in fonts]
        addresses += [f"{style['sprite']}{suffix}" for suffix in (".json", ".png", "@2x.json", "@2x.png")]
        assert [client.get(address).status_code for address in addresses] == [200] * len(addresses)


def test_every_style_of_the_town_is_valid_and_knows_its_icons(client: TestClient) -> None:
    styles = [client.get(f"/styles/{id}.json").json() for id in ("all", "reports", "schools", "wards")]
    assert complaints(*styles) == ""
    icons = client.get("/sprites/all.json").json().keys()
    used = {
        layer["layout"]["icon-image"] for style in styles for layer in style["layers"] if "icon-image" in layer.get("layout", {})
    }
    assert used
    assert used <= icons
    assert "tileserver:basemap" not in json.dumps(styles)


def test_every_style_of_the_demo_city_is_valid(demo_server: str) -> None:
    def answer(path: str) -> Any:
        with urlopen(f"{demo_server}{path}") as opened:
            return json.load(opened)

    ids = [layer["id"] for layer in answer("/layers")["layers"]]
    styles = [answer(f"/styles/{id}.json{lang}") for id in ("all", *ids) for lang in ("", "?lang=es")]
    assert len(styles) >= 30
    assert complaints(*styles) == ""


def test_a_style_takes_a_language_and_nothing_else(client: TestClient) -> None:
    spanish = client.get("/styles/reports.json?lang=es").json()
    assert "Otros" in json.dumps(spanish, ensure_ascii=False)
    assert client.get("/styles/reports.json?lang=xx").json() == client.get("/styles/reports.json").json()
    for query in ("lang=", "lang=english!", "lang=es&lang=en", "color=red"):
        refused = client.get(f"/styles/all.json?{query}")
        assert (refused.status_code, bool(re.search("color|english", refused.text))) == (400, False)


def test_a_raster_has_a_style_and_is_no_part_of_that_of_all(tmp_path_factory: pytest.TempPathFactory) -> None:
    town = Town(tmp_path_factory.mktemp("raster"))
    raster = 'title = "Elevation"\nraster = "elevation.tif"\n[translations.es]\ntitle = "Elevación"\n'
    (town.settings.layers / "elevation.toml").write_text(raster, "utf-8")
    write_raster(town.settings.layers / "elevation.tif")
    with town.reloaded().settle().client() as client:
        style = client.get("/styles/elevation.json?lang=es").json()
        assert style["name"] == "Elevación"
        assert style["sources"]["elevation"]["url"] == "http://testserver/raster/elevation/tilejson.json"
        assert complaints(style) == ""
        assert "elevation" not in client.get("/styles/all.json").json()["sources"]
        assert client.get("/sprites/elevation.json").status_code == 200


def write_raster(path: Any) -> None:
    transform = rasterio.transform.from_bounds(-92.5, 34.6, -92.1, 34.9, 16, 16)
    profile = {"driver": "GTiff", "width": 16, "height": 16, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", transform=transform, **profile) as file:
        file.write(np.arange(256, dtype=np.float32).reshape(1, 16, 16))

"""The JSON Schema of a layer file: it holds for what loads, refuses what does not, and layers/README.md tells each of its keys."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from tileserver import catalog
from tileserver.catalog.schema import schema
from tileserver.cli import main
from tileserver.errors import ConfigError

ROOT = Path(__file__).parents[1]
FILES = [*sorted((ROOT / "layers").glob("*.toml")), *sorted((ROOT / "tests" / "layers").glob("*.toml"))]
README = (ROOT / "layers" / "README.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```toml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)

SCHEMA = schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

MINIMAL = 'title = "Trees"\nkind = "places"\n'


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["oneOf"] == [{"$ref": "#/$defs/Layer"}, {"$ref": "#/$defs/Raster"}]


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--schema"]) == 0
    assert orjson.loads(capsys.readouterr().out) == SCHEMA


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_layer_file_is_valid(path: Path) -> None:
    VALIDATOR.validate(tomllib.loads(path.read_text("utf-8")))


@pytest.mark.parametrize(
    "text",
    [
        'kind = "places"',
        'title = "T"',
        MINIMAL + 'id = "trees"',
        MINIMAL + 'sql = "SELECT 1"',
        MINIMAL + 'function = "schema.name"',
        MINIMAL + "colour = 1",
        MINIMAL + 'raster = "elevation.tif"\ntable = "a.b"',
        'title = "T"\nraster = "/vsicurl/http://a/b.tif"',
        'title = "T"\nraster = "a.tif"\nrange = [1]',
        'title = "T"\nkind = "points"',
        MINIMAL + "bounds = [1, 2, 3]",
        MINIMAL + "bounds = [-181, 2, 3, 4]",
        MINIMAL + 'lag = "two days"',
        MINIMAL + 'follow = "trigger"',
        MINIMAL + 'access = "staff"',
        MINIMAL + 'publish = "everything"',
        MINIMAL + "min_count = 1",
        MINIMAL + 'query = ""',
        MINIMAL + "[tiles]\nmaxzoom = 23",
        MINIMAL + "[tiles]\nzoom = 1",
        MINIMAL + '[fields]\na = { role = "key" }',
        MINIMAL + '[fields]\na = { name = "b" }',
        MINIMAL + '[fields]\na = { role = "time", type = "text" }',
        MINIMAL + '[fields]\na = { role = "id", type = "number" }',
        MINIMAL + '[fields]\na = { role = "category", type = "integer" }',
        MINIMAL + "[fields]\na = { measure = true }",
        MINIMAL + "[fields]\na = { breaks = [1, 2] }",
        MINIMAL + '[fields]\na = { type = "number", breaks = [] }',
        MINIMAL + '[fields]\na = { labels = { x = "X" } }',
        MINIMAL + '[fields]\n"a b" = {}',
        MINIMAL + "[fields]\nsum_a = {}",
        MINIMAL + "[fields]\ngeometry = {}",
        MINIMAL + "[privacy]\nsnap_meters = 0",
        MINIMAL + '[privacy]\naddress = "street"',
        MINIMAL + '[privacy]\nretention = "1 year"',
        MINIMAL + '[ingest]\nx = "X"',
        MINIMAL + '[ingest]\nx = "X"\ny = "Y"\ngeometry = "g"',
        MINIMAL + '[ingest]\ndates = ["iso"]',
        MINIMAL + '[ingest.join]\nlayer = "parcels"',
        MINIMAL + '[translations.es]\nlicense = "x"',
    ],
)
def test_what_the_schema_refuses_does_not_load_either(tmp_path: Path, text: str) -> None:
    assert not VALIDATOR.is_valid(tomllib.loads(text))
    (tmp_path / "trees.toml").write_text(text, "utf-8")
    with pytest.raises(ConfigError):
        catalog.load(tmp_path)


def test_no_key_is_internal_and_each_says_what_it_means() -> None:
    for name, definition in SCHEMA["$defs"].items():
        assert definition["additionalProperties"] is False, name
        for key, value in definition["properties"].items():
            assert len(value.get("description", "")) > 10, f"{name}.{key} needs a description in tileserver/catalog"
    assert {"id", "sql", "function"} & set(SCHEMA["$defs"]["Layer"]["properties"]) == set()
    assert "name" not in SCHEMA["$defs"]["Field"]["properties"]


SECTIONS = {
    "## Keys": "Layer",
    "### `[fields]`": "Field",
    "### `[tiles]`": "Tiles",
    "### `[privacy]`": "Privacy",
    "### `[ingest]`": "Ingest",
    "### `[ingest.join]`": "Join",
    "### `[translations.<language>]`": "Translation",
    "### `[translations.<language>.fields.<field>]`": "FieldTranslation",
    "## A raster": "Raster",
}
TABLES = {"fields", "tiles", "privacy", "ingest", "join", "translations"}
"""Keys that have a section of their own."""


def section(heading: str) -> str:
    found: str = re.split(r"^##", README.split(f"\n{heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    return found


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_page_tells_every_key_with_an_example_and_no_key_that_does_not_exist(heading: str) -> None:
    text, keys = section(heading), set(SCHEMA["$defs"][SECTIONS[heading]]["properties"]) - TABLES
    told = {key for row in re.findall(r"^\| ([^|]*)\|", text, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    assert told == keys, f"layers/README.md, {heading}: missing {keys - told}, unknown {told - keys}"
    examples = "\n".join(re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    without = {key for key in keys if not re.search(rf"\b{key}\s*=", examples)}
    assert without == set(), f"layers/README.md, {heading}: no example of {without}"


def test_every_definition_has_its_section() -> None:
    assert set(SECTIONS.values()) == set(SCHEMA["$defs"])


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.splitlines()[0][:40])
def test_every_example_loads_and_is_valid(tmp_path: Path, snippet: str) -> None:
    given: dict[str, Any] = tomllib.loads(snippet)
    needed = {"title": 'title = "A layer"\n', "kind": "" if "raster" in given else 'kind = "places"\n'}
    text = "".join(line for key, line in needed.items() if key not in given) + snippet
    if "query" in given:
        (tmp_path / given["query"]).write_text("SELECT 1")
    (tmp_path / "a_layer.toml").write_text(text, "utf-8")
    (tmp_path / "parcels.toml").write_text(MINIMAL + '[fields]\naddress = { role = "address" }', "utf-8")
    known = catalog.load(tmp_path)
    assert "a_layer" in ({*known} | {*known.rasters})
    VALIDATOR.validate(tomllib.loads(text))

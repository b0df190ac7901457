"""Styles are valid by the specification's own validator, and their colors, sizes and legends agree."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tileserver.catalog import Catalog, Kind, Layer
from tileserver.errors import ConfigError
from tileserver.styles import COLORS, OTHER, PAPER, Drawn, check, read_override, style

ROOT = Path(__file__).parents[1]
VALIDATOR = ROOT / "viewer/node_modules/@maplibre/maplibre-gl-style-spec/dist/gl-style-validate.mjs"
ORIGIN = "https://maps.example.org"
OFFENSE = {"offense": {"role": "category", "title": "Offense"}}
TIME = {"at": {"role": "time"}}
NO_FOLDER = ROOT / "no such folder"
VALUES = st.lists(st.text(min_size=1, max_size=4), unique=True, max_size=20)


def drawn(
    id: str = "incidents",
    kind: Kind = "events",
    fields: Mapping[str, Any] = OFFENSE,
    values: Mapping[str, Sequence[str]] | None = None,
    basemap: bool = False,
) -> Drawn:
    time = TIME if kind == "events" else {}
    raw = {"id": id, "title": id.title(), "kind": kind, "basemap": basemap, "fields": {**time, **fields}}
    return Drawn(Layer.model_validate(raw), values or {})


def complaints(document: Mapping[str, Any]) -> str:
    """What the validator of the MapLibre style specification says; nothing if the style is valid."""
    if not VALIDATOR.is_file():
        pytest.fail(f"{VALIDATOR} is missing: run `npm ci` in the folder viewer")
    ran = subprocess.run(["node", str(VALIDATOR)], input=json.dumps(document), capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr


def test_a_style_of_every_kind_is_valid(tmp_path: Path) -> None:
    kinds: tuple[Kind, ...] = ("events", "places", "areas", "shapes")
    values = {"offense": ["THEFT", 'quote "', "<b>", "ñ", "5", "6", "7", "8", "9"]}
    with_values = [drawn(kind, kind, values=values) for kind in kinds]
    without = [drawn(f"plain_{kind}", kind, fields={}) for kind in kinds]
    document = style([*with_values, *without], ORIGIN, "All", tmp_path)
    assert complaints(document) == ""
    assert {layer["source"] for layer in document["layers"]} == set(document["sources"])
    assert document["sources"]["events"] == {"type": "vector", "url": f"{ORIGIN}/tiles/events.json"}


def test_the_validator_is_heard() -> None:
    assert "version" in complaints({"version": 7, "sources": {}, "layers": []})


@pytest.mark.parametrize("name", ["parks", "streets", "water"])
def test_a_shipped_override_is_valid_and_stands_in_for_the_generated_layers(name: str) -> None:
    path = ROOT / "styles" / f"{name}.json"
    assert complaints(json.loads(path.read_text())) == ""
    document = style([drawn(name, "shapes", fields={}, basemap=True)], ORIGIN, name, path.parent)
    assert document["layers"][1:] == read_override(path)
    assert complaints(document) == ""


def test_the_base_map_lies_below_areas_shapes_places_and_events(tmp_path: Path) -> None:
    city = [
        drawn("incidents", "events"),
        drawn("schools", "places"),
        drawn("parcels", "shapes"),
        drawn("wards", "areas"),
        drawn("streets", "shapes", basemap=True),
        drawn("water", "shapes", basemap=True),
    ]
    for name, painted in (("streets", "line"), ("water", "fill")):
        layer = {"id": name, "type": painted, "source": name, "source-layer": name}
        (tmp_path / f"{name}.json").write_text(json.dumps({"version": 8, "sources": {}, "layers": [layer]}))
    document = style(city, ORIGIN, "All", tmp_path)
    order = list(dict.fromkeys(layer.get("source", layer["id"]) for layer in document["layers"]))
    assert order == ["background", "water", "streets", "wards", "parcels", "schools", "incidents"]
    assert len({layer["id"] for layer in document["layers"]}) == len(document["layers"])


def test_a_style_without_a_base_map_leaves_what_lies_below_in_sight(tmp_path: Path) -> None:
    document = style([drawn()], ORIGIN, "Incidents", tmp_path)
    assert "background" not in {layer["type"] for layer in document["layers"]}
    assert document["name"] == "Incidents"


@given(VALUES, VALUES)
def test_the_legend_and_the_map_agree_on_every_color(values: list[str], labelled: list[str]) -> None:
    fields = {"offense": {"role": "category", "labels": {value: value.upper() for value in labelled}}}
    document = style([drawn(fields=fields, values={"offense": values})], ORIGIN, "All", NO_FOLDER)
    legend = {entry["value"]: entry["color"] for entry in document["layers"][-1]["metadata"]["tileserver:legend"]}
    assert set(legend.values()) <= {*COLORS, OTHER}
    for layer in document["layers"]:
        for value in [*values, *labelled, None]:
            assert matched(layer["paint"]["circle-color"], value) == legend.get(value, legend[None])


def matched(color: Any, value: str | None) -> Any:
    """What a `match` expression gives for a value, read branch by branch."""
    if isinstance(color, str):
        return color
    *branches, otherwise = color[2:]
    for labels, output in zip(branches[::2], branches[1::2], strict=True):
        if value in labels:
            return output
    return otherwise


def test_declared_labels_come_first_and_then_the_most_frequent(tmp_path: Path) -> None:
    fields = {"offense": {"role": "category", "labels": {"ROB": "Robbery", "ARSON": "Arson"}}}
    document = style([drawn(fields=fields, values={"offense": ["THEFT", "ARSON", "", "FRAUD"]})], ORIGIN, "All", tmp_path)
    legend = document["layers"][-1]["metadata"]["tileserver:legend"]
    assert [entry["label"] for entry in legend] == ["Robbery", "Arson", "THEFT", "FRAUD", "Other"]
    assert [entry["color"] for entry in legend] == [*COLORS[:4], OTHER]


@given(st.integers(2, 10**7))
def test_an_aggregate_of_any_size_is_drawn_once(point_count: int) -> None:
    *steps, rows = style([drawn()], ORIGIN, "All", NO_FOLDER)["layers"]
    assert [layer["filter"][:2] for layer in steps] == [["all", ["has", "cluster"]]] * len(steps)
    assert sum(holds(layer["filter"][2:], point_count) for layer in steps) == 1
    assert rows["filter"] == ["!has", "cluster"]


def holds(conditions: Sequence[tuple[str, str, int]], point_count: int) -> bool:
    return all(point_count >= bound if operator == ">=" else point_count < bound for operator, _, bound in conditions)


def test_a_layer_without_categories_keeps_its_color(tmp_path: Path) -> None:
    names = ("schools", "schools", "libraries")
    first, again, other = (style([drawn(name, "places", fields={})], ORIGIN, name, tmp_path)["layers"][-1] for name in names)
    assert first["paint"] == again["paint"]
    assert {first["paint"]["circle-color"], other["paint"]["circle-color"]} <= set(COLORS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON"),
        ('{"version": 8}', "layers"),
        ('{"layers": [{"id": "lakes", "source": "water", "source-layer": "water"}]}', "layers.lakes.id"),
        ('{"layers": [{"id": "water", "source": "lakes", "source-layer": "water"}]}', "layers.water"),
        ('{"layers": [{"id": "water", "source": "water", "source-layer": "lakes"}]}', "layers.water"),
    ],
)
def test_an_override_that_cannot_be_used_is_refused_with_file_and_key(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "water.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_override(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


def test_a_check_names_every_override_of_the_catalog_that_is_wrong(tmp_path: Path) -> None:
    for name in ("water", "parks", "elsewhere"):
        (tmp_path / f"{name}.json").write_text("{")
    catalog = Catalog({name: drawn(name, "shapes", fields={}).layer for name in ("parks", "streets", "water")})
    with pytest.raises(ConfigError) as caught:
        check(tmp_path, catalog)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        str(tmp_path / "parks.json"),
        str(tmp_path / "water.json"),
    ]
    check(ROOT / "styles", catalog)


@pytest.mark.parametrize("color", [*COLORS, OTHER])
def test_every_color_stands_out_from_the_paper(color: str) -> None:
    """WCAG 2.1, success criterion 1.4.11: 3:1 for graphics."""
    lighter, darker = sorted((luminance(PAPER), luminance(color)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 3


def luminance(color: str) -> float:
    """Relative luminance of an sRGB color, 0 to 1 (WCAG 2.1)."""
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

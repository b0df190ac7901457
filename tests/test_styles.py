"""Styles are valid by the specification's own validator, and their colors, icons, sizes and legends agree."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from operator import eq, ge, lt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tileserver.catalog import Catalog, Layer
from tileserver.catalog.layer import Kind
from tileserver.errors import ConfigError
from tileserver.styles import COLORS, NONE, OTHER, PAPER, RAMP, Drawn, check, read_override, sheet, style
from tileserver.styles.palette import starts

ROOT = Path(__file__).parents[1]
VALIDATE = """
    import { validateStyleMin } from '@maplibre/maplibre-gl-style-spec';
    let text = '';
    for await (const part of process.stdin) text += part;
    for (const style of JSON.parse(text)) {
        for (const { message } of validateStyleMin(style)) console.log(`${style.name}: ${message}`);
    }
"""
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


def complaints(*documents: Mapping[str, Any]) -> str:
    """What the validator of the MapLibre style specification says; nothing if the styles are valid."""
    if not (ROOT / "viewer/node_modules/@maplibre/maplibre-gl-style-spec").is_dir():
        pytest.fail("The validator is missing: run `npm ci` in the folder viewer")
    command = ["node", "--input-type=module", "--eval", VALIDATE]
    ran = subprocess.run(command, input=json.dumps(documents), capture_output=True, text=True, check=False, cwd=ROOT / "viewer")
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


@given(VALUES, VALUES, st.booleans(), st.integers(0, 6))
def test_the_legend_and_the_map_agree_on_every_color(values: list[str], labelled: list[str], lacks: bool, start: int) -> None:
    fields = {"offense": {"role": "category", "labels": {value: value.upper() for value in labelled}}}
    one = replace(drawn(fields=fields, values={"offense": [*values, ""] if lacks else values}), start=start)
    document = style([one], ORIGIN, "All", NO_FOLDER)
    legend = legend_of(document)
    colors = {entry["value"]: entry["color"] for entry in legend["tileserver:legend"]}
    assert set(colors.values()) <= {*COLORS, OTHER, NONE}
    for point_count in (None, 2, 5_000):
        for value in [*values, *labelled, *([""] if lacks and legend.get("tileserver:field") else [])]:
            row = ({"offense": value} if value else {}) | ({"cluster": True, "point_count": point_count} if point_count else {})
            assert [painted(layer, row) for layer in seen(document, row)] == [colors.get(value, colors[None])]


def legend_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The one legend of a style of one layer."""
    (legend,) = (layer["metadata"] for layer in document["layers"] if "tileserver:legend" in layer.get("metadata", {}))
    return dict(legend)


def seen(document: Mapping[str, Any], row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The style layers that draw a row, by their filters; names left out."""
    drawing = [layer for layer in document["layers"] if "text-field" not in layer.get("layout", {})]
    return [layer for layer in drawing if holds(layer["filter"], row)]


def holds(condition: Sequence[Any], row: Mapping[str, Any]) -> bool:
    """A filter in the older form, evaluated the slow way (MapLibre style specification, "Other filter")."""
    operator, *rest = condition
    if operator == "all":
        return all(holds(each, row) for each in rest)
    name, *operands = rest
    if name == "$type":
        return True
    if operator in ("has", "!has"):
        return (name in row) is (operator == "has")
    if operator in ("in", "!in"):
        return (row.get(name) in operands) is (operator == "in")
    compare = {"==": eq, "<": lt, ">=": ge}[operator]
    return name in row and bool(compare(row[name], operands[0]))


def painted(layer: Mapping[str, Any], row: Mapping[str, Any]) -> Any:
    """The color or the icon of a row; of a `match` read branch by branch."""
    look = layer["layout"]["icon-image"] if layer["type"] == "symbol" else layer["paint"][f"{layer['type']}-color"]
    if isinstance(look, str):
        return look
    (_, (_, name), *branches), otherwise = look[:-1], look[-1]
    return next(
        (output for labels, output in zip(branches[::2], branches[1::2], strict=True) if row.get(name) in labels), otherwise
    )


def test_declared_labels_come_first_and_then_the_most_frequent(tmp_path: Path) -> None:
    fields = {"offense": {"role": "category", "labels": {"ROB": "Robbery", "ARSON": "Arson"}, "descriptions": {"ROB": "By force"}}}
    document = style([drawn(fields=fields, values={"offense": ["THEFT", "ARSON", "", "FRAUD"]})], ORIGIN, "All", tmp_path)
    legend = legend_of(document)["tileserver:legend"]
    assert [entry["label"] for entry in legend] == ["Robbery", "Arson", "THEFT", "FRAUD", "No value", "Other"]
    assert [entry["color"] for entry in legend] == [*COLORS[:4], NONE, OTHER]
    assert [entry.get("description") for entry in legend[:2]] == ["By force", None]


BREAKS = [100.0, 500.0, 2_500.5]


@pytest.mark.parametrize("kind", ["places", "areas", "shapes"])
def test_class_breaks_color_every_number_as_the_legend_says(kind: Kind) -> None:
    fields = {"people": {"type": "number", "title": "People", "unit": "residents", "breaks": BREAKS}}
    document = style([drawn(kind=kind, fields=fields)], ORIGIN, "All", NO_FOLDER)
    assert complaints(document) == ""
    legend = legend_of(document)
    classes = [entry for entry in legend["tileserver:legend"] if "from" in entry]
    assert [entry["label"] for entry in classes] == ["under 100", "100 to 500", "500 to 2,500.5", "2,500.5 and more"]
    assert [entry["color"] for entry in classes] == [RAMP[0], RAMP[2], RAMP[4], RAMP[6]]
    assert (legend["tileserver:field"], legend["tileserver:title"], legend["tileserver:unit"]) == ("people", "People", "residents")
    for people, number in ((-5, 0), (99.9, 0), (100, 1), (499, 1), (500, 2), (2_500.5, 3), (10**9, 3)):
        assert look_of(document, {"people": people}) == look(classes[number])
    (missing,) = (entry for entry in legend["tileserver:legend"] if entry.get("value") == "")
    assert (look_of(document, {}), missing["label"], missing["color"]) == (look(missing), "No value", NONE)


def look_of(document: Mapping[str, Any], row: Mapping[str, Any]) -> Any:
    """Of the fill, the dot or the icon that a row has."""
    (one,) = (layer for layer in seen(document, row) if layer["type"] != "line" and "-point" not in layer["id"])
    return painted(one, row)


def look(entry: Mapping[str, Any]) -> Any:
    return entry.get("icon", entry["color"])


def test_a_class_break_never_colors_several_rows_drawn_as_one() -> None:
    fields = {"people": {"type": "number", "breaks": BREAKS, "measure": True}}
    for kind in ("places", "shapes"):
        document = style([drawn(kind=kind, fields=fields)], ORIGIN, "All", NO_FOLDER)
        assert look_of(document, {"cluster": True, "point_count": 7, "sum_people": 9_000}) == OTHER
        assert {"several": True, "label": "Several together", "color": OTHER} in legend_of(document)["tileserver:legend"]


@given(VALUES, st.integers(0, 6))
def test_each_value_of_places_has_a_shape_and_a_color_of_its_own(values: list[str], start: int) -> None:
    one = replace(drawn(kind="places", values={"offense": [*values, ""]}), start=start)
    document = style([one], ORIGIN, "All", NO_FOLDER)
    entries = legend_of(document)["tileserver:legend"]
    if not values:
        return
    own = [entry["icon"] for entry in entries if entry["value"]]
    assert len(own) == min(len(values), 7) == len({icon.split("-")[0] for icon in own}) == len({icon.split("-")[1] for icon in own})
    icons = {entry["value"]: entry["icon"] for entry in entries}
    for value in [*values, ""]:
        assert look_of(document, {"offense": value} if value else {}) == icons.get(value, icons[None])
    assert set(icons.values()) <= sheet(1).index.keys()


def test_layers_of_one_kind_begin_with_different_colors_whatever_else_there_is() -> None:
    names = [f"layer_{number}" for number in range(7)]
    found = starts(drawn(name, "places").layer for name in names)
    assert sorted(found.values()) == list(range(7))
    assert starts([drawn("schools", "places").layer])["schools"] == starts([drawn("schools", "events").layer])["schools"]
    icons = set()
    for name, start in found.items():
        one = replace(drawn(name, "places", values={"offense": list("abcdefg")}), start=start)
        icons |= {
            entry["icon"] for entry in legend_of(style([one], ORIGIN, name, NO_FOLDER))["tileserver:legend"] if entry["value"]
        }
    assert len(icons) == 49


NAMED = {"name": {"role": "name"}, "ward": {"role": "id", "type": "integer"}}


@pytest.mark.parametrize(("kind", "source_layer"), [("places", "city"), ("areas", "city_labels")])
def test_places_and_areas_are_labelled_with_their_names_above_all_else(kind: Kind, source_layer: str) -> None:
    document = style([drawn("city", kind, fields=NAMED), drawn("reports")], ORIGIN, "All", NO_FOLDER)
    label = document["layers"][-1]
    assert (label["id"], label["source"], label["source-layer"]) == ("city-label", "city", source_layer)
    assert label["layout"]["text-field"] == ["get", "name"]
    assert label["layout"]["text-font"][0] in ("Noto Sans Regular", "Noto Sans Bold")
    assert complaints(document) == ""
    unnamed = style([drawn("city", kind, fields={}), drawn("city", "shapes", fields=NAMED)], ORIGIN, "All", NO_FOLDER)
    assert not [
        layer for layer in unnamed["layers"] if layer["type"] == "symbol" and layer["layout"].get("text-field") == ["get", "name"]
    ]


def test_a_legend_speaks_the_language_that_is_asked_for() -> None:
    raw = {
        "id": "reports",
        "title": "Reports",
        "kind": "places",
        "fields": {"offense": {"role": "category", "title": "Offense", "labels": {"ROB": "Robbery", "ARSON": "Arson"}}},
        "translations": {"es": {"title": "Informes", "fields": {"offense": {"title": "Delito", "labels": {"ROB": "Robo"}}}}},
    }
    one = Drawn(Layer.model_validate(raw), {"offense": ["ROB", ""]}, language="es")
    legend = legend_of(style([one], ORIGIN, one.wording.title, NO_FOLDER))
    assert (one.wording.title, legend["tileserver:title"]) == ("Informes", "Delito")
    assert [entry["label"] for entry in legend["tileserver:legend"]] == ["Robo", "Arson", "Sin dato", "Otros"]
    breaks = {"people": {"type": "number", "breaks": [100, 500]}}
    spanish = replace(drawn(kind="areas", fields=breaks), language="es")
    told = legend_of(style([spanish], ORIGIN, "", NO_FOLDER))["tileserver:legend"]
    assert [entry["label"] for entry in told] == ["menos de 100", "de 100 a 500", "500 o más", "Sin dato"]


def test_a_style_over_a_base_map_of_others_names_it_and_hides_nothing(tmp_path: Path) -> None:
    url = "https://tiles.example.com/style.json"
    document = style([drawn(), drawn("streets", "shapes", basemap=True)], ORIGIN, "All", tmp_path, url)
    assert document["metadata"] == {"tileserver:basemap": url}
    assert "background" not in {layer["type"] for layer in document["layers"]}
    assert complaints(document) == ""


ICON = "tree-green"


def test_an_override_may_use_fonts_and_icons_of_the_server(tmp_path: Path) -> None:
    source = {"source": "trees", "source-layer": "trees"}
    icon = {"id": "trees", "type": "symbol", **source, "layout": {"icon-image": ICON}}
    label = {"id": "trees-label", "type": "symbol", **source, "layout": {"text-field": "{name}", "text-font": ["Noto Sans Bold"]}}
    (tmp_path / "trees.json").write_text(json.dumps({"layers": [icon, label]}))
    document = style([drawn("trees", "places")], ORIGIN, "Trees", tmp_path)
    assert document["layers"] == [icon, label]
    assert (document["glyphs"], document["sprite"]) == (f"{ORIGIN}/fonts/{{fontstack}}/{{range}}.pbf", f"{ORIGIN}/sprites/all")
    assert ICON in sheet(2).index
    assert complaints(document) == ""


@given(st.integers(2, 10**7))
def test_an_aggregate_of_any_size_is_drawn_once(point_count: int) -> None:
    document = style([drawn()], ORIGIN, "All", NO_FOLDER)
    assert len(seen(document, {"cluster": True, "point_count": point_count})) == 1
    assert [layer["id"] for layer in seen(document, {})] == ["incidents"]


@pytest.mark.parametrize("values", [{}, {"offense": ["THEFT", "FIRE"]}])
def test_squares_of_several_shapes_are_filled_once_and_without_sides(values: dict[str, list[str]]) -> None:
    document = style([drawn("parcels", "shapes", values=values)], ORIGIN, "Parcels", NO_FOLDER)
    square, shape = (
        [layer for layer in seen(document, row) if layer["type"] == "fill"] for row in ({"cluster": True, "offense": "FIRE"}, {})
    )
    assert [layer["id"] for layer in (*square, *shape)] == ["parcels-cell", "parcels"]
    assert (square[0]["paint"]["fill-antialias"], square[0]["paint"]["fill-opacity"]) == (False, shape[0]["paint"]["fill-opacity"])


def test_the_legend_tells_from_how_many_on_a_dot_is_larger_and_crowded_spots_are_numbered() -> None:
    layers = style([drawn()], ORIGIN, "All", NO_FOLDER)["layers"]
    steps = {layer["metadata"]["tileserver:from"]: layer for layer in layers if "tileserver:from" in layer.get("metadata", {})}
    assert list(steps) == [2_500, 500, 100, 20, 5, 2]
    for zoom in (1, 2, 3):  # 8, 12 and 17
        radii = [layer["paint"]["circle-radius"][2 + 2 * zoom] for layer in steps.values()]
        assert radii == sorted(radii, reverse=True)
    numbers = [layer for layer in layers if layer.get("layout", {}).get("text-field") == ["get", "point_count"]]
    for count, told in ((None, []), (3, []), (45, [16]), (170, [15]), (1_029, [14]), (10**6, [14])):
        row = {"cluster": True, "point_count": count} if count else {}
        assert [layer["minzoom"] for layer in numbers if holds(layer["filter"], row)] == told


def test_a_layer_without_categories_keeps_its_look(tmp_path: Path) -> None:
    documents = (
        style([replace(drawn(name, "places", fields={}), start=start)], ORIGIN, name, tmp_path)
        for name, start in (("schools", 1), ("schools", 1), ("libraries", 2))
    )
    first, again, other = (next(layer for layer in made["layers"] if "icon-image" in layer.get("layout", {})) for made in documents)
    assert first["layout"] == again["layout"]
    assert first["layout"]["icon-image"] == "square-orange"
    assert other["layout"]["icon-image"] == "diamond-green"


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


@pytest.mark.parametrize("color", [*COLORS, OTHER, NONE, *RAMP])
def test_every_color_stands_out_from_the_paper(color: str) -> None:
    """WCAG 2.1, success criterion 1.4.11: 3:1 for graphics."""
    lighter, darker = sorted((luminance(PAPER), luminance(color)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 3


def luminance(color: str) -> float:
    """Relative luminance of an sRGB color, 0 to 1 (WCAG 2.1)."""
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_classes_of_a_ramp_get_darker() -> None:
    brightness = [luminance(color) for color in RAMP]
    assert brightness == sorted(brightness, reverse=True)
    assert all((low + 0.05) / (high + 0.05) >= 1.2 for low, high in pairwise(brightness))

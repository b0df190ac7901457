"""Layers → a MapLibre style: generated from what a layer is, or taken from `styles/<id>.json`.

Only what QGIS, ArcGIS and MapLibre all read is written: filters in the older form (`$type`, `!has`), `match` with its labels in
lists, `interpolate` over the zoom. QGIS 3.22 reads no size that depends on an attribute, so an aggregate's size is a style
layer of its own for each step of `point_count`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from tileserver.answers import json_answer, origin, refuse_parameters
from tileserver.catalog import Catalog, Field, Layer
from tileserver.errors import ConfigError
from tileserver.settings import Settings
from tileserver.snapshot import Live

router = APIRouter()

StyleLayer = dict[str, Any]
Expression = list[Any]

PAPER = "#f7f6f3"
COLORS = ("#1c63c7", "#de6a10", "#005a3c", "#b8509f", "#836413", "#2f8fcb", "#2a2431")
"""The hues of Okabe and Ito, made dark enough for 3:1 on `PAPER`; any two differ by 7 or more in OKLab × 100, also as seen with
protanopia, deuteranopia and tritanopia (Machado 2009)."""
OTHER = "#8c8c8c"

STEPS = ((2, 3.0), (5, 4.0), (20, 5.0), (100, 6.5), (500, 8.5), (2_500, 11.0))
"""From this `point_count` on, an aggregate's radius is so many pixels at zoom 12. Cells are 8 pixels wide."""

_ORDER = ("areas", "shapes", "places", "events")
_POLYGON, _LINE, _POINT = (["==", "$type", kind] for kind in ("Polygon", "LineString", "Point"))


@dataclass(frozen=True)
class Drawn:
    """A layer to draw, and what its data says of its categories."""

    layer: Layer
    values: Mapping[str, Sequence[str]]
    """Per category field its values, most frequent first."""


@router.api_route("/styles/all.json", methods=["GET", "HEAD"])
async def style_of_all(request: Request) -> Response:
    live: Live = request.app.state.live
    waiting = set(live.waiting())
    return _answer(request, [layer for layer in live.catalog.values() if layer.id not in waiting], "All layers")


@router.api_route("/styles/{id}.json", methods=["GET", "HEAD"])
async def style_of_one(request: Request, id: str) -> Response:
    live: Live = request.app.state.live
    layer = live.layer(id)
    return _answer(request, [layer], layer.title)


def _answer(request: Request, shown: Sequence[Layer], name: str) -> Response:
    refuse_parameters(request)
    live: Live = request.app.state.live
    settings: Settings = request.app.state.settings
    drawn = [Drawn(layer, _values(live, layer)) for layer in shown]
    return json_answer(request, style(drawn, origin(request), name, settings.styles))


def _values(live: Live, layer: Layer) -> dict[str, list[str]]:
    snapshot = live.snapshot(layer)
    return {field.name: [value for value, _ in snapshot.values(field.name)] for field in layer.categories}


def check(overrides: Path, catalog: Catalog) -> None:
    """Reads every override that would be used.

    Raises:
        ConfigError: naming each file and key that is wrong, one a line.
    """
    wrong = []
    for name in catalog:
        try:
            _override(name, overrides)
        except ConfigError as error:
            wrong.append(str(error))
    if wrong:
        raise ConfigError("\n".join(wrong))


def style(drawn: Sequence[Drawn], address: str, name: str, overrides: Path) -> dict[str, Any]:
    """A complete MapLibre style of these layers, the base map at the bottom, events on top.

    Args:
        address: scheme, host and port that the sources' addresses begin with.
        overrides: the folder of `<id>.json` files that stand in for a layer's generated style layers.

    Raises:
        ConfigError: an override that cannot be used; names file and key.
    """
    ranked = [(_rank(one.layer, layer), layer) for one in drawn for layer in layers(one, overrides)]
    ranked.sort(key=lambda pair: pair[0])
    background = [_background()] if any(one.layer.basemap for one in drawn) else []
    return {
        "version": 8,
        "name": name,
        "sources": {one.layer.id: {"type": "vector", "url": f"{address}/tiles/{one.layer.id}.json"} for one in drawn},
        "layers": [*background, *(layer for _, layer in ranked)],
    }


def layers(drawn: Drawn, overrides: Path) -> list[StyleLayer]:
    """The style layers of one layer, bottom first: those of its override, if there is one, otherwise generated.

    Raises:
        ConfigError: an override that cannot be used; names file and key.
    """
    if (override := _override(drawn.layer.id, overrides)) is not None:
        return override
    if drawn.layer.is_points:
        return [*_aggregates(drawn), _rows(drawn)]
    if drawn.layer.kind == "areas":
        return list(_areas(drawn))
    return list(_shapes(drawn))


def _override(id: str, overrides: Path) -> list[StyleLayer] | None:
    path = overrides / f"{id}.json"
    return read_override(path) if path.is_file() else None


def read_override(path: Path) -> list[StyleLayer]:
    """The style layers of `styles/<id>.json`, each drawing the source and the tile layer `<id>`.

    Raises:
        ConfigError: not JSON, not a style, or a style layer that draws something else; names file and key.
    """
    name = path.stem
    try:
        found = orjson.loads(path.read_bytes())["layers"]
        parts = [(layer["id"], layer["source"], layer["source-layer"]) for layer in found]
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from error
    except (KeyError, TypeError) as error:
        raise ConfigError(f'{path}: layers: a MapLibre style whose layers each have "id", "source" and "source-layer"') from error
    for part, source, source_layer in parts:
        if part != name and not str(part).startswith(f"{name}-"):
            raise ConfigError(f'{path}: layers.{part}.id: must be "{name}" or begin with "{name}-", so that no two share a name')
        if source != name or source_layer not in (name, f"{name}_labels"):
            raise ConfigError(f'{path}: layers.{part}: its source and its source-layer must be "{name}"')
    return list(found)


def _rank(layer: Layer, painted: StyleLayer) -> tuple[int, int, str]:
    """The base map is sorted by what it is painted with, so that no lake hides a street."""
    if layer.basemap:
        paint = ("fill", "line", "circle")
        return 0, paint.index(painted["type"]) if painted["type"] in paint else len(paint), layer.id
    return 1 + _ORDER.index(layer.kind), 0, layer.id


def _background() -> StyleLayer:
    return {"id": "background", "type": "background", "paint": {"background-color": PAPER}}


def _aggregates(drawn: Drawn) -> Iterator[StyleLayer]:
    """A style layer per step of size, the largest at the bottom, so that the small ones stay in sight."""
    for (least, radius), (above, _) in reversed(list(zip(STEPS, [*STEPS[1:], (0, 0.0)], strict=True))):
        below = [["<", "point_count", above]] if above else []
        yield _circles(drawn, f"-{least}", ["all", ["has", "cluster"], [">=", "point_count", least], *below], radius)


def _rows(drawn: Drawn) -> StyleLayer:
    radius = 3.0 if drawn.layer.kind == "events" else 5.0
    return _circles(drawn, "", ["!has", "cluster"], radius) | {"metadata": _legend(drawn, "circle")}


def _circles(drawn: Drawn, suffix: str, filter: Expression, radius: float) -> StyleLayer:
    paint = {
        "circle-color": _color(drawn),
        "circle-radius": _by_zoom((8, radius * 0.7), (12, radius), (17, radius * 2)),
        "circle-opacity": 0.85,
        "circle-stroke-color": PAPER,
        "circle-stroke-width": _by_zoom((8, 0.25), (12, 0.5), (17, 1.5)),
    }
    return _layer(drawn, suffix, "circle", filter, paint)


def _areas(drawn: Drawn) -> Iterator[StyleLayer]:
    color = _color(drawn)
    yield _layer(drawn, "", "fill", _POLYGON, {"fill-color": color, "fill-opacity": 0.06}) | {"metadata": _legend(drawn, "outline")}
    width = _by_zoom((8, 0.75), (12, 1.5), (17, 3))
    yield _layer(drawn, "-outline", "line", _POLYGON, {"line-color": color, "line-width": width, "line-opacity": 0.8})


def _shapes(drawn: Drawn) -> Iterator[StyleLayer]:
    """Polygons and the squares of their cells in one fill, then lines, then points."""
    color = _color(drawn)
    yield _layer(drawn, "", "fill", _POLYGON, {"fill-color": color, "fill-opacity": 0.45}) | {"metadata": _legend(drawn, "square")}
    outline = {"line-color": color, "line-width": _by_zoom((13, 0.25), (17, 1.5))}
    yield _layer(drawn, "-outline", "line", ["all", _POLYGON, ["!has", "cluster"]], outline) | {"minzoom": 13}
    line = {"line-color": color, "line-width": _by_zoom((8, 0.75), (12, 1.5), (17, 4))}
    yield _layer(drawn, "-line", "line", _LINE, line) | {"layout": {"line-cap": "round", "line-join": "round"}}
    yield _circles(drawn, "-point", _POINT, 3.0)


def _layer(drawn: Drawn, suffix: str, type: str, filter: Expression, paint: dict[str, Any]) -> StyleLayer:
    name = drawn.layer.id
    return {"id": name + suffix, "type": type, "source": name, "source-layer": name, "filter": filter, "paint": paint}


def _by_zoom(*stops: tuple[float, float]) -> Expression:
    return ["interpolate", ["linear"], ["zoom"], *(round(number, 2) for stop in stops for number in stop)]


def _color(drawn: Drawn) -> str | Expression:
    field, colors = _colors(drawn)
    if field is None:
        return _single(drawn.layer)
    return ["match", ["get", field.name], *(part for value, color in colors.items() for part in ([value], color)), OTHER]


def _legend(drawn: Drawn, shape: str) -> dict[str, Any]:
    """What shape and colors mean, for whoever draws a legend; the value null stands for all others."""
    field, colors = _colors(drawn)
    if field is None:
        entry = {"value": None, "label": drawn.layer.title, "color": _single(drawn.layer)}
        return {"tileserver:shape": shape, "tileserver:legend": [entry]}
    entries = [{"value": value, "label": field.labels.get(value, value), "color": color} for value, color in colors.items()]
    rest = {"value": None, "label": "Other", "color": OTHER}
    return {"tileserver:shape": shape, "tileserver:field": field.name, "tileserver:legend": [*entries, rest]}


def _colors(drawn: Drawn) -> tuple[Field | None, dict[str, str]]:
    """The first category field, and the colors of its first values: in the order of its labels, then the most frequent.

    No field if there is none, or if it has no value to tell apart.
    """
    field = next(iter(drawn.layer.categories), None)
    if field is None:
        return None, {}
    values = [value for value in dict.fromkeys([*field.labels, *drawn.values.get(field.name, ())]) if value]
    return (field, dict(zip(values, COLORS, strict=False))) if values else (None, {})


def _single(layer: Layer) -> str:
    """A layer's one color, the same at every start and on every machine."""
    return COLORS[zlib.crc32(layer.id.encode()) % len(COLORS)]

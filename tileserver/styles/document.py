"""Layers → a complete MapLibre style: generated, or for a layer taken from `styles/<id>.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from tileserver.catalog import Catalog, Raster
from tileserver.errors import ConfigError
from tileserver.styles import sprites
from tileserver.styles.classes import Drawn
from tileserver.styles.marks import COUNT, StyleLayer, generated
from tileserver.styles.palette import PAPER

_ORDER = ("areas", "shapes", "places", "events")


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


def strays(overrides: Path, catalog: Catalog) -> list[Path]:
    """The files among the overrides that no layer goes by, most likely for a slip of the pen."""
    return sorted(path for path in overrides.glob("*.json") if path.stem not in catalog)


def style(drawn: Sequence[Drawn], address: str, name: str, overrides: Path, basemap: str = "") -> dict[str, Any]:
    """A complete MapLibre style of these layers: the city's base map at the bottom, events on top, names above all.

    Args:
        address: scheme, host and port that the addresses of sources, glyphs and icons begin with.
        overrides: the folder of `<id>.json` files that stand in for a layer's generated style layers.
        basemap: the address of a style or of a PMTiles archive to be drawn below; told in the metadata, since it is another's,
            and what lies below is then left in sight.

    Raises:
        ConfigError: an override that cannot be used; names file and key.
    """
    ranked = [(_rank(one, layer), layer) for one in drawn for layer in layers(one, overrides)]
    ranked.sort(key=lambda pair: pair[0])
    paper = [_background()] if not basemap and any(one.layer.basemap for one in drawn) else []
    return {
        "version": 8,
        "name": name,
        **({"metadata": {"tileserver:basemap": basemap}} if basemap else {}),
        "glyphs": f"{address}/fonts/{{fontstack}}/{{range}}.pbf",
        "sprite": f"{address}/sprites/all",
        "sources": {one.layer.id: {"type": "vector", "url": f"{address}/tiles/{one.layer.id}.json"} for one in drawn},
        "layers": [*paper, *(layer for _, layer in ranked)],
    }


def raster_style(raster: Raster, address: str, language: str = "") -> dict[str, Any]:
    """A complete MapLibre style of one raster."""
    told = raster.translations.get(language)
    source = {"type": "raster", "url": f"{address}/raster/{raster.id}/tilejson.json", "tileSize": 256}
    return {
        "version": 8,
        "name": (told and told.title) or raster.title,
        "sources": {raster.id: source},
        "layers": [{"id": raster.id, "type": "raster", "source": raster.id}],
    }


def layers(drawn: Drawn, overrides: Path) -> list[StyleLayer]:
    """The style layers of one layer, bottom first: those of its override, if there is one, otherwise generated.

    Raises:
        ConfigError: an override that cannot be used; names file and key.
    """
    override = _override(drawn.layer.id, overrides)
    return generated(drawn) if override is None else override


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
    for layer in found:
        icon = layer.get("layout", {}).get("icon-image")
        if isinstance(icon, str) and "{" not in icon and icon not in sprites.NAMES:
            raise ConfigError(f"{path}: layers.{layer['id']}.layout.icon-image: there is no such icon; docs/styles.md names them")
    for part, source, source_layer in parts:
        if part != name and not str(part).startswith(f"{name}-"):
            raise ConfigError(f'{path}: layers.{part}.id: must be "{name}" or begin with "{name}-", so that no two share a name')
        if source != name or source_layer not in (name, f"{name}_labels"):
            raise ConfigError(f'{path}: layers.{part}: its source and its source-layer must be "{name}"')
    return list(found)


def _rank(drawn: Drawn, made: StyleLayer) -> tuple[int, int, str]:
    """The base map is sorted by what it is painted with, so that no lake hides a street. Names of areas lie below those of
    places, which MapLibre therefore sets first. Numbers stay with the circles they stand on."""
    layer = drawn.layer
    if layer.basemap:
        paint = ("fill", "line", "circle")
        return 0, paint.index(made["type"]) if made["type"] in paint else len(paint), layer.id
    is_name = made["type"] == "symbol" and "text-field" in made.get("layout", {}) and made["layout"]["text-field"] != COUNT
    return 1 + _ORDER.index(layer.kind) + is_name * len(_ORDER), 0, layer.id


def _background() -> StyleLayer:
    return {"id": "background", "type": "background", "paint": {"background-color": PAPER}}

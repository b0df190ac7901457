"""Layer files → a catalog. Errors name file and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tileserver.catalog.layer import GEOMETRY, Layer
from tileserver.catalog.raster import Raster
from tileserver.catalog.values import key, sentence
from tileserver.errors import ConfigError

LAYER_ID = re.compile(r"[a-z][a-z0-9_]*")
FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
RESERVED = {GEOMETRY, "cluster", "point_count"}


def read(folder: Path) -> list[Layer | Raster]:
    """Every `*.toml` of a folder.

    Raises:
        ConfigError: naming each file and key that is wrong, one a line.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder of layer files; name one with --layers")
    layers: list[Layer | Raster] = []
    wrong: list[str] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            layers.append(read_file(path))
        except ConfigError as error:
            wrong.append(str(error))
    wrong += [f"{folder / layer.id}.toml: {problem}" for layer in layers for problem in _joins(layer, layers)]
    if wrong:
        raise ConfigError("\n".join(wrong))
    return layers


def read_file(path: Path) -> Layer | Raster:
    """The layer of one file; its id is the file's name.

    Raises:
        ConfigError: naming the file and each key that is wrong.
    """
    if not LAYER_ID.fullmatch(path.stem):
        raise ConfigError(f"{path}: a layer's id is its file's name, of small letters, digits and _, beginning with a letter")
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    if "id" in raw:
        raise ConfigError(f"{path}: id: unknown key; a layer's id is its file's name")
    if "sql" in raw:
        raise ConfigError(f"{path}: sql: unknown key; write the SELECT into a file beside this one and name it with query")
    fields = raw.get("fields")
    for name, field in fields.items() if isinstance(fields, dict) else ():
        if isinstance(field, dict) and "name" in field:
            raise ConfigError(f"{path}: fields.{name}.name: unknown key; a field's name is its key")
    return _raster(path, raw) if "raster" in raw else _layer(path, raw)


def _raster(path: Path, raw: dict[str, Any]) -> Raster:
    try:
        return Raster.model_validate({**raw, "id": path.stem})
    except ValidationError as error:
        raise _wrong(path, error) from error


def _layer(path: Path, raw: dict[str, Any]) -> Layer:
    try:
        layer = Layer.model_validate({**raw, "id": path.stem, "sql": _select(path, raw.get("query"))})
    except ValidationError as error:
        raise _wrong(path, error) from error
    problems = list(_problems(layer))
    if problems:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))
    return layer


def _wrong(path: Path, error: ValidationError) -> ConfigError:
    return ConfigError("\n".join(f"{path}: {key(each['loc'])}: {sentence(each)}" for each in error.errors()))


def _select(path: Path, name: Any) -> str:
    """The one SELECT of the file that `query` names; that it changes nothing is the database's to see (a read-only session)."""
    if not isinstance(name, str) or not name:
        return ""
    try:
        text = (path.parent / name).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: query: {path.parent / name} cannot be read; it is a text file with one SELECT") from error
    words = [(match[0], match.end()) for match in _SQL.finditer(text) if not match[0].startswith(("--", "/*"))]
    while words and words[-1][0] == ";":
        words.pop()
    if not words or words[0][0].upper() not in ("SELECT", "WITH") or any(word == ";" for word, _ in words):
        raise ConfigError(f"{path}: query: {path.parent / name} must hold one SELECT")
    return text[: words[-1][1]].lstrip()


_SQL = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | \$(\w*)\$.*?\$\1\$ | \w+ | \S""",
    re.VERBOSE | re.DOTALL,
)
"""Comments, quoted texts and names, which are all that can hold a semicolon that ends nothing; and what lies between them."""


def _problems(layer: Layer) -> Iterator[str]:
    """What is wrong between keys, each as `key: sentence`."""
    yield from _field_problems(layer)
    yield from _publish_problems(layer)
    yield from _ingest_problems(layer)
    yield from _translation_problems(layer)
    if layer.table is not None and not re.fullmatch(r"[^.\s]+(\.[^.\s]+)?", layer.table):
        yield "table: must be a table's name, with its schema before it, such as city.permits"
    if layer.table is not None and layer.query is not None:
        yield "query: a layer has a table or a query, not both"


def _field_problems(layer: Layer) -> Iterator[str]:
    for role in ("id", "time", "name"):
        names = [field.name for field in layer.fields.values() if field.role == role]
        if len(names) > 1:
            yield f'fields.{names[1]}: a layer has one field with role = "{role}", and {names[0]} is one already'
    for field in layer.fields.values():
        if not FIELD_NAME.fullmatch(field.name):
            yield f"fields.{field.name}: a field's name is of letters, digits and _; rename the column under [ingest] rename"
        if field.name in RESERVED or field.name.startswith("sum_") or (field.name == "id" and field.role != "id"):
            yield f"fields.{field.name}: this name is taken by what tiles carry; rename the column under [ingest] rename"
        if field.per and layer.kind != "areas":
            yield f'fields.{field.name}.per: only a layer of kind "areas" has denominators'
    if layer.kind == "events" and layer.time_field is None:
        yield 'fields: a layer of kind "events" has a field with role = "time"; without one its kind is "places"'


def _publish_problems(layer: Layer) -> Iterator[str]:
    if layer.privacy.snap_meters and not layer.is_points:
        yield "privacy.snap_meters: only points can be snapped"
    if layer.privacy.time and layer.time_field is None:
        yield "privacy.time: the layer has no time"
    for name in layer.privacy.include:
        if name not in layer.fields or layer.fields[name].role != "category":
            yield f"privacy.include.{name}: not a category field of this layer"
    if layer.min_count and layer.publish != "counts":
        yield 'min_count: needs publish = "counts"; single rows are in sight otherwise'
    if layer.publish == "counts" and layer.kind in ("areas", "shapes"):
        yield 'publish: areas and shapes are drawn, not counted; "counts" is for events and places'
    if layer.publish == "counts" and layer.basemap:
        yield 'basemap: a layer with publish = "counts" is not drawn'


def _ingest_problems(layer: Layer) -> Iterator[str]:
    for column, name in layer.ingest.rename.items():
        if name not in layer.fields:
            yield f"ingest.rename.{column}: {name} is not a field of this layer"
    if (layer.ingest.x is None) != (layer.ingest.y is None):
        yield "ingest: x and y are given together"
    if layer.ingest.geometry and layer.ingest.x:
        yield "ingest.geometry: a position is in x and y, or in one column, not both"
    if layer.ingest.join and (layer.ingest.x or layer.ingest.geometry):
        yield "ingest.join: positions come from the file or from another layer, not both"
    if layer.ingest.join and not layer.is_points:
        yield "ingest.join: gives points, so it is for events and places"


def _translation_problems(layer: Layer) -> Iterator[str]:
    for language, told in layer.translations.items():
        if not LANGUAGE.fullmatch(language):
            yield f"translations.{language}: a language is named by its tag, such as es or pt-BR (BCP 47)"
        for name in told.fields:
            if name not in layer.fields:
                yield f"translations.{language}.fields.{name}: not a field of this layer"


def _joins(layer: Layer | Raster, layers: list[Layer | Raster]) -> Iterator[str]:
    """What is wrong between layer files."""
    if not isinstance(layer, Layer) or (join := layer.ingest.join) is None:
        return
    other = next((each for each in layers if each.id == join.layer), None)
    if not isinstance(other, Layer) or other.id == layer.id:
        yield f"ingest.join.layer: there is no other layer {join.layer}"
    elif join.to is not None and join.to not in other.fields:
        yield f"ingest.join.to: {join.to} is not a field of {join.layer}"

"""GeoJSON → rows. A file is read whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import shapely

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.columns import fields_of
from tileserver.ingest.encoding import encoding_of
from tileserver.ingest.rows import BATCH, Rows, Shapes, Texts
from tileserver.ingest.sources import Source

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_geojson(layer: Layer, source: Source) -> Iterator[Rows]:
    """The features of a file (RFC 7946, or older with a `crs` member), `BATCH` at a time; their lines are their numbers.

    Raises:
        IngestError: the file holds no GeoJSON features, or lacks a property that the layer needs.
    """
    document = _load(layer, source)
    crs = _crs(document, source) or layer.ingest.crs
    features = _features(document, source)
    names = list(dict.fromkeys(name for feature in features if _is_feature(feature) for name in _values(feature)))
    fields = {field: names[index] for field, index in fields_of(layer, names, source.name).items()} if features else {}
    for begin in range(0, len(features), BATCH):
        numbered = list(enumerate(features[begin : begin + BATCH], start=begin + 1))
        part = [feature for _, feature in numbered if _is_feature(feature)]
        lines = np.array([number for number, feature in numbered if _is_feature(feature)], np.int64)
        faults = tuple((number, "not a GeoJSON feature") for number, feature in numbered if not _is_feature(feature))
        columns = {field: _column(part, name, layer.fields[field].type) for field, name in fields.items()}
        end = source.size * (begin + len(numbered)) // len(features)
        yield Rows(source.name, lines, columns, _shapes(part, crs), faults, end)


def _load(layer: Layer, source: Source) -> Any:
    encoding = encoding_of(source.path, layer.ingest.encoding)
    try:
        return orjson.loads(source.path.read_bytes().decode(encoding, errors="replace"))
    except orjson.JSONDecodeError as error:
        raise IngestError(f"{source.path}: not valid JSON: line {error.lineno}, column {error.colno}") from error
    except OSError as error:
        raise IngestError(f"{source.path}: {error.strerror}") from error


def _features(document: Any, source: Source) -> list[Any]:
    if _is_feature(document):
        return [document]
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise IngestError(f"{source.path}: holds no GeoJSON features; it must be a FeatureCollection or a Feature")
    return features


def _is_feature(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "Feature" and isinstance(value.get("properties") or {}, dict)


def _values(feature: dict[str, Any]) -> dict[str, Any]:
    """The properties, and the feature's own `id` where no property has that name."""
    own = {"id": feature["id"]} if feature.get("id") is not None else {}
    return {**own, **(feature.get("properties") or {})}


def _crs(document: Any, source: Source) -> str | None:
    """The name of the coordinate system in the `crs` member of GeoJSON from before RFC 7946."""
    match document:
        case {"crs": {"type": "name", "properties": {"name": str(name)}}}:
            return name
        case {"crs": {"type": "EPSG", "properties": {"code": code}}}:
            return f"EPSG:{code}"
        case {"crs": crs} if crs is not None:
            raise IngestError(f"{source.path}: its crs member names no coordinate system; remove it if the file is in degrees")
    return None


def _column(features: Sequence[dict[str, Any]], name: str, type: str) -> Texts:
    write = _moment_text if type == "datetime" else _text
    return pa.array([write(_values(feature).get(name)) for feature in features], pa.string())


def _text(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case bool() | dict() | list():
            return _json(value)
    return str(value)


def _json(value: Any) -> str | None:
    """None for what is nested deeper than the writer goes, which no value of a city is."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return None


def _moment_text(value: Any) -> str | None:
    """A number is a time in milliseconds since 1970 UTC, as ArcGIS writes it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return (_EPOCH + timedelta(milliseconds=value)).isoformat()
        except OverflowError:
            return str(value)
    return _text(value)


def _shapes(features: Sequence[dict[str, Any]], crs: str) -> Shapes:
    geometries = [feature.get("geometry") for feature in features]
    texts = np.array([_json(each) if isinstance(each, dict) else None for each in geometries], np.object_)
    shapes = shapely.from_geojson(texts, on_invalid="ignore")
    unreadable = np.array([each is not None for each in geometries], np.bool_) & shapely.is_missing(shapes)
    return Shapes(np.asarray(shapes, np.object_), unreadable, crs)

"""GeoJSON → rows. A file is read whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import shapely

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.columns import LONLAT, Place, fields_of, place_of
from tileserver.ingest.encoding import encoding_of
from tileserver.ingest.rows import BATCH, Rows, Shapes, Texts
from tileserver.ingest.sources import Source
from tileserver.ingest.typed import json_text, text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_geojson(layer: Layer, source: Source) -> Iterator[Rows]:
    """The features of a file (RFC 7946, or older with a `crs` member), `BATCH` at a time; their lines are their numbers.

    Raises:
        IngestError: the file holds no GeoJSON features, or lacks a property that the layer needs.
    """
    document = _load(layer, source)
    crs = _crs(document, source) or layer.ingest.crs or LONLAT
    features = _features(document, source)
    properties = Properties.of(layer, names_of(features), source) if features else Properties([], {}, Place("own"))
    for begin in range(0, len(features), BATCH):
        part = features[begin : begin + BATCH]
        end = source.size * (begin + len(part)) // len(features)
        yield properties.rows(layer, source, list(enumerate(part, start=begin + 1)), crs, end)


@dataclass(frozen=True, slots=True)
class Properties:
    """What the properties of a file's features are called, and which of them the layer takes."""

    names: Sequence[str]
    fields: Mapping[str, int]
    """Field → index of its property."""
    place: Place

    @classmethod
    def of(cls, layer: Layer, names: Sequence[str], source: Source) -> Properties:
        return cls(names, fields_of(layer, names, source.name), place_of(layer, names, source.name, own=True))

    def rows(self, layer: Layer, source: Source, numbered: Sequence[tuple[int, Any]], crs: str, end: int) -> Rows:
        """The rows of (line, feature) of one part of a file; what is no feature is a fault."""
        features = [feature for _, feature in numbered if is_feature(feature)]
        lines = np.array([line for line, feature in numbered if is_feature(feature)], np.int64)
        faults = tuple((line, "not a GeoJSON feature") for line, feature in numbered if not is_feature(feature))
        fields = {field: _column(features, self.names[index], layer.fields[field].type) for field, index in self.fields.items()}
        own = _shapes(features, crs) if self.place.kind == "own" else None
        position = self.place.position(lambda index: _column(features, self.names[index], "text"), own, crs)
        return Rows(source.name, lines, fields, position, faults, end)


def names_of(features: Iterable[Any]) -> list[str]:
    """The names of all properties, in the order in which they come up."""
    return list(dict.fromkeys(name for feature in features if is_feature(feature) for name in _values(feature)))


def is_feature(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "Feature" and isinstance(value.get("properties") or {}, dict)


def _load(layer: Layer, source: Source) -> Any:
    encoding = encoding_of(source.path, layer.ingest.encoding)
    try:
        return orjson.loads(source.path.read_bytes().decode(encoding, errors="replace"))
    except orjson.JSONDecodeError as error:
        raise IngestError(f"{source.name}: not valid JSON: line {error.lineno}, column {error.colno}") from error
    except OSError as error:
        raise IngestError(f"{source.name}: {error.strerror}") from error


def _features(document: Any, source: Source) -> list[Any]:
    if is_feature(document):
        return [document]
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise IngestError(f"{source.name}: holds no GeoJSON features; it must be a FeatureCollection or a Feature")
    return features


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
            raise IngestError(f"{source.name}: its crs member names no coordinate system; remove it if the file is in degrees")
    return None


def _column(features: Sequence[dict[str, Any]], name: str, type: str) -> Texts:
    write = _moment_text if type == "datetime" else text
    return pa.array([write(_values(feature).get(name)) for feature in features], pa.string())


def _moment_text(value: Any) -> str | None:
    """A number is a time in milliseconds since 1970 UTC, as ArcGIS writes it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return (_EPOCH + timedelta(milliseconds=value)).isoformat()
        except OverflowError:
            return str(value)
    return text(value)


def _shapes(features: Sequence[dict[str, Any]], crs: str) -> Shapes:
    geometries = [feature.get("geometry") for feature in features]
    texts = np.array([json_text(each) if isinstance(each, dict) else None for each in geometries], np.object_)
    shapes = shapely.from_geojson(texts, on_invalid="ignore")
    unreadable = np.array([each is not None for each in geometries], np.bool_) & shapely.is_missing(shapes)
    return Shapes(np.asarray(shapes, np.object_), unreadable, crs)

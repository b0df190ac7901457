"""GeoJSON text sequences → rows: one feature a line, or a record after each RS (RFC 8142). Read in parts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.columns import LONLAT
from tileserver.ingest.encoding import encoding_of
from tileserver.ingest.geojson_file import Properties, is_feature, names_of
from tileserver.ingest.rows import BATCH, Rows
from tileserver.ingest.sources import Source

RS = "\x1e"
"""Begins a record of RFC 8142, which may then go over several lines."""


def read_geojson_lines(layer: Layer, source: Source) -> Iterator[Rows]:
    """The features of a file, `BATCH` at a time. It is read twice: what its properties are called, only its end tells.

    Raises:
        IngestError: the file cannot be read, or lacks a property that the layer needs.
    """
    encoding = encoding_of(source.path, layer.ingest.encoding)
    try:
        names = names_of(feature for _, feature, _ in _records(source, encoding))
        records = _records(source, encoding)
        properties: Properties | None = None
        while part := list(islice(records, BATCH)):
            properties = properties or Properties.of(layer, names, source)
            numbered = [(line, feature) for line, feature, _ in part]
            yield properties.rows(layer, source, numbered, layer.ingest.crs or LONLAT, part[-1][2])
    except OSError as error:
        raise IngestError(f"{source.name}: {error.strerror}") from error


def _records(source: Source, encoding: str) -> Iterator[tuple[int, Any, int]]:
    """(line where it begins, what stands there, bytes read so far); None for what is not JSON."""
    with source.path.open("rb") as raw, io.TextIOWrapper(raw, encoding, errors="replace", newline="\n") as text:
        for line, record in _split(text):
            if not (record := record.strip()):
                continue
            value = _parsed(record)
            if isinstance(value, dict) and not is_feature(value) and value.get("type") == "FeatureCollection":
                raise IngestError(f"{source.name}, line {line}: holds a whole FeatureCollection; call the file .geojson")
            yield line, value, raw.tell()


def _split(text: Iterator[str]) -> Iterator[tuple[int, str]]:
    """(line where it begins, text) of each record."""
    begin, pending, separated = 1, "", False
    for number, line in enumerate(text, 1):
        first, *others = line.split(RS)
        separated = separated or bool(others)
        if not separated:
            yield number, line
            continue
        pending += first
        for other in others:
            yield begin, pending
            begin, pending = number, other
    yield begin, pending


def _parsed(record: str) -> Any:
    try:
        return orjson.loads(record)
    except orjson.JSONDecodeError:
        return None

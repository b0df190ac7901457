"""The first rows of files, with every column as text: what a layer file is inferred from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tileserver.catalog import Layer
from tileserver.ingest import READERS
from tileserver.ingest.columns import NoColumn
from tileserver.ingest.rows import Rows, Shapes, Texts
from tileserver.ingest.sources import Source
from tileserver.ingest.values import trimmed

MOST = 100_000
"""Rows that are looked at, of all files together."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    texts: Texts
    """Shape (rows,): without spaces around, null where no value stands."""


@dataclass(frozen=True, slots=True)
class Sample:
    columns: tuple[Column, ...]
    doubled: tuple[str, ...]
    """Names that more than one column of a file bears, or the empty one: nothing can tell which is meant."""
    rows: int
    is_whole: bool
    """Whether these are all rows there are."""
    shapes: NDArray[np.object_] | None
    """Shape (rows,): shapely geometries as the files have them, None where there is none; None: the format has no geometries."""
    crs: str | None
    """What the files say their geometries are in."""
    format: str


def read(sources: Sequence[Source], ingest: Mapping[str, Any], most: int = MOST) -> Sample:
    """At most `most` rows, as many of each file; `ingest` is what the layer file says already of how to read.

    Raises:
        IngestError: a file cannot be read at all.
    """
    parts = [_part(source, ingest, max(most // len(sources), 1)) for source in sources]
    names = list(dict.fromkeys(name for part in parts for name in part.texts))
    shapes = [part.shapes for part in parts if part.shapes is not None]
    return Sample(
        columns=tuple(Column(name, _joined(parts, name)) for name in names),
        doubled=tuple(dict.fromkeys(name for part in parts for name in part.doubled)),
        rows=sum(part.rows for part in parts),
        is_whole=all(part.is_whole for part in parts),
        shapes=np.concatenate(shapes) if shapes and len(shapes) == len(parts) else None,
        crs=next((part.crs for part in parts if part.crs), None),
        format=sources[0].format,
    )


def first(layer: Layer, source: Source, most: int) -> Iterator[Rows]:
    """What a reader gives of a file until `most` rows are there; the last part may go beyond."""
    read = 0
    for rows in READERS[source.format](layer, source):
        yield rows
        read += len(rows.lines)
        if read >= most:
            return


@dataclass(frozen=True, slots=True)
class _Part:
    texts: dict[str, Texts]
    doubled: tuple[str, ...]
    rows: int
    is_whole: bool
    shapes: NDArray[np.object_] | None
    crs: str | None


def _part(source: Source, ingest: Mapping[str, Any], most: int) -> _Part:
    times = Counter(_names(source, ingest))
    single = [name for name, count in times.items() if count == 1 and name]
    layer = _of({f"column_{index}": name for index, name in enumerate(single)}, ingest)
    read = list(first(layer, source, most + 1))
    count = sum(len(rows.lines) for rows in read)
    texts = {name: trimmed(_text(read, field).slice(0, most)) for name, field in zip(single, layer.fields, strict=True)}
    positions = [rows.position for rows in read]
    shapes = [position.shapes for position in positions if isinstance(position, Shapes)]
    crs = next((position.crs for position in positions if isinstance(position, Shapes)), None)
    return _Part(
        texts,
        tuple(name for name, count in times.items() if count > 1 or not name),
        min(count, most),
        count <= most,
        np.concatenate(shapes)[:most] if shapes else None,
        crs,
    )


_ABSENT = "a column that no file has"


def _names(source: Source, ingest: Mapping[str, Any]) -> tuple[str, ...]:
    """What a file's columns are called: its reader says it of a layer whose id the file lacks."""
    try:
        next(READERS[source.format](_of({}, ingest, fields={_ABSENT: {"role": "id"}}), source), None)
    except NoColumn as error:
        return error.names
    return ()


def _of(columns: Mapping[str, str], ingest: Mapping[str, Any], fields: Mapping[str, Any] | None = None) -> Layer:
    """A layer that takes any row and has columns of the file as fields of text; it never leaves this room."""
    return Layer.model_validate(
        {
            "id": "sample",
            "title": "A sample",
            "kind": "shapes",
            "position": "optional",
            "fields": fields or {field: {} for field in columns},
            "ingest": {**ingest, "rename": {name: field for field, name in columns.items()}},
        }
    )


def _text(read: Sequence[Rows], field: str) -> Texts:
    return pa.chunked_array([rows.fields[field].cast(pa.string()) for rows in read], pa.string()).combine_chunks()


def _joined(parts: Sequence[_Part], name: str) -> Texts:
    arrays = [part.texts.get(name, pa.nulls(part.rows, pa.string())) for part in parts]
    return pa.chunked_array(arrays, pa.string()).combine_chunks()

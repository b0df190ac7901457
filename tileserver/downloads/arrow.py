"""Rows as record batches that tell what their columns mean: for the formats that hold types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from tileserver.catalog import ARROW_TYPES, GEOMETRY, Layer
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot, table
from tileserver.snapshot.columns import Rows


def schema(layer: Layer, filter: Filter) -> pa.Schema:
    """The columns of `table.names`, then the geometry; each field with its title, description and unit as metadata."""
    return pa.schema([*(_column(layer, name) for name in table.names(layer, filter)), pa.field(GEOMETRY, pa.binary())])


def batches(snapshot: Snapshot, filter: Filter, parts: Iterator[Rows]) -> Iterator[pa.RecordBatch]:
    """A batch of `schema` for each part of the rows."""
    columns = schema(snapshot.layer, filter)
    for rows in parts:
        arrays = [*table.typed(snapshot, filter, rows).values(), table.wkb(snapshot, rows)]
        yield pa.record_batch(arrays, schema=columns)


def free_name(names: Iterable[str], wanted: str) -> str:
    """The name wanted, or the like of it, that is none of these, in capitals or not."""
    taken = {name.lower() for name in names}
    while wanted.lower() in taken:
        wanted += "_"
    return wanted


def _column(layer: Layer, name: str) -> pa.Field:
    field = layer.fields.get(name)
    if field is None:
        return pa.field(name, ARROW_TYPES["integer"])
    meaning = {"title": field.title, "description": field.description, "unit": field.unit}
    return pa.field(name, field.arrow_type, metadata={key: text for key, text in meaning.items() if text})

"""What a row may hold: the same in both stores, on its way in and on its way out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tileserver.catalog import GEOMETRY, Layer
from tileserver.errors import StoreError
from tileserver.stores import geometry

FIRST_INSTANT = -62_135_596_800_000_000
LAST_INSTANT = 253_402_300_799_999_999
"""The years 1 to 9999, which every calendar library, file format and database can express; in microseconds."""


def clean(layer: Layer, batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch of `layer.schema` as both stores can hold it.

    NaN and instants outside the years 1 to 9999 become null, -0.0 becomes 0.0, U+0000, which PostgreSQL cannot hold, goes
    from texts, and geometries are brought to the plain form of `geometry.plain`.

    Raises:
        StoreError: the batch is not of the layer's schema, has a row without id, or a geometry that the layer cannot hold.
    """
    if not batch.schema.equals(layer.schema):
        raise StoreError(f"layer {layer.id}: the rows have the columns {_told(batch.schema)}; the layer has {_told(layer.schema)}")
    wkb, lost = geometry.plain(batch.column(GEOMETRY), points=layer.is_points)
    if lost:
        raise StoreError(f"layer {layer.id}: {lost} geometries are not valid WKB{' of points' if layer.is_points else ''}")
    return cleaned(layer, [*batch.columns[:-1], wkb])


def cleaned(layer: Layer, columns: list[pa.Array]) -> pa.RecordBatch:
    """`clean` for columns of the layer's types, in its order, whose geometry is plain already."""
    batch = pa.RecordBatch.from_arrays([*map(_clean, columns[:-1]), columns[-1]], schema=layer.schema)
    if empty := batch.column(layer.id_name).null_count:
        raise StoreError(f'layer {layer.id}: {empty} rows have nothing in "{layer.id_name}", the column that tells rows apart')
    return batch


def _clean(column: pa.Array) -> pa.Array:
    if pa.types.is_float64(column.type):
        return pc.add(pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column), 0.0)
    if pa.types.is_string(column.type):
        data = column.buffers()[2]
        if data is None or np.frombuffer(data, np.uint8).all():
            return column
        return pc.replace_substring(column, "\0", "")
    if pa.types.is_timestamp(column.type):
        micros = column.cast(pa.int64())
        known = pc.and_(pc.greater_equal(micros, FIRST_INSTANT), pc.less_equal(micros, LAST_INSTANT))
        return pc.if_else(known, column, pa.scalar(None, column.type))
    return column


def _told(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)

"""What the store holds in columns that a file does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tileserver.catalog import GEOMETRY, Layer
from tileserver.ingest.rows import Rows
from tileserver.stores.store import Store


class Held:
    """The stored values of a layer, read where a file says nothing about some of its columns.

    An upsert writes whole rows. Without this, a file with fewer columns would empty the others in every row that it touches.
    """

    def __init__(self, layer: Layer, store: Store) -> None:
        self._layer = layer
        self._store = store
        self._tables: dict[tuple[str, ...], pa.Table] = {}

    def keep(self, rows: Rows, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
        """A batch of cleaned rows with the stored values in the columns that their file lacks; how many rows had any."""
        lacking = tuple(name for name in self._layer.fields if name not in rows.fields)
        if rows.position is None:
            lacking += (GEOMETRY,)
        if not lacking or not batch.num_rows or self._layer.id_field is None:
            return batch, 0
        table = self._table(lacking)
        place = pc.index_in(batch.column(self._layer.id_name), value_set=table[self._layer.id_name])
        kept = np.zeros(batch.num_rows, np.bool_)
        for name in lacking:
            column = _one(table[name].take(place))
            kept |= column.is_valid().to_numpy(zero_copy_only=False)
            index = batch.schema.get_field_index(name)
            batch = batch.set_column(index, batch.schema.field(index), column)
        return batch, int(kept.sum())

    def _table(self, lacking: tuple[str, ...]) -> pa.Table:
        """The ids and the columns of all stored rows; empty where the store has none of these columns."""
        if lacking not in self._tables:
            stored = self._store.columns(self._layer)
            names = [self._layer.id_name, *(name for name in lacking if name in stored)]
            narrow = _narrowed(self._layer, names)
            read = pa.Table.from_batches(self._store.read(narrow) if len(names) > 1 else (), narrow.schema)
            arrays = [read[name] if name in names else pa.nulls(len(read), self._layer.schema.field(name).type) for name in lacking]
            self._tables[lacking] = pa.table([read[self._layer.id_name], *arrays], [self._layer.id_name, *lacking])
        return self._tables[lacking]


def _narrowed(layer: Layer, names: Sequence[str]) -> Layer:
    """The layer with only these of its fields."""
    whole = layer.model_dump(by_alias=True)
    return Layer.model_validate({**whole, "fields": {name: told for name, told in whole["fields"].items() if name in names}})


def _one(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)

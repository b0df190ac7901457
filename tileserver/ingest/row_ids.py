"""Ids for rows that come without one: made from what a row shows, so that they tell nothing else."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tileserver.catalog import Layer

MOST = 2**53 - 1
"""The largest id: what a number of JavaScript and an id of a vector tile can hold."""

Ids = NDArray[np.int64]


class RowIds:
    """The ids that one ingest has given.

    An id is a hash of the row's fields and position. Where it is taken, by an equal row or by chance, the hash of the row and
    the next ordinal (1, 2, …) is tried: so the same rows in the same order always get the same ids, and no two share one.
    """

    def __init__(self) -> None:
        self._taken: list[Ids] = []
        """Each sorted, and at least twice as long as the next: adding to them costs little, and so does looking into them."""
        self._next: dict[int, int] = {}
        """First id of a row that came more than once → the next ordinal to try."""

    def give(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch, with its column `id` filled."""
        texts = contents(batch)
        firsts = np.array([hashed(text) for text in texts], np.int64)
        ids = self._distinct(texts, firsts)
        self._take(ids)
        index = batch.schema.get_field_index("id")
        return batch.set_column(index, batch.schema.field(index), pa.array(ids))

    def _distinct(self, texts: list[bytes], firsts: Ids) -> Ids:
        _, where = np.unique(firsts, return_index=True)
        repeated = np.ones(len(firsts), np.bool_)
        repeated[where] = self._has(firsts[where])
        ids = firsts.copy()
        given = set(firsts[~repeated].tolist())
        for row in np.flatnonzero(repeated).tolist():
            ids[row] = self._next_free(texts[row], int(firsts[row]), given)
            given.add(int(ids[row]))
        return ids

    def _next_free(self, text: bytes, first: int, given: set[int]) -> int:
        ordinal = self._next.get(first, 1)
        while (tried := hashed(text, ordinal)) in given or self._has(np.array([tried]))[0]:
            ordinal += 1
        self._next[first] = ordinal + 1
        return tried

    def _has(self, ids: Ids) -> NDArray[np.bool_]:
        """Which of the ids are taken, shape (n,)."""
        found = np.zeros(len(ids), np.bool_)
        for taken in self._taken:
            found |= taken[np.minimum(np.searchsorted(taken, ids), len(taken) - 1)] == ids
        return found

    def _take(self, ids: Ids) -> None:
        if len(ids):
            self._taken.append(np.sort(ids))
        while len(self._taken) > 1 and len(self._taken[-2]) < 2 * len(self._taken[-1]):
            self._taken[-2:] = [np.sort(np.concatenate(self._taken[-2:]), kind="stable")]


def recipe(layer: Layer) -> str:
    """A short name for all of a layer file that the ids of its rows depend on; empty where a field is the id."""
    if layer.id_field:
        return ""
    fields = [(field.name, field.role, field.type) for field in layer.fields.values()]
    shown = layer.privacy.model_dump(mode="json", exclude={"include", "retention"})
    read = layer.ingest.model_dump(mode="json", exclude={"from_", "part"})
    parts = [sorted(fields), layer.kind, layer.timezone, shown, read]
    return blake2b(orjson.dumps(parts), digest_size=8).hexdigest()


def hashed(text: bytes, ordinal: int = 0) -> int:
    """1 to `MOST`."""
    return int.from_bytes(blake2b(text, digest_size=8, salt=ordinal.to_bytes(8, "little")).digest(), "little") % MOST + 1


def contents(batch: pa.RecordBatch) -> list[bytes]:
    """One text a row that holds all columns but the id, in the order of their names; different rows have different texts."""
    columns = [_told(batch.column(name)) for name in sorted(batch.schema.names) if name != "id"]
    texts: list[bytes] = pc.binary_join_element_wise(*columns, pa.scalar(b"", pa.binary())).to_pylist()
    return texts


def _told(column: pa.Array[Any]) -> pa.Array[Any]:
    """Each value as its length, ":" and its bytes; "-" for null."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int64())
    elif not (pa.types.is_string(column.type) or pa.types.is_binary(column.type)):
        # All other types have 8 bytes: whole numbers, floats by their bits, instants.
        column = column.view(pa.int64())
    if pa.types.is_int64(column.type):
        column = column.cast(pa.string())
    length = pc.binary_length(column).cast(pa.string()).cast(pa.binary())
    return pc.binary_join_element_wise(length, column.cast(pa.binary()), pa.scalar(b":", pa.binary())).fill_null(b"-")

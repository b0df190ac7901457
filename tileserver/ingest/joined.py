"""Positions that the rows of another layer give: `[ingest.join]`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from tileserver.catalog import GEOMETRY, Join, Layer
from tileserver.ingest.addresses import normalized
from tileserver.ingest.columns import LONLAT
from tileserver.ingest.rows import Keys, Rows, Shapes, Texts
from tileserver.ingest.typed import texts
from tileserver.ingest.values import integers, trimmed
from tileserver.stores.store import Store

_NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Places:
    """Where the rows of a layer are, by a key or an address."""

    match: str
    whole: bool
    """Keys are whole numbers: "5.0" and "05" are 5."""
    keys: pa.Array[Any]
    """Shape (k,), each once."""
    points: NDArray[np.object_]
    """Shape (k + 1,): one point each; None for a key that stands at several places, and at the end for none."""

    @classmethod
    def of(cls, join: Join, other: Layer, store: Store) -> Places:
        """The places of `other`, as the store holds them: generalised by that layer's own `[privacy]`.

        Raises:
            StoreError: the store cannot read that layer.
        """
        name = join.to or other.id_name
        whole = join.match == "key" and pa.types.is_integer(other.schema.field(name).type)
        keys, positions = [pa.array([], pa.string())], [np.empty((0, 2))]
        for rows in store.read(other):
            batch = rows.filter(pc.and_(rows.column(name).is_valid(), rows.column(GEOMETRY).is_valid()))
            keys.append(_comparable(texts(batch.column(name)), join.match, whole=whole))
            positions.append(_points(batch.column(GEOMETRY)))
        return cls(join.match, whole, *_distinct(pa.concat_arrays(keys), np.concatenate(positions)))

    def locate(self, rows: Rows) -> tuple[Rows, Counter[str]]:
        """The rows with their positions, and how many are `matched`, `unmatched`, and `ambiguous`: in more than one place."""
        if not isinstance(rows.position, Keys):
            return rows, Counter()
        wanted = _comparable(trimmed(texts(rows.position.texts)), self.match, whole=self.whole)
        found = pc.fill_null(pc.index_in(wanted, value_set=self.keys, skip_nulls=True), _NOWHERE).to_numpy(zero_copy_only=False)
        points = self.points[found]
        matched, placed = int((found != _NOWHERE).sum()), int((~shapely.is_missing(points)).sum())
        told = Counter(matched=placed, unmatched=len(found) - matched, ambiguous=matched - placed)
        return replace(rows, position=Shapes(points, np.zeros(len(points), np.bool_), LONLAT)), told


def _comparable(column: Texts, match: str, *, whole: bool) -> Texts:
    if match == "address":
        return normalized(column)
    return integers(column).cast(pa.string()) if whole else column


def _points(wkb: pa.Array[Any]) -> NDArray[np.float64]:
    """Shape (n, 2): of each geometry a point that lies in it."""
    inside = shapely.point_on_surface(shapely.from_wkb(wkb.to_numpy(zero_copy_only=False)))
    return np.column_stack([shapely.get_x(inside), shapely.get_y(inside)])


def _distinct(keys: pa.Array[Any], positions: NDArray[np.float64]) -> tuple[pa.Array[Any], NDArray[np.object_]]:
    """(keys, each once; its point, as `Places.points`)."""
    encoded = keys.dictionary_encode()
    codes = encoded.indices.fill_null(_NOWHERE).to_numpy(zero_copy_only=False)
    places = np.unique(np.column_stack([codes, positions])[codes != _NOWHERE], axis=0)
    which, first, count = np.unique(places[:, 0].astype(np.int64), return_index=True, return_counts=True)
    points = np.full(len(which) + 1, None, np.object_)
    points[:-1] = shapely.points(places[first, 1:])
    points[:-1][count > 1] = None
    return encoded.dictionary.take(pa.array(which)), points

"""Rows as a file holds them → a batch as the layer declares it, and what could not be kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tileserver.catalog import GEOMETRY, Layer
from tileserver.ingest.positions import Reasons, positions_of
from tileserver.ingest.rows import Rows
from tileserver.ingest.values import Values, values_of


@dataclass(frozen=True, slots=True)
class Cleaned:
    batch: pa.RecordBatch
    """Of `layer.schema`; without an id field, `id` is null."""
    rejected: tuple[tuple[int, str], ...]
    """(line, reason)."""
    blanked: Mapping[str, int]
    """Column → how many of the batch's rows lost a value in it that could not be read."""
    repaired: int
    """How many of the batch's geometries are mended."""


def clean(layer: Layer, rows: Rows) -> Cleaned:
    """What of `rows` fits the layer.

    A row is rejected if its id or its position cannot be used, or the time of an event; any other value that cannot be read is
    left out, and counted.
    """
    values = {name: values_of(layer, layer.fields[name], texts) for name, texts in rows.fields.items()}
    positions = positions_of(layer, rows)
    reasons = _lacks(layer, values, rows)
    reasons = np.where(reasons == "", positions.reasons, reasons)
    kept = reasons == ""
    blanked = Counter({name: int((column.unreadable & kept).sum()) for name, column in values.items()})
    blanked["position"] += int((positions.unreadable & kept).sum())
    return Cleaned(
        _batch(layer, values, positions.wkb, kept),
        tuple(sorted((*rows.faults, *zip(rows.lines[~kept].tolist(), reasons[~kept].tolist(), strict=True)))),
        {name: count for name, count in blanked.items() if count},
        int((positions.repaired & kept).sum()),
    )


def _lacks(layer: Layer, values: Mapping[str, Values], rows: Rows) -> Reasons:
    """Why a row cannot be published, as far as its id and its time tell."""
    reasons = np.full(len(rows.lines), "", np.object_)
    for field in (layer.id_field, layer.time_field if layer.kind == "events" else None):
        if field and field.name in values:
            column = values[field.name]
            absent = column.column.is_null().to_numpy(zero_copy_only=False) & (reasons == "")
            reasons[absent] = f"no {field.name}"
            reasons[absent & column.unreadable] = f"{field.name} cannot be read"
    return reasons


def _batch(layer: Layer, values: Mapping[str, Values], wkb: pa.Array[Any], kept: NDArray[np.bool_]) -> pa.RecordBatch:
    mask = pa.array(kept)
    columns = []
    for column in layer.schema:
        if column.name == GEOMETRY:
            columns.append(wkb.filter(mask))
        elif column.name in values:
            columns.append(values[column.name].column.filter(mask))
        else:
            columns.append(pa.nulls(int(kept.sum()), column.type))
    return pa.RecordBatch.from_arrays(columns, schema=layer.schema)

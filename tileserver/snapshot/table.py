"""Rows of a snapshot as columns of Arrow: what downloads and items are made from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tileserver import times
from tileserver.catalog import Layer
from tileserver.filters import Filter
from tileserver.privacy import points_as_wkb
from tileserver.snapshot import Snapshot
from tileserver.snapshot.columns import CategoryColumn, Rows, TextColumn, TimeColumn


def fields(layer: Layer, filter: Filter) -> tuple[str, ...]:
    """The declared fields that are wanted."""
    return tuple(layer.fields) if filter.properties is None else filter.properties


def names(layer: Layer, filter: Filter) -> tuple[str, ...]:
    """The columns of a row: the one that tells rows apart, then the declared fields that are wanted."""
    return tuple(dict.fromkeys([layer.id_name, *fields(layer, filter)]))


def typed(snapshot: Snapshot, filter: Filter, rows: Rows) -> dict[str, pa.Array]:
    """Each column of `names`, shape (k,), in its declared type: times are instants in UTC, categories texts."""
    return {name: _typed(snapshot, name, rows) for name in names(snapshot.layer, filter)}


def told(snapshot: Snapshot, filter: Filter, rows: Rows) -> dict[str, pa.Array]:
    """As `typed`, with times as RFC 3339 on the layer's wall clock: for formats that have no type for an instant."""
    return {name: _told(snapshot, name, rows) for name in names(snapshot.layer, filter)}


def wkb(snapshot: Snapshot, rows: Rows) -> pa.Array:
    """The geometries of rows in degrees, shape (k,); null without position."""
    placed = rows < snapshot.positioned
    if not snapshot.layer.is_points:
        return pc.if_else(pa.array(placed), snapshot.wkb(rows).cast(pa.binary()), None)
    longitude, latitude = np.full((2, len(rows)), np.nan)
    longitude[placed], latitude[placed] = snapshot.degrees(rows[placed])
    return points_as_wkb(longitude, latitude)


def _typed(snapshot: Snapshot, name: str, rows: Rows) -> pa.Array:
    column = snapshot.columns[name]
    values = column.arrow(rows)
    return values.cast(pa.string()) if isinstance(column, CategoryColumn | TextColumn) else values


def _told(snapshot: Snapshot, name: str, rows: Rows) -> pa.Array:
    column = snapshot.columns[name]
    if not isinstance(column, TimeColumn):
        return _typed(snapshot, name, rows)
    return times.to_texts(column.values[rows], snapshot.layer.zone)

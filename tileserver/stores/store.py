"""What a store is: it takes batches in and gives batches out. Requests never reach it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa

from tileserver.catalog import Layer


@dataclass(frozen=True, slots=True)
class State:
    """What a store knows of a layer without reading its rows."""

    revision: int
    """Counts the publishes that changed something, from 1; 0 for a table that others fill."""
    published_at: datetime | None
    """When it was last published, changed or not; None for a table that others fill."""


@dataclass(frozen=True, slots=True)
class Published:
    """What became of the rows given to `publish`: published + unchanged + superseded of them, and `removed` old ones."""

    published: int
    unchanged: int
    superseded: int
    """Rows whose id came again later in the same publish: the last one counts."""
    removed: int
    state: State


Id = int | str
"""What tells a row apart, as `layer.schema` types it."""


class Store(Protocol):
    def publish(self, layer: Layer, batches: Iterable[pa.RecordBatch], *, replace: bool = False) -> Published:
        """Bring rows in, all or none: upsert by `layer.id_name`; with `replace`, rows that are not given are removed.

        Batches are of `layer.schema`, and become what `rows.clean` says. The revision moves only if something changed, and
        with the first publish. Whatever `batches` raises goes through to the caller, as if nothing had been given.

        Raises:
            StoreError: the store cannot be written, or does not fit the layer; nothing has changed.
        """

    def read(self, layer: Layer) -> Iterator[pa.RecordBatch]:
        """Every row of a layer, in batches of `layer.schema`, in no particular order, all of one moment.

        Geometries are in longitude and latitude, two-dimensional, finite and not empty, or null; those of a layer of points
        are points. An abandoned iterator is to be closed, as any generator.

        Raises:
            StoreError: the store cannot be read, or its table lacks a declared column or has it in another type (named).
        """

    def columns(self, layer: Layer) -> frozenset[str]:
        """The names of the columns that the store has for a layer, declared or not; none if it has no table yet.

        Raises:
            StoreError: the store cannot be read.
        """

    def forget(self, layer: Layer, ids: Sequence[Id]) -> set[Id]:
        """Remove rows by their ids, all or none, and whatever else the store keeps of them; returns the ids that were there.

        The revision moves if there were any.

        Raises:
            ForeignRows: others bring the layer's rows in; nothing has changed.
            StoreError: the store cannot be written; nothing has changed.
        """

    def expire(self, layer: Layer, before: datetime) -> None:
        """Delete what was replaced before a moment and is still kept."""

    def state(self, layer: Layer) -> State | None:
        """The layer's state, cheap enough to ask several times a second; None if the layer has no table yet."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

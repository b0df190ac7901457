"""Record batches of files that know types → rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.columns import Place, fields_of, place_of
from tileserver.ingest.geometry_column import shapes_of_wkb
from tileserver.ingest.rows import Rows
from tileserver.ingest.shown import shown
from tileserver.ingest.sources import Source
from tileserver.ingest.typed import bytes_or_texts, column_of, numbers_or_texts, texts


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a file a layer takes."""

    layer: Layer
    source: Source
    names: Sequence[str]
    fields: Mapping[str, int]
    """Field → index of its column."""
    place: Place
    crs: str | None
    """Of the file's own geometries; None where it does not say."""

    @classmethod
    def of(cls, layer: Layer, source: Source, names: Sequence[str], *, own: bool, crs: str | None) -> Columns:
        """`own`: the file has geometries of its own, beside the columns that bear `names`.

        Raises:
            IngestError: the file lacks a column that the layer needs.
        """
        place = place_of(layer, names, source.name, own=own)
        columns = cls(layer, source, names, fields_of(layer, names, source.name), place, layer.ingest.crs or crs)
        for name in sorted(columns.needed):
            if names.count(name) > 1:
                raise IngestError(f"{source.name}: more than one column is called {shown(name)}; rename one in the file")
        return columns

    @property
    def needed(self) -> set[str]:
        """The names of what is read, beside the geometries."""
        return {self.names[index] for index in (*self.fields.values(), *self.place.columns)}

    @property
    def own(self) -> bool:
        """Whether the file's own geometries are read."""
        return self.place.kind == "own"

    def rows(self, batch: pa.RecordBatch, geometry: str, lines: NDArray[Any], end: int) -> Rows:
        """The rows of a batch whose own geometries are in the column `geometry`, as WKB."""
        zone = self.layer.zone
        given = {
            field: column_of(batch.field(self.names[index]), batch.column(self.names[index]), self.layer.fields[field], zone)
            for field, index in self.fields.items()
        }
        own = shapes_of_wkb(batch.column(geometry), self.crs) if self.own else None
        take = {"xy": numbers_or_texts, "geometry": bytes_or_texts}.get(self.place.kind, texts)
        columns = {index: take(batch.column(self.names[index])) for index in self.place.columns}
        position = self.place.position(columns.__getitem__, own, self.layer.ingest.crs)
        return Rows(self.source.name, lines, given, position, (), end)

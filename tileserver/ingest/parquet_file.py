"""Parquet and GeoParquet → rows, read in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.columns import LONLAT
from tileserver.ingest.record_batches import Columns
from tileserver.ingest.rows import BATCH, Rows
from tileserver.ingest.shown import shown
from tileserver.ingest.sources import Source
from tileserver.ingest.typed import is_bytes, plain


def read_parquet(layer: Layer, source: Source) -> Iterator[Rows]:
    """The rows of a file, `BATCH` at a time; their lines are their numbers. Positions are in the primary column of GeoParquet.

    Raises:
        IngestError: the file cannot be read, is damaged, or lacks a column that the layer needs.
    """
    try:
        with pq.ParquetFile(source.path) as file:
            yield from _rows(layer, source, file)
    except pa.ArrowException as error:
        raise IngestError(f"{source.name}: not a Parquet file, or a damaged one") from error
    except OSError as error:
        raise IngestError(f"{source.name}: {error.strerror or 'not a Parquet file, or a damaged one'}") from error


def _rows(layer: Layer, source: Source, file: pq.ParquetFile) -> Iterator[Rows]:
    schema = file.schema_arrow
    geometry, crs = _geometry(source, schema.metadata or {})
    if geometry is not None and geometry not in schema.names:
        raise IngestError(f"{source.name}: says that its positions are in the column {shown(geometry)}, which it does not have")
    if geometry is not None and schema.names.count(geometry) > 1:
        raise IngestError(f"{source.name}: more than one column is called {shown(geometry)}, as that of its positions is")
    if geometry is not None and not _holds_bytes(schema.field(geometry).type):
        raise IngestError(f"{source.name}: its geometries are not WKB; write the file anew with WKB")
    names = [name if name != geometry else "" for name in schema.names]
    columns = Columns.of(layer, source, names, own=geometry is not None, crs=crs)
    wanted = [*sorted(columns.needed), *([geometry] if geometry and columns.own else [])]
    total, done = file.metadata.num_rows, 0
    for batch in file.iter_batches(BATCH, columns=wanted):
        lines = np.arange(done + 1, done + 1 + batch.num_rows)
        done += batch.num_rows
        yield columns.rows(batch, geometry or "", lines, source.size * done // total)


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether a type is one of bytes, under whatever name and coding."""
    return is_bytes(plain(pa.nulls(0, kind)).type)


def _geometry(source: Source, metadata: Mapping[bytes, bytes]) -> tuple[str | None, str | None]:
    """(the primary column of geometries or None, its coordinate system or None), as GeoParquet 1.1 says them."""
    if b"geo" not in metadata:
        return None, None
    try:
        said: dict[str, Any] = orjson.loads(metadata[b"geo"])
        name: str = said["primary_column"]
        column: dict[str, Any] = said["columns"][name]
        encoding, crs = column["encoding"], column.get("crs", LONLAT)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise IngestError(f"{source.name}: its geo metadata are not those of GeoParquet") from error
    if encoding != "WKB":
        raise IngestError(f"{source.name}: its geometries are written in another way than WKB; write the file anew with WKB")
    return name, _crs(crs)


def _crs(said: Any) -> str | None:
    """A PROJJSON object by its authority's code where it has one."""
    match said:
        case None | str():
            return said
        case {"id": {"authority": str(authority), "code": code}}:
            return f"{authority}:{code}"
    return orjson.dumps(said).decode()

"""Columns of files that know types → columns as `values_of` takes them."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tileserver import times
from tileserver.catalog import Field
from tileserver.ingest.dates import FIRST_YEAR, LAST_YEAR, instants
from tileserver.ingest.rows import Texts

OGR_TYPE = b"GDAL:OGR:type"
"""The key under which GDAL says what a column is that it gives as text."""

_INEXPRESSIBLE = (ValueError, OverflowError, KeyError)
_PER_UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1}
_FIRST, _LAST = (int(np.datetime64(f"{year:04d}-01-01", "us").astype(np.int64)) for year in (FIRST_YEAR, LAST_YEAR + 1))


def column_of(name: pa.Field[Any], column: pa.Array[Any], field: Field, zone: ZoneInfo) -> Texts:
    """A column as text; or in the field's own type, where the file's says as much.

    A time without offset is on `zone`'s wall clock. Whole numbers have no ".0", whatever their type.
    """
    column = plain(column)
    kind = column.type
    if field.type == "datetime":
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return _instants(column, zone)
        if (name.metadata or {}).get(OGR_TYPE) == b"DateTime":
            return instants(column, (), zone)
    if field.type == "integer" and pa.types.is_integer(kind) and kind != pa.uint64():
        return column.cast(pa.int64())
    if field.type == "number" and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return _finite(column.cast(pa.float64(), safe=False))
    if field.type == "boolean" and pa.types.is_boolean(kind):
        return column
    return texts(column)


def texts(column: pa.Array[Any]) -> Texts:
    """A column as text; each different value is written once."""
    column = plain(column)
    if pa.types.is_string(column.type):
        return _as_utf8(column)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.string())
    if pa.types.is_nested(column.type):
        return _written(column)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    elif pa.types.is_time64(column.type):
        column = column.cast(pa.time64("us"), safe=False)
    encoded = column.dictionary_encode()
    return _written(encoded.dictionary).take(encoded.indices)


def numbers_or_texts(column: pa.Array[Any]) -> Texts:
    """Numbers as they are, all else as text."""
    column = plain(column)
    return column if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) else texts(column)


def bytes_or_texts(column: pa.Array[Any]) -> Texts:
    """Bytes as they are, all else as text."""
    column = plain(column)
    return column if is_bytes(column.type) else texts(column)


def is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _as_utf8(column: pa.Array[Any]) -> Texts:
    """The texts of a file that need not hold what it says; what is not UTF-8 in them is U+FFFD."""
    written = column.view(pa.binary())
    try:
        return written.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([text(value) for value in written.to_pylist()], pa.string())


def _written(column: pa.Array[Any]) -> Texts:
    """Value by value; null for what Python cannot express, such as times beyond the year 9999."""
    try:
        return pa.array([text(value) for value in column.to_pylist()], pa.string())
    except _INEXPRESSIBLE:
        return pa.array([_one(scalar) for scalar in column], pa.string())


def _one(scalar: pa.Scalar[Any]) -> str | None:
    try:
        return text(scalar.as_py())
    except _INEXPRESSIBLE:
        return None


def text(value: Any) -> str | None:
    """A value as a file of text would have it; whole numbers without ".0"."""
    match value:
        case None | str():
            return value
        case float() if math.isnan(value):
            return None
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case bool() | dict() | list():
            return json_text(value)
        case bytes():
            return value.decode(errors="replace")
        case datetime() | date() | time():
            return value.isoformat()
    return str(value)


def json_text(value: Any) -> str | None:
    """None for what is nested deeper than the writer goes, which no value of a city is."""
    try:
        return orjson.dumps(value, default=str).decode()
    except orjson.JSONEncodeError:
        return None


def plain(column: pa.Array[Any]) -> pa.Array[Any]:
    """One array of a type without dictionary, extension, or offsets of 64 bits."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or column.type == pa.string_view():
        column = column.cast(pa.string())
    if column.type == pa.binary_view():
        column = column.cast(pa.binary())
    return column


def _finite(column: pa.Array[Any]) -> pa.Array[Any]:
    """Adding 0 makes the negative zero a zero."""
    return pc.if_else(pc.is_finite(column), pc.add(column, 0.0), pa.scalar(None, pa.float64()))


def _instants(column: pa.Array[Any], zone: ZoneInfo) -> pa.Array[Any]:
    """Timestamps (microseconds, UTC); null for years that not every calendar can express."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    elif column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    per_unit = _PER_UNIT[column.type.unit]
    values: NDArray[np.int64] = column.cast(pa.int64()).fill_null(times.NO_TIME).to_numpy(zero_copy_only=False)
    known = (values >= _FIRST // per_unit) & (values < _LAST // per_unit)
    micros = np.where(known, np.where(known, values, 0) * per_unit, times.NO_TIME)
    found = micros if column.type.tz else times.from_wall(micros, zone)
    return pa.array(found, mask=found == times.NO_TIME).cast(pa.timestamp("us", tz="UTC"))

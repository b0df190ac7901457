"""The column files of a snapshot: raw little-endian arrays, one file each, memory-mapped when read.

| kind | files | missing |
|---|---|---|
| category | `codes` int32, indices into the values in the manifest | -1 |
| text | `offsets` int64 (n + 1,), `bytes` UTF-8 | an empty span |
| integer, datetime | `values` int64 (microseconds since 1970 UTC for times) | -2^63 |
| number | `values` float64 | NaN |
| boolean | `values` int8 | -1 |
"""

from __future__ import annotations

import hashlib
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tileserver.catalog import Field
from tileserver.errors import SnapshotError
from tileserver.times import NO_TIME

NO_CODE = -1
NO_INTEGER = NO_TIME

Rows = NDArray[np.int64]
"""Row numbers of a snapshot, shape (k,)."""


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    values: pa.StringArray
    """Shape (v,), the most frequent first, equally frequent ones in the order of their text."""
    codes: NDArray[np.int32]
    """Shape (n,)."""

    def arrow(self, rows: Rows) -> pa.Array:
        codes = self.codes[rows]
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes == NO_CODE), self.values)


@dataclass(frozen=True, slots=True)
class TextColumn:
    array: pa.LargeStringArray
    """Shape (n,), over the mapped files; a missing text is empty."""

    def arrow(self, rows: Rows) -> pa.Array:
        taken = self.array.take(pa.array(rows))
        return pc.if_else(pc.equal(taken, ""), None, taken)


@dataclass(frozen=True, slots=True)
class BytesColumn:
    array: pa.LargeBinaryArray
    """Shape (n,), over the mapped files; a missing value is empty."""

    def arrow(self, rows: Rows) -> pa.Array:
        return self.array.take(pa.array(rows))


@dataclass(frozen=True, slots=True)
class IntegerColumn:
    values: NDArray[np.int64]

    def arrow(self, rows: Rows) -> pa.Array:
        values = self.values[rows]
        return pa.array(values, mask=values == NO_INTEGER)


@dataclass(frozen=True, slots=True)
class TimeColumn:
    values: NDArray[np.int64]

    def arrow(self, rows: Rows) -> pa.Array:
        values = self.values[rows]
        return pa.array(values, mask=values == NO_TIME).cast(pa.timestamp("us", "UTC"))


@dataclass(frozen=True, slots=True)
class NumberColumn:
    values: NDArray[np.float64]

    def arrow(self, rows: Rows) -> pa.Array:
        values = self.values[rows]
        return pa.array(values, mask=np.isnan(values))


@dataclass(frozen=True, slots=True)
class BooleanColumn:
    values: NDArray[np.int8]

    def arrow(self, rows: Rows) -> pa.Array:
        values = self.values[rows]
        return pa.array(values == 1, mask=values == NO_CODE)


Column = CategoryColumn | TextColumn | BytesColumn | IntegerColumn | TimeColumn | NumberColumn | BooleanColumn
Entry = dict[str, Any]
"""What the manifest says of a column: its kind, its files with size and checksum, and what readers want to know at once."""


def write(folder: Path, name: str, array: pa.Array, field: Field) -> Entry:
    """Write one field's column, in the order of `array`, and say what was written."""
    match (field.role, field.type):
        case ("category", _):
            return _write_category(folder, name, array)
        case (_, "text"):
            return {"kind": "text", **write_spans(folder, name, pc.fill_null(array, "").cast(pa.large_binary()))}
        case (_, "datetime"):
            values = pc.fill_null(array.cast(pa.int64()), NO_TIME).to_numpy(zero_copy_only=False)
            return {
                "kind": "time",
                **_range(array.cast(pa.int64())),
                "files": {"values": write_array(folder, f"{name}.values", values)},
            }
        case (_, "integer"):
            values = pc.fill_null(array, NO_INTEGER).to_numpy(zero_copy_only=False)
            return {"kind": "integer", **_range(array), "files": {"values": write_array(folder, f"{name}.values", values)}}
        case (_, "number"):
            values = pc.fill_null(array, np.nan).to_numpy(zero_copy_only=False)
            return {"kind": "number", **_range(array), "files": {"values": write_array(folder, f"{name}.values", values)}}
        case _:
            values = pc.fill_null(array.cast(pa.int8()), NO_CODE).to_numpy(zero_copy_only=False)
            return {"kind": "boolean", "files": {"values": write_array(folder, f"{name}.values", values)}}


def _write_category(folder: Path, name: str, array: pa.Array) -> Entry:
    array = pc.if_else(pc.equal(array, ""), None, array)
    counted = pc.value_counts(array.drop_null())
    table = pa.table({"value": counted.field("values"), "count": counted.field("counts")})
    table = table.sort_by([("count", "descending"), ("value", "ascending")])
    codes = pc.fill_null(pc.index_in(array, table["value"].combine_chunks()), NO_CODE).to_numpy(zero_copy_only=False)
    return {
        "kind": "category",
        "values": table["value"].to_pylist(),
        "counts": table["count"].to_pylist(),
        "files": {"codes": write_array(folder, f"{name}.codes", codes.astype(np.int32))},
    }


def write_spans(folder: Path, name: str, array: pa.LargeBinaryArray) -> Entry:
    """Write texts or bytes of any length: the offsets of the spans, and the bytes one after the other."""
    array = pa.concat_arrays([array])  # a slice becomes an array of its own, whose offsets begin at 0
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int64, len(array) + 1) if len(array) else np.zeros(1, np.int64)
    content = np.frombuffer(data, np.uint8)[: starts[-1]] if data is not None else np.zeros(0, np.uint8)
    return {
        "files": {
            "offsets": write_array(folder, f"{name}.offsets", starts),
            "bytes": write_array(folder, f"{name}.bytes", content),
        }
    }


def write_array(folder: Path, file: str, array: NDArray[Any]) -> Entry:
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    with (folder / file).open("wb") as out:
        array.tofile(out)
    digest = hashlib.blake2b(array.data.cast("B") if array.size else b"", digest_size=16).hexdigest()
    return {"file": file, "dtype": array.dtype.str, "length": len(array), "checksum": digest}


def open_column(folder: Path, entry: Entry) -> Column:
    """Map the files of one column."""
    files = {name: map_array(folder, file) for name, file in entry["files"].items()}
    match entry["kind"]:
        case "category":
            return CategoryColumn(pa.array(entry["values"], pa.string()), files["codes"])
        case "text":
            return TextColumn(pa.LargeStringArray.from_buffers(*_spans(files)))
        case "bytes":
            return BytesColumn(pa.Array.from_buffers(pa.large_binary(), len(files["offsets"]) - 1, [None, *_buffers(files)]))
        case "integer":
            return IntegerColumn(files["values"])
        case "time":
            return TimeColumn(files["values"])
        case "number":
            return NumberColumn(files["values"])
        case _:
            return BooleanColumn(files["values"])


def map_array(folder: Path, entry: Entry) -> NDArray[Any]:
    """The array of one file, mapped read-only, shape (length,).

    Raises:
        SnapshotError: the file is missing or not of the size that the manifest says.
    """
    path, dtype = folder / entry["file"], np.dtype(entry["dtype"])
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size != entry["length"] * dtype.itemsize:
                raise SnapshotError(f"{path}: damaged: {size} bytes, not {entry['length'] * dtype.itemsize}")
            if size == 0:
                return np.zeros(0, dtype)
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype)
    except FileNotFoundError as error:
        raise SnapshotError(f"{path}: missing") from error


def _spans(files: dict[str, NDArray[Any]]) -> tuple[int, pa.Buffer, pa.Buffer]:
    offsets, data = _buffers(files)
    return len(files["offsets"]) - 1, offsets, data


def _buffers(files: dict[str, NDArray[Any]]) -> tuple[pa.Buffer, pa.Buffer]:
    return pa.py_buffer(files["offsets"]), pa.py_buffer(files["bytes"])


def _range(array: pa.Array) -> Entry:
    least_and_most = pc.min_max(array)
    return {"min": least_and_most["min"].as_py(), "max": least_and_most["max"].as_py()}

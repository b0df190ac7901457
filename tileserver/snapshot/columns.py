"""The column files of a snapshot: raw little-endian arrays, one file each, memory-mapped when read.

A file ends with the checksum of what is before it, which the manifest knows too: a file of another snapshot is not taken for it.

| kind | files | missing |
|---|---|---|
| category | `codes` int8, int16 or int32, indices into the values in the manifest | -1 |
| text | `offsets` int64 (n + 1,), `bytes` UTF-8 | an empty span |
| integer, datetime | `values` int64 (microseconds since 1970 UTC for times) | -2^63 |
| number | `values` float64 | NaN |
| boolean | `values` int8 | -1 |
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
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

FOOTER = 16
"""Bytes of the checksum at the end of each file."""

Rows = NDArray[np.int64]
"""Row numbers of a snapshot, shape (k,)."""
Codes = NDArray[np.int8] | NDArray[np.int16] | NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    values: pa.StringArray
    """Shape (v,), the most frequent first, equally frequent ones in the order of their text."""
    codes: Codes
    """Shape (n,)."""
    code_of: Mapping[str, int]
    """Of each value."""

    def arrow(self, rows: Rows) -> pa.Array:
        codes = self.codes[rows]
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes == NO_CODE), self.values)


@dataclass(frozen=True, slots=True)
class TextColumn:
    array: pa.LargeStringArray
    """Shape (n,), over the mapped files; a missing text is empty."""

    def arrow(self, rows: Rows) -> pa.Array:
        taken = self.array.take(pa.array(rows))
        _, offsets, text = taken.buffers()
        ends = np.frombuffer(offsets, np.int64, len(taken) + 1)
        known = np.packbits(ends[1:] > ends[:-1], bitorder="little")
        return pa.Array.from_buffers(taken.type, len(taken), [pa.py_buffer(known), offsets, text])


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


class ArrayFile:
    """One array on its way into a file, part by part."""

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any]) -> None:
        self._name, self._dtype = name, dtype.newbyteorder("<")
        self._digest = blake2b(digest_size=FOOTER)
        self._length = 0
        self._out = (folder / name).open("wb")

    def append(self, array: NDArray[Any]) -> None:
        data = np.ascontiguousarray(array, self._dtype).data.cast("B") if array.size else b""
        self._out.write(data)
        self._digest.update(data)
        self._length += len(array)

    def finish(self) -> Entry:
        with self._out:
            self._out.write(self._digest.digest())
        return {"file": self._name, "dtype": self._dtype.str, "length": self._length, "checksum": self._digest.hexdigest()}


class ColumnFiles:
    """One field's column on its way into its files, part by part.

    Args:
        values: of a category, the most frequent first, with their counts.
    """

    def __init__(self, folder: Path, name: str, kind: str, values: Mapping[str, int] | None = None) -> None:
        self.kind = kind
        self._values = values or {}
        self._range: list[int | float] = []
        self._ends = 0
        self._files = {part: ArrayFile(folder, f"{name}.{part}", dtype) for part, dtype in _dtypes(kind, len(self._values)).items()}
        if "offsets" in self._files:
            self._files["offsets"].append(np.zeros(1, np.int64))

    def append(self, array: pa.Array) -> None:
        """Take rows; of a category the codes of their values."""
        match self.kind:
            case "category":
                self._files["codes"].append(array.to_numpy())
            case "text" | "bytes":
                self._append_spans(pc.fill_null(array, b"" if self.kind == "bytes" else "").cast(pa.large_binary()))
            case "boolean":
                self._append_values(array.cast(pa.int8()), NO_CODE)
            case "number":
                self._widen(array)
                self._append_values(array, np.nan)
            case _:
                self._widen(array.cast(pa.int64()))
                self._append_values(array.cast(pa.int64()), NO_INTEGER)

    def finish(self) -> Entry:
        entry: Entry = {"kind": self.kind, "files": {part: file.finish() for part, file in self._files.items()}}
        if self.kind == "category":
            entry |= {"values": list(self._values), "counts": list(self._values.values())}
        if self.kind in ("integer", "time", "number"):
            entry |= {"min": min(self._range, default=None), "max": max(self._range, default=None)}
        return entry

    def _append_values(self, array: pa.Array, missing: float) -> None:
        self._files["values"].append(pc.fill_null(array, missing).to_numpy(zero_copy_only=False))

    def _append_spans(self, array: pa.LargeBinaryArray) -> None:
        """The offsets of the spans' ends, and their bytes one after the other."""
        if not len(array):
            return
        array = pa.concat_arrays([array])  # a slice becomes an array of its own, whose offsets begin at 0
        _, offsets, data = array.buffers()
        ends = np.frombuffer(offsets, np.int64, len(array) + 1)[1:]
        self._files["offsets"].append(ends + self._ends)
        if data is not None:
            self._files["bytes"].append(np.frombuffer(data, np.uint8)[: ends[-1]])
        self._ends += int(ends[-1])

    def _widen(self, array: pa.Array) -> None:
        ends = pc.min_max(array)
        self._range = [*self._range, *(end for end in (ends["min"].as_py(), ends["max"].as_py()) if end is not None)]


def kind(field: Field) -> str:
    """Which kind of column holds a field."""
    if field.role == "category":
        return "category"
    return "time" if field.type == "datetime" else field.type


def _dtypes(kind: str, values: int) -> dict[str, np.dtype[Any]]:
    match kind:
        case "category":
            return {"codes": np.dtype(np.int8 if values <= 2**7 else np.int16 if values <= 2**15 else np.int32)}
        case "text" | "bytes":
            return {"offsets": np.dtype(np.int64), "bytes": np.dtype(np.uint8)}
        case "number":
            return {"values": np.dtype(np.float64)}
        case "boolean":
            return {"values": np.dtype(np.int8)}
        case _:
            return {"values": np.dtype(np.int64)}


def open_column(folder: Path, entry: Entry) -> Column:
    """Map the files of one column."""
    files = {name: map_array(folder, file) for name, file in entry["files"].items()}
    match entry["kind"]:
        case "category":
            code_of = {value: code for code, value in enumerate(entry["values"])}
            return CategoryColumn(pa.array(entry["values"], pa.string()), files["codes"], code_of)
        case "text":
            return TextColumn(_spans(pa.large_string(), folder, files))
        case "bytes":
            return BytesColumn(_spans(pa.large_binary(), folder, files))
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
        SnapshotError: the file is missing, or not the one that the manifest says: of another size, or with another checksum.
    """
    path, dtype = folder / entry["file"], np.dtype(entry["dtype"])
    size = entry["length"] * dtype.itemsize
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise SnapshotError(f"{path}: missing or empty") from error
    if len(mapped) != size + FOOTER:
        raise SnapshotError(f"{path}: damaged: {len(mapped)} bytes, not {size + FOOTER}")
    if mapped[size:].hex() != entry["checksum"]:
        raise SnapshotError(f"{path}: not the file of this snapshot: its checksum is another one")
    return np.frombuffer(mapped, dtype, entry["length"])


def verify(folder: Path, entry: Entry) -> None:
    """Read one file whole.

    Raises:
        SnapshotError: its content is not what was written.
    """
    array = map_array(folder, entry)
    if blake2b(array.data.cast("B") if array.size else b"", digest_size=FOOTER).hexdigest() != entry["checksum"]:
        raise SnapshotError(f"{folder / entry['file']}: damaged: its checksum does not match")


def _spans(kind: pa.DataType, folder: Path, files: dict[str, NDArray[Any]]) -> pa.Array:
    buffers = [None, pa.py_buffer(files["offsets"]), pa.py_buffer(files["bytes"])]
    try:
        return pa.Array.from_buffers(kind, len(files["offsets"]) - 1, buffers)
    except pa.ArrowInvalid as error:
        raise SnapshotError(f"{folder}: damaged: the offsets of a column do not fit its bytes") from error

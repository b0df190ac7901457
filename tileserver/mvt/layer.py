"""One layer of a Mapbox Vector Tile 2.1 from arrays: no Python loop over features or values.

A tile is its layers' bytes, one after the other. Numbers in the comments are field numbers of vector_tile.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tileserver.mvt import varint
from tileserver.mvt.geometry import Geometry
from tileserver.mvt.ragged import Strings, join
from tileserver.mvt.varint import Cells, Varints

VARINT, FIXED64, DELIMITED = 0, 1, 2
"""Protocol Buffers' wire types."""


TYPES = (pa.string(), pa.large_string(), pa.int64(), pa.float64(), pa.bool_())
FEW = 48
"""Features, and values, up to which loops are quicker than arrays; what they write is the same, to the byte."""


def _key(field: int, wire_type: int) -> int:
    return field << 3 | wire_type


@dataclass(frozen=True, slots=True)
class Column:
    """One attribute of n features."""

    name: str
    values: pa.Array[Any]
    """The distinct values, none null: string, large_string, int64, float64 or bool. Those of other features may be among them."""
    codes: NDArray[np.int32]
    """(n,) index into values; -1 where the feature lacks the attribute."""

    @classmethod
    def of(cls, name: str, array: pa.Array[Any]) -> Column:
        """The attribute from each feature's value, (n,), null where it has none."""
        encoded = array.dictionary_encode()
        return cls(name, encoded.dictionary, encoded.indices.fill_null(-1).to_numpy())


def layer(
    name: str,
    geometry: Geometry,
    columns: Sequence[Column] = (),
    ids: NDArray[np.uint64] | None = None,
    extent: int = 4096,
) -> bytes:
    """A tile of one layer: the Layer message as field 3 of a Tile; nothing at all without features.

    Args:
        name: unique among the layers of a tile.
        geometry: of n features.
        columns: their attributes, each of another name; one that no feature has is left out.
        ids: (n,) feature ids; JavaScript reads those below 2^53 exactly.
        extent: tile units along the tile's side.

    Raises:
        ValueError: a column or the ids are not of n features, or a column's values are of a type that tiles do not have.
    """
    if len(geometry) == 0:
        return b""
    if ids is not None and len(ids) != len(geometry):
        raise ValueError(f"there are {len(ids)} ids; the geometry has {len(geometry)} features")
    for column in columns:
        if len(column.codes) != len(geometry):
            raise ValueError(f"column {column.name} has codes of {len(column.codes)} features; the geometry has {len(geometry)}")
    if len(geometry) <= FEW:
        keys, values, few_tags = _few_attributes(columns, len(geometry))
        features = _few_features(geometry, few_tags, ids)
    else:
        keys, values, tags = _attributes(columns, len(geometry))
        features = _features(geometry, tags, ids)
    tail = bytes([_key(5, VARINT)]) + varint.one(extent) + bytes([_key(15, VARINT), 2])
    return _delimited(3, b"".join([_text(1, name), features, *(_text(3, key) for key in keys), *values, tail]))


def _delimited(field: int, data: bytes) -> bytes:
    return varint.one(_key(field, DELIMITED)) + varint.one(len(data)) + data


def _text(field: int, text: str) -> bytes:
    return _delimited(field, text.encode())


def _attributes(columns: Sequence[Column], n: int) -> tuple[list[str], list[bytes], list[Cells]]:
    """The layer's keys, its values, and each feature's tags: pairs of an index into keys and one into values.

    Columns over the very same arrays, one attribute under two names, share their values.
    """
    keys: list[str] = []
    values: list[bytes] = []
    tags: list[Cells] = []
    shared: dict[tuple[int, int], int] = {}
    count = 0
    for column in columns:
        used, ranks = _used(column)
        if len(used) == 0:
            continue
        has = _unless_all(column.codes >= 0)
        first = shared.setdefault((id(column.values), id(column.codes)), count)
        tags += [varint.same(len(keys), n, has), Varints.of((ranks + first).astype(np.uint32), has)]
        keys.append(column.name)
        if first == count:
            values.append(_values(column.values, used))
            count += len(used)
    return keys, values, tags


def _unless_all(present: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    return None if present.all() else present


def _used(column: Column) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which values features have, ascending, and for each feature (n,) that has one the rank of its value among them."""
    codes = column.codes.astype(np.int64)
    if len(column.values) > 16 * len(codes):
        used, ranks = np.unique(codes, return_inverse=True)
        lacking = int(used[0] < 0)
        return used[lacking:], ranks - lacking
    present = np.zeros(len(column.values) + 1, np.bool_)
    present[codes] = True  # code -1 marks the last, extra one
    present[-1] = False
    return np.flatnonzero(present), (np.cumsum(present) - 1)[codes]


def _few_attributes(columns: Sequence[Column], n: int) -> tuple[list[str], list[bytes], list[bytes]]:
    """As `_attributes`, with each feature's tags as bytes."""
    keys: list[str] = []
    values: list[bytes] = []
    tags = [b""] * n
    shared: dict[tuple[int, int], int] = {}
    count = 0
    for column in columns:
        codes = column.codes.tolist()
        used = sorted({code for code in codes if code >= 0})
        if not used:
            continue
        first = shared.setdefault((id(column.values), id(column.codes)), count)
        key = varint.one(len(keys))
        tag_of = {code: key + varint.one(first + rank) for rank, code in enumerate(used)}
        tags = [tag + tag_of.get(code, b"") for tag, code in zip(tags, codes, strict=True)]
        keys.append(column.name)
        if first == count:
            values.append(_values(column.values, np.array(used, np.int64)))
            count += len(used)
    return keys, values, tags


def _few_features(geometry: Geometry, tags: Sequence[bytes], ids: NDArray[np.uint64] | None) -> bytes:
    """As `_features`."""
    commands, starts = geometry.commands.tolist(), geometry.starts.tolist()
    features = []
    for place, (kind, tag) in enumerate(zip(geometry.types.tolist(), tags, strict=True)):
        id = b"" if ids is None else bytes([_key(1, VARINT)]) + varint.one(int(ids[place]))
        shape = b"".join(map(varint.one, commands[starts[place] : starts[place + 1]]))
        about = id + (_delimited(2, tag) if tag else b"") + bytes([_key(3, VARINT), kind])
        features.append(_delimited(2, about + _delimited(4, shape)))
    return b"".join(features)


def _features(geometry: Geometry, tags: Sequence[Cells], ids: NDArray[np.uint64] | None) -> bytes:
    """Every Feature message as field 2 of the layer: id 1, tags 2, type 3, geometry 4."""
    n = len(geometry)
    front: list[Cells] = [] if ids is None else [_key(1, VARINT), Varints.of(ids)]
    if tags:
        size = varint.sizes(n, tags)
        has = _unless_all(size > 0)
        front += [varint.same(_key(2, DELIMITED), n, has), Varints.of(size.view(np.uint64), has), *tags]
    front += [_key(3, VARINT), Varints.of(geometry.types), _key(4, DELIMITED)]
    columns = _in_columns(geometry)
    if columns is None:
        commands = varint.encode(geometry.commands).grouped(geometry.starts)
        heads = _feature_heads(front, commands.sizes)
        return join([varint.strings(n, heads), commands]).data.tobytes()
    return varint.rows(n, [*_feature_heads(front, varint.sizes(n, columns)), *columns]).tobytes()


def _feature_heads(front: Sequence[Cells], sizes: NDArray[np.int64]) -> list[Cells]:
    """What stands before the commands, of which there are sizes (n,) bytes: the feature's key and size, and its other fields."""
    commands = Varints.of(sizes.view(np.uint64))
    message = varint.sizes(len(sizes), [*front, commands]) + sizes
    return [_key(2, DELIMITED), Varints.of(message.view(np.uint64)), *front, commands]


def _in_columns(geometry: Geometry) -> list[Cells] | None:
    """The commands, if each feature has equally many and few, as those of points and squares."""
    each = int(geometry.starts[1])
    if each > 16 or (np.diff(geometry.starts) != each).any():
        return None
    return [Varints.of(command) for command in np.ascontiguousarray(geometry.commands.reshape(-1, each).T)]


def _values(values: pa.Array[Any], used: NDArray[np.int64]) -> bytes:
    """Value messages as field 4 of the layer: string 1, double 3, uint 5, sint 6, bool 7."""
    if len(used) <= FEW and values.type in TYPES:
        return b"".join([_delimited(4, _value(value)) for value in values.take(pa.array(used)).to_pylist()])
    if isinstance(values, pa.StringArray | pa.LargeStringArray):
        return _strings(values if len(used) == len(values) else values.take(pa.array(used)))
    if isinstance(values, pa.Int64Array):
        return _integers(values.to_numpy()[used])
    if isinstance(values, pa.DoubleArray):
        return _doubles(values.to_numpy()[used])
    if isinstance(values, pa.BooleanArray):
        flags = Varints.of(values.to_numpy(zero_copy_only=False)[used].astype(np.uint8))
        return varint.rows(len(used), [_key(4, DELIMITED), 2, _key(7, VARINT), flags]).tobytes()
    raise ValueError(f"tiles have no values of type {values.type}; make them string, int64, float64 or bool")


def _value(value: object) -> bytes:
    match value:
        case str():
            return _text(1, value)
        case bool():
            return bytes([_key(7, VARINT), value])
        case int():
            return (
                bytes([_key(5, VARINT)]) + varint.one(value)
                if value >= 0
                else bytes([_key(6, VARINT)]) + varint.one(-2 * value - 1)
            )
        case float():
            return bytes([_key(3, FIXED64)]) + struct.pack("<d", value)
    raise TypeError(f"{type(value).__name__} is none of the types above")


def _strings(values: pa.Array[Any]) -> bytes:
    """UTF-8 straight from Arrow's buffers."""
    _, places, text = values.buffers()
    offsets: NDArray[Any] = np.frombuffer(places, np.int64 if pa.types.is_large_string(values.type) else np.int32)
    starts = offsets[values.offset : values.offset + len(values) + 1].astype(np.int64)
    strings = Strings(np.frombuffer(text or b"", np.uint8), starts)
    text_size = Varints.of(strings.sizes.view(np.uint64))
    message = Varints.of(1 + text_size.sizes + text_size.values)
    heads = varint.strings(len(values), [_key(4, DELIMITED), message, _key(1, DELIMITED), text_size])
    return join([heads, strings]).data.tobytes()


def _integers(values: NDArray[np.int64]) -> bytes:
    """From 0 on unsigned, below zigzag: the shortest forms, and decoders give plain integers for both."""
    negative = values < 0
    numbers = Varints.of(np.where(negative, varint.zigzag(values), values.view(np.uint64)))
    keys = Varints.of(np.where(negative, _key(6, VARINT), _key(5, VARINT)).astype(np.uint8))
    return varint.rows(len(values), [_key(4, DELIMITED), Varints.of(1 + numbers.sizes), keys, numbers]).tobytes()


def _doubles(values: NDArray[np.float64]) -> bytes:
    """Little-endian, 8 bytes each."""
    messages = np.empty((len(values), 11), np.uint8)
    messages[:, :3] = _key(4, DELIMITED), 9, _key(3, FIXED64)
    messages[:, 3:] = values.astype("<f8").view(np.uint8).reshape(-1, 8)
    return messages.tobytes()

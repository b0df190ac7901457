"""One layer of a Mapbox Vector Tile 2.1 from arrays: no Python loop over features or values unless there are few of them.

A tile is its layers' bytes, one after the other. Numbers in the comments are field numbers of vector_tile.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tileserver.mvt import varint
from tileserver.mvt.geometry import LINE, POINT, POLYGON, Geometry
from tileserver.mvt.ragged import Strings, join
from tileserver.mvt.varint import Cells, Varints

VARINT, FIXED64, DELIMITED = 0, 1, 2
"""Protocol Buffers' wire types."""


FEW = 128
"""Features, and values, up to which loops are quicker than arrays; what they write is the same, to the byte."""


def _key(field: int, wire_type: int) -> int:
    return field << 3 | wire_type


@dataclass(frozen=True, slots=True)
class Column:
    """One attribute of n features."""

    name: str
    values: pa.Array[Any]
    """string, large_string, int64, float64 or bool. Without codes each feature's own value, (n,), null where it has none; with
    codes the distinct values, none null, those of other features perhaps among them."""
    codes: NDArray[np.int32] | None = None
    """(n,) index into values; -1 where the feature lacks the attribute."""

    def __len__(self) -> int:
        return len(self.values if self.codes is None else self.codes)


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
        if len(column) != len(geometry):
            raise ValueError(f"column {column.name} is of {len(column)} features; the geometry has {len(geometry)}")
        if column.values.type not in _MESSAGES:
            raise ValueError(f"tiles have no values of type {column.values.type}; make them string, int64, float64 or bool")
    if len(geometry) <= FEW:
        keys, values, few_tags = _few_attributes(columns, len(geometry))
        features = _few_features(geometry, few_tags, ids)
    else:
        keys, values, tags = _attributes(columns, len(geometry))
        features = _features(geometry, tags, ids)
    tail = bytes([_key(5, VARINT)]) + varint.one(extent) + bytes([_key(15, VARINT), 2])
    return _delimited(3, b"".join([_text(1, name), features, *(_text(3, key) for key in keys), *values, tail]))


def _delimited(field: int, data: bytes) -> bytes:
    return bytes([_key(field, DELIMITED)]) + varint.one(len(data)) + data


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
        held, ranks, has = _dictionary(column)
        if len(held) == 0:
            continue
        first = shared.setdefault((id(column.values), id(column.codes)), count)
        tags += [varint.same(len(keys), n, has), Varints.of((ranks + first).astype(np.uint32), has)]
        keys.append(column.name)
        if first == count:
            values.append(_values(held))
            count += len(held)
    return keys, values, tags


def _dictionary(column: Column) -> tuple[pa.Array[Any], NDArray[np.integer[Any]], NDArray[np.bool_] | None]:
    """The values that features have, of each feature (n,) the rank of its value among them, and which have one, None for all."""
    if column.codes is None:
        encoded = column.values.dictionary_encode()
        ranks = encoded.indices.fill_null(0) if encoded.null_count else encoded.indices
        return encoded.dictionary, ranks.to_numpy(), column.values.is_valid().to_numpy(False) if encoded.null_count else None
    used, ranks = _used(column.codes, len(column.values))
    values = column.values if len(used) == len(column.values) else column.values.take(pa.array(used))
    return values, ranks, _unless_all(column.codes >= 0)


def _unless_all(present: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    return None if present.all() else present


def _used(codes: NDArray[np.int32], size: int) -> tuple[NDArray[np.integer[Any]], NDArray[np.int64]]:
    """Which of so many values features have, ascending, and for each feature (n,) that has one the rank of its value among them."""
    if size > 16 * len(codes):
        used, ranks = np.unique(codes, return_inverse=True)
        lacking = int(used[0] < 0)
        return used[lacking:], ranks - lacking
    present = np.zeros(size + 1, np.bool_)
    present[codes] = True  # code -1 marks the last, extra one
    present[-1] = False
    return np.flatnonzero(present), (np.cumsum(present) - 1)[codes]


def _few_attributes(columns: Sequence[Column], n: int) -> tuple[list[str], list[bytes], list[bytes]]:
    """As `_attributes`, with each feature's tags as bytes."""
    keys: list[str] = []
    values: list[bytes] = []
    tags = [b""] * n
    shared: dict[tuple[int, int], tuple[Sequence[object], Mapping[object, bytes]]] = {}
    for column in columns:
        same = id(column.values), id(column.codes)
        if same not in shared:
            of_each, messages = _few_values(column)
            shared[same] = of_each, {each: varint.one(rank) for rank, each in enumerate(messages, len(values))}
            values += messages.values()
        of_each, number_of = shared[same]
        if number_of:
            key = varint.one(len(keys))
            tags = [tag + key + number_of[each] if each in number_of else tag for tag, each in zip(tags, of_each, strict=True)]
            keys.append(column.name)
    return keys, values, tags


def _few_values(column: Column) -> tuple[Sequence[object], Mapping[object, bytes]]:
    """By what each feature's value goes, and the messages of those that features have, in their order."""
    message = _MESSAGES[column.values.type]
    if column.codes is not None:
        codes = column.codes.tolist()
        return codes, {code: message(column.values[code].as_py()) for code in sorted(set(codes)) if code >= 0}
    messages = [None if value is None else message(value) for value in column.values.to_pylist()]
    return messages, {each: each for each in messages if each is not None}


def _few_features(geometry: Geometry, tags: Sequence[bytes], ids: NDArray[np.uint64] | None) -> bytes:
    """As `_features`."""
    one = varint.one
    number, tagged, typed, feature = (
        bytes([key]) for key in (_key(1, VARINT), _key(2, DELIMITED), _key(3, VARINT), _key(2, DELIMITED))
    )
    types = {kind: typed + bytes([kind, _key(4, DELIMITED)]) for kind in (POINT, LINE, POLYGON)}
    heads = [b""] * len(tags) if ids is None else [number + one(id) for id in ids.tolist()]
    commands, starts = [one(command) for command in geometry.commands.tolist()], geometry.starts.tolist()
    parts: list[bytes] = []
    for head, tag, kind, start, stop in zip(heads, tags, geometry.types.tolist(), starts[:-1], starts[1:], strict=True):
        shape = b"".join(commands[start:stop])
        about = head + tagged + one(len(tag)) + tag if tag else head
        message = about + types[kind] + one(len(shape)) + shape
        parts += feature, one(len(message)), message
    return b"".join(parts)


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
        return join(varint.strings(n, heads), commands).data.tobytes()
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


def _values(values: pa.Array[Any]) -> bytes:
    """Value messages as field 4 of the layer: string 1, double 3, uint 5, sint 6, bool 7."""
    if len(values) <= FEW:
        return b"".join(map(_MESSAGES[values.type], values.to_pylist()))
    if isinstance(values, pa.StringArray | pa.LargeStringArray):
        return _strings(values)
    if isinstance(values, pa.Int64Array):
        return _integers(values.to_numpy())
    if isinstance(values, pa.DoubleArray):
        return _doubles(values.to_numpy())
    flags = Varints.of(values.to_numpy(zero_copy_only=False).astype(np.uint8))
    return varint.rows(len(values), [_key(4, DELIMITED), 2, _key(7, VARINT), flags]).tobytes()


def _string(value: str) -> bytes:
    text = value.encode()
    if len(text) < 0x80 - 2:
        return bytes((_key(4, DELIMITED), len(text) + 2, _key(1, DELIMITED), len(text))) + text
    return _delimited(4, _delimited(1, text))


def _integer(value: int) -> bytes:
    number = varint.one(value if value >= 0 else -2 * value - 1)
    return bytes((_key(4, DELIMITED), len(number) + 1, _key(5, VARINT) if value >= 0 else _key(6, VARINT))) + number


def _double(value: float) -> bytes:
    return _DOUBLE + _pack(value)


def _flag(value: bool) -> bytes:
    return bytes((_key(4, DELIMITED), 2, _key(7, VARINT), value))


_DOUBLE, _pack = bytes((_key(4, DELIMITED), 9, _key(3, FIXED64))), struct.Struct("<d").pack
_MESSAGES: Mapping[pa.DataType[Any], Callable[[Any], bytes]] = {
    pa.string(): _string,
    pa.large_string(): _string,
    pa.int64(): _integer,
    pa.float64(): _double,
    pa.bool_(): _flag,
}
"""What writes one value of each type that tiles have, as `_values` does many."""


def _strings(values: pa.Array[Any]) -> bytes:
    """UTF-8 straight from Arrow's buffers."""
    _, places, text = values.buffers()
    offsets: NDArray[Any] = np.frombuffer(places, np.int64 if pa.types.is_large_string(values.type) else np.int32)
    starts = offsets[values.offset : values.offset + len(values) + 1].astype(np.int64)
    strings = Strings(np.frombuffer(text or b"", np.uint8), starts)
    text_size = Varints.of(strings.sizes.view(np.uint64))
    message = Varints.of(1 + text_size.sizes + text_size.values)
    heads = varint.strings(len(values), [_key(4, DELIMITED), message, _key(1, DELIMITED), text_size])
    return join(heads, strings).data.tobytes()


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

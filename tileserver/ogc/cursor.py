"""Where a page of rows begins: after a row that is named by what orders rows, so that any revision can tell.

A snapshot's rows with a position come first, in the order of (Morton code, id), then those without, in the order of their ids.
A page goes on after a row of that order, whether or not the row is still there: rows that do not change between two pages are
told once, and a page far behind costs two binary searches more than the first.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from tileserver.catalog import Layer
from tileserver.errors import BadRequest
from tileserver.filters import Filter, interval_text
from tileserver.snapshot import Snapshot
from tileserver.snapshot.columns import IntegerColumn, TextColumn

VERSION = 1
"""Moves when the order of rows does."""

CHECK_BYTES = 8
NOWHERE = b"-"
"""Stands for the Morton code of a row without position."""

Id = int | str


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page."""

    morton: int | None
    """None without position."""
    id: Id


def after(snapshot: Snapshot, row: int) -> Cursor:
    return Cursor(int(snapshot.morton[row]) if row < snapshot.positioned else None, _id(snapshot, row))


def start(snapshot: Snapshot, cursor: Cursor) -> int:
    """The first row after the cursor."""
    if cursor.morton is None:
        low, high = snapshot.positioned, snapshot.rows
    else:
        code = np.uint64(cursor.morton)
        low, high = (int(np.searchsorted(snapshot.morton, code, side)) for side in ("left", "right"))
    return low + bisect_right(range(low, high), _sortable(cursor.id), key=lambda row: _sortable(_id(snapshot, row)))


def write(cursor: Cursor, layer: Layer, filter: Filter) -> str:
    """The cursor as a parameter: what it says, and a checksum of that and of what it was made for."""
    place = NOWHERE if cursor.morton is None else cursor.morton.to_bytes(8, "little")
    content = bytes([len(place)]) + place + str(cursor.id).encode()
    return _encode(content + _checksum(content, layer, filter))


def read(text: str, layer: Layer, filter: Filter) -> Cursor:
    """Raises BadRequest if it was not written here, for this layer and these conditions."""
    try:
        whole = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        content, checksum = whole[:-CHECK_BYTES], whole[-CHECK_BYTES:]
        place, id = content[1 : 1 + content[0]], content[1 + content[0] :].decode()
        if _encode(whole) != text or checksum != _checksum(content, layer, filter) or len(place) not in (8, len(NOWHERE)):
            raise ValueError(text)
        integer = layer.id_field is None or layer.id_field.type == "integer"
        return Cursor(None if place == NOWHERE else int.from_bytes(place, "little"), int(id) if integer else id)
    except (ValueError, IndexError):
        raise BadRequest(
            "cursor is not one that was given for this layer and filter. Begin without it, then follow the links named next."
        ) from None


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _checksum(content: bytes, layer: Layer, filter: Filter) -> bytes:
    """It keeps from what was cut off or mixed up. It is no secret: whoever makes a cursor of their own sees public rows."""
    interval = interval_text(layer, filter.interval) if filter.interval else ""
    conditions = repr((VERSION, layer.id, interval, filter.bbox, filter.categories))
    return hashlib.blake2b(content + conditions.encode(), digest_size=CHECK_BYTES).digest()


def _id(snapshot: Snapshot, row: int) -> Id:
    column = snapshot.columns[snapshot.layer.id_name]
    if isinstance(column, IntegerColumn):
        return int(column.values[row])
    if isinstance(column, TextColumn):
        text: str = column.array[row].as_py()
        return text
    raise TypeError(f"{snapshot.layer.id} has ids of no type that is ordered")


def _sortable(id: Id) -> int | bytes:
    """Texts are ordered by their UTF-8, as Arrow does."""
    return id.encode() if isinstance(id, str) else id

"""Where a page of rows begins: a revision, and the number of a row in it.

The order of rows hangs on the revision, so a page goes on in the snapshot that the first page was made from, also when another
one is live by now: every row of that revision is told once. A replaced snapshot is kept until the build after the next, and
`forget` deletes it at once; then the client is asked to begin again. A page far behind costs no more than the first.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from tileserver.catalog import Layer
from tileserver.errors import BadRequest
from tileserver.filters import Filter, conditions, interval_text
from tileserver.snapshot import Snapshot

VERSION = 2
"""Moves when a cursor is written otherwise."""

REVISION_BYTES = ROW_BYTES = CHECK_BYTES = 8


@dataclass(frozen=True, slots=True)
class Cursor:
    revision: str
    """Of the snapshot that the page before was made from."""
    row: int
    """The first row of the page."""


def write(cursor: Cursor, layer: Layer, filter: Filter) -> str:
    """The cursor as a parameter: what it says, and a checksum of that and of what it was made for."""
    content = bytes.fromhex(cursor.revision) + cursor.row.to_bytes(ROW_BYTES, "little")
    return _encode(content + _checksum(content, layer, filter))


def read(text: str, layer: Layer, filter: Filter) -> Cursor:
    """Raises BadRequest if it was not written here, for this layer and these conditions."""
    try:
        whole = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        content, checksum = whole[:-CHECK_BYTES], whole[-CHECK_BYTES:]
        if _encode(whole) != text or checksum != _checksum(content, layer, filter) or len(content) != REVISION_BYTES + ROW_BYTES:
            raise ValueError(text)
    except ValueError:
        raise BadRequest(_FORGED) from None
    return Cursor(content[:REVISION_BYTES].hex(), int.from_bytes(content[REVISION_BYTES:], "little"))


def start(snapshot: Snapshot, cursor: Cursor) -> int:
    """The row to begin with. Raises BadRequest if the snapshot, which is that of the cursor's revision, has no such row."""
    if cursor.row >= snapshot.rows:
        raise BadRequest(_FORGED)
    return cursor.row


_FORGED = "cursor is not one that was given for this layer and filter. Begin without it, then follow the links named next."


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _checksum(content: bytes, layer: Layer, filter: Filter) -> bytes:
    """It keeps from what was cut off or mixed up. It is no secret: whoever makes a cursor of their own sees public rows."""
    interval = interval_text(layer, filter.interval) if filter.interval else ""
    where = conditions.text(filter.where) if filter.where else ""
    area = (filter.area.layer, filter.area.id) if filter.area else None
    made_for = repr((VERSION, layer.id, interval, filter.bbox, filter.categories, where, area))
    return hashlib.blake2b(content + made_for.encode(), digest_size=CHECK_BYTES).digest()

"""Columns of WKT, WKB or pairs of numbers → geometries."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from tileserver.ingest.pairs import pairs_of
from tileserver.ingest.rows import Shapes, Texts
from tileserver.ingest.typed import plain
from tileserver.ingest.values import trimmed

Geometries = NDArray[np.object_]

DEEPEST = 16
"""Geometries within geometries. GEOS reads them by recursion and ends the process where the stack does."""
_SHALLOW = 1_000
"""What is no longer than this cannot be nested deep enough to matter."""

_HEX = r"^(?:[0-9A-Fa-f]{2}){5,}$"
_SRID = r"^(?i)SRID=(?P<srid>[0-9]{1,6});"

_ORDERS = {b"\x00": ">", b"\x01": "<"}
_HAS_SRID, _HAS_M, _HAS_Z = 0x20000000, 0x40000000, 0x80000000


def shapes_of(column: Texts, crs: str | None) -> Shapes:
    """The geometries of a column: WKB as bytes or in hexadecimal digits, or WKT, with an SRID where they bring one; or pairs of
    numbers, the latitude first: `pairs.in_order` turns them where the whole column tells another order.

    `crs` counts before an SRID. Several SRIDs in one column are told apart by none: what differs from the first is unreadable.
    """
    shapes, srids, given, pairs = _parsed(column)
    present = ~shapely.is_missing(shapes)
    if crs is None and (known := srids[present & (srids > 0)]).size:
        crs = f"EPSG:{known[0]}"
        shapes[srids != known[0]] = None
        pairs &= srids == known[0]
    return Shapes(shapes, given & shapely.is_missing(shapes), crs, pairs if pairs.any() else None)


def shapes_of_wkb(column: pa.Array[Any], crs: str | None) -> Shapes:
    """The geometries of a column of bytes in a known reference system; an SRID in them counts for nothing."""
    column = plain(column)
    given = column.is_valid().to_numpy(zero_copy_only=False)
    shapes = _read(shapely.from_wkb, [_sound(value) for value in column.to_pylist()])
    return Shapes(shapes, given & shapely.is_missing(shapes), crs)


def _parsed(column: Texts) -> tuple[Geometries, NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """(geometries, SRIDs or 0, where something stands, where that is a pair of numbers), shape (n,) each."""
    column = plain(column)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type) or pa.types.is_fixed_size_binary(column.type):
        shapes = shapes_of_wkb(column, None).shapes
        given = column.is_valid().to_numpy(zero_copy_only=False)
        return shapes, shapely.get_srid(shapes).astype(np.int64), given, np.zeros(len(shapes), np.bool_)
    texts = trimmed(column.cast(pa.string()))
    is_hex = pc.fill_null(pc.match_substring_regex(texts, _HEX), False).to_numpy(zero_copy_only=False)
    found = pc.struct_field(pc.extract_regex(texts, _SRID), "srid")
    srids = found.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).copy()
    bare = pc.replace_substring_regex(texts, _SRID, "").to_pylist()
    shapes = np.full(len(texts), None, np.object_)
    shapes[is_hex] = _read(shapely.from_wkb, [_sound(bytes.fromhex(bare[row])) for row in np.flatnonzero(is_hex)])
    numbers = pairs_of(texts)
    is_pair = np.asarray(np.isfinite(numbers).all(axis=1))
    shapes[is_pair] = shapely.points(numbers[is_pair][:, ::-1])
    is_wkt = ~is_hex & ~is_pair
    shapes[is_wkt] = _read(shapely.from_wkt, [_shallow(bare[row]) for row in np.flatnonzero(is_wkt)])
    srids[is_hex] = shapely.get_srid(shapes[is_hex])
    return shapes, srids, texts.is_valid().to_numpy(zero_copy_only=False), is_pair


def _read(read: Callable[..., Any], values: list[Any]) -> Geometries:
    """What GEOS can read, None for the rest. shapely has no curves, and one of them makes it refuse a whole array."""
    given = np.empty(len(values), np.object_)
    given[:] = values
    try:
        # A coordinate that is no number is told by whoever checks the shapes.
        with np.errstate(invalid="ignore"):
            return np.asarray(read(given, on_invalid="ignore"), np.object_)
    except NotImplementedError:
        return np.array([_one(read, value) for value in values], np.object_)


def _one(read: Callable[..., Any], value: Any) -> Any:
    try:
        with np.errstate(invalid="ignore"):
            return read(value, on_invalid="ignore")
    except NotImplementedError:
        return None


def _shallow(text: str | None) -> str | None:
    """The text, or None where its brackets are nested too deep."""
    if text is None or len(text) <= _SHALLOW:
        return text
    signs = np.frombuffer(text.encode(), np.uint8)
    depth = np.cumsum((signs == ord("(")).astype(np.int64) - (signs == ord(")")))
    return text if depth.max() <= DEEPEST else None


def _sound(value: bytes | None) -> bytes | None:
    """The value, or None where its geometries are nested too deep, or end before they say."""
    if value is None or len(value) <= _SHALLOW:
        return value
    try:
        return value if _is_shallow(value) else None
    except struct.error:
        return None


def _is_shallow(wkb: bytes) -> bool:
    """Walks over every part of a geometry; each is passed once. What GEOS would read in another way is refused.

    Raises:
        struct.error: it ends before it says.
    """
    place, left = 0, [1]
    while left:
        if left[-1] == 0:
            left.pop()
            continue
        left[-1] -= 1
        # In any other order than these two, GEOS goes on in the one before.
        if (order := _ORDERS.get(wkb[place : place + 1])) is None:
            return False
        (code,) = struct.unpack_from(f"{order}I", wkb, place + 1)
        kind, size = _kind(code)
        place += 9 if code & _HAS_SRID else 5
        if kind == 1:
            place += size
            continue
        (count,) = struct.unpack_from(f"{order}I", wkb, place)
        place += 4
        match kind:
            case 2 | 8:
                place += count * size
            case 3:
                for _ in range(count):
                    (points,) = struct.unpack_from(f"{order}I", wkb, place)
                    place += 4 + points * size
            case 4 | 5 | 6 | 7 | 9 | 10 | 11 | 12:
                left.append(count)
            case _:
                return False
        if len(left) > DEEPEST:
            return False
    return True


def _kind(code: int) -> tuple[int, int]:
    """(the kind without its dimensions, bytes of one position) of a type code of WKB, extended or not, as GEOS takes it."""
    iso, kind = divmod(code & 0xFFFF, 1000)
    has_z, has_m = code & _HAS_Z or iso in (1, 3), code & _HAS_M or iso in (2, 3)
    return kind, (2 + bool(has_z) + bool(has_m)) * 8

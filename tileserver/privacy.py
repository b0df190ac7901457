"""What a row may show: the one door into snapshots. Behind it nothing sees more.

Ingest calls the same rules before the store, so each rule is idempotent: what has passed the door passes it unchanged.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tileserver import times
from tileserver.catalog import GEOMETRY, Layer

METERS_PER_DEGREE = 111_320.0
"""Of latitude, on a sphere of the equator's radius."""


@dataclass(frozen=True, slots=True)
class Admitted:
    batch: pa.RecordBatch
    """The rows that may be shown, generalised."""
    withheld: NDArray[np.bool_]
    """Shape (rows given,): which of them `include` held back."""


def admit(layer: Layer, batch: pa.RecordBatch) -> Admitted:
    """The rows of a batch of `layer.schema` as they may be shown, by the layer's `[privacy]`."""
    rules = layer.privacy
    withheld = _withheld(batch, rules.include)
    if withheld.any():
        batch = batch.filter(pa.array(~withheld))
    if rules.snap_meters:
        batch = _replace(batch, GEOMETRY, snap(batch.column(GEOMETRY), rules.snap_meters))
    if rules.address == "block":
        for field in layer.addresses:
            batch = _replace(batch, field.name, blocks(batch.column(field.name)))
    if rules.time:
        for field in layer.fields.values():
            if field.type == "datetime":
                batch = _replace(batch, field.name, truncate(batch.column(field.name), layer, rules.time))
    return Admitted(batch, withheld)


def _withheld(batch: pa.RecordBatch, include: Mapping[str, Sequence[str]]) -> NDArray[np.bool_]:
    withheld = np.zeros(batch.num_rows, np.bool_)
    for name, values in include.items():
        listed = pc.is_in(batch.column(name), value_set=pa.array(values, pa.string()))
        withheld |= ~listed.to_numpy(zero_copy_only=False)
    return withheld


def _replace(batch: pa.RecordBatch, name: str, column: pa.Array[Any]) -> pa.RecordBatch:
    index = batch.schema.get_field_index(name)
    return batch.set_column(index, batch.schema.field(index), column)


def truncate(column: pa.Array[Any], layer: Layer, to: Literal["hour", "day"]) -> pa.Array[Any]:
    """Timestamps in microseconds, each moved back to the begin of its hour or day on the layer's wall clock."""
    step = times.HOUR if to == "hour" else times.DAY
    known = column.is_valid().to_numpy(zero_copy_only=False)
    instants = np.where(known, column.fill_null(0).cast(pa.int64()).to_numpy(zero_copy_only=False), times.NO_TIME)
    wall = times.to_wall(instants, layer.zone)
    truncated = times.from_wall(np.where(known, wall // step * step, times.NO_TIME), layer.zone)
    return pa.array(truncated, mask=~known).cast(column.type)


# Counts


def may_tell(layer: Layer, *counts: int) -> bool:
    """Whether counts of rows may leave: each is 0, or no smaller than the layer's `min_count`."""
    return not any(0 < count < (layer.min_count or 0) for count in counts)


def told_values(layer: Layer, name: str, values: Sequence[tuple[str, int]], rows: int) -> list[tuple[str, int | None]]:
    """The values of a category with their counts, None for a count that is withheld; those withheld come last, by their text.

    A count may not be what is missing from the sum either: so at least two groups are withheld, `min_count` rows together, the
    smallest first. Rows without a value are a group too. A rare value that the layer file does not label is left out.

    Args:
        values: all of them, the most frequent first.
        rows: of the layer, with and without a value.
    """
    without = rows - sum(count for _, count in values)
    few = {value for value, count in values if not may_tell(layer, count)}
    withheld = [count for count in (without, *(count for _, count in values)) if not may_tell(layer, count)]
    hidden = set(few)
    for value, count in reversed(values) if withheld else ():
        if value not in hidden and (len(withheld) < 2 or not may_tell(layer, sum(withheld))):
            hidden.add(value)
            withheld.append(count)
    labels = layer.fields[name].labels
    told: list[tuple[str, int | None]] = [(value, count) for value, count in values if value not in hidden]
    return told + [(value, None) for value in sorted(hidden) if value not in few or value in labels]


# Positions


def snap(column: pa.Array[Any], meters: float) -> pa.Array[Any]:
    """Points (WKB, degrees), each moved to the centre of its cell of a fixed grid, by its position alone.

    Cells are at least `meters` high and wide. Rows of them fill the way from pole to pole, and as many cells as fit fill
    each row, so that none is cut at the antimeridian. What is not a point has no cell, and its position is withheld.
    """
    longitude, latitude = points(column)
    rows = max(int(180 * METERS_PER_DEGREE / meters), 1)
    height = 180 / rows
    centre = (np.clip(np.floor((latitude + 90) / height), 0, rows - 1) + 0.5) * height - 90
    cells = np.maximum(np.floor(360 * METERS_PER_DEGREE * np.cos(np.radians(centre)) / meters), 1)
    width = 360 / cells
    middle = (np.clip(np.floor((longitude + 180) / width), 0, cells - 1) + 0.5) * width - 180
    return points_as_wkb(np.round(middle, 7), np.round(centre, 7))


_HEAD = 21
"""Bytes of a WKB point: byte order (1), type (4), x (8), y (8). A height and a measure come after them."""
_POINT_TYPES = (1, 1001, 2001, 3001, 0x80000001, 0x40000001, 0xC0000001)
_WKB_POINT = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])


def points(column: pa.Array[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(longitudes, latitudes), shape (n,) each, of little-endian WKB; NaN for a null and for what is not a point."""
    longitude, latitude = np.full((2, len(column)), np.nan)
    _, offset_buffer, data_buffer = column.buffers()
    if not len(column) or offset_buffer is None or data_buffer is None:
        return longitude, latitude
    offsets = np.frombuffer(memoryview(offset_buffer), np.int32)[column.offset :][: len(column) + 1]
    known = column.is_valid().to_numpy(zero_copy_only=False)
    lengths = np.diff(offsets)
    where = np.flatnonzero(known & (lengths >= _HEAD))
    data = np.frombuffer(memoryview(data_buffer), np.uint8)
    if np.all(lengths == known * _HEAD):  # as nearly all columns are: one head after the other
        heads = data[offsets[0] : offsets[-1]].view(_WKB_POINT)
    else:
        heads = data[offsets[where, None] + np.arange(_HEAD)].view(_WKB_POINT)[:, 0]
    is_point = (heads["order"] == 1) & np.isin(heads["type"], _POINT_TYPES) & np.isfinite(heads["x"]) & np.isfinite(heads["y"])
    longitude[where[is_point]] = heads["x"][is_point]
    latitude[where[is_point]] = heads["y"][is_point]
    return longitude, latitude


def points_as_wkb(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> pa.Array[Any]:
    """A geometry column of n points; null where the longitude is NaN."""
    known = ~np.isnan(longitude)
    points = np.empty(int(known.sum()), _WKB_POINT)
    points["order"], points["type"] = 1, 1
    points["x"], points["y"] = longitude[known], latitude[known]
    offsets = np.zeros(len(known) + 1, np.int32)
    np.cumsum(known * _HEAD, out=offsets[1:])
    validity = np.packbits(known, bitorder="little")
    buffers: list[pa.Buffer | None] = [pa.py_buffer(part.tobytes()) for part in (validity, offsets, points)]
    return pa.Array.from_buffers(pa.binary(), len(known), buffers)


# Addresses


def blocks(column: pa.Array[Any]) -> pa.Array[Any]:
    """Street addresses as `block` shows them; the work is done once for each different text.

    Of addresses that begin with a house number and a space it is done once for each different street: of the number nothing
    but its hundreds counts, and these begin what is shown.
    """
    encoded = column.dictionary_encode()
    texts = encoded.dictionary
    found = pc.extract_regex(texts, rf"^(?P<number>[0-9]{{1,{_LONGEST_NUMBER}}})(?P<street>\s.*)$")
    streets = pc.struct_field(found, "street").dictionary_encode()
    shown = [None if street is None else block(f"100{street}") for street in streets.dictionary.to_pylist()]
    rest = pa.array([text and text.removeprefix("100") for text in shown], pa.string()).take(streets.indices)
    hundreds = pc.multiply(pc.divide(pc.struct_field(found, "number").cast(pa.int64()), 100), 100).cast(pa.string())
    numbered = pc.binary_join_element_wise(hundreds, rest, "")
    others = [None if text is None else block(text) for text in texts.filter(found.is_null()).to_pylist()]
    return pc.replace_with_mask(numbered, found.is_null(), pa.array(others, pa.string())).take(encoded.indices)


def block(address: str) -> str | None:
    """An address at block level: "4318  WOODLAWN DR APT 2" → "4300 block of WOODLAWN DR".

    Of the numbers in it only those remain that can be read as a street's name: "12TH ST", "W 12 ST", "INTERSTATE 30". All
    others go, wherever they stand, and so do the parts that name an apartment, a suite or a floor. What has no street left, a
    number alone or a post office box, is withheld (None).
    """
    text = " ".join(unicodedata.normalize("NFKC", _FRACTION.sub(" ", address)).split())
    while (shorter := _blocked(text)) != text:
        # Once more: what has gone may have stood between words that mean something only together.
        text = shorter
    return text or None


_FRACTION = re.compile("[\u00bc-\u00be\u2150-\u215f\u2189]")
_NO_STREET = re.compile(r"\bP\W*O\W*(?:BOX|BX|DRAWER)\b|\b(?:POB|BOX|RR|R R)\W*\d|\bC/O\b|\bATTN\b", re.IGNORECASE)
_SEPARATOR = re.compile(r"(\s*[,;/&@+|]\s*|(?:^|\s)-+\s|\s(?:AND|AT|TO|THRU)\s)", re.IGNORECASE)
_ORDINAL = r"[0-9]{0,2}(?:1ST|2ND|3RD|[0-9]TH)\b"
_HOUSE = re.compile(
    rf"[^\w#]*(?:NO\b\.?|\#)?\s*(?!{_ORDINAL})([0-9]+)[^\s,;/&@+|]*\s*(?:(?:BLOCK|BLK)\b\.?\s*(?:OF\b\s*)?)?", re.IGNORECASE
)
_DIRECTION = r"(?:NORTH|SOUTH|EAST|WEST|NE|NW|SE|SW|[NSEW])\b\.?"
_STREET = (
    r"(?:STREET|ST|AVENUE|AVE?|ROAD|RD|DRIVE|DR|LANE|LN|COURT|CT|CIRCLE|CIR|PLACE|PL|BOULEVARD|BLVD|TERRACE|TER|WAY|PARKWAY|PKW?Y"
    r"|PLAZA|SQUARE|SQ|TRAIL|TRL|COVE|CV|LOOP|ALLEY|ALY)\b\.?"
)
_DIGIT = re.compile(r"\d")
_NAMED_NUMBER = re.compile(rf"\W*{_ORDINAL}\W*", re.IGNORECASE)
_HIGHWAY = re.compile(
    rf"(?:{_DIRECTION}\s*)?(?:OLD\s+)?(?:(?:(?:STATE|COUNTY|U ?S|[A-Z]{{2}})\s+)?(?:INTERSTATE|HIGHWAY|HWY|ROUTE|RTE|RT|LOOP|US|I)"
    r"|(?:STATE|COUNTY|CO)\s+(?:ROAD|RD)|SR|CR|FM)[\s-]?[0-9]{1,4}[NSEW]?(?!\S)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(rf"(?P<direction>{_DIRECTION}\s*)?[0-9]{{1,3}}\s+{_STREET}(?:\s+{_DIRECTION})?$", re.IGNORECASE)
_UNIT = re.compile(r"\s*(?:#|\b(?:APTS?|APARTMENT|UNIT|STE|SUITE|PMB)\b)[^,;|]*", re.IGNORECASE)
_LAST_UNIT = re.compile(
    rf"(?:^|\s+)(?:(?:{_ORDINAL}\s+)?(?:FLOOR|FLR|FL)|LOT|LT|BUILDING|BLDG|BLD|ROOM|RM|SPC|TRLR|STUDIO|PH)\b\.?(?:\s+[A-Z])?$",
    re.IGNORECASE,
)
_LAST_LETTER = re.compile(rf"(?<=\w)(\s+{_STREET})\s+[A-DF-MO-RT-VX-Z]$", re.IGNORECASE)
_BEHIND = re.compile(rf"(?<=\w)(\s{_STREET})\s+(?:FLAT|DOOR|REAR|FRONT|HOUSE|HSE|NO|NUMBER|APT[A-Z])\b.*$", re.IGNORECASE)
_OF_HIGHWAYS = re.compile(
    rf"(?:\s*(?:{_DIRECTION}|(?:FRONT[A-Z]*|SERVICE|ACCESS|BUSINESS|BYPASS|SPUR|RAMP|EXIT)\b(?:\s+{_STREET})?|\W*[0-9]+\b))*\s*$",
    re.IGNORECASE,
)
"""What may follow the number of a highway. Before a street's name it would be a house's number."""
_SPELLED = re.compile(
    r"(?:(?:ONE|TWO|THREE|FOUR|FIVE|SIX|SEVEN|EIGHT|NINE|TEN|ELEVEN|TWELVE|(?:THIR|FOUR|FIF|SIX|SEVEN|EIGH|NINE)TEEN"
    r"|(?:TWEN|THIR|FOU?R|FIF|SIX|SEVEN|EIGH|NINE)TY|HUNDRED)\b[\s-]*)+",
    re.IGNORECASE,
)
_LONGEST_NUMBER = 6
"""Digits of a house number. A longer one is something else, and its first digits may tell too much."""


def _blocked(text: str) -> str:
    """One pass of `block`; the empty text where nothing may be shown."""
    if _NO_STREET.search(text):
        return ""
    number = None
    if house := _HOUSE.match(text):
        number = int(house[1]) if len(house[1]) <= _LONGEST_NUMBER else None
        text = text[house.end() :]
    elif spelled := _SPELLED.match(text):
        text = text[spelled.end() :]
    first, *others = _SEPARATOR.split(_UNIT.sub("", text))
    shown = _street(first, numbered=number is not None)
    for separator, part in zip(others[::2], others[1::2], strict=True):
        if street := _street(_HOUSE.sub("", part, 1) if _HOUSE.match(part) else part):
            shown += separator + street if shown else street
    if not any(char.isalpha() for char in shown):
        return ""
    return " ".join(shown.split()) if number is None else f"{number // 100 * 100} block of {shown}"


def _street(part: str, *, numbered: bool = False) -> str:
    """The name of one street without what tells the house; `numbered` if a house number came just before it."""
    part = part.strip()
    name = _HIGHWAY.match(part) or _NUMBERED.match(part)
    if name and name.re is _NUMBERED and not (numbered or name["direction"]):
        name = None
    if name and name.re is _HIGHWAY and not _OF_HIGHWAYS.match(part, name.end()):
        name = None
    end = name.end() if name else 0
    street = " ".join([part[:end].strip(), *filter(_names_a_street, part[end:].split())]).strip()
    while (shorter := _LAST_LETTER.sub(r"\1", _LAST_UNIT.sub("", _BEHIND.sub(r"\1", street)))) != street:
        street = shorter
    return street


def _names_a_street(word: str) -> bool:
    if _NAMED_NUMBER.fullmatch(word):
        return True
    # Numerals of other scripts, such as 四, are no digits.
    return not any(char.isdigit() or unicodedata.numeric(char, None) is not None for char in word)

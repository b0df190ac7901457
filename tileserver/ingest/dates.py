"""Text → instants, by the formats of a layer file or ISO 8601, on the layer's wall clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tileserver import times
from tileserver.ingest.rows import Texts

FIRST_YEAR, LAST_YEAR = 2, 9998
"""Every time zone's clock shows them within the years 1 to 9999, which calendars and stores can express."""


def instants(texts: Texts, formats: Sequence[str], zone: ZoneInfo) -> pa.Array[Any]:
    """Timestamps (microseconds, UTC), null for what cannot be read; the work is done once for each different text.

    A text is read by the first of `formats` (as of strptime) that fits, or as ISO 8601 if there are none. What tells no offset
    is on `zone`'s wall clock. ISO 8601 with an offset means one instant, and is read beside any format.
    """
    encoded = texts.dictionary_encode()
    wall = np.full(len(encoded.dictionary), times.NO_TIME)
    left = np.ones(len(wall), np.bool_)
    for each in formats or _ISO:
        if not _is_plain(each):
            break
        for read in (_by_layout, _by_pattern) if formats else (_by_layout,):
            if left.any():
                wall[left] = read(encoded.dictionary.filter(pa.array(left)), each)
                left = wall == times.NO_TIME
    moments = [_moment(text, formats) for text in encoded.dictionary.filter(pa.array(left)).to_pylist()]
    wall[left] = [times.to_instant(moment.replace(tzinfo=UTC)) if moment else times.NO_TIME for moment in moments]
    found = times.from_wall(wall, zone)
    aware = np.array([moment is not None and moment.tzinfo is not None for moment in moments], np.bool_)
    found[np.flatnonzero(left)[aware]] = [times.to_instant(moment) for moment in moments if moment and moment.tzinfo]
    return pa.array(found, mask=found == times.NO_TIME).cast(pa.timestamp("us", tz="UTC")).take(encoded.indices)


def _moment(text: str, formats: Sequence[str]) -> datetime | None:
    moment = None
    for each in formats:
        try:
            moment = datetime.strptime(text, each)
            break
        except ValueError:
            continue
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        if formats and moment.tzinfo is None:
            return None
    return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None


# strptime takes 5 µs a text. Formats of plain numbers with something between them are read for all texts at once: where the
# numbers have their full width as rows of bytes, else by a regular expression.

_NUMBERS = {
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "m": "1[0-2]|0?[1-9]",
    "d": "3[01]|[12][0-9]|0?[1-9]| [1-9]",
    "H": "2[0-3]|[01]?[0-9]",
    "M": "[0-5]?[0-9]",
    "S": "[0-5]?[0-9]",
}
_WIDTHS = {"Y": 4, "y": 2, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}
_LIMITS = {"Y": (0, 9999), "y": (0, 99), "m": (1, 12), "d": (1, 31), "H": (0, 23), "M": (0, 59), "S": (0, 59)}
_DEFAULTS = {"Y": 1900, "m": 1, "d": 1, "H": 0, "M": 0, "S": 0}

_ISO = ("%Y-%m-%d", *(f"%Y-%m-%d{sign}%H:%M{rest}" for sign in "T " for rest in ("", ":%S", ":%S.000")))
"""How ISO 8601 is usually written. `datetime` reads these and all its other forms, but one by one."""


def _is_plain(format: str) -> bool:
    """Whether a format is numbers with something between them, each once."""
    directives = re.findall("%(.)", format)
    plain = re.fullmatch(r"(?:%[YymdHMS][^%0-9]+)*%[YymdHMS](?:\.000)?", format)
    return plain is not None and len({*directives}) == len(directives) and not {"Y", "y"} <= {*directives}


def _by_layout(texts: Texts, format: str) -> NDArray[np.int64]:
    """Microseconds since 1970 on the wall clock, shape (n,), of texts whose numbers have their full width; else `NO_TIME`."""
    parts = [(name, signs.encode()) for name, signs in re.findall("%(.)([^%]*)", format)]
    length = sum(_WIDTHS[name] + len(signs) for name, signs in parts)
    starts, data = _bytes_of(texts)
    rows = np.flatnonzero(np.diff(starts) == length)
    written = data[starts[rows] + np.arange(length)[:, None]]  # (length, rows)
    fits = np.ones(len(rows), np.bool_)
    numbers = {}
    at = 0
    for name, signs in parts:
        digits = written[at : at + _WIDTHS[name]] - np.uint8(ord("0"))
        numbers[name] = np.tensordot(10 ** np.arange(_WIDTHS[name])[::-1], digits, 1)
        least, most = _LIMITS[name]
        fits &= (digits <= 9).all(axis=0) & (numbers[name] >= least) & (numbers[name] <= most)
        at += _WIDTHS[name]
        fits &= (written[at : at + len(signs)] == np.frombuffer(signs, np.uint8)[:, None]).all(axis=0)
        at += len(signs)
    wall = np.full(len(texts), times.NO_TIME)
    wall[rows] = _wall(numbers, fits)
    return wall


def _bytes_of(texts: Texts) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """(where each text begins, shape (n + 1,); the bytes of all)."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return np.zeros(len(texts) + 1, np.int64), np.zeros(0, np.uint8)
    starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return starts.astype(np.int64), np.frombuffer(data, np.uint8)


def _by_pattern(texts: Texts, format: str) -> NDArray[np.int64]:
    """The same, with and without padding, by a regular expression with one group a directive."""
    spaced = re.sub(r"(?:\\?\s)+", r"\\s+", re.escape(format))
    pattern = re.sub("%(.)", lambda found: f"(?P<{found[1]}>{_NUMBERS[found[1]]})", spaced)
    found = pc.extract_regex(texts, f"(?i)^{pattern}$")
    fits = found.is_valid().to_numpy(zero_copy_only=False)
    numbers = {
        group: pc.utf8_trim_whitespace(pc.struct_field(found, group)).cast(pa.int64()).fill_null(1).to_numpy(zero_copy_only=False)
        for group in re.findall("%(.)", format)
    }
    return _wall(numbers, fits)


def _wall(numbers: dict[str, NDArray[np.int64]], fits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Microseconds since 1970 of the numbers of each directive; `NO_TIME` for what does not fit or is no date."""
    if "y" in numbers:
        # POSIX: 69 to 99 are of the twentieth century.
        numbers["Y"] = numbers["y"] + np.where(numbers["y"] > 68, 1900, 2000)
    year, month, day, hour, minute, second = (numbers.get(name, np.array(default)) for name, default in _DEFAULTS.items())
    months = (year - 1970).astype("M8[Y]").astype("M8[M]") + (month - 1)
    days = months.astype("M8[D]") + (day - 1)
    real = (days.astype("M8[M]") == months) & (year >= FIRST_YEAR) & (year <= LAST_YEAR)
    wall = days.astype("M8[us]").astype(np.int64) + (hour * 3600 + minute * 60 + second) * times.SECOND
    return np.where(fits & real, wall, times.NO_TIME)

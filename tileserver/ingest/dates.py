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
    for each in formats:
        if (pattern := _pattern(each)) is None:
            break
        wall[left] = _by_pattern(encoded.dictionary.filter(pa.array(left)), pattern)
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


# strptime takes 5 µs a text. Formats of plain numbers with something between them are read for all texts at once.

_NUMBERS = {
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "m": "1[0-2]|0?[1-9]",
    "d": "3[01]|[12][0-9]|0?[1-9]| [1-9]",
    "H": "2[0-3]|[01]?[0-9]",
    "M": "[0-5]?[0-9]",
    "S": "[0-5]?[0-9]",
}
_DEFAULTS = {"Y": 1900, "m": 1, "d": 1, "H": 0, "M": 0, "S": 0}


def _pattern(format: str) -> str | None:
    """The regular expression of a format, one group a directive; None if only strptime can read it."""
    directives = re.findall("%(.)", format)
    plain = re.fullmatch(r"(?:%[YymdHMS][^%0-9]+)*%[YymdHMS]", format)
    if not plain or len({*directives}) < len(directives) or {"Y", "y"} <= {*directives}:
        return None
    spaced = re.sub(r"(?:\\?\s)+", r"\\s+", re.escape(format))
    return f"^{re.sub('%(.)', lambda found: f'(?P<{found[1]}>{_NUMBERS[found[1]]})', spaced)}$"


def _by_pattern(texts: Texts, pattern: str) -> NDArray[np.int64]:
    """Microseconds since 1970 on the wall clock, shape (n,), `NO_TIME` for what does not fit or is no date."""
    found = pc.extract_regex(texts, f"(?i){pattern}")
    fits = found.is_valid().to_numpy(zero_copy_only=False)
    numbers = {
        group: pc.utf8_trim_whitespace(pc.struct_field(found, group)).cast(pa.int64()).fill_null(1).to_numpy(zero_copy_only=False)
        for group in re.findall(r"\?P<(.)>", pattern)
    }
    if "y" in numbers:
        # POSIX: 69 to 99 are of the twentieth century.
        numbers["Y"] = numbers["y"] + np.where(numbers["y"] > 68, 1900, 2000)
    year, month, day, hour, minute, second = (numbers.get(name, np.array(default)) for name, default in _DEFAULTS.items())
    months = (year - 1970).astype("M8[Y]").astype("M8[M]") + (month - 1)
    days = months.astype("M8[D]") + (day - 1)
    fits &= (days.astype("M8[M]") == months) & (year >= FIRST_YEAR) & (year <= LAST_YEAR)
    wall = days.astype("M8[us]").astype(np.int64) + (hour * 3600 + minute * 60 + second) * times.SECOND
    return np.where(fits, wall, times.NO_TIME)

"""Instants as int64 microseconds since 1970 UTC, and the wall clock of a time zone, for whole arrays at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Instants = NDArray[np.int64]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NO_TIME = np.iinfo(np.int64).min
"""Stands for a missing instant; the same bits as numpy's NaT."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR, _LAST_YEAR = 2, 9998  # one year of margin keeps every zone's wall clock within what datetime can express


UTC_ZONE = ZoneInfo("UTC")


def to_instant(moment: datetime) -> int:
    """Microseconds since 1970 UTC of an aware datetime."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


_FIRST = to_instant(datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC))
_LAST = to_instant(datetime(_LAST_YEAR + 1, 1, 1, tzinfo=UTC)) - 1


def to_datetime(instant: int, zone: ZoneInfo) -> datetime:
    """The aware datetime, on `zone`'s wall clock, of an instant; the nearest that every zone can express."""
    within = min(max(int(instant), _FIRST), _LAST)
    return (_EPOCH + timedelta(microseconds=within)).astimezone(zone)


def to_text(instant: int, zone: ZoneInfo) -> str:
    """RFC 3339 on `zone`'s wall clock, with microseconds only where there are any; in UTC where the offset has seconds, which
    RFC 3339 cannot say: before standard time."""
    shift = _shift_at(instant, zone)
    return to_datetime(instant, UTC_ZONE if shift % MINUTE else zone).isoformat()


def to_texts(instants: Instants, zone: ZoneInfo) -> NDArray[np.str_]:
    """`to_text` of every instant, shape (n,); a missing one becomes the empty text."""
    known = instants != NO_TIME
    shift = offsets(instants, zone)
    shift = np.where(shift % MINUTE, 0, shift)
    wall = np.where(known, instants + shift, 0).astype("M8[us]")
    whole = not np.any(wall.astype(np.int64) % SECOND)
    texts = np.datetime_as_string(wall, unit="s" if whole else "us")
    if not whole:
        texts = np.char.replace(texts, ".000000", "")
    if not len(shift):
        return texts
    values, which = np.unique(shift, return_inverse=True)
    suffixes = np.array([_offset_text(int(value)) for value in values])
    return np.where(known, np.char.add(texts, suffixes[which]), "")


def to_wall(instants: Instants, zone: ZoneInfo) -> Instants:
    """What a clock in `zone` shows at each instant, as microseconds since 1970 on that clock. Missing stays missing."""
    return np.where(instants == NO_TIME, NO_TIME, instants + offsets(instants, zone))


def from_wall(wall: Instants, zone: ZoneInfo) -> Instants:
    """The instants at which a clock in `zone` shows `wall`. Missing stays missing.

    An hour that the clock shows twice means the first; one that it skips is read with the offset before the change, as
    datetime does with fold=0 (PEP 495).
    """
    starts, shifts = _changes(zone.key, _decades(wall))
    switches = starts[1:] + np.maximum(shifts[1:], shifts[:-1])
    shift = shifts[np.searchsorted(switches, wall, side="right")]
    return np.where(wall == NO_TIME, NO_TIME, wall - shift)


def day_begin(instant: int, zone: ZoneInfo) -> int:
    """When the day of an instant begins on the wall clock of a zone."""
    wall = to_wall(np.array([instant], np.int64), zone)
    return int(from_wall(wall // DAY * DAY, zone)[0])


def offsets(instants: Instants, zone: ZoneInfo) -> Instants:
    """The offset from UTC of `zone` at each instant, in microseconds, shape (n,)."""
    starts, shifts = _changes(zone.key, _decades(instants))
    return shifts[np.searchsorted(starts[1:], instants, side="right")]


def _decades(instants: Instants) -> tuple[tuple[int, int], ...]:
    """The years that changes are wanted for, as spans [first, last) of neighboring decades with a year of margin."""
    known = instants[instants != NO_TIME]
    years = known.astype("M8[us]").astype("M8[Y]").astype(np.int64) + 1970
    spans: list[tuple[int, int]] = []
    for decade in (np.unique(np.clip(years, _FIRST_YEAR, _LAST_YEAR) // 10) * 10).tolist() or [1970]:
        if spans and spans[-1][1] >= decade - 1:
            spans[-1] = (spans[-1][0], decade + 11)
        else:
            spans.append((decade - 1, decade + 11))
    return tuple((max(first, _FIRST_YEAR), min(last, _LAST_YEAR)) for first, last in spans)


@lru_cache(maxsize=64)
def _changes(key: str, spans: tuple[tuple[int, int], ...]) -> tuple[Instants, Instants]:
    """Where the offset of a zone changes within spans of years: (starts, offsets), shape (k,), the first one always in force.

    Sampled daily, then bisected to the second: no zone has changed twice in one day.
    """
    zone = ZoneInfo(key)
    starts: list[int] = []
    shifts: list[int] = []
    for first, last in spans:
        begin = to_instant(datetime(first, 1, 1, tzinfo=UTC))
        starts.append(begin if starts else NO_TIME)
        shifts.append(_shift_at(begin, zone))
        for day in range(begin + DAY, to_instant(datetime(last, 1, 1, tzinfo=UTC)), DAY):
            if (shift := _shift_at(day, zone)) != shifts[-1]:
                starts.append(_bisect(day - DAY, day, shift, zone))
                shifts.append(shift)
    return np.array(starts, np.int64), np.array(shifts, np.int64)


def _shift_at(instant: int, zone: ZoneInfo) -> int:
    shift = to_datetime(instant, zone).utcoffset()
    return 0 if shift is None else shift // timedelta(microseconds=1)


def _bisect(before: int, after: int, shift: int, zone: ZoneInfo) -> int:
    """The first instant of (before, after], to the second, at which the offset is `shift`."""
    low, high = before // SECOND, after // SECOND
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _shift_at(middle * SECOND, zone) == shift else (middle, high)
    return high * SECOND


def _offset_text(shift: int) -> str:
    minutes = abs(shift) // MINUTE
    return f"{'-' if shift < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"

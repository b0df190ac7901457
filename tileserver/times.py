"""Instants as int64 microseconds since 1970 UTC, and the wall clock of a time zone, for whole arrays at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
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
FEW = 24
"""Instants up to which a loop is quicker than arrays."""

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
    moment = to_datetime(instant, zone)
    shift = moment.utcoffset()
    return (moment.astimezone(UTC) if shift and shift.seconds % 60 else moment).isoformat()


def to_texts(instants: Instants, zone: ZoneInfo) -> pa.StringArray:
    """`to_text` of every instant, shape (n,); null for a missing one. Instants are of the years 1 to 9999.

    Few are told one by one. Of many the digits are written into a matrix, a row for each instant, and those that are said are
    taken from it.
    """
    if len(instants) <= FEW and all(instant == NO_TIME or _FIRST <= instant <= _LAST for instant in instants.tolist()):
        return pa.array([None if instant == NO_TIME else to_text(instant, zone) for instant in instants.tolist()], pa.string())
    known = instants != NO_TIME
    shift = offsets(instants, zone)
    shift = np.where(shift % MINUTE, 0, shift)
    wall = np.where(known, instants + shift, 0)
    seconds, fraction = wall // SECOND, wall % SECOND
    minutes, away = seconds // 60, np.abs(shift) // MINUTE
    day = (minutes // 1440).view("M8[D]")
    month = day.astype("M8[M]")
    months = month.view(np.int64)
    year = months // 12 + 1970
    numbers = [year // 100 % 100, year % 100, months % 12 + 1, (day - month).view(np.int64) + 1]
    numbers += [minutes // 60 % 24, minutes % 60, seconds % 60]
    numbers += [fraction // 10_000, fraction // 100 % 100, fraction % 100] if fraction.any() else [fraction] * 3
    numbers += [away // 60, away % 60]
    letters = np.empty((len(wall), len(_PATTERN)), np.uint8)
    letters[:] = np.frombuffer(_PATTERN, np.uint8)
    letters[:, _PLACES] = _DIGITS[np.stack(numbers, axis=1)].view(np.uint8)
    letters[shift < 0, 26] = ord("-")
    said = np.repeat(known[:, None], len(_PATTERN), axis=1)
    said[:, 19:26] &= (fraction > 0)[:, None]
    ends = np.zeros(len(wall) + 1, np.int32)
    np.cumsum(said.sum(axis=1), out=ends[1:])
    validity = np.packbits(known, bitorder="little")
    buffers = [pa.py_buffer(part.tobytes()) for part in (validity, ends, letters[said])]
    return pa.Array.from_buffers(pa.string(), len(wall), buffers)


_PATTERN = b"0000-00-00T00:00:00.000000+00:00"
_PLACES = np.flatnonzero(np.frombuffer(_PATTERN, np.uint8) == ord("0"))
_DIGITS = np.frombuffer(b"".join(b"%02d" % number for number in range(100)), np.uint16)
"""Both of each number below 100."""


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

"""Times in filters: dates and instants, intervals of them, and periods such as the last seven days, for one layer's clock."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

import numpy as np

from tileserver import times
from tileserver.catalog import Layer
from tileserver.errors import BadRequest

Interval = tuple[int | None, int | None]
"""[start, stop) in microseconds since 1970 UTC; None on a side is open."""
Span = tuple[int, int]
"""The same, closed on both sides."""

# ASCII digits only: Python's \d would also take others.
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]{1,9})?([Zz]|[-+ ][0-9]{2}:[0-9]{2})"
)
_LAST = re.compile(r"([1-9][0-9]{0,3})([hdwmy])")


def interval_text(layer: Layer, interval: Interval) -> str:
    """The interval as the `datetime` parameter would say it, on the layer's wall clock, both ends included."""
    start, stop = interval
    begin = ".." if start is None else times.to_text(start, layer.zone)
    end = ".." if stop is None else times.to_text(stop - 1, layer.zone)
    return f"{begin}/{end}"


def interval(text: str, layer: Layer) -> Interval | None:
    """What `datetime` says; None for an interval without begin and end.

    Raises:
        BadRequest: it is no date, instant or interval.
    """
    begin, slash, end = text.partition("/")
    if not slash:
        return _span(begin, layer)
    start = None if begin in ("", "..") else _span(begin, layer)[0]
    stop = None if end in ("", "..") else _span(end, layer)[1]
    if start is not None and stop is not None and start >= stop:
        raise BadRequest("datetime ends before it begins. Its order is start/end.")
    return None if start is None and stop is None else (start, stop)


def _span(text: str, layer: Layer) -> Span:
    if found := day(text, layer) or instant(text):
        return found
    raise BadRequest(
        "datetime takes a date (2024-05-01), an RFC 3339 instant with its offset (2024-05-01T08:00:00-05:00), "
        "or two of them with a slash between; .. leaves a side open."
    )


def day(text: str, layer: Layer) -> Span | None:
    """[start, stop) of a date, which is a whole day on the layer's wall clock; None for what is no date."""
    if not (match := _DATE.fullmatch(text)):
        return None
    try:
        ordinal = date(*(int(part) for part in match.groups())).toordinal()
    except ValueError:
        return None  # no such day
    return _midnight(ordinal, layer), _midnight(ordinal + 1, layer)


def instant(text: str) -> Span | None:
    """[start, stop) of an RFC 3339 instant, which is one microsecond; None for what is none."""
    if not (match := _INSTANT.fullmatch(text)):
        return None
    try:
        start = _instant(match)
    except ValueError:
        return None  # no such day, or no such hour
    return start, start + 1


def _instant(match: re.Match[str]) -> int:
    day, hour, minute, second, fraction, offset = match.groups()
    clock = [int(hour), int(minute), int(second)]
    shift = [0, 0] if offset in "Zz" else [int(offset[1:3]), int(offset[4:6])]
    if clock[0] > 23 or clock[1] > 59 or clock[2] > 59 or shift[0] > 23 or shift[1] > 59:
        raise ValueError(match)
    wall = date.fromisoformat(day).toordinal() - _EPOCH_DAY
    seconds = wall * 86_400 + clock[0] * 3_600 + clock[1] * 60 + clock[2]
    # In a query string an unescaped "+" arrives as a space; it can mean nothing else here.
    east_of_utc = -1 if offset.startswith("-") else 1
    seconds -= east_of_utc * (shift[0] * 3_600 + shift[1] * 60)
    return seconds * times.SECOND + int((fraction or ".0")[1:7].ljust(6, "0"))


_EPOCH_DAY, _LAST_DAY = date(1970, 1, 1).toordinal(), date.max.toordinal()


def _midnight(ordinal: int, layer: Layer) -> int:
    if ordinal <= _LAST_DAY:
        return times.to_instant(datetime.combine(date.fromordinal(ordinal), time(), layer.zone))
    wall = np.array([(ordinal - _EPOCH_DAY) * times.DAY], np.int64)
    return int(times.from_wall(wall, layer.zone)[0])


def last(text: str, layer: Layer, complete: int) -> Interval:
    """Whole hours, or whole days on the layer's wall clock, the last of them the one that `complete` falls into.

    Raises:
        BadRequest: it is no period.
    """
    match = _LAST.fullmatch(text)
    if not match and text != "ytd":
        raise BadRequest("last takes a period such as 24h, 7d, 12w, 6m or 1y, or ytd for the year to date.")
    count, unit = (int(match[1]), match[2]) if match else (0, "ytd")
    if unit == "h":
        stop = (complete // times.HOUR + 1) * times.HOUR
        return stop - count * times.HOUR, stop
    today = times.to_datetime(complete, layer.zone).date()
    try:
        end = today + timedelta(days=1)
        begin = {"d": _days_before, "w": _weeks_before, "m": _months_before, "y": _years_before, "ytd": _year_begin}[unit](
            end, count
        )
    except (ValueError, OverflowError):
        raise BadRequest("last reaches back before the year 1.") from None
    return _midnight(begin.toordinal(), layer), _midnight(end.toordinal(), layer)


def _days_before(end: date, count: int) -> date:
    return end - timedelta(days=count)


def _weeks_before(end: date, count: int) -> date:
    return end - timedelta(weeks=count)


def _months_before(end: date, count: int) -> date:
    """The same day `count` months earlier, or that month's last day where it is shorter."""
    year, month = divmod(end.year * 12 + end.month - 1 - count, 12)
    first_of_next = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return min(date(year, month + 1, 1) + timedelta(days=end.day - 1), first_of_next - timedelta(days=1))


def _years_before(end: date, count: int) -> date:
    return _months_before(end, count * 12)


def _year_begin(end: date, _: int) -> date:
    return (end - timedelta(days=1)).replace(month=1, day=1)

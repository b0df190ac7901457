"""Query parameters → one `Filter` a layer, in canonical form: two spellings of one filter are equal and share one text.

Everything here is decided from the address alone, before any snapshot or cache is touched.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import orjson

from tileserver import times
from tileserver.catalog import Layer
from tileserver.errors import BadRequest, ConfigError

PARAMETERS = ("datetime", "last", "bbox", "properties")
"""Parameters that take one value and mean the same on every layer. Category fields come beside them."""

TILE_PARAMETERS = ("grid", "aggregate", "rev")
"""What tiles take beside them; a category of such a name is no parameter."""
ITEM_PARAMETERS = ("limit", "cursor", "f")
"""What pages of items take beside them."""

Bbox = tuple[float, float, float, float]
Interval = tuple[int | None, int | None]
CompleteThrough = Callable[[Layer], int]
"""Tells up to which instant a layer's data are complete; `last` ends there."""

# ASCII digits only: Python's \d and float() would also take others, signs, underscores and "nan".
# Clients write doubles with up to 18 digits, small ones with an exponent.
_NUMBER = re.compile(r"-?[0-9]{1,3}(\.[0-9]{0,40})?([eE]-[0-9]{1,2})?")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]{1,9})?([Zz]|[-+ ][0-9]{2}:[0-9]{2})"
)
_LAST = re.compile(r"([1-9][0-9]{0,3})([hdwmy])")


@dataclass(frozen=True)
class Filter:
    """Which rows of one layer, and which of their fields."""

    interval: Interval | None = None
    """[start, stop) in microseconds since 1970 UTC; None on a side is open."""
    bbox: Bbox | None = None
    """west, south, east, north in degrees; west > east crosses the antimeridian."""
    categories: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(field, values), both sorted; the empty value stands for rows without one."""
    properties: tuple[str, ...] | None = None
    """The fields to send, in the layer's order; None is all of them."""
    relative: bool = field(default=False, compare=False)
    """The interval was asked for with `last` and moves with the data."""

    @cached_property
    def text(self) -> str:
        """The canonical text of the conditions and the fields; empty for the filter that lets all through."""
        parts = {"interval": self.interval, "bbox": self.bbox, "categories": self.categories or None, "properties": self.properties}
        given = {name: value for name, value in parts.items() if value is not None}
        return orjson.dumps(given).decode() if given else ""

    @cached_property
    def is_open(self) -> bool:
        """No condition at all: every row matches."""
        return self.interval is None and self.bbox is None and not self.categories


def parse(layers: Sequence[Layer], items: Sequence[tuple[str, str]], complete_through: CompleteThrough) -> dict[str, Filter]:
    """The filter of each layer, by id. `{layer}.{parameter}` is for that layer alone and goes before the same without prefix.

    Raises:
        BadRequest: an unknown parameter, a second value for one that takes one, or a value that is none.
    """
    by_id = {layer.id: layer for layer in layers}
    common: dict[str, list[str]] = defaultdict(list)
    own: dict[str, dict[str, list[str]]] = {id: defaultdict(list) for id in by_id}
    for key, value in items:
        prefix, dot, name = key.rpartition(".")
        if not dot:
            common[key].append(value)
        elif prefix in by_id and takes(by_id[prefix], name):
            own[prefix][name].append(value)
        else:
            raise _unknown(layers)
    for name in common:
        if not any(takes(layer, name) for layer in layers):
            raise _unknown(layers)
    _refuse_unknown_properties(layers, common.get("properties", []))
    for given in own.values():
        if "last" in given or "datetime" in given:  # the two say the same, so a layer's own takes the place of either
            given |= {name: [] for name in ("last", "datetime") if name not in given}
    return {
        layer.id: _filter(
            layer, {name: given for name, given in common.items() if takes(layer, name)} | own[layer.id], complete_through
        )
        for layer in layers
    }


def check_default(layer: Layer) -> None:
    """Whether the layer's `default_filter` is a filter of it.

    Raises:
        ConfigError: names layer and key.
    """
    try:
        parse([layer], default_items(layer), lambda _: 0)
    except BadRequest as error:
        raise ConfigError(f"{layer.id}.toml: default_filter: {error}") from error


def default_items(layer: Layer) -> list[tuple[str, str]]:
    """The layer's `default_filter` as the query of an address."""
    given = layer.default_filter.items()
    return [(name, value) for name, values in given for value in ([values] if isinstance(values, str) else values)]


def takes(layer: Layer, parameter: str) -> bool:
    """Whether a parameter means something to a layer."""
    if parameter in ("datetime", "last"):
        return layer.time_field is not None
    if parameter in TILE_PARAMETERS + ITEM_PARAMETERS:
        return False
    return parameter in PARAMETERS or any(field.name == parameter for field in layer.categories)


def interval_text(layer: Layer, interval: Interval) -> str:
    """The interval as the `datetime` parameter would say it, on the layer's wall clock, both ends included."""
    start, stop = interval
    begin = ".." if start is None else times.to_text(start, layer.zone)
    end = ".." if stop is None else times.to_text(stop - 1, layer.zone)
    return f"{begin}/{end}"


def _unknown(layers: Sequence[Layer]) -> BadRequest:
    # The same words for a field that is not declared and for one that does not exist.
    known = [name for name in PARAMETERS if any(takes(layer, name) for layer in layers)]
    known += sorted({field.name for layer in layers for field in layer.categories} - set(PARAMETERS))
    return BadRequest(
        f"Unknown parameter. This address takes: {', '.join(known)}; for one layer of several, {{layer}}.{{parameter}}."
    )


def _filter(layer: Layer, given: Mapping[str, Sequence[str]], complete_through: CompleteThrough) -> Filter:
    one = {name: _single(name, given[name]) for name in PARAMETERS if given.get(name)}
    if "datetime" in one and "last" in one:
        raise BadRequest("datetime and last exclude each other: give one of them.")
    interval = None
    if "datetime" in one:
        interval = _interval(one["datetime"], layer)
    elif "last" in one:
        interval = _last(one["last"], layer, complete_through(layer))
    filter = Filter(
        interval=interval,
        bbox=_bbox(one["bbox"]) if "bbox" in one else None,
        categories=tuple(sorted((name, tuple(sorted(set(values)))) for name, values in given.items() if name not in PARAMETERS)),
        properties=_properties(one["properties"], layer) if "properties" in one else None,
        relative="last" in one,
    )
    if not layer.shows_rows:
        _refuse_halving(layer, filter)
    return filter


def _refuse_halving(layer: Layer, filter: Filter) -> None:
    """Counts of ever smaller boxes and spans of time would tell where and when each row of a layer of counts is."""
    if filter.bbox is not None:
        raise BadRequest("bbox is not taken here: only counts are published of this layer, and those of small boxes tell places.")
    for instant in filter.interval or ():
        if instant is not None and instant != times.day_begin(instant, layer.zone):
            raise BadRequest(
                "Only counts of whole days of this layer are published: datetime takes dates, such as 2024-05-01/2024-05-31, "
                "and last takes days, weeks, months or years."
            )


def _single(name: str, values: Sequence[str]) -> str:
    if len(values) != 1:
        raise BadRequest(f"{name} takes one value, and came {len(values)} times.")
    return values[0]


def _refuse_unknown_properties(layers: Sequence[Layer], given: Sequence[str]) -> None:
    declared = {name for layer in layers for name in (*layer.fields, layer.id_name)}
    if any(name not in declared for text in given for name in text.split(",") if name):
        raise BadRequest(_PROPERTIES)


_PROPERTIES = "properties takes declared fields, separated by commas; /layers lists them."


def _properties(text: str, layer: Layer) -> tuple[str, ...] | None:
    asked = {name for name in text.split(",") if name}
    known = asked & {*layer.fields, layer.id_name}
    if asked and not known:
        return None  # meant for another layer of the same address
    chosen = tuple(name for name in layer.fields if name in known)
    return None if len(chosen) == len(layer.fields) else chosen


def _bbox(text: str) -> Bbox:
    parts = text.split(",")
    if len(parts) != 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise BadRequest("bbox takes four numbers in degrees: west,south,east,north.")
    west, south, east, north = (float(part) + 0.0 for part in parts)  # + 0.0 makes -0.0 the same as 0.0
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise BadRequest("bbox is outside the world, or its south is above its north. Its order is west,south,east,north.")
    return west, south, east, north


def _interval(text: str, layer: Layer) -> Interval | None:
    begin, slash, end = text.partition("/")
    if not slash:
        return _span(begin, layer)
    start = None if begin in ("", "..") else _span(begin, layer)[0]
    stop = None if end in ("", "..") else _span(end, layer)[1]
    if start is not None and stop is not None and start >= stop:
        raise BadRequest("datetime ends before it begins. Its order is start/end.")
    return None if start is None and stop is None else (start, stop)


def _span(text: str, layer: Layer) -> tuple[int, int]:
    """[start, stop) of an instant, which is one microsecond, or of a date, which is a whole day on the layer's wall clock."""
    try:
        if match := _DATE.fullmatch(text):
            day = date(*(int(part) for part in match.groups()))
            return _midnight(day.toordinal(), layer), _midnight(day.toordinal() + 1, layer)
        if match := _INSTANT.fullmatch(text):
            instant = _instant(match)
            return instant, instant + 1
    except ValueError:
        pass  # no such day, or no such hour: the same answer as for what is no date at all
    raise BadRequest(
        "datetime takes a date (2024-05-01), an RFC 3339 instant with its offset (2024-05-01T08:00:00-05:00), "
        "or two of them with a slash between; .. leaves a side open."
    )


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


_EPOCH_DAY = date(1970, 1, 1).toordinal()


def _midnight(ordinal: int, layer: Layer) -> int:
    wall = np.array([(ordinal - _EPOCH_DAY) * times.DAY], np.int64)
    return int(times.from_wall(wall, layer.zone)[0])


def _last(text: str, layer: Layer, complete: int) -> Interval:
    """Whole hours, or whole days on the layer's wall clock, the last of them the one that `complete` falls into."""
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

"""The kinds of values that the keys of a layer file take, each with a sentence for what is none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue, WithJsonSchema


class Table(BaseModel):
    """One table of a layer file: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


INTERNAL: dict[str, JsonValue] = {"readOnly": True}
"""Marks what no layer file says: the JSON Schema leaves it out."""


def not_yet(*able: str) -> AfterValidator:
    """A value of the contract that nothing acts on so far is refused, so that nobody relies on it."""

    def check(value: str) -> str:
        if value not in able:
            raise ValueError(f'"{value}" cannot act yet in this version; use {" or ".join(map(repr, able))}, or leave the key out')
        return value

    return AfterValidator(check)


def _absent(value: Any) -> Any:
    if value is not None:
        raise ValueError("this key cannot act yet in this version; leave it out")
    return value


NotYet = Annotated[str | None, AfterValidator(_absent)]


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f'"{name}" is not a time zone; use a name such as "America/Chicago"')
    return name


Zone = Annotated[str, AfterValidator(_zone), WithJsonSchema({"type": "string", "examples": ["America/Chicago"]})]

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_PERIOD = "[0-9]{1,4}[hdw]"


def _period(text: str) -> str:
    if not re.fullmatch(_PERIOD, text):
        raise ValueError('must be a number of hours, days or weeks, such as "36h" or "2d"')
    return text


Period = Annotated[str, AfterValidator(_period), WithJsonSchema({"type": "string", "pattern": f"^{_PERIOD}$"})]
"""Such as "36h", "2d" or "12w"."""


def length(period: str) -> timedelta:
    """Of a `Period`."""
    return timedelta(**{_UNITS[period[-1]]: int(period[:-1])})


def _bounds(value: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    west, south, east, north = value
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise ValueError("must be [west, south, east, north] in degrees, west < east and south < north")
    return value


_DEGREES = [{"type": "number", "minimum": -most, "maximum": most} for most in (180, 90, 180, 90)]
Bounds = Annotated[
    tuple[float, float, float, float],
    AfterValidator(_bounds),
    WithJsonSchema({"type": "array", "prefixItems": _DEGREES, "items": False, "minItems": 4}),
]


def _breaks(value: tuple[float, ...]) -> tuple[float, ...]:
    if not 1 <= len(value) <= 6 or not all(low < high for low, high in pairwise(value)):
        raise ValueError("must be one to six numbers, each above the one before: where one class ends and the next begins")
    return value


Breaks = Annotated[
    tuple[float, ...],
    AfterValidator(_breaks),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 6, "uniqueItems": True}),
]


def _date_format(text: str) -> str:
    try:
        if "%" not in text:
            raise ValueError(text)
        datetime.strptime(datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC).strftime(text), text)
    except (ValueError, re.error):
        raise ValueError(f'"{text}" is not a format of dates; write one such as "%m/%d/%Y %H:%M"') from None
    return text


DateFormat = Annotated[str, AfterValidator(_date_format), WithJsonSchema({"type": "string", "pattern": "%"})]


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError(f'"{name}" is not a known encoding of text; use a name such as "cp1252"') from None
    return name


Encoding = Annotated[str, AfterValidator(_encoding)]


def _file_name(name: str) -> str:
    if "://" in name or name.startswith("/vsi") or "\0" in name or not name.strip():
        raise ValueError("must be the name of a file on this machine")
    return name


FileName = Annotated[
    str, AfterValidator(_file_name), WithJsonSchema({"type": "string", "pattern": r"\S", "not": {"pattern": "://|^/vsi|\\x00"}})
]


def key(location: Iterable[int | str]) -> str:
    """Where in a layer file, as dots."""
    return ".".join(str(part) for part in location) or "the file"


def sentence(error: Any) -> str:
    """One of pydantic's errors in words."""
    match error["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            return "this key is needed"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")

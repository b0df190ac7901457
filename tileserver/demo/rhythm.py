"""When things happen: ten years of days, weekdays and hours, each kind of event with its own."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from tileserver import times
from tileserver.demo.ground import Floats, Ints
from tileserver.times import DAY, HOUR, SECOND, Instants

ZONE = ZoneInfo("America/Chicago")
FIRST_DAY = np.datetime64("2016-11-01")
LAST_DAY = np.datetime64("2026-10-31")
DAYS = int((LAST_DAY - FIRST_DAY).astype(int)) + 1
LAST_HOUR = 21
"""Of the last day: nothing happens from then on."""

WEEKS = {  # Monday to Sunday
    "even": (1, 1, 1, 1, 1, 1, 1),
    "office": (1.15, 1.1, 1.05, 1.0, 0.85, 0.09, 0.04),
    "weekday": (1.25, 1.1, 1.05, 1.0, 0.95, 0.5, 0.35),
    "shops": (0.95, 0.95, 0.95, 1.0, 1.2, 1.2, 0.75),
    "weekend": (0.8, 0.78, 0.8, 0.88, 1.15, 1.4, 1.3),
}


def _hours(low: float, *peaks: tuple[float, float, float]) -> Floats:
    """Weights of the 24 hours: bells around each peak (hour, width, height) over a low level."""
    hour = np.arange(24) + 0.5
    bells = [height * np.exp(-((((hour - at + 12) % 24 - 12) / width) ** 2)) for at, width, height in peaks]
    weights: Floats = np.sum([np.full(24, low), *bells], axis=0)
    return weights


HOURS = {
    "night": _hours(0.25, (2.0, 3.0, 1.0), (22.5, 2.5, 0.6)),
    "small_hours": _hours(0.12, (2.5, 2.6, 1.0), (14.0, 4.0, 0.13)),
    "evening": _hours(0.2, (20.5, 4.0, 1.0), (13.0, 4.0, 0.3)),
    "shops": _hours(0.07, (16.5, 4.2, 1.0), (12.0, 2.5, 0.4)),
    "day": _hours(0.05, (10.5, 3.2, 1.0), (15.5, 3.0, 0.8)),
    "office": _hours(0.002, (9.8, 1.7, 1.0), (14.2, 2.0, 0.85)),
    "app": _hours(0.06, (9.0, 2.5, 1.0), (13.5, 3.5, 0.7), (19.0, 2.5, 0.45)),
}


@dataclass(frozen=True)
class Kind:
    """One kind of event: how often, where and when."""

    value: str
    share: float
    """Of all events of the layer, to scale."""
    where: str
    hours: str
    week: str = "even"
    peak: int = 200
    """The day of the year with most of them."""
    swing: float = 0.0
    """How far the seasons move it, from 0 to 1."""
    trend: float = 1.0
    """What it is multiplied by in ten years."""
    storms: float = 0.0
    """How many times as many there are after a storm."""


def moments(kind: Kind, count: int, storms: Ints, rng: np.random.Generator) -> Ints:
    """Microseconds since 1970 on the city's clock, shape (count,), in no order."""
    day = pick(_days(kind, storms), count, rng)
    hour = pick(HOURS[kind.hours], count, rng)
    minute = rng.random(count) * 60
    # People remember round times.
    minute = np.where(
        rng.random(count) < 0.3, np.floor(minute / 15) * 15, np.where(rng.random(count) < 0.4, np.floor(minute / 5) * 5, minute)
    )
    late = (day == DAYS - 1) & (hour >= LAST_HOUR)
    start = FIRST_DAY.astype("M8[us]").astype(np.int64)
    wall: Ints = start + (day - late) * DAY + hour * HOUR + np.floor(minute).astype(np.int64) * 60 * SECOND
    return wall


def storms(rng: np.random.Generator) -> Ints:
    """The days of the storms, counted from the first day."""
    return np.sort(rng.choice(DAYS - 10, 11, replace=False))


def to_instants(wall: Ints) -> Instants:
    return times.from_wall(wall, ZONE)


def pick(weights: Floats, count: int, rng: np.random.Generator) -> Ints:
    """Indices drawn by weight, shape (count,)."""
    steps = np.cumsum(weights)
    drawn: Ints = np.searchsorted(steps, rng.random(count) * steps[-1], side="right")
    return drawn


def _days(kind: Kind, storms: Ints) -> Floats:
    day = np.arange(DAYS)
    date = FIRST_DAY + day
    weekday = (date.astype(int) + 3) % 7  # 1970 began on a Thursday
    season = 1 + kind.swing * np.cos(2 * np.pi * (day + 305 - kind.peak) / 365.25)  # 1 November is day 305
    since = day[:, None] - storms
    after = ((since >= 0) * np.exp(-np.abs(since) / 2.5)).sum(axis=1)
    weight: Floats = kind.trend ** (day / DAYS) * season * np.array(WEEKS[kind.week])[weekday] * (1 + kind.storms * after)
    return weight

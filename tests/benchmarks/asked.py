"""What is asked for: filters that are never the same, each as the parameters of an address and as a condition of SQL; and tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from benchmarks.reports import DAYS, DISTRICTS, FIRST_DAY, LATTICE, LAYER, METERS, NORTH, OFFENSES, SIDE, STREETS, WEST
from tileserver import filters
from tileserver.catalog import Layer
from tileserver.filters import Area, Filter
from tileserver.snapshot import Snapshot
from tileserver.snapshot.mercator import WORLD, geographic
from tileserver.snapshot.tile import Address
from tileserver.times import to_datetime

Items = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    items: Items = ()
    """The query of an address."""
    condition: str = "true"
    """The same as SQL, with {0}, {1} … where its values stand: one text for all filters of a kind."""
    values: tuple[Any, ...] = ()

    def parse(self, layer: Layer = LAYER) -> Filter:
        return filters.parse([layer], self.items, _no_complete_through, _no_area)[layer.id]

    def __add__(self, other: Asked) -> Asked:
        """Both conditions."""
        shifted = other.condition.format(*(f"{{{len(self.values) + at}}}" for at in range(len(other.values))))
        condition = shifted if self.condition == "true" else f"{self.condition} AND {shifted}"
        return Asked(self.items + other.items, condition, self.values + other.values)


Make = Callable[[np.random.Generator], Asked]


def nothing(_: np.random.Generator) -> Asked:
    return Asked()


def period(random: np.random.Generator) -> Asked:
    """Whole days, from one month to three years of the six; short ones as likely as long ones."""
    days = int(np.exp(random.uniform(np.log(30), np.log(3 * 365))))
    begin = FIRST_DAY.astype(date) + timedelta(days=int(random.integers(0, DAYS - days)))
    end = begin + timedelta(days=days)
    items = (("datetime", f"{begin:%Y-%m-%d}/{end:%Y-%m-%d}"),)
    start, stop = Asked(items).parse().interval or (None, None)
    assert start is not None
    assert stop is not None
    return Asked(items, "occurred_at >= {0} AND occurred_at < {1}", (_instant(start), _instant(stop)))


def offense(random: np.random.Generator) -> Asked:
    """One of twelve, the frequent ones more often, as readers do."""
    share = 1 / np.arange(1, len(OFFENSES) + 1)
    chosen = OFFENSES[int(random.choice(len(OFFENSES), p=share / share.sum()))]
    return Asked((("offense", chosen),), "offense = {0}", (chosen,))


def two_offenses(random: np.random.Generator) -> Asked:
    first, second = (OFFENSES[at] for at in random.choice(len(OFFENSES), 2, replace=False))
    return Asked((("offense", first), ("offense", second)), "offense IN ({0}, {1})", (first, second))


def district(random: np.random.Generator) -> Asked:
    chosen = DISTRICTS[int(random.integers(len(DISTRICTS)))]
    return Asked((("district", chosen),), "district = {0}", (chosen,))


def box(random: np.random.Generator) -> Asked:
    """A part of the city, 30 to 80 % of it along each side. Its edges lie between the places where reports are."""
    width, height = (int(SIDE * part) for part in random.uniform(0.3, 0.8, 2))
    left, top = WEST + int(random.integers(SIDE - width)), NORTH + int(random.integers(SIDE - height))
    x, y = np.array([left, left + width], np.float64), np.array([top + height, top], np.float64)
    (west, east), (south, north) = (side.tolist() for side in geographic(x * (WORLD / LATTICE), y * (WORLD / LATTICE)))
    meters = (x[0] - LATTICE / 2, LATTICE / 2 - y[0], x[1] - LATTICE / 2, LATTICE / 2 - y[1])
    condition = "geometry && ST_MakeEnvelope({0}, {1}, {2}, {3}, 3857)"
    return Asked(
        (("bbox", ",".join(f"{side:.12f}" for side in (west, south, east, north))),),
        condition,
        tuple(float(side * METERS) for side in meters),
    )


def loss(random: np.random.Generator) -> Asked:
    least = round(float(random.uniform(0, 500)), 2)
    most = round(least + float(random.uniform(100, 1_000)), 2)
    return Asked((("filter", f"loss BETWEEN {least} AND {most}"),), "loss BETWEEN {0} AND {1}", (least, most))


def address(random: np.random.Generator) -> Asked:
    pattern = f"{int(random.integers(1, 10))}% {STREETS[int(random.integers(len(STREETS)))]} %"
    return Asked((("filter", f"address LIKE '{pattern}'"),), "address LIKE {0}", (pattern,))


def either(random: np.random.Generator) -> Asked:
    chosen, least = OFFENSES[int(random.integers(len(OFFENSES)))], round(float(random.uniform(500, 2_000)), 2)
    text = f"offense = '{chosen}' OR loss > {least}"
    return Asked((("filter", text),), "(offense = {0} OR loss > {1})", (chosen, least))


def both(*makes: Make) -> Make:
    """A filter of several parts."""

    def make(random: np.random.Generator) -> Asked:
        asked = Asked()
        for part in makes:
            asked += part(random)
        return asked

    return make


OTHERS: dict[str, Make] = {
    "district": district,
    "bbox": box,
    "loss": loss,
    "address LIKE": address,
    "offense OR loss": either,
    "time, two offenses, district": both(period, two_offenses, district),
    "time, offense, bbox": both(period, offense, box),
    "time, district, loss": both(period, district, loss),
}


def any_other(random: np.random.Generator) -> Asked:
    """One of those that the order of the snapshot was not made for."""
    return list(OTHERS.values())[int(random.integers(len(OTHERS)))](random)


def most_of(field: str, values: Sequence[str]) -> Make:
    """All values of a category but a few."""

    def make(random: np.random.Generator) -> Asked:
        number = int(random.integers(len(values) * 2 // 3, len(values)))
        chosen = [values[at] for at in random.choice(len(values), number, replace=False)]
        return Asked(tuple((field, value) for value in chosen), f"{field} = ANY({{0}})", (chosen,))

    return make


CASES: dict[str, Make] = {
    "time and category": both(period, offense),
    "time": period,
    "none": nothing,
    "any other": any_other,
}


def tile(snapshot: Snapshot, zoom: int, random: np.random.Generator) -> Address:
    """The tile of a row: where there are many, tiles are asked for often."""
    row = int(random.integers(snapshot.positioned))
    return Address(zoom, int(snapshot.x[row]) >> (32 - zoom), int(snapshot.y[row]) >> (32 - zoom))


def _instant(microseconds: int) -> datetime:
    return to_datetime(microseconds, LAYER.zone).astimezone(UTC)


def _no_complete_through(layer: Layer) -> int:
    raise AssertionError(f"{layer.id}: nothing asks for the last days")


def _no_area(layer: str, id: str) -> Area:
    raise AssertionError(f"nothing asks for {layer}:{id}")

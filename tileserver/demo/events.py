"""Police incidents, service requests, permits and licenses: what, where, when, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tileserver.demo import kinds, names, rhythm, spots
from tileserver.demo.city import City
from tileserver.demo.ground import Columns, Flags, Floats, Ints, point_wkb
from tileserver.demo.kinds import OFFENSES, PERMITS, REQUESTS, TRADES
from tileserver.demo.rhythm import Kind
from tileserver.times import DAY, Instants

SHARES = {"police_incidents": 0.45, "service_requests": 0.40, "planning_permits": 0.05, "business_licenses": 0.10}


@dataclass(frozen=True)
class Drawn:
    """Events in the order of their times; arrays of shape (n,) unless said otherwise."""

    kind: Ints
    instant: Instants
    wall: Ints
    points: Floats
    """Shape (n, 2)."""
    edge: Ints
    age: Floats
    """Days until the end of the data."""


def split(events: int) -> dict[str, int]:
    """How many events each layer has; together `events`."""
    counts = {layer: round(events * share) for layer, share in SHARES.items()}
    counts["business_licenses"] += events - sum(counts.values())
    return counts


def police_incidents(city: City, count: int) -> Columns:
    rng = city.rng("police incidents")
    drawn = _draw(city, OFFENSES, count, rng)
    common = _common(city, "PI", drawn)
    solved = _by_kind(OFFENSES, drawn, kinds.ARRESTS, 0.11)
    still_open = rng.random(count) < np.select([drawn.age < 21, drawn.age < 120], [0.72, 0.34], 0.06)
    status = np.where(still_open, 1, np.where(rng.random(count) < solved, 2, 0))
    median = _by_kind(OFFENSES, drawn, kinds.LOSS, 0)
    known = (median > 0) & (rng.random(count) < 0.86)
    return {
        "incident_id": common["id"],
        "occurred_at": common["at"],
        "offense": _values(OFFENSES, drawn),
        "status": pa.array(("CLOSED", "OPEN", "ARREST")).take(pa.array(status)),
        "loss": _dollars(median, 0.95, known, rng),
        "address": common["address"],
        "geometry": common["geometry"],
    }


def service_requests(city: City, count: int) -> Columns:
    rng = city.rng("service requests")
    drawn = _draw(city, REQUESTS, count, rng)
    common = _common(city, "SR", drawn)
    days = _by_kind(REQUESTS, drawn, kinds.DAYS_TO_CLOSE, 0) * np.exp(0.85 * rng.normal(size=count))
    never = rng.random(count) < 0.03
    closed = (days < drawn.age) & ~never
    begun = rng.random(count) < 0.4
    through = np.where(rng.random(count) < 0.18 + 0.4 * (1 - drawn.age / rhythm.DAYS), 1, np.where(rng.random(count) < 0.2, 2, 0))
    at = drawn.instant + (np.minimum(days, drawn.age) * 24 * 60).astype(np.int64) * (DAY // 24 // 60)
    return {
        "request_id": common["id"],
        "requested_at": common["at"],
        "request_type": _values(REQUESTS, drawn),
        "status": pa.array(("CLOSED", "OPEN", "IN_PROGRESS")).take(pa.array(np.where(closed, 0, np.where(begun, 2, 1)))),
        "source": pa.array(("PHONE", "APP", "WEB")).take(pa.array(through)),
        "closed_at": pa.array(at, pa.timestamp("us", tz="UTC"), mask=~closed),
        "address": common["address"],
        "geometry": common["geometry"],
    }


def planning_permits(city: City, count: int) -> Columns:
    rng = city.rng("planning permits")
    drawn = _draw(city, PERMITS, count, rng)
    common = _common(city, "BP", drawn)
    done = rng.random(count) < 0.93 * (1 - np.exp(-drawn.age / 160))
    status = np.where(done, 0, np.where(drawn.age > 540, 2, 1))
    return {
        "permit_id": common["id"],
        "issued_at": common["at"],
        "permit_type": _values(PERMITS, drawn),
        "status": pa.array(("FINAL", "ISSUED", "EXPIRED")).take(pa.array(status)),
        "value": _dollars(_by_kind(PERMITS, drawn, kinds.WORTH, 0), 0.75, np.ones(count, bool), rng),
        "address": common["address"],
        "geometry": common["geometry"],
    }


def business_licenses(city: City, count: int) -> Columns:
    rng = city.rng("business licenses")
    drawn = _draw(city, TRADES, count, rng)
    common = _common(city, "BL", drawn)
    active = rng.random(count) < np.exp(-drawn.age / 2900)
    status = np.where(active, 0, np.where(rng.random(count) < 0.7, 1, 2))
    size = _by_kind(TRADES, drawn, kinds.EMPLOYEES, 1)
    return {
        "license_id": common["id"],
        "issued_at": common["at"],
        "business": _business_names(drawn, rng),
        "business_type": _values(TRADES, drawn),
        "status": pa.array(("ACTIVE", "CLOSED", "EXPIRED")).take(pa.array(status)),
        "employees": pa.array(np.maximum(1, size * np.exp(0.7 * rng.normal(size=count))).astype(np.int64)),
        "address": common["address"],
        "geometry": common["geometry"],
    }


def _draw(city: City, of: tuple[Kind, ...], count: int, rng: np.random.Generator) -> Drawn:
    storms = rhythm.storms(city.rng("storms"))
    share = np.array([kind.share for kind in of])
    counts = rng.multinomial(count, share / share.sum())
    wall = np.concatenate([rhythm.moments(kind, number, storms, rng) for kind, number in zip(of, counts, strict=True)])
    places = [spots.draw(city.edges, city.spots, kind.where, number, rng) for kind, number in zip(of, counts, strict=True)]
    points, edge = (np.concatenate(part) for part in zip(*places, strict=True))
    instant = rhythm.to_instants(wall)
    by = np.argsort(instant, kind="stable")
    end = rhythm.LAST_DAY.astype("M8[us]").astype(np.int64) + DAY
    return Drawn(np.repeat(np.arange(len(of)), counts)[by], instant[by], wall[by], points[by], edge[by], (end - wall[by]) / DAY)


def _common(city: City, prefix: str, drawn: Drawn) -> Columns:
    """The columns that all events have, under the names id, at, address and geometry."""
    year = drawn.wall.astype("M8[us]").astype("M8[Y]").astype(np.int64) + 1970
    number = np.arange(len(year)) - np.searchsorted(year, year) + 1
    blocks = pc.binary_join_element_wise(pc.cast(pa.array(city.edges.hundred), pa.string()), city.street_of_edge, " block of ")
    return {
        "id": pc.binary_join_element_wise(prefix, _text(year), pc.utf8_lpad(_text(number), 6, "0"), "-"),
        "at": pa.array(drawn.instant, pa.timestamp("us", tz="UTC")),
        "address": blocks.take(pa.array(drawn.edge)),
        "geometry": point_wkb(drawn.points),
    }


def _text(numbers: Ints) -> pa.Array:
    return pc.cast(pa.array(numbers), pa.string())


def _values(of: tuple[Kind, ...], drawn: Drawn) -> pa.Array:
    return pa.array([kind.value for kind in of]).take(pa.array(drawn.kind))


def _by_kind(of: tuple[Kind, ...], drawn: Drawn, figures: dict[str, int] | dict[str, float], otherwise: float) -> Floats:
    return np.array([figures.get(kind.value, otherwise) for kind in of], float)[drawn.kind]


def _dollars(median: Floats, spread: float, known: Flags, rng: np.random.Generator) -> pa.Array:
    """Whole dollars around the medians, null where not known."""
    amount = median * np.exp(spread * rng.normal(size=len(median)))
    return pa.array(np.round(amount, -1).astype(np.int64), mask=~known)


def _business_names(drawn: Drawn, rng: np.random.Generator) -> pa.Array:
    pools = [[f"{first} {sign}" for sign in kinds.SIGNS[kind.value].split(",") for first in names.FIRST] for kind in TRADES]
    sizes = np.array([len(pool) for pool in pools])
    start = np.cumsum(sizes) - sizes
    which = start[drawn.kind] + np.floor(rng.random(len(drawn.kind)) * sizes[drawn.kind]).astype(np.int64)
    return pa.array([name for pool in pools for name in pool]).take(pa.array(which))

"""Where things happen: weights of the street edges for each surface, and addresses on them, some of them again and again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tileserver.demo.ground import Floats, Ints
from tileserver.demo.parcels import USES, Parcels, poverty
from tileserver.demo.rhythm import pick
from tileserver.demo.sections import BENDS, DOWNTOWN
from tileserver.demo.streets import Edges

ADDRESSES = 14
"""On an edge, half of them on each side."""
CORNER = 0.12
"""Share of an edge at each end without addresses, so that the nearest street is their own."""
KERB = 9.0, 15.0
"""Meters from the middle of a local street, and of an arterial, to an address."""
MAGNETS = (0.011, 0.007, 0.005, 0.004, 0.003, 0.0025, 0.002, 0.0017, 0.0015, 0.0013)
"""Shares of a surface that fall on its busiest edges, most of them on one address."""


@dataclass(frozen=True)
class Spots:
    """Weights by edge of each surface, and how strongly each surface's edges draw to their first addresses."""

    weight: dict[str, Floats]
    pull: dict[str, Floats]


def build(edges: Edges, parcels: Parcels, rng: np.random.Generator) -> Spots:
    weight, pull = {}, {}
    for name, surface in _surfaces(edges, parcels).items():
        grain = np.exp(1.05 * rng.normal(size=len(surface)))
        weight[name], pull[name] = _with_magnets(surface * grain * _hot(edges, surface, rng), rng)
    return Spots(weight, pull)


def draw(edges: Edges, spots: Spots, surface: str, count: int, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Positions in meters, shape (count, 2), and the edges they lie on."""
    edge = pick(spots.weight[surface], count, rng)
    first = np.floor(ADDRESSES * rng.random(count) ** spots.pull[surface][edge]).astype(np.int64)
    address = (first * 5 + edge * 11) % ADDRESSES
    share = (CORNER + (1 - 2 * CORNER) * (address // 2 + 0.5) / (ADDRESSES / 2)) * BENDS
    piece = np.floor(share).astype(np.int64)
    start, end = edges.points[edge, piece], edges.points[edge, piece + 1]
    along = end - start
    left = np.stack([-along[:, 1], along[:, 0]], -1) / np.hypot(along[:, 0], along[:, 1])[:, None]
    away = np.where(edges.arterial[edge], KERB[1], KERB[0]) * np.where(address % 2, 1, -1)
    return start + (share - piece)[:, None] * along + away[:, None] * left, edge


def _surfaces(edges: Edges, parcels: Parcels) -> dict[str, Floats]:
    """Weights before hot spots. Each counts what fronts the edge; rates are by eye."""
    middle = edges.points.mean(axis=1)
    length = np.hypot(*(edges.points[:, -1] - edges.points[:, 0]).T) / 100
    uses = {use: np.bincount(parcels.edge[parcels.use == k], minlength=len(length)) for k, use in enumerate(USES)}
    homes = uses["SINGLE_FAMILY"] + 7 * uses["MULTI_FAMILY"]
    shops = uses["COMMERCIAL"].astype(float)
    need = poverty(middle)
    away = np.hypot(*(middle - DOWNTOWN).T) / 1000
    center = np.exp(-((away / 1.4) ** 2))
    busy = 1 + 1.6 * edges.arterial
    return {
        "shops": shops * (1 + 2 * edges.arterial) + 0.05 * homes * (0.3 + need),
        "homes": homes * (0.25 + 1.7 * need) + 0.02 * length,
        "parked": (homes + 3 * shops) * (0.35 + need) + 4 * center * length,
        "trouble": (homes + 2 * shops) * (0.1 + 2.6 * need**1.4) + 8 * center * length,
        "roads": length * busy * (0.4 + np.exp(-away / 7)),
        "yards": (homes + 6 * uses["VACANT"]) * (0.2 + 1.9 * need),
        "walls": 3 * shops * (0.3 + need) + 9 * center * length,
        "households": homes + 0.05 * length,
        "owners": homes * (1.15 - need),
        "edge_of_town": homes * np.clip((away - 4) / 6, 0.02, 1),
        "business": shops * (1 + edges.arterial) * (1 + away / 3) + 2 * center * length + 1.5 * uses["INDUSTRIAL"],
        "empty": (uses["VACANT"] + 0.1 * uses["SINGLE_FAMILY"]) * (0.05 + need),
    }


def _hot(edges: Edges, surface: Floats, rng: np.random.Generator) -> Floats:
    """One, and more around some 45 crossings: few of them strong, most of them weak."""
    x, y = edges.points[:, 0].T.copy()
    centers = pick(surface, 45, rng)
    reach = 130 * np.exp(0.45 * rng.normal(size=45))
    strength = np.minimum(1.5 * (1 + rng.pareto(1.25, 45)), 40)
    hot = np.ones(len(x))
    for center, size, most in zip(centers, reach, strength, strict=True):
        near = np.flatnonzero(np.maximum(np.abs(x - x[center]), np.abs(y - y[center])) < 4 * size)
        hot[near] += most * np.exp(-((x[near] - x[center]) ** 2 + (y[near] - y[center]) ** 2) / (2 * size**2))
    return hot


def _with_magnets(weight: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The weights with the shares of the busiest edges set, and the pull of each edge: 1 is even."""
    busiest = pick(weight, len(MAGNETS), rng)
    weight, pull = weight.copy(), np.full(len(weight), 1.9)
    weight[busiest] = 0
    weight[busiest] = np.array(MAGNETS) / (1 - sum(MAGNETS)) * weight.sum()
    pull[busiest] = 9.0
    return weight, pull

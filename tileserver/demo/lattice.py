"""Inside the sections: a lattice of street edges and the cells between them, laid out by the section's pattern."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TypeVar

import numpy as np

from tileserver.demo.ground import Flags, Floats, Ints
from tileserver.demo.sections import Pattern, Sections

LOCAL, ARTERIAL, NONE = 8.0, 15.0, 0.0
"""Meters from the middle of a street (or of none) to where the parcels begin."""


class Use(IntEnum):
    LOTS = 0
    PARK = 1
    SCHOOL = 2


@dataclass(frozen=True)
class Edges:
    """Pieces of street between two crossings; arrays of shape (n,) unless said otherwise."""

    section: Ints
    across: Flags
    """Runs north and south (or, in loops, outwards) rather than east and west (around)."""
    line: Ints
    """Which of the section's lines of that direction it lies on."""
    order: Ints
    """Its place along the line."""
    ends: Floats
    """Lattice coordinates p and q of its ends, shape (n, 2, 2)."""


@dataclass(frozen=True)
class Cells:
    """What lies between the edges; arrays of shape (n,) unless said otherwise."""

    section: Ints
    low: Floats
    """Lattice coordinates of its corners, shape (n, 2)."""
    high: Floats
    inset: Floats
    """Meters from the edges to the parcels: at low p, low q, high p, high q, shape (n, 4)."""
    fronts_across: Flags
    """Its parcels front the edges at low and high p, rather than those at low and high q."""
    use: Ints


T = TypeVar("T", Edges, Cells)


def lay_out(sections: Sections, rng: np.random.Generator) -> tuple[Edges, Cells]:
    """The lattices of all sections."""
    edges: list[Edges] = []
    cells: list[Cells] = []
    for section, (pattern, size) in enumerate(zip(sections.pattern, sections.sizes, strict=True)):
        plan = _plan(Pattern(pattern), size, rng)
        use = _reserve(Pattern(pattern), plan, rng)
        edges += _edges(section, plan)
        cells.append(_cells(section, Pattern(pattern), plan, use))
    return _joined(Edges, edges), _joined(Cells, cells)


def to_section(sections: Sections, section: Ints, pq: Floats) -> Floats:
    """s and t, shape like `pq` (n, 2) or (n, k, 2): the lattice coordinates themselves, except in loops, where p goes around
    and q inwards from a square to a circle."""
    loops = sections.pattern[section] == Pattern.LOOPS
    st = pq.copy()
    st[loops] = _loops(pq[loops])
    return st


def place(sections: Sections, section: Ints, pq: Floats) -> Floats:
    """Meters on the ground of lattice coordinates."""
    return sections.place(section, to_section(sections, section, pq))


def inner(sections: Sections, cells: Cells) -> tuple[Floats, Floats, Floats]:
    """Lattice corners of the cells within their streets, and their size in meters, each of shape (n, 2)."""
    low, high = cells.low, cells.high
    middle = (low + high) / 2
    half = (high - low) / 2
    size = np.empty_like(low)
    for axis in (0, 1):
        step = half * np.eye(2)[axis]
        at = place(sections, cells.section, np.stack([middle - step, middle + step], 1))
        size[:, axis] = np.hypot(*(at[:, 1] - at[:, 0]).T)
    per_meter = (high - low) / size
    inner = size - cells.inset[:, :2] - cells.inset[:, 2:]
    return low + cells.inset[:, :2] * per_meter, high - cells.inset[:, 2:] * per_meter, inner


Plan = tuple[Floats, Floats, Flags, Flags, bool]
"""Lines of p (m + 1,) and of q (n + 1,); which edges along p (m, n + 1) and across (m + 1, n) are streets; the parcels' fronts."""


def _plan(pattern: Pattern, size: Floats, rng: np.random.Generator) -> Plan:
    width, height = size
    match pattern:
        case Pattern.DOWNTOWN:
            plan = _grid(8, 8)
        case Pattern.TOWN:
            plan = _grid(4, 8)
        case Pattern.GRID:
            plan = _suburb(width, height, rng)
        case Pattern.LOOPS:
            plan = _rings(min(width, height), rng)
        case Pattern.COURTS:
            plan = _courts(width, height, rng)
        case Pattern.SPARSE:
            plan = _sparse(rng)
        case Pattern.INDUSTRY:
            plan = _grid(2, 3)
        case Pattern.PARK:
            plan = _grid(1, 1)
    return plan


def _count(length: float, piece: float) -> int:
    return max(2, round(length / piece))


def _grid(m: int, n: int, *, front_across: bool = False) -> Plan:
    along, across = np.zeros((m, n + 1), bool), np.zeros((m + 1, n), bool)
    along[:, 1:-1], across[1:-1] = True, True
    return np.linspace(0, 1, m + 1), np.linspace(0, 1, n + 1), along, across, front_across


def _suburb(width: float, height: float, rng: np.random.Generator) -> Plan:
    """Long streets in one direction; only some of those between them go through."""
    narrow, long = rng.uniform(108, 130), rng.uniform(180, 290)
    if rng.random() < 0.5:
        p, q, along, across, front = _grid(_count(width, narrow), _count(height, long), front_across=True)
        return p, q, along & (rng.random(along.shape) < 0.6), across, front
    p, q, along, across, front = _grid(_count(width, long), _count(height, narrow))
    return p, q, along, across & (rng.random(across.shape) < 0.6), front


def _sparse(rng: np.random.Generator) -> Plan:
    p, q, along, across, front = _grid(int(rng.integers(2, 4)), int(rng.integers(2, 4)))
    return p, q, along, across & (rng.random(across.shape) < 0.5), front


def _rings(side: float, rng: np.random.Generator) -> Plan:
    """Rings around a green, joined to each other and to the arterials by a few spokes."""
    n = max(2, round(side / 2 / 118))
    p, q, along, across, _ = _grid(16, n)
    along[:, -1] = True
    along[rng.integers(16, size=n - 1), np.arange(1, n)] = rng.random(n - 1) < 0.4
    across = rng.random(across.shape) < 0.12
    across[rng.permutation(16)[:3], 0] = True
    across[-1] = across[0]
    return p, q * (1 - 0.6 / n), along, across, False


def _courts(width: float, height: float, rng: np.random.Generator) -> Plan:
    """One street through the middle, with dead ends on both sides."""
    m = _count(width, rng.uniform(105, 120))
    edge = 95 / height
    p, q, along, across, _ = _grid(m, 4, front_across=True)
    q = np.array([0, edge, rng.uniform(0.42, 0.58), 1 - edge, 1])
    along[:, [1, 3]] = False
    across[:, [0, 3]] = False
    outlet = int(rng.integers(1, m))
    across[outlet, rng.integers(0, 2) * 3] = True
    return p, q, along, across, True


def _reserve(pattern: Pattern, plan: Plan, rng: np.random.Generator) -> Ints:
    """Uses of the cells, shape (m, n): here and there two neighbors, with the street between them gone, are a park or a school."""
    _, _, along, across, front_across = plan
    use = np.full((len(along), across.shape[1]), Use.LOTS)
    if pattern == Pattern.PARK:
        use[:] = Use.PARK
    if pattern in (Pattern.DOWNTOWN, Pattern.TOWN, Pattern.GRID):
        for kind, chance in ((Use.PARK, 0.27), (Use.SCHOOL, 0.24)):
            i, j = (int(rng.integers(1, size - 1)) if size > 2 else 0 for size in use.shape)
            if rng.random() < chance and not use[i : i + 2, j : j + 2].any():
                if front_across:
                    use[i : i + 2, j], across[i + 1, j] = kind, False
                else:
                    use[i, j : j + 2], along[i, j + 1] = kind, False
    elif pattern in (Pattern.LOOPS, Pattern.COURTS) and rng.random() < 0.24:
        use[int(rng.integers(len(use))), 0] = Use.SCHOOL
    return use


def _edges(section: int, plan: Plan) -> list[Edges]:
    p, q, along, across, _ = plan
    i, j = np.nonzero(along)
    h = np.stack([np.stack([p[i], q[j]], -1), np.stack([p[i + 1], q[j]], -1)], 1)
    k, m = np.nonzero(across[:-1])  # the last line is an arterial or, in loops, the first one again
    v = np.stack([np.stack([p[k], q[m]], -1), np.stack([p[k], q[m + 1]], -1)], 1)
    return [
        Edges(np.full(len(i), section), np.zeros(len(i), bool), j, i, h),
        Edges(np.full(len(k), section), np.ones(len(k), bool), k, m, v),
    ]


def _cells(section: int, pattern: Pattern, plan: Plan, use: Ints) -> Cells:
    p, q, along, across, fronts_across = plan
    m, n = len(p) - 1, len(q) - 1
    h, v = np.where(along, LOCAL, NONE), np.where(across, LOCAL, NONE)
    h[:, 0] = ARTERIAL
    if pattern != Pattern.LOOPS:
        h[:, -1] = v[0] = v[-1] = ARTERIAL
    i, j = (index.ravel() for index in np.meshgrid(np.arange(m), np.arange(n), indexing="ij"))
    fronts = np.full(len(i), fronts_across)
    if pattern == Pattern.COURTS:
        fronts[(j == 0) | (j == n - 1)] = False
    return Cells(
        np.full(len(i), section),
        np.stack([p[i], q[j]], -1),
        np.stack([p[i + 1], q[j + 1]], -1),
        np.stack([v[i, j], h[i, j], v[i + 1, j], h[i, j + 1]], -1),
        fronts,
        use.ravel(),
    )


def _loops(pq: Floats) -> Floats:
    """A square at q = 0, rounder inwards; p = 0 at the middle of the eastern side, corners at odd eighths."""
    p, q = pq[..., 0], pq[..., 1]
    side = np.floor(p * 4 + 0.5)
    f, one = 2 * (p * 4 + 0.5 - side) - 1, np.ones_like(p)
    square = np.select(
        [(side % 4 == k)[..., None] for k in range(4)],
        [np.stack(corner, -1) for corner in ((one, f), (-f, one), (-one, -f), (f, -one))],
    )
    circle = 1.08 * np.stack([np.cos(2 * np.pi * p), np.sin(2 * np.pi * p)], -1)
    radius = (1 - q)[..., None]
    return 0.5 + radius / 2 * (circle + (square - circle) * radius**3)


def _joined(kind: type[T], parts: list[T]) -> T:
    return kind(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(kind)))

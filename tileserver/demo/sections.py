"""The arterial grid and the sections between its lines: where they lie, and how each was built up.

The city is drawn on an ideal plane of straight lines, which `Warp` bends into place. A section is one rectangle of that plane,
with coordinates s (west to east) and t (south to north) from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from tileserver.demo.ground import Flags, Floats, Geometries, Ints, Point, polygons_from

DOWNTOWN = np.array([600.0, 450.0])
NEAR = 5
"""The five lines next to downtown on each side are evenly spaced, so that streets run through."""
SPACING = 750.0  # between those, in meters; further out 1,000, then 1,350
SIDE = 4
"""Edges of an arterial along one section: a block each."""
BENDS = 3
"""Pieces of an edge of any street, so that it curves."""
SWIRLS: list[tuple[Point, float, float]] = [  # middle, degrees, radius in meters
    ((600, 900), -21, 3300),
    ((-5200, 2200), 9, 2600),
    ((-9800, -1600), 17, 3600),
    ((-2600, -7200), -15, 3000),
    ((3600, 6200), 13, 2300),
    ((7800, -3200), 15, 2800),
]


class Pattern(IntEnum):
    DOWNTOWN = 0
    TOWN = 1
    GRID = 2
    LOOPS = 3
    COURTS = 4
    SPARSE = 5
    INDUSTRY = 6
    PARK = 7


@dataclass(frozen=True)
class Warp:
    """Bends the ideal plane: the grid turns along the river downtown, otherwise elsewhere, and wanders the further out it is."""

    phases: Floats
    turns: Floats

    def __call__(self, points: Floats) -> Floats:
        """Meters on the ground of points on the ideal plane, shape (…, 2)."""
        away = points - DOWNTOWN
        reach = np.clip((np.hypot(away[..., 0], away[..., 1]) - 2500) / 7000, 0, 1)
        x, y = points[..., 0] / 1000, points[..., 1] / 1000
        p = self.phases
        wander = np.stack(
            [
                330 * np.sin(0.42 * y + 0.11 * x + p[0]) + 105 * np.sin(1.3 * y + 0.5 * x + p[1]),
                330 * np.sin(0.47 * x - 0.13 * y + p[2]) + 105 * np.sin(1.2 * x - 0.6 * y + p[3]),
            ],
            -1,
        )
        moved: Floats = points + reach[..., None] * wander
        for (middle, _, radius), turn in zip(SWIRLS, self.turns, strict=True):
            moved = _swirl(moved, np.array(middle), turn, radius)
        return moved


def _swirl(points: Floats, middle: Floats, turn: float, radius: float) -> Floats:
    dx, dy = points[..., 0] - middle[0], points[..., 1] - middle[1]
    angle = turn * np.exp(-(dx**2 + dy**2) / radius**2)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([middle[0] + cos * dx - sin * dy, middle[1] + sin * dx + cos * dy], -1)


@dataclass(frozen=True)
class Sections:
    """The sections inside the city; arrays of shape (n,) unless said otherwise."""

    warp: Warp
    u: Floats
    """Where the arterials that run north and south cross the ideal plane, in meters, ascending."""
    v: Floats
    """Where those that run east and west do."""
    column: Ints
    """A section lies between u[column] and u[column + 1]."""
    row: Ints
    pattern: Ints
    bend: Floats
    """How its inner streets sway: shape (n, 4), two amplitudes and two phases."""

    def __len__(self) -> int:
        return len(self.column)

    @property
    def main_column(self) -> int:
        """The line of Main Street, where E becomes W."""
        return int(np.argmin(np.abs(self.u - DOWNTOWN[0])))

    @property
    def front_row(self) -> int:
        """The line of Front Street, where numbers begin."""
        return int(np.argmin(np.abs(self.v - DOWNTOWN[1] - SPACING)))

    @property
    def sizes(self) -> Floats:
        """Width and height on the ideal plane in meters, shape (n, 2)."""
        return np.stack([np.diff(self.u)[self.column], np.diff(self.v)[self.row]], -1)

    @property
    def centers(self) -> Floats:
        """On the ground, shape (n, 2)."""
        return self.place(np.arange(len(self)), np.full((len(self), 2), 0.5))

    @cached_property
    def limits(self) -> BaseGeometry:
        """The city, on the ground."""
        return shapely.coverage_union_all(self.outlines())

    def grid(self) -> Ints:
        """The section in each rectangle of the grid, -1 outside the city, shape (columns, rows)."""
        grid = np.full((len(self.u) - 1, len(self.v) - 1), -1)
        grid[self.column, self.row] = np.arange(len(self))
        return grid

    def sides(self) -> tuple[Floats, Floats]:
        """The arterials on the ground along each rectangle of the grid, k = SIDE * BENDS pieces each: those that run east and west,
        shape (columns, rows + 1, k + 1, 2), and those that run north and south, shape (columns + 1, rows, k + 1, 2)."""
        f = np.arange(SIDE * BENDS + 1) / (SIDE * BENDS)
        east = self.u[:-1, None] * (1 - f) + self.u[1:, None] * f
        north = self.v[:-1, None] * (1 - f) + self.v[1:, None] * f
        h = np.stack(np.broadcast_arrays(east[:, None], self.v[None, :, None]), -1)
        v = np.stack(np.broadcast_arrays(self.u[:, None, None], north[None]), -1)
        return self.warp(h), self.warp(v)

    def outlines(self) -> Geometries:
        """The sections as polygons between the middles of their arterials, shape (n,)."""
        h, v = self.sides()
        c, r = self.column, self.row
        return polygons_from(np.concatenate([h[c, r, :-1], v[c + 1, r, :-1], h[c, r + 1, :0:-1], v[c, r, :0:-1]], axis=1))

    def place(self, section: Ints, st: Floats) -> Floats:
        """Meters on the ground of points given by section, shape (n,), and s and t in it, shape (n, 2) or (n, k, 2)."""
        spread = (slice(None), *[None] * (st.ndim - 2))
        s, t = st[..., 0], st[..., 1]
        a, b, p, q = (column[spread] for column in self.bend[section].T)
        swayed_s = s + a * np.sin(np.pi * s) * np.sin(2 * np.pi * t + p)
        swayed_t = t + b * np.sin(np.pi * t) * np.sin(2 * np.pi * s + q)
        column, row = self.column[section][spread], self.row[section][spread]
        u = self.u[column] + swayed_s * (self.u[column + 1] - self.u[column])
        v = self.v[row] + swayed_t * (self.v[row + 1] - self.v[row])
        return self.warp(np.stack([u, v], -1))


def build(rng: np.random.Generator) -> Sections:
    turns = np.radians([degrees for _, degrees, _ in SWIRLS]) * rng.uniform(0.85, 1.15, len(SWIRLS))
    warp = Warp(rng.uniform(0, 2 * np.pi, 4), turns)
    u, v = _lines(DOWNTOWN[0], -27_000, 20_500), _lines(DOWNTOWN[1] + SPACING, -18_500, 16_000)
    column, row = np.nonzero(_city(u, v, rng))
    middle = np.stack([(u[column] + u[column + 1]) / 2, (v[row] + v[row + 1]) / 2], -1)
    near = np.maximum(*np.abs(middle - DOWNTOWN - [0, SPACING]).T) < NEAR * SPACING
    pattern = _patterns(middle, near, rng)
    bend = np.column_stack([rng.uniform(-0.09, 0.09, (len(column), 2)), rng.uniform(0, 2 * np.pi, (len(column), 2))])
    bend[np.isin(pattern, [Pattern.DOWNTOWN, Pattern.TOWN])] = 0
    return Sections(warp, u, v, column, row, pattern, bend)


def _lines(middle: float, low: float, high: float) -> Floats:
    steps = np.r_[np.full(NEAR, SPACING), np.full(3, 1000.0), np.full(16, 1350.0)]
    reach = np.cumsum(steps)
    lines = np.r_[middle - reach[::-1], middle, middle + reach]
    within: Floats = lines[(lines > low) & (lines < high)]
    return within


def _city(u: Floats, v: Floats, rng: np.random.Generator) -> Flags:
    """The limits: an uneven oval of whole sections, without holes or loose pieces."""
    x, y = np.meshgrid((u[1:] + u[:-1]) / 2, (v[1:] + v[:-1]) / 2, indexing="ij")
    turn = np.arctan2(y + 1700, x + 2600)
    ragged = (
        1 + 0.1 * np.sin(2 * turn + rng.uniform(0, 7)) + 0.09 * np.sin(5 * turn + rng.uniform(0, 7)) + rng.normal(0, 0.05, x.shape)
    )
    reach = ((x + 2600) / 12_600) ** 2 + ((y + 1700) / 8200) ** 2
    return _whole(reach < ragged, int(np.argmin(np.abs(u - DOWNTOWN[0]))), int(np.argmin(np.abs(v - DOWNTOWN[1]))))


def _whole(wanted: Flags, column: int, row: int) -> Flags:
    """The part of a grid that is connected to one of its cells, with its holes filled."""

    def reached(free: Flags, start: Flags) -> Flags:
        while True:
            grown = start.copy()
            grown[1:] |= start[:-1]
            grown[:-1] |= start[1:]
            grown[:, 1:] |= start[:, :-1]
            grown[:, :-1] |= start[:, 1:]
            grown &= free
            if (grown == start).all():
                return grown
            start = grown

    seed = np.zeros_like(wanted)
    seed[column, row] = True
    city = reached(wanted, seed)
    rim = np.zeros_like(city)
    rim[[0, -1]] = rim[:, [0, -1]] = True
    return ~reached(~city, rim & ~city)


def _patterns(middle: Floats, near: Flags, rng: np.random.Generator) -> Ints:
    away = np.hypot(*(middle - DOWNTOWN).T)
    built = [Pattern.GRID, Pattern.LOOPS, Pattern.COURTS, Pattern.SPARSE, Pattern.PARK]
    suburb = rng.choice(built, len(middle), p=[0.42, 0.24, 0.26, 0.03, 0.05])
    outer = rng.choice(built, len(middle), p=[0.14, 0.18, 0.20, 0.40, 0.08])
    pattern = np.where(away + rng.normal(0, 900, len(middle)) < 8300, suburb, outer)
    for place, radius in (((8600, -700), 2000), ((-6900, -8600), 1500), ((5200, 3200), 900)):
        pattern[np.hypot(*(middle - place).T) < radius] = Pattern.INDUSTRY
    pattern[near & (away + rng.normal(0, 600, len(middle)) < 4200)] = Pattern.TOWN
    pattern[away < 1250] = Pattern.DOWNTOWN
    return pattern

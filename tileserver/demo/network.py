"""The street network before it has names: edges between crossings, each with a key that tells its street."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from tileserver.demo import lattice
from tileserver.demo.ground import Flags, Floats, Ints
from tileserver.demo.sections import BENDS, NEAR, SIDE, Pattern, Sections

BLOCK = 110
"""Meters for each hundred house numbers."""


class Run(IntEnum):
    """Where a street's line counts: along the whole city, east and west or north and south, or in its section."""

    EAST = 1
    NORTH = 2
    SUBURB = 3


@dataclass(frozen=True)
class Key:
    """What a street's key says; of one street, or arrays for many."""

    run: Ints
    index: Ints
    """Eight a section, counted along the city; in suburbs `(section * 2 + across) * 32 + line`."""
    second: Flags
    """East of Main Street or north of Front Street, rather than W or S."""
    arterial: Flags


def pack(run: Run, index: Ints, second: Flags, arterial: Flags) -> Ints:
    return ((run * _INDICES + index) * 2 + second) * 2 + arterial


def unpack(keys: Ints) -> Key:
    return Key(keys // 4 // _INDICES, keys // 4 % _INDICES, keys // 2 % 2 == 1, keys % 2 == 1)


_INDICES = 1_000_000


@dataclass(frozen=True)
class Network:
    """Edges in no order; arrays of shape (n,) unless said otherwise."""

    points: Floats
    """On the ground, shape (n, BENDS + 1, 2)."""
    key: Ints
    order: Floats
    """Ascending along the street."""
    hundred: Ints
    """The first house number."""
    section: Ints
    """The section in or beside which it lies; -1 outside the city."""


def build(sections: Sections, edges: lattice.Edges, rng: np.random.Generator) -> Network:
    """The edges of all lattices, and the arterials."""
    return _joined([*_arterials(sections, rng), _inner(sections, edges)])


def _inner(sections: Sections, edges: lattice.Edges) -> Network:
    f = np.linspace(0, 1, BENDS + 1)[:, None]
    pq = edges.ends[:, :1] * (1 - f) + edges.ends[:, 1:] * f
    st = lattice.to_section(sections, edges.section, pq)
    pattern, size = sections.pattern[edges.section], sections.sizes[edges.section]
    column, row = sections.column[edges.section], sections.row[edges.section]
    middle = st[:, [0, -1]].mean(axis=1) * size + np.stack([sections.u[column], sections.v[row]], -1)
    away = middle - [sections.u[sections.main_column], sections.v[sections.front_row]]
    town = np.isin(pattern, [Pattern.DOWNTOWN, Pattern.TOWN])
    index = np.where(edges.across, 8 * column + edges.line * np.where(pattern == Pattern.TOWN, 2, 1), 8 * row + edges.line)
    one_name = edges.across & np.isin(pattern, [Pattern.COURTS, Pattern.LOOPS])
    suburb = (edges.section * 2 + edges.across) * 32 + np.where(one_name, 31, edges.line)
    no = np.zeros(len(town), bool)
    key = np.select(
        [town & ~edges.across, town],
        [pack(Run.EAST, index, away[:, 0] > 0, no), pack(Run.NORTH, index, away[:, 1] > 0, no)],
        pack(Run.SUBURB, suburb, no, no),
    )
    order = np.where(town, np.where(edges.across, middle[:, 1], middle[:, 0]), edges.line * one_name * 100.0 + edges.order)
    hundred = _hundred(np.where(edges.across, away[:, 1], away[:, 0]))
    hundred = np.where((pattern == Pattern.LOOPS) & ~edges.across, 100 * (1 + edges.order // 2), hundred)
    return Network(sections.place(edges.section, st), key, order, hundred, edges.section)


def _hundred(away: Floats) -> Ints:
    hundred: Ints = 100 * (1 + (np.abs(away) // BLOCK).astype(np.int64))
    return hundred


def _arterials(sections: Sections, rng: np.random.Generator) -> list[Network]:
    """Every line inside the city; outside, most of every other one goes on, as a county road."""
    h, v = sections.sides()
    grid = sections.grid()
    main, front = sections.main_column, sections.front_row
    east = _Lines(Run.EAST, h, _either(grid), sections.u - sections.u[main], main, front)
    north = _Lines(Run.NORTH, v.swapaxes(0, 1), _either(grid.T), sections.v - sections.v[front], front, main)
    return [_network(lines, rng) for lines in (east, north)]


def _either(grid: Ints) -> Ints:
    """The section on one side or the other of each line between the second axis's cells; -1 without either."""
    outside = np.full((len(grid), 1), -1)
    either: Ints = np.maximum(np.hstack([outside, grid]), np.hstack([grid, outside]))
    return either


@dataclass(frozen=True)
class _Lines:
    """The arterials of one direction, by the cells that they pass and by line."""

    run: Run
    points: Floats
    """On the ground, shape (cells, lines, SIDE * BENDS + 1, 2)."""
    section: Ints
    """Beside the line, shape (cells, lines)."""
    at: Floats
    """Where the cells begin and end, in meters from the middle one, shape (cells + 1,)."""
    middle_cell: int
    middle_line: int


def _network(lines: _Lines, rng: np.random.Generator) -> Network:
    cells = np.arange(lines.section.shape[0]) - lines.middle_cell
    line = np.arange(lines.section.shape[1]) - lines.middle_line
    near = (np.abs(cells + 0.5) < NEAR)[:, None] & (np.abs(line) <= NEAR)
    major = near | (line % 2 == 0) | (np.abs(line) > NEAR)
    gone = rng.random((len(cells), len(line))) < 0.25
    drawn = (lines.section >= 0) | ((line % 2 == 0) & ~gone[cells // 2])
    c, r = (np.repeat(index, SIDE) for index in np.nonzero(drawn))
    step = np.tile(np.arange(SIDE), len(c) // SIDE)
    pieces = step[:, None] * BENDS + np.arange(BENDS + 1)
    middle = lines.at[c] + (step + 0.5) / SIDE * np.diff(lines.at)[c]
    key = pack(lines.run, 8 * r, middle > 0, major[c, r])
    return Network(lines.points[c[:, None], r[:, None], pieces], key, middle, _hundred(middle), lines.section[c, r])


def _joined(parts: list[Network]) -> Network:
    return Network(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Network)))

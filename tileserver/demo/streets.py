"""Streets: the network named, joined into long lines, and cut where water or a motorway lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import shapely
from shapely import LineString, MultiLineString
from shapely.geometry.base import BaseGeometry

from tileserver.demo import motorways, names
from tileserver.demo.ground import FRAME, Columns, Flags, Floats, Geometries, Ints, beside, linestrings, wkb
from tileserver.demo.motorways import CORRIDOR
from tileserver.demo.network import Key, Network, Run, unpack
from tileserver.demo.sections import DOWNTOWN, NEAR, Pattern, Sections
from tileserver.demo.water import BANK, CREEK_SIDE, Water

BRIDGES = (-4, 0, 1)
"""Lines west (-) and east of Main Street that cross the river."""

Zone = tuple[BaseGeometry, bool]


@dataclass(frozen=True)
class Edges:
    """Pieces of street with house numbers; arrays of shape (n,) unless said otherwise."""

    points: Floats
    """On the ground, shape (n, BENDS + 1, 2)."""
    street: Ints
    """Index into the streets."""
    hundred: Ints
    """The first house number of the block."""
    arterial: Flags


@dataclass(frozen=True)
class Streets:
    """Every named street; arrays of shape (n,)."""

    name: list[str]
    kind: list[str]
    """motorway, arterial or local."""
    geometry: Geometries


def build(sections: Sections, network: Network, water: Water, zones: list[Zone], rng: np.random.Generator) -> tuple[Streets, Edges]:
    """The streets, and their edges inside the city that reach into no zone."""
    keys, street = np.unique(network.key, return_inverse=True)
    key = unpack(keys)
    lines, of = _chains(network, street)
    _cut(lines, key.arterial[of], _bridges(key, sections)[of], zones)
    geometry = _gathered(lines, of, len(keys))
    kept = np.flatnonzero(~shapely.is_empty(geometry))
    named = _named(key, sections, rng)
    others = _others(water, sections)
    streets = Streets(
        [named[k] for k in kept] + others.name,
        ["arterial" if key.arterial[k] else "local" for k in kept] + others.kind,
        np.concatenate([geometry[kept], others.geometry]),
    )
    dry = (network.section >= 0) & np.isin(street, kept) & ~touches(linestrings(network.points[:, [0, -1]]), zones)
    number = np.searchsorted(kept, street[dry])
    return streets, Edges(network.points[dry], number, network.hundred[dry], key.arterial[street[dry]])


def _chains(network: Network, street: Ints) -> tuple[Geometries, Ints]:
    """Lines as long as edges of one street meet end to start, and the street of each."""
    by = np.lexsort([network.order, street])
    points, street = network.points[by], street[by]
    last = np.ones(len(by), bool)
    last[:-1] = (street[1:] != street[:-1]) | (np.abs(points[1:, 0] - points[:-1, -1]).max(axis=-1) > 0.5)
    taken = np.ones(points.shape[:2], bool)
    taken[:, -1] = last
    chain = np.cumsum(np.r_[0, last[:-1]])
    lines = shapely.linestrings(points[taken], indices=np.repeat(chain, taken.sum(axis=1)))
    return np.asarray(lines), street[last]


def _cut(lines: Geometries, arterial: Flags, bridge: Flags, zones: list[Zone]) -> None:
    """Ends lines, in place, at the river unless there is a bridge, and local ones at creeks and motorways."""
    for zone, local_only in zones:
        hit = ~(arterial if local_only else bridge) & shapely.intersects(zone, lines)
        lines[hit] = shapely.difference(lines[hit], zone)


def free_zones(water: Water) -> list[Zone]:
    """Where streets end, but for those with a bridge, and no parcel lies; whether only local streets end there."""
    free: list[Zone] = [(water.valley, False), *((shapely.buffer(lake, 40), False) for lake in water.lakes.values())]
    free += [(corridor, True) for corridor in motorways.corridors()]
    free += [(shapely.buffer(creek, CREEK_SIDE), True) for creek in water.creeks.values()]
    zones: list[Zone] = [(shapely.simplify(zone, 1), local_only) for zone, local_only in free]
    for zone, _ in zones:
        shapely.prepare(zone)
    return zones


def touches(geometries: Geometries, zones: list[Zone]) -> Flags:
    """Which geometries reach into a zone, shape (n,)."""
    touching = np.zeros(len(geometries), bool)
    for zone, _ in zones:
        touching |= shapely.intersects(zone, geometries)
    return touching


def _bridges(key: Key, sections: Sections) -> Flags:
    """Which streets cross the river."""
    lines = [8 * (sections.main_column + line) for line in BRIDGES]
    crossing: Flags = (key.run == Run.NORTH) & key.arterial & np.isin(key.index, lines)
    return crossing


def _gathered(lines: Geometries, street: Ints, count: int) -> Geometries:
    """One geometry a street, of all its lines; scraps of less than 25 m are left out."""
    parts, of = shapely.get_parts(lines, return_index=True)
    long = (shapely.length(parts) > 25) & shapely.intersects(parts, FRAME)
    parts, of = parts[long], street[of[long]]
    by = np.argsort(of, kind="stable")
    streets = np.full(count, shapely.MultiLineString(), dtype=object)
    shapely.multilinestrings(parts[by], indices=of[by], out=streets)
    single = shapely.get_num_geometries(streets) == 1
    streets[single] = shapely.get_geometry(streets[single], 0)
    return shapely.intersection(streets, FRAME)


def _named(key: Key, sections: Sections, rng: np.random.Generator) -> list[str]:
    """Numbers south of Front Street, birds north of it; trees and presidents across; roads further out; pairs in the suburbs."""
    first = [word for word in names.FIRST if word not in names.TREES]
    avenues = ["Main", *names.shuffled(names.TREES + names.PRESIDENTS, rng), *names.shuffled(first, rng)]
    birds, roads, pairs = names.shuffled(names.BIRDS, rng), names.shuffled(names.ROADS, rng), iter(names.pairs(rng))

    def east(line: int) -> str:
        if abs(line) > 8 * NEAR:
            return f"{roads[line // 8 % 24]} Rd"
        return f"{birds[line - 1]} Ave" if line > 0 else f"{names.ordinal(-line)} St" if line else "Front St"

    def north(line: int, arterial: bool) -> str:
        if abs(line) > 8 * NEAR:
            return f"{roads[24 + line // 8 % 43]} Rd"
        return f"{avenues[2 * line - 1 if line > 0 else -2 * line]} {'Blvd' if arterial and line else 'St'}"

    def name(run: int, index: int, second: bool, arterial: bool) -> str:
        match run:
            case Run.EAST:
                return f"{'E' if second else 'W'} {east(index - 8 * sections.front_row)}"
            case Run.NORTH:
                return f"{'N' if second else 'S'} {north(index - 8 * sections.main_column, arterial)}"
        return f"{next(pairs)} {_suffix(index, sections)}"

    return [
        name(*each) for each in zip(key.run.tolist(), key.index.tolist(), key.second.tolist(), key.arterial.tolist(), strict=True)
    ]


def _suffix(index: int, sections: Sections) -> str:
    section, across, line = index // 64, index // 32 % 2, index % 32
    match sections.pattern[section]:
        case Pattern.LOOPS:
            return "Ln" if across else ("Loop", "Cir")[line % 2]
        case Pattern.COURTS:
            return "Ct" if across else "Dr"
        case Pattern.INDUSTRY:
            return "Pkwy" if across else "Industrial Dr"
    return ("Rd", "Trl", "Cv")[line % 3] if across else ("Dr", "Ln", "Way")[line % 3]


def _others(water: Water, sections: Sections) -> Streets:
    """Motorways with two carriageways, the roads beside them in town, and the roads along the river."""
    between = shapely.union_all([water.valley, *motorways.corridors(CORRIDOR - 1)])
    found: list[tuple[str, str, BaseGeometry]] = []
    for name, line in motorways.lines().items():
        middle = line[np.hypot(*(line - DOWNTOWN).T) < 10_500]
        frontage = shapely.difference(MultiLineString([beside(middle, CORRIDOR), beside(middle, -CORRIDOR)]), between)
        found.append((f"{name.split()[0]} Frontage Rd", "local", shapely.intersection(frontage, sections.limits)))
        found.append((name, "motorway", motorways.carriageways(line)))
    found.append(("Ramps", "arterial", motorways.ramps(shapely.union_all([road for _, kind, road in found if kind == "local"]))))
    for name, kind, side in (("Riverfront Dr", "arterial", -1), ("Levee Rd", "local", 1)):
        bank = LineString(beside(water.course, side * (water.width / 2 + BANK)))
        found.append((name, kind, shapely.intersection(bank, sections.limits)))
    geometry = np.array([shapely.intersection(line, FRAME) for _, _, line in found], dtype=object)
    return Streets([name for name, _, _ in found], [kind for _, kind, _ in found], geometry)


def columns(streets: Streets) -> Columns:
    return {
        "id": pa.array(range(1, len(streets.name) + 1), pa.int64()),
        "name": pa.array(streets.name),
        "class": pa.array(streets.kind),
        "geometry": wkb(streets.geometry),
    }

"""Wards, neighborhoods and police beats: each covers the city without gaps or overlaps, along arterials and the river."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import shapely
from shapely import LineString

from tileserver.demo.ground import Columns, Flags, Floats, Geometries, Ints, linestrings, polygons_of, to_degrees
from tileserver.demo.names import NEIGHBORHOODS, shuffled
from tileserver.demo.sections import Sections
from tileserver.demo.water import Water


@dataclass(frozen=True)
class Faces:
    """The sections, those on the river cut along its middle: the smallest pieces that areas are made of."""

    polygons: Geometries
    """In degrees: neighbors share their corners exactly. Shape (n,)."""
    middle: Floats
    """In meters, shape (n, 2)."""
    population: Ints
    """Shape (n,)."""
    pairs: Ints
    """Neighbors, each pair once, shape (m, 2)."""
    wet: Flags
    """Which pairs have the river between them, shape (m,)."""


def faces(sections: Sections, water: Water, homes: Floats, people: Floats) -> Faces:
    """Faces with their population: `people` live at each of `homes`, shape (k, 2), in meters."""
    outlines = sections.outlines()
    river = LineString(water.course)
    lines = shapely.unary_union([shapely.union_all(shapely.boundary(outlines)), river])
    found = polygons_of(shapely.polygonize([lines]))
    shapely.prepare(sections.limits)
    found = found[shapely.contains(sections.limits, shapely.point_on_surface(found))]
    home, face = shapely.STRtree(found).query(shapely.points(homes), predicate="within")
    population = np.rint(np.bincount(face, people[home], len(found))).astype(np.int64)
    polygons = shapely.transform(found, to_degrees)
    pairs = _neighbors(polygons)
    surface = shapely.get_coordinates(shapely.point_on_surface(found))
    across = np.asarray(shapely.intersects(river, linestrings(surface[pairs])))
    return Faces(polygons, surface, population, pairs, across)


def divide(faces: Faces, count: int, balance: float, rng: np.random.Generator) -> tuple[Geometries, Ints]:
    """`count` connected areas in degrees, from north-west to south-east, with their population. `balance` from 0 to 1: alike in
    extent, or in population; at 1 strictly."""
    seeds = spread(faces, count, balance, rng)
    of = _balanced(faces, seeds) if balance == 1 else _grow(faces, seeds, np.zeros(count))
    by = np.argsort([(faces.middle[of == k] @ [0.35, -1]).mean() for k in range(count)])
    areas = np.array([shapely.coverage_union_all(faces.polygons[of == k]) for k in by], dtype=object)
    return areas, np.array([faces.population[of == k].sum() for k in by])


def wards(faces: Faces, rng: np.random.Generator) -> Columns:
    """Seven, of about the same population."""
    areas, population = divide(faces, 7, 1, rng)
    number = range(1, len(areas) + 1)
    return _columns(areas, population, pa.array(number, pa.int64()), [f"Ward {k}" for k in number])


def neighborhoods(faces: Faces, rng: np.random.Generator) -> Columns:
    areas, population = divide(faces, 40, 0.35, rng)
    number = pa.array(range(1, len(areas) + 1), pa.int64())
    return _columns(areas, population, number, shuffled(NEIGHBORHOODS, rng)[: len(areas)])


def police_beats(faces: Faces, rng: np.random.Generator) -> Columns:
    areas, population = divide(faces, 25, 0.6, rng)
    code = [f"{'ABCDE'[k // 5]}{k % 5 + 1}" for k in range(len(areas))]
    return _columns(areas, population, pa.array(code), [f"Beat {each}" for each in code])


def _columns(areas: Geometries, population: Ints, ids: pa.Array, names: list[str]) -> Columns:
    wkb = pa.array(shapely.to_wkb(areas, byte_order=1), pa.binary())
    return {"id": ids, "name": pa.array(names), "population": pa.array(population), "geometry": wkb}


def _neighbors(polygons: Geometries) -> Ints:
    """Pairs of polygons that share a side."""
    points, of = shapely.get_coordinates(polygons, return_index=True)
    start, end = points[:-1], points[1:]
    real = of[1:] == of[:-1]
    ends = np.sort(np.stack([start @ [1, 1j], end @ [1, 1j]], -1)[real], axis=1)
    by = np.lexsort(ends.T)
    same = (ends[by][1:] == ends[by][:-1]).all(axis=1)
    owner = of[:-1][real][by]
    return np.unique(np.sort(np.stack([owner[:-1][same], owner[1:][same]], -1), axis=1), axis=0)


def spread(faces: Faces, count: int, balance: float, rng: np.random.Generator) -> Ints:
    """`count` faces spread over the city by weighted k-means; `balance` as for `divide`."""
    weight = (1 - balance) / len(faces.middle) + balance * faces.population / faces.population.sum()
    points = faces.middle
    middles = points[rng.choice(len(points), count, replace=False, p=weight / weight.sum())]
    for _ in range(20):
        of = np.argmin(((points[:, None] - middles) ** 2).sum(axis=-1), axis=1)
        total = np.bincount(of, weight, count)
        moved = np.stack([np.bincount(of, weight * points[:, axis], count) for axis in (0, 1)], -1)
        middles = np.where(total[:, None] > 0, moved / np.maximum(total, 1e-12)[:, None], middles)
    seeds: list[int] = []
    for middle in middles:
        nearest = np.argsort(((points - middle) ** 2).sum(axis=1))
        seeds.append(next(int(face) for face in nearest if face not in seeds))
    return np.array(seeds)


def _balanced(faces: Faces, seeds: Ints) -> Ints:
    """The most even of some divisions, in each of which the areas that had too many people start later."""
    late = np.zeros(len(seeds))
    best, of = np.inf, _grow(faces, seeds, late)
    for _ in range(40):
        tried = _grow(faces, seeds, late)
        people = np.bincount(tried, faces.population, len(seeds))
        if (spread := people.max() / people.min() if people.min() else np.inf) < best:
            best, of = spread, tried
        late = late + 700 * (people / people.mean() - 1)
        late -= late.min()
    return of


def _grow(faces: Faces, seeds: Ints, late: Floats) -> Ints:
    """Each face's area: the seed that is nearest on the way through neighbors, where crossing the river is a detour
    and each seed starts `late` meters behind the others."""
    step = np.hypot(*(faces.middle[faces.pairs[:, 0]] - faces.middle[faces.pairs[:, 1]]).T) + 12_000 * faces.wet
    near: list[list[tuple[int, float]]] = [[] for _ in faces.middle]
    for (a, b), length in zip(faces.pairs.tolist(), step.tolist(), strict=True):
        near[a].append((b, length))
        near[b].append((a, length))
    of = np.full(len(near), -1)
    queue = [(float(start), int(seed), area) for area, (seed, start) in enumerate(zip(seeds, late, strict=True))]
    heapq.heapify(queue)
    while queue:
        far, face, area = heapq.heappop(queue)
        if of[face] < 0:
            of[face] = area
            for other, length in near[face]:
                if of[other] < 0:
                    heapq.heappush(queue, (far + length, other, area))
    return of

"""Schools, libraries and fire stations: spread by population, each on a parcel of its own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import shapely

from tileserver.demo import areas, names
from tileserver.demo.city import City
from tileserver.demo.ground import Columns, Ints, point_wkb
from tileserver.demo.parcels import USES, house

LEVELS = ("ELEMENTARY", "MIDDLE", "HIGH")
LIBRARIES = 14
STATIONS = 22
COMPANIES = ("ENGINE", "ENGINE_LADDER", "ENGINE_RESCUE")


def schools(city: City) -> Columns:
    rng = city.rng("schools")
    taken = np.flatnonzero(city.parcels.school)
    level = rng.choice(3, len(taken), p=[0.62, 0.21, 0.17])
    pool = names.shuffled(names.NEIGHBORHOODS + names.TREES + names.BIRDS, rng)
    titles = [f"{word} {LEVELS[k].title()} School" for word, k in zip(pool, level, strict=False)]
    pupils = np.array([410, 620, 1050])[level] * rng.uniform(0.6, 1.35, len(taken))
    return {
        **_common(city, taken, titles),
        "level": pa.array(LEVELS).take(pa.array(level)),
        "students": pa.array(pupils.astype(np.int64)),
    }


def libraries(city: City) -> Columns:
    rng = city.rng("libraries")
    taken = _spread(city, LIBRARIES, rng)
    main = np.argmin(np.hypot(*(city.parcels.corners[taken, 0] - [600, 450]).T))
    pool = names.shuffled(names.NEIGHBORHOODS, rng)
    titles = ["Main Library" if k == main else f"{pool[k]} Branch Library" for k in range(len(taken))]
    kind = np.where(np.arange(len(taken)) == main, "MAIN", "BRANCH")
    return {**_common(city, taken, titles), "kind": pa.array(kind.tolist())}


def fire_stations(city: City) -> Columns:
    rng = city.rng("fire stations")
    taken = _spread(city, STATIONS, rng)
    company = rng.choice(3, len(taken), p=[0.5, 0.35, 0.15])
    titles = [f"Fire Station {k}" for k in range(1, len(taken) + 1)]
    return {**_common(city, taken, titles), "company": pa.array(COMPANIES).take(pa.array(company))}


def _spread(city: City, count: int, rng: np.random.Generator) -> Ints:
    """Parcels of shops or public buildings, one near each of `count` places among the people."""
    faces = city.faces
    middles = faces.middle[areas.spread(faces, count, 0.8, rng)]
    fit = np.flatnonzero(np.isin(city.parcels.use, [USES.index("COMMERCIAL"), USES.index("PUBLIC")]) & ~city.parcels.school)
    away = ((city.parcels.corners[fit, 0] - middles[:, None]) ** 2).sum(axis=-1)
    return np.unique(fit[np.argmin(away, axis=1)])


def _common(city: City, taken: Ints, titles: list[str]) -> Columns:
    street = city.parcel_streets.take(pa.array(taken))
    return {
        "id": pa.array(range(1, len(taken) + 1), pa.int64()),
        "name": pa.array(titles),
        "address": house(city.parcels.number[taken], street),
        "geometry": point_wkb(shapely.get_coordinates(shapely.point_on_surface(city.parcels.polygons[taken]))),
    }

"""Which coordinate system plain x and y are in: systems are tried, and kept where they lead to a likely place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, hypot, radians

from pyproj import Proj
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_crs_info
from pyproj.enums import PJType
from pyproj.exceptions import CRSError, ProjError

Box = tuple[float, float, float, float]
"""West, south, east, north, in degrees."""

CONTERMINOUS_US: Box = (-124.8, 24.4, -66.9, 49.4)
Point = tuple[float, float]
"""Longitude and latitude, in degrees."""
REACH = 100.0
"""Kilometers from a place in a city to the middle of its data."""
KILOMETERS_PER_DEGREE = 111.2
REPLACED = 5.0
"""Kilometers that a system which has been replaced, such as NAD27, has to be nearer than others to come before them."""
WIDEST = 20.0
"""Degrees that a system of ESRI may be made for: reading one takes 40 ms, and those for continents and planets are no city's."""
NEAR = 0.5
"""Degrees: candidates that lead to places this close to each other agree."""


@dataclass(frozen=True, slots=True)
class Candidate:
    code: str
    name: str
    longitude: float
    latitude: float
    """Where the middle of the data would be."""
    size: float
    """Square degrees of the system's area of use: a system that is made for a place is likelier than one for a continent."""


def candidates(x: float, y: float, within: Sequence[Box]) -> list[Candidate]:
    """The projected systems of EPSG and ESRI that lead from a position to one of some boxes, and into their own area of use;
    likeliest first. Those that differ by a few meters only stand for each other: NAD83 for its later realizations."""
    found: dict[tuple[float, float], Candidate] = {}
    for each in sorted(_tried(x, y, within), key=lambda each: (_realization(each.name), each.code)):
        found.setdefault((round(each.longitude, 3), round(each.latitude, 3)), each)
    return sorted(found.values(), key=lambda each: (round(each.size), _realization(each.name)))


def nearest(x: float, y: float, city: Point) -> list[Candidate]:
    """Those that lead to within `REACH` of a place in the city, the nearest first."""
    longitude, latitude = city
    high = REACH / KILOMETERS_PER_DEGREE
    wide = high / max(cos(radians(min(abs(latitude) + high, 90.0))), 0.01)
    around = (longitude - wide, latitude - high, longitude + wide, latitude + high)
    away = {each: _kilometers(each, city) for each in candidates(x, y, [around])}
    return sorted(
        (each for each in away if away[each] <= REACH), key=lambda each: away[each] + REPLACED * (_realization(each.name) == 2)
    )


def _kilometers(found: Candidate, place: Point) -> float:
    """On a sphere that is flat between them: right to a percent at this distance."""
    wide = (found.longitude - place[0]) * cos(radians((found.latitude + place[1]) / 2))
    return KILOMETERS_PER_DEGREE * hypot(wide, found.latitude - place[1])


def agree(found: Sequence[Candidate]) -> bool:
    """Whether all lead to about the same place."""
    return bool(found) and all(
        abs(each.longitude - found[0].longitude) < NEAR and abs(each.latitude - found[0].latitude) < NEAR for each in found
    )


def contains(box: Box, longitude: float, latitude: float) -> bool:
    west, south, east, north = box
    return west <= longitude <= east and south <= latitude <= north


def _tried(x: float, y: float, within: Sequence[Box]) -> Iterator[Candidate]:
    seen: set[str] = set()
    for box in within:
        for authority in ("EPSG", "ESRI"):
            for info in query_crs_info(authority, PJType.PROJECTED_CRS, AreaOfInterest(*box)):
                code = f"{authority}:{info.code}"
                area = info.area_of_use
                if code in seen or area is None or (authority == "ESRI" and area.east - area.west > WIDEST):
                    continue
                seen.add(code)
                place = _degrees(code, x, y)
                use = (area.west, area.south, area.east, area.north)
                if place and contains(use, *place) and any(contains(each, *place) for each in within):
                    yield Candidate(code, info.name, *place, (area.east - area.west) * (area.north - area.south))


def _degrees(code: str, x: float, y: float) -> tuple[float, float] | None:
    """By the projection alone, without a change of datum: fast, and right to some hundred meters."""
    try:
        longitude, latitude = Proj(code)(x, y, inverse=True)
    except (CRSError, ProjError):
        return None
    return float(longitude), float(latitude)


def _realization(name: str) -> int:
    """0 for plain NAD83 and the like, 1 for its later realizations, 2 for what has been replaced since."""
    if re.search(r"NAD27|NAD_1927|Clarke", name):
        return 2
    return 1 if re.search(r"HARN|NSRS2007|2011|CORS96|CSRS|HPGN|Ferro|\(", name.replace("(ft", "")) else 0

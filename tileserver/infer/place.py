"""Where the rows of a sample are: which columns say it, in which coordinate system, within which bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError

from tileserver.infer.facts import Facts, folded, squeezed, words
from tileserver.infer.sample import Sample
from tileserver.infer.systems import CONTERMINOUS_US, Box, Candidate, Point, agree, candidates, nearest
from tileserver.ingest import pairs
from tileserver.ingest.columns import DEGREES, LONLAT
from tileserver.ingest.geometry_column import shapes_of
from tileserver.ingest.rows import Shapes
from tileserver.ingest.values import numbers

Floats = NDArray[np.float64]

FAR = 8.0
"""What lies further from the middle half of the data than so many times its width is taken for an error."""
MARGIN = 0.05
"""Of the data's width, on each side of it."""
LEAST_MARGIN = 0.01
"""Degrees."""

_X = r"longitude|longitud|langengrad|long|lon|lng|easting|xcoord(?:inate)?|coordx|pointx|geox|x"
_Y = {
    "longitude": "latitude",
    "longitud": "latitud",
    "langengrad": "breitengrad",
    "lon": "lat",
    "lng": "lat",
    "long": "lat",
    "easting": "northing",
}
"""What stands in the other column's name, where it is more than y for x; names are compared without accents."""
_WKT = r"(?i)^(?:SRID=[0-9]+;)?\s*(?:MULTI)?(?:POINT|LINESTRING|POLYGON)\s*(?:Z|M|ZM)?\s*\("
_WKB = r"^[0-9A-Fa-f]{10,}$"
_PAIR = f"{pairs.BARE}|{pairs.IN_BRACKETS}".replace("?P<first>", "").replace("?P<second>", "")
_ONE_LINE = r"^[^\n]*$"
_LONGITUDES, _LATITUDES = {"longitude", "longitud", "long", "lon", "lng"}, {"latitude", "latitud", "lat"}
_FINE = r"^[+-]?[0-9]{1,3}\.[0-9]{4,}$"
"""Degrees to some meters."""
_CITY = 3.0
"""Degrees between the quarters of a city's coordinates, at most."""
_SAME = 0.01
"""Degrees within which a column says a coordinate again."""
_PAIR_WITHIN = r"-?[0-9]{1,3}\.[0-9]{3,}\s*[,;/ ]\s*-?[0-9]{1,3}\.[0-9]{3,}"
_SEXAGESIMAL = r"^[NSEWO]?\s*-?[0-9]{1,3}\s*[°º:d ]\s*[0-9]{1,2}(\s*['′:m ]|\.[0-9])"
_GEOJSON = r'^\s*\{.*"coordinates"\s*:'
_POLYGONS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
_POINTS = (shapely.GeometryType.POINT,)


@dataclass(frozen=True, slots=True)
class Place:
    """Where positions are."""

    ingest: Mapping[str, str] = field(default_factory=dict)
    """What `[ingest]` says of it: x and y, or geometry, and crs."""
    notes: tuple[str, ...] = ()
    """Why, and what to check."""
    columns: frozenset[str] = frozenset()
    """Columns that hold positions, these or the same ones again."""
    perhaps: tuple[str, str] | None = None
    """Two columns that by their values alone could be x and y, where nothing else says where rows are."""
    shape: str = "none"
    """point, polygon, mixed; none: there are no positions."""
    bounds: Box | None = None
    """Of the data in degrees, with a margin, without what lies far off; None if nobody knows."""
    lacking: int = 0
    """Rows without a position, or at 0,0."""
    outside: int = 0
    """Rows with a position outside the bounds."""
    unsure: bool = False
    """Someone has to say the coordinate system."""
    candidates: tuple[Candidate, ...] = ()


def place_of(sample: Sample, facts: Sequence[Facts], hints: Sequence[Box], near: Point | None = None) -> Place:
    """`hints` are the bounds of other layers of the same city, `near` is a place in it, which counts more."""
    place = Place(columns=frozenset(each.name for each in facts if _is_position(each)), lacking=sample.rows)
    boxes = [(near[0] - 1, near[1] - 1, near[0] + 1, near[1] + 1)] if near else hints
    found = _found(sample, facts, boxes)
    if found is None:
        perhaps = _pair_by_values(facts)
        return replace(place, perhaps=perhaps, columns=place.columns.union(perhaps or ()))
    columns = place.columns.union(found.ingest.values(), _again(sample, facts, found.shapes))
    return _located(found, replace(place, columns=columns), hints, near)


@dataclass(frozen=True, slots=True)
class _Found:
    """Positions as the data have them."""

    shapes: NDArray[np.object_]
    crs: str | None
    """What the data say themselves; without it the numbers have to tell."""
    ingest: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _found(sample: Sample, facts: Sequence[Facts], boxes: Sequence[Box]) -> _Found | None:
    if sample.shapes is not None and not shapely.is_missing(sample.shapes).all():
        return _Found(sample.shapes, sample.crs)
    if pair := _pair(facts):
        return _of_pair(sample, pair)
    if column := next((each for each in facts if _is_geometry(each)), None):
        texts = next(each.texts for each in sample.columns if each.name == column.name)
        return _of_column(shapes_of(texts, None), column.name, boxes)
    return None


def _of_column(found: Shapes, name: str, boxes: Sequence[Box]) -> _Found:
    if found.pairs is None:
        return _Found(found.shapes, found.crs, {"geometry": name})
    is_turned = pairs.has_longitude_first(iter([found]), boxes[0] if boxes else pairs.WORLD)
    first = "longitude" if is_turned else "latitude"
    found = pairs.turned(found) if is_turned else found
    return _Found(found.shapes, found.crs, {"geometry": name}, (f"two numbers in one column, the {first} first",))


def _again(sample: Sample, facts: Sequence[Facts], shapes: NDArray[np.object_]) -> Iterator[str]:
    """Columns of numbers that are the x or the y of nearly every row, whatever they are called."""
    x, y = shapely.get_x(shapes), shapely.get_y(shapes)
    for each in facts:
        if each.type == "number":
            values = _floats(sample, each.name)
            for axis in (x, y):
                known = np.isfinite(values) & np.isfinite(axis) & (axis != 0)
                if 2 * known.sum() > each.known and (np.abs(values - axis)[known] < _SAME).mean() > ENOUGH:
                    yield each.name


def _pair_by_values(facts: Sequence[Facts]) -> tuple[str, str] | None:
    """The names of two columns side by side whose numbers could be the degrees of a city: (longitude, latitude)."""
    for first, second in pairwise(facts):
        if _like_degrees(first) and _like_degrees(second):
            one, other = _middle(first), _middle(second)
            # The one beyond 90 is a longitude; else the negative one of two, as in America; else the latitude comes first.
            if abs(one) > 90 or (abs(other) <= 90 and one < 0 < other):
                return first.name, second.name
            return second.name, first.name
    return None


def _like_degrees(facts: Facts) -> bool:
    if facts.type != "number" or facts.distinct < 2 or facts.matching(_FINE) < ENOUGH:
        return False
    known = np.repeat(facts.numbers, facts.counts)
    first, middle, third = np.quantile(known[np.isfinite(known)], (0.25, 0.5, 0.75))
    return bool(third - first <= _CITY and 1 < abs(middle) <= 180)


def _is_position(facts: Facts) -> bool:
    """A column that says where a row is, beside whatever else says it."""
    return facts.known > 0 and (_axis(facts) is not None or (_is_geometry(facts) and facts.matching(_ONE_LINE) > ENOUGH))


ENOUGH = 0.8


def _is_geometry(facts: Facts) -> bool:
    if not facts.known or facts.type not in ("text", "integer"):
        return False
    if facts.type == "text" and facts.matching(_PAIR) > ENOUGH:
        return True
    return facts.matching(_WKT) > ENOUGH or (facts.matching(_WKB) > ENOUGH and facts.matching(r"^0[01]0[0-9]00") > ENOUGH)


def unreadable(facts: Facts) -> str:
    """Why `ingest` cannot read the positions that a column seems to hold, and what to do; empty where it holds none."""
    if axis(facts.name) and facts.has_decimal_commas:
        return "with decimal commas, which ingest cannot read: write them with a point"
    if axis(facts.name) and facts.matching(_SEXAGESIMAL) > ENOUGH:
        return "in degrees and minutes, which ingest cannot read: write them as decimal degrees, such as -90.1994"
    if facts.type != "text":
        return ""
    if facts.matching(_GEOJSON) > ENOUGH:
        return "as GeoJSON, which ingest cannot read in a column: write them as WKT, such as POINT (-90.1994 38.627)"
    if facts.matching(_PAIR_WITHIN) > 0.01:
        return "both numbers in one column, which ingest cannot read: split it into two, latitude and longitude"
    return ""


def _axis(facts: Facts) -> tuple[str, str] | None:
    """The axis that numbers are of: the same rest of the name is the same pair of columns."""
    return axis(facts.name) if facts.type in ("integer", "number") and facts.known else None


def axis(name: str) -> tuple[str, str] | None:
    """What a column's name says: ("x" or "y", the rest of the name); None for a name that says neither."""
    told, name = words(folded(name)), squeezed(name)
    for letter, names in (("x", _X.split("|")), ("y", _y_names())):
        for part in names:
            if re.fullmatch(part, name) or (len(re.sub(r"\W|\(.*", "", part)) > 1 and re.search(rf"(?:{part})$", name)):
                return letter, re.sub(rf"(?:{part})$", "", name)
            if len(part) > 2 and re.match(part, name):
                return letter, re.sub(rf"^(?:{part})", "", name)
    return _axis_within(told)


def _axis_within(told: Sequence[str]) -> tuple[str, str] | None:
    """The same of a name's words, for a longitude or a latitude in the middle of it: gps_long_x."""
    for letter, names in (("x", _LONGITUDES), ("y", _LATITUDES)):
        if names & set(told):
            return letter, "".join(word for word in told if word not in names and word != letter)
    return None


def _y_names() -> list[str]:
    return [_Y.get(part, part.replace("x", "y")) for part in _X.split("|")]


def _pair(facts: Sequence[Facts]) -> tuple[Facts, Facts] | None:
    """The columns of x and y: degrees before others, the fullest first."""
    sides: dict[str, list[tuple[str, Facts]]] = {"x": [], "y": []}
    for each in facts:
        if told := _axis(each):
            sides[told[0]].append((told[1], each))
    found = [(x, y) for rest, x in sides["x"] for other, y in sides["y"] if rest == other]
    if not found and len(sides["x"]) == len(sides["y"]) == 1:
        found = [(x, y) for _, x in sides["x"] for _, y in sides["y"] if _like_degrees(x) and _like_degrees(y)]
    return max(found, key=lambda pair: (_is_degrees(*map(_middle, pair)), pair[0].known + pair[1].known), default=None)


def _middle(facts: Facts) -> float:
    values = facts.numbers[np.isfinite(facts.numbers) & (facts.numbers != 0)]
    return float(np.median(values)) if len(values) else 0.0


def _is_degrees(x: float, y: float) -> bool:
    return abs(x) <= 180 and abs(y) <= 180 and (abs(x) <= 90 or abs(y) <= 90)


def _of_pair(sample: Sample, pair: tuple[Facts, Facts]) -> _Found:
    middles = [_middle(each) for each in pair]
    swapped = abs(middles[1]) > 90 and abs(middles[0]) <= 90 and _is_degrees(*middles)
    names = [each.name for each in (reversed(pair) if swapped else pair)]
    x, y = (_floats(sample, name) for name in names)
    present = np.isfinite(x) & np.isfinite(y)
    shapes = np.full(len(x), None, np.object_)
    shapes[present] = shapely.points(np.column_stack((x[present], y[present])))
    notes = ("the columns' names say the opposite, but latitudes end at 90",) if swapped else ()
    return _Found(shapes, None, {"x": names[0], "y": names[1]}, notes)


def _located(found: _Found, place: Place, hints: Sequence[Box], city: Point | None) -> Place:
    """`place`, with what the positions themselves tell."""
    boxes = shapely.bounds(found.shapes)
    present = np.isfinite(boxes).all(axis=1) & (boxes != 0).any(axis=1)
    known = boxes[present]
    place = replace(place, ingest=found.ingest, lacking=len(boxes) - len(known))
    if not len(known):
        return place
    place = replace(place, shape=_shape(found.shapes[present]))
    middle = (float(np.median(known[:, [0, 2]])), float(np.median(known[:, [1, 3]])))
    if found.crs is not None:
        said = () if found.crs.upper() in DEGREES else (f"the data say themselves that they are in {_shortly(found.crs)}",)
        return _bounded(replace(place, notes=(*found.notes, *said)), known, found.crs)
    if _is_degrees(*middle):
        where = f"the numbers are degrees, around longitude {middle[0]:.3f} and latitude {middle[1]:.3f}: check"
        return _bounded(replace(place, notes=(*found.notes, where)), known, LONLAT)
    if city:
        guesses, where = nearest(*middle, city), f"within 100 km of {city[0]:g},{city[1]:g}"
    elif guesses := candidates(*middle, hints) if hints else []:
        where = "within the bounds of the other layers here"
    else:
        guesses, where = candidates(*middle, [CONTERMINOUS_US]), ""
    sure = bool(guesses) and (bool(where) or agree(guesses))
    where = where or "in the conterminous United States"
    place = replace(place, notes=(*found.notes, *_reasons(guesses, where, sure=sure)), candidates=tuple(guesses))
    if not sure:
        return replace(place, unsure=True)
    return _bounded(replace(place, ingest={**found.ingest, "crs": guesses[0].code}), known, guesses[0].code)


def _bounded(place: Place, boxes: Floats, crs: str) -> Place:
    degrees = _in_degrees(boxes, crs)
    if (bounds := _bounds(degrees)) is None:
        return place
    return replace(place, bounds=bounds, outside=int((~_within(degrees, bounds)).sum()))


def _shortly(crs: str) -> str:
    return crs if len(crs) <= 40 else "their coordinate system"


def _reasons(found: Sequence[Candidate], where: str, *, sure: bool) -> Iterator[str]:
    yield "the numbers are no degrees, and nothing says what they are"
    if not found:
        ask = "ask whoever made the file, or remove this one and make it again with --near LON,LAT, a place in the city"
        yield f"no system of EPSG or ESRI leads from them to a place {where}: {ask}"
    elif sure:
        yield f"{found[0].code} leads to {found[0].latitude:.3f}, {found[0].longitude:.3f}, {where}: {found[0].name}: check"
    else:
        yield (
            f"{len(found)} systems lead to a place {where}: remove this file, and make it again with --near LON,LAT, a place in "
            "the city in degrees; or write the system that leads there"
        )


def _shape(shapes: NDArray[np.object_]) -> str:
    kinds = set(shapely.get_type_id(shapes).tolist())
    if kinds <= {*_POINTS, shapely.GeometryType.MULTIPOINT} and (shapely.get_num_geometries(shapes) == 1).all():
        return "point"
    return "polygon" if kinds <= set(_POLYGONS) else "mixed"


def _floats(sample: Sample, name: str) -> Floats:
    texts = next(column.texts for column in sample.columns if column.name == name)
    found: Floats = numbers(texts).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return found


def _in_degrees(boxes: Floats, crs: str) -> Floats:
    """Shape (n, 4), as given: west, south, east, north; infinite where the system does not reach."""
    if crs.upper() in DEGREES:
        return boxes
    try:
        transformer = Transformer.from_crs(crs, LONLAT, always_xy=True)
    except ProjError:
        return np.full_like(boxes, np.inf)
    corners = [transformer.transform(boxes[:, i], boxes[:, j]) for i, j in ((0, 1), (2, 3))]
    lower, upper = (np.column_stack(corner) for corner in corners)
    return np.hstack((np.minimum(lower, upper), np.maximum(lower, upper)))


def _bounds(boxes: Floats) -> Box | None:
    """The box of what is not far from the middle half."""
    boxes = boxes[_on_earth(boxes)]
    if not len(boxes):
        return None
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    first, third = np.quantile(middles, (0.25, 0.75), axis=0)
    reach = FAR * np.maximum(third - first, LEAST_MARGIN)
    near = boxes[((middles >= first - reach) & (middles <= third + reach)).all(axis=1)]
    low, high = near[:, :2].min(axis=0), near[:, 2:].max(axis=0)
    margin = np.maximum((high - low) * MARGIN, LEAST_MARGIN)
    west, south = np.floor((low - margin) * 1_000) / 1_000
    east, north = np.ceil((high + margin) * 1_000) / 1_000
    return max(float(west), -180.0), max(float(south), -90.0), min(float(east), 180.0), min(float(north), 90.0)


def _on_earth(boxes: Floats) -> NDArray[np.bool_]:
    return np.asarray((np.abs(boxes) <= (180, 90, 180, 90)).all(axis=1))


def _within(boxes: Floats, bounds: Box) -> NDArray[np.bool_]:
    """Which touch the bounds."""
    west, south, east, north = bounds
    return np.asarray((boxes[:, 0] <= east) & (boxes[:, 2] >= west) & (boxes[:, 1] <= north) & (boxes[:, 3] >= south))

"""Esri's own JSON → GeoJSON, for servers of ArcGIS that do not write it."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely

Feature = dict[str, Any]


def feature(given: Any) -> Feature:
    """Raises ValueError, TypeError or KeyError for what is no feature."""
    return {"type": "Feature", "properties": dict(given["attributes"]), "geometry": geometry(given.get("geometry"))}


def geometry(given: Any) -> Feature | None:
    """Two-dimensional. None for no geometry, or one without coordinates."""
    match given:
        case {"x": int() | float() as x, "y": int() | float() as y}:
            return {"type": "Point", "coordinates": [x, y]}
        case {"points": list(points)} if points:
            return {"type": "MultiPoint", "coordinates": _flat(points)}
        case {"paths": list(paths)} if paths:
            return {"type": "MultiLineString", "coordinates": [_flat(path) for path in paths]}
        case {"rings": list(rings)} if rings:
            return {"type": "MultiPolygon", "coordinates": _polygons([_flat(ring) for ring in rings if len(ring) > 3])}
    return None


def _flat(points: list[list[float]]) -> list[list[float]]:
    return [point[:2] for point in points]


def _polygons(rings: list[list[list[float]]]) -> list[list[list[list[float]]]]:
    """Each outer ring, which runs clockwise, with the holes that lie in it. A hole that lies in none is an outer ring."""
    outlines = np.array([shapely.LinearRing(ring) for ring in rings], np.object_)
    is_hole = shapely.is_ccw(outlines)
    areas = np.array([shapely.Polygon(ring) for ring in rings], np.object_)
    outer = {index: [rings[index]] for index in np.flatnonzero(~is_hole).tolist()}
    sizes: list[float] = [area.area for area in areas]
    for hole in np.flatnonzero(is_hole).tolist():
        inside = [index for index in outer if not is_hole[index] and shapely.covers(areas[index], outlines[hole])]
        if inside:
            outer[min(inside, key=lambda index: sizes[index])].append(rings[hole])
        else:
            outer[hole] = [rings[hole]]
    return list(outer.values())

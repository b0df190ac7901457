"""Mapbox Vector Tiles 2.1 from arrays: `layer(name, points(x, y), columns)`; a tile is the bytes of its layers joined."""

from tileserver.mvt.geometry import (
    LINE,
    POINT,
    POLYGON,
    Geometry,
    concatenate,
    following,
    lengths,
    lines,
    multipoints,
    points,
    polygons,
    rings,
    squares,
)
from tileserver.mvt.layer import Column, layer

__all__ = [
    "LINE",
    "POINT",
    "POLYGON",
    "Column",
    "Geometry",
    "concatenate",
    "following",
    "layer",
    "lengths",
    "lines",
    "multipoints",
    "points",
    "polygons",
    "rings",
    "squares",
]

"""Web Mercator in world units: the square of the whole world is 2^32 wide and high, x to the east, y to the south.

A world unit is at most 8.4e-8 degrees, so positions in whole units keep the seven decimals (1 cm) that data comes with.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WORLD = 2**32
"""World units along each axis."""

MAX_LATITUDE = 85.0511287798066
"""Degrees: where the world's square ends, atan(sinh(π))."""

Degrees = NDArray[np.float64]


def mercator(lon: Degrees, lat: Degrees) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Degrees on WGS 84, any shape → world units, not rounded; latitudes beyond the world's square are moved to its edge."""
    phi = np.radians(np.clip(lat, -MAX_LATITUDE, MAX_LATITUDE))
    y = (0.5 - np.arcsinh(np.tan(phi)) / (2 * np.pi)) * WORLD
    return (lon + 180) * (WORLD / 360), y


def geographic(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Degrees, Degrees]:
    """World units, any shape → longitude and latitude in degrees, not rounded: the inverse of `mercator`."""
    return x * (360 / WORLD) - 180, np.degrees(np.arctan(np.sinh((0.5 - y / WORLD) * 2 * np.pi)))


def quantize(lon: Degrees, lat: Degrees) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Degrees, finite → the nearest whole world units: x wraps at longitude 180, which is -180; y ends at the square's edges."""
    x, y = mercator(lon, lat)
    wrapped = np.rint(x).astype(np.int64) & (WORLD - 1)
    return wrapped.astype(np.uint32), np.clip(np.rint(y), 0, WORLD - 1).astype(np.uint32)


def quantize_sides(lon: Degrees, lat: Degrees) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """As `quantize`, for the sides of boxes: longitude 180 is the last unit of the world, so that no box turns inside out."""
    x, y = mercator(lon, lat)
    return np.clip(np.rint(x), 0, WORLD - 1).astype(np.uint32), np.clip(np.rint(y), 0, WORLD - 1).astype(np.uint32)


def degrees(x: NDArray[np.uint32], y: NDArray[np.uint32]) -> tuple[Degrees, Degrees]:
    """Whole world units → degrees rounded to seven decimals: those that `quantize` was given, if they had no more."""
    lon, lat = geographic(x.astype(np.float64), y.astype(np.float64))
    return np.round(lon, 7), np.round(lat, 7)

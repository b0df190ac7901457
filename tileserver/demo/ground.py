"""The demo city's ground: a plane of meters around its center, smooth lines drawn on it, and the way back to degrees."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Geometries = NDArray[np.object_]
Columns = dict[str, pa.Array]
"""The rows of a layer, by column."""

BOUNDS = (-92.55, 34.60, -92.10, 34.86)
CENTER = np.array([-92.29, 34.74])
METERS_PER_DEGREE = np.array([111_320 * np.cos(np.radians(34.74)), 110_940])
DECIMALS = 7  # of a degree: a centimeter

Point = tuple[float, float]

FRAME = shapely.box(*((np.array(BOUNDS).reshape(2, 2) - CENTER) * METERS_PER_DEGREE).ravel())
"""The bounds, in meters."""


def to_degrees(points: Floats) -> Floats:
    """Longitude and latitude, shape (n, 2), of points in meters."""
    degrees: Floats = np.round(points / METERS_PER_DEGREE + CENTER, DECIMALS)
    return degrees


def wkb(geometries: Geometries) -> pa.Array:
    """WKB in degrees of geometries in meters."""
    return pa.array(shapely.to_wkb(shapely.transform(geometries, to_degrees), byte_order=1), pa.binary())


def point_wkb(points: Floats) -> pa.Array:
    """WKB in degrees of points in meters, shape (n, 2), written as one buffer."""
    rows = np.zeros(len(points), np.dtype([("order", "u1"), ("type", "<u4"), ("xy", "<f8", 2)]))
    rows["order"], rows["type"], rows["xy"] = 1, 1, to_degrees(points)
    offsets = np.arange(len(points) + 1, dtype=np.int32) * rows.itemsize
    return pa.BinaryArray.from_buffers(pa.binary(), len(points), [None, pa.py_buffer(offsets), pa.py_buffer(rows)])


def spline(control: ArrayLike, step: float) -> Floats:
    """A natural cubic spline through control points, sampled every `step` meters: shape (n, 2)."""
    knots = np.asarray(control, float)
    t = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(knots, axis=0).T))])
    h = np.diff(t)
    slopes = np.diff(knots, axis=0) / h[:, None]
    system = np.diag(np.r_[1, 2 * (h[:-1] + h[1:]), 1]) + np.diag(np.r_[h[:-1], 0], -1) + np.diag(np.r_[0, h[1:]], 1)
    bend = np.linalg.solve(system, np.vstack([[0, 0], 6 * np.diff(slopes, axis=0), [0, 0]]))  # second derivatives at the knots
    at = np.linspace(0, t[-1], round(t[-1] / step) + 1)
    k = np.clip(np.searchsorted(t, at, side="right") - 1, 0, len(h) - 1)
    left, right, width = (at - t[k])[:, None], (t[k + 1] - at)[:, None], h[k][:, None]
    curve: Floats = (bend[k] * right**3 + bend[k + 1] * left**3) / (6 * width)
    curve += (knots[k] / width - bend[k] * width / 6) * right + (knots[k + 1] / width - bend[k + 1] * width / 6) * left
    return curve


def beside(line: Floats, distance: ArrayLike) -> Floats:
    """A line moved to its left by `distance` meters (negative: to its right), one for all points or one for each."""
    along = np.gradient(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], -1) / np.hypot(along[:, 0], along[:, 1])[:, None]
    moved: Floats = line + normal * np.broadcast_to(np.asarray(distance, float), len(line))[:, None]
    return moved


def arc(line: Floats) -> Floats:
    """Meters along a line at each of its points, shape (n,)."""
    return np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])


def waves(at: Floats, rng: np.random.Generator, wavelengths: tuple[float, ...]) -> Floats:
    """Smooth noise within about ±1 along a line, from sines of random phase."""
    phases = rng.uniform(0, 2 * np.pi, len(wavelengths))
    sines: Floats = np.sin(2 * np.pi * at / np.array(wavelengths)[:, None] + phases[:, None])
    mean: Floats = sines.mean(axis=0)
    return mean


def linestrings(points: Floats) -> Geometries:
    """One line for each of the first axis of `points`, shape (n, k, 2)."""
    return np.asarray(shapely.linestrings(points))


def polygons_from(corners: Floats) -> Geometries:
    """One polygon for each of the first axis of `corners`, shape (n, k, 2)."""
    return np.asarray(shapely.polygons(corners))


def polygons_of(geometry: BaseGeometry) -> Geometries:
    """The polygons in a geometry, without its lines and points."""
    parts: Geometries = shapely.get_parts(geometry)
    areal: Geometries = parts[shapely.get_type_id(parts) == 3]
    return areal

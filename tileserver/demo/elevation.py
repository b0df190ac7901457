"""The made-up city's ground as a raster: hills in the west, a plain in the east, and the valley that the river has cut."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
import shapely
from rasterio.shutil import copy
from rasterio.transform import from_bounds
from shapely.geometry.base import BaseGeometry

from tileserver.demo.city import City
from tileserver.demo.ground import BOUNDS, CENTER, METERS_PER_DEGREE, Floats

STEP = 75
"""Meters between two values, about."""
COARSE = 5
"""Distances to the water are taken at every fifth value of a row and of a column, to shores simplified to 30 m."""
BROAD = (9_000, 6_100, 4_300, 2_900, 1_900, 1_300)
"""Meters from one hill to the next, from the broadest on."""
WAVES = 8
"""Directions that hills of one size come from."""
RIVER_LEVEL = 70.0
"""Meters above the sea where the river leaves the city."""


def write(city: City, path: Path) -> tuple[int, int]:
    """A Cloud Optimized GeoTIFF of meters above the sea; the same bytes for the same city. Gives its width and height."""
    west, south, east, north = BOUNDS
    width, height = (np.array([east - west, north - south]) * METERS_PER_DEGREE / STEP).round().astype(int).tolist()
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=".making-") as folder:
        plain, cog = Path(folder) / "plain.tif", Path(folder) / path.name
        with rasterio.open(plain, "w", transform=from_bounds(*BOUNDS, width, height), **profile) as out:
            out.write(heights(city, width, height).astype(np.float32), 1)
            out.set_band_description(1, "Elevation, made up")
            out.set_band_unit(1, "m")
        copy(plain, cog, driver="COG", COMPRESS="DEFLATE", PREDICTOR="YES", BLOCKSIZE="256", RESAMPLING="BILINEAR")
        cog.replace(path)
    return width, height


def heights(city: City, width: int, height: int) -> Floats:
    """Meters above the sea in whole decimeters, shape (height, width), north first."""
    west, south, east, north = BOUNDS
    lon = west + (np.arange(width) + 0.5) * (east - west) / width
    lat = north - (np.arange(height) + 0.5) * (north - south) / height
    x, y = np.meshgrid((lon - CENTER[0]) * METERS_PER_DEGREE[0], (lat - CENTER[1]) * METERS_PER_DEGREE[1])
    to_river, to_water = (_distances(x, y, water) for water in (city.water.river, city.water.all))

    hilly = 1 / (1 + np.exp((x + 3_000) / 5_000))  # from 1 in the west to 0 in the plain
    rise = (12 + 60 * hilly) * (1 - np.exp(-to_river / 2_500)) + (20 + 120 * hilly) * (1 - np.exp(-to_river / 9_000))
    hills = (6 + 75 * hilly) * (0.5 + _hills(x, y, city.rng("elevation"))) * (1 - np.exp(-to_water / 900))
    river = RIVER_LEVEL - x / 4_000  # it falls a meter in four kilometers, to the east
    decimeters: Floats = np.round(river + rise + hills + 3 * (1 - np.exp(-to_water / 120)), 1)
    return decimeters


def _distances(x: Floats, y: Floats, water: BaseGeometry) -> Floats:
    """Meters to the water, shape of x and y."""
    rows, columns = (np.unique(np.r_[0:n:COARSE, n - 1]) for n in x.shape)
    places = shapely.points(x[np.ix_(rows, columns)], y[np.ix_(rows, columns)])
    coarse = shapely.distance(places, shapely.simplify(water, 30))
    along = np.stack([np.interp(np.arange(x.shape[1]), columns, line) for line in coarse])
    return np.stack([np.interp(np.arange(x.shape[0]), rows, line) for line in along.T], axis=1)


def _hills(x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    """Smooth noise, about within ±0.5: waves of each breadth from random directions, the broad ones the highest."""
    total = np.zeros_like(x)
    for breadth in BROAD:
        for turn, phase in zip(rng.uniform(0, np.pi, WAVES), rng.uniform(0, 2 * np.pi, WAVES), strict=True):
            along = np.cos(turn) * x + np.sin(turn) * y
            total += breadth * np.sin(2 * np.pi * along / breadth + phase)
    height: Floats = total / (sum(BROAD) * np.sqrt(WAVES))
    return height

"""One view of the map, drawn by several clients, as masks of where something is painted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pyproj
import rasterio
import rasterio.features
import rasterio.transform
import shapely
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

WORLD = 40_075_016.6855785
"""Metres around the equator: the width of the Web Mercator square."""

PICTURES = Path(__file__).parents[2] / "build" / "clients"
"""Where the pictures stay, to be looked at."""

PAPER = np.array([247, 246, 243], np.int16)[:, None, None]
NEARLY = 24
"""How far two colours that look the same may be apart, of 255."""

Mask = NDArray[np.bool_]
"""Shape (height, width)."""


@dataclass(frozen=True)
class View:
    longitude: float
    latitude: float
    zoom: float
    """As MapLibre counts: at zoom 0 the world is 512 pixels wide."""
    width: int = 800
    height: int = 600

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, south, east, north in Web Mercator metres."""
        x, y = pyproj.Transformer.from_crs("OGC:CRS84", "EPSG:3857", always_xy=True).transform(self.longitude, self.latitude)
        meters = WORLD / 512 / 2**self.zoom
        return x - self.width / 2 * meters, y - self.height / 2 * meters, x + self.width / 2 * meters, y + self.height / 2 * meters

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees."""
        west, south, east, north = self.extent
        back = pyproj.Transformer.from_crs("EPSG:3857", "OGC:CRS84", always_xy=True)
        return (*back.transform(west, south), *back.transform(east, north))


def colors(picture: Path) -> int:
    """How many colours cover a thousandth of a picture or more."""
    red, green, blue = _bands(picture)[:3]
    _, counts = np.unique(red.astype(np.int64) << 16 | green.astype(np.int64) << 8 | blue, return_counts=True)
    return int((counts >= red.size / 1_000).sum())


def painted(picture: Path) -> Mask:
    """Where a picture, laid on paper, is not nearly of its colour."""
    mask: Mask = np.abs(_paint(picture)).max(axis=0) > NEARLY
    return mask


def alike(one: Path, other: Path) -> float:
    """The share of the pixels that have nearly the same colour in two pictures, laid on paper."""
    return float((np.abs(_paint(one) - _paint(other)).max(axis=0) <= NEARLY).mean())


def _paint(picture: Path) -> NDArray[np.float64]:
    """How far a picture is from the colour of the paper below it, shape (3, height, width)."""
    bands = _bands(picture)
    opaque = bands[3:] / 255 if len(bands) == 4 else np.ones(1)
    return np.asarray(opaque * (bands[:3] - PAPER))


def _bands(picture: Path) -> NDArray[np.int16]:
    """Shape (3 or 4, height, width)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(picture) as opened:
            return np.asarray(opened.read(), np.int16)


def near(mask: Mask, pixels: int) -> Mask:
    """Where something is painted within so many pixels."""
    padded = np.pad(mask.astype(np.int32), ((pixels + 1, pixels), (pixels + 1, pixels)))
    sums = padded.cumsum(axis=0).cumsum(axis=1)
    side = 2 * pixels + 1
    found: Mask = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side] > 0
    return found


def agreement(one: Mask, other: Mask, pixels: int = 3) -> float:
    """The share of each one's painted pixels that lie near the other's; the lower of the two."""
    shares = (near(other, pixels) & one).sum() / one.sum(), (near(one, pixels) & other).sum() / other.sum()
    return float(min(shares))


def by_gdal(shapes: NDArray[Any], view: View, name: str, radius: float) -> Mask:
    """Geometries in degrees, points as discs of a radius in pixels."""
    project = pyproj.Transformer.from_crs("OGC:CRS84", "EPSG:3857", always_xy=True)
    placed = shapely.transform(shapes, lambda xy: np.column_stack(project.transform(xy[:, 0], xy[:, 1])))
    drawn = shapely.buffer(placed, radius * WORLD / 512 / 2**view.zoom)
    transform = rasterio.transform.from_bounds(*view.extent, view.width, view.height)
    burnt = rasterio.features.rasterize(drawn, (view.height, view.width), transform=transform)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            PICTURES / f"{name}.gdal.png", "w", driver="PNG", width=view.width, height=view.height, count=1, dtype="uint8"
        ) as picture:
            picture.write(np.where(burnt, 40, 255).astype(np.uint8), 1)
    mask: Mask = burnt.astype(np.bool_)
    return mask


def by_qgis(layers: list[dict[str, str]], view: View, name: str) -> tuple[list[dict[str, Any]], Mask]:
    """What QGIS tells of the layers, and where it paints."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = PICTURES / f"{name}.qgis.png"
    wanted = {"layers": layers, "extent": view.extent, "size": [view.width, view.height], "picture": str(picture)}
    done = subprocess.run(
        ["/usr/bin/python3", str(Path(__file__).with_name("qgis_canvas.py"))],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
    )
    assert done.returncode == 0, f"QGIS failed; is python3-qgis installed?\n{done.stderr[-2000:]}"
    told = json.loads(done.stdout)
    assert told["errors"] == []
    return told["layers"], painted(picture)


NATIVE = """
import json, sys
from pymgl import Map
wanted = json.load(sys.stdin)
longitude, latitude = wanted["at"]
view = Map(json.dumps(wanted["style"]), *wanted["size"], 1, longitude=longitude, latitude=latitude, zoom=wanted["zoom"])
view.load()
open(wanted["picture"], "wb").write(view.renderPNG())
"""


def by_native(style: str, view: View, name: str) -> Mask:
    """Where MapLibre Native paints the style of an address, in a process of its own."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = PICTURES / f"{name}.native.png"
    with urlopen(style, timeout=30) as answer:
        document = json.load(answer)
    wanted = {
        "style": document,
        "size": [view.width, view.height],
        "at": [view.longitude, view.latitude],
        "zoom": view.zoom,
        "picture": str(picture),
    }
    done = subprocess.run(
        [sys.executable, "-c", NATIVE],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, "EGL_PLATFORM": "surfaceless"},
    )
    assert done.returncode == 0, f"MapLibre Native failed:\n{done.stderr[-2000:]}"
    return painted(picture)

"""Icons: a few shapes in the colors of the palette, each with a white halo, drawn here as one sheet (a MapLibre sprite)."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import shapely
from numpy.typing import NDArray

from tileserver.styles.palette import COLORS, NONE, OTHER, RAMP

BOX = 16
"""Shapes are drawn in a square of this side, y downwards."""
HALO = 1.5
MARGIN = 2
SIDE = BOX + 2 * MARGIN
"""Pixels of an icon at the scale 1."""
FINE = 4
"""Samples along each side of a pixel, which smooth the edges."""

SHAPES = ("circle", "triangle", "square", "star", "diamond", "cross", "pentagon")
"""What the generated styles use: as many as there are colors."""

PAINTS: Mapping[str, str] = MappingProxyType(
    dict(zip(("blue", "orange", "green", "pink", "brown", "sky", "ink"), COLORS, strict=True))
    | {"other": OTHER, "none": NONE}
    | {f"ramp{number}": color for number, color in enumerate(RAMP, 1)}
)
"""What a color is called in the name of an icon, `triangle-blue`."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Sheet:
    index: dict[str, dict[str, int]]
    """Where each icon lies: x, y, width, height, pixelRatio."""
    png: bytes


def _around(corners: int, *radii: float, down: float = 0.0) -> list[Point]:
    """Corners around the middle of the box, the first on top, at radii that take turns."""
    angles = (2 * math.pi * number / corners for number in range(corners))
    middle = BOX / 2
    return [
        (middle + radii[number % len(radii)] * math.sin(angle), middle + down - radii[number % len(radii)] * math.cos(angle))
        for number, angle in enumerate(angles)
    ]


def _arm(turns: int) -> list[Point]:
    """Three corners of a cross, turned by so many right angles."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[turns]
    corners = ((-2, -6.5), (2, -6.5), (2, -2))
    return [(BOX / 2 + x * cosine - y * sine, BOX / 2 + x * sine + y * cosine) for x, y in corners]


_OUTLINES: Mapping[str, Sequence[Point]] = MappingProxyType(
    {
        "circle": _around(36, 6),
        "triangle": _around(3, 7.8, down=1.6),
        "square": [(3, 3), (13, 3), (13, 13), (3, 13)],
        "star": _around(10, 8, 3.7, down=0.4),
        "diamond": _around(4, 7.4),
        "cross": [*_arm(0), *_arm(1), *_arm(2), *_arm(3)],
        "pentagon": _around(5, 7.1, down=0.4),
        "hexagon": _around(6, 6.9),
        "drop": [(8, 0.5), *_around(36, 5.2, down=2.2)[5:32]],
        "house": [(8, 1), (15, 7.5), (13, 7.5), (13, 14.5), (3, 14.5), (3, 7.5), (1, 7.5)],
        "flag": [(3, 1), (14, 5), (5, 9), (5, 15), (3, 15)],
        "tree": [(8, 0.5), (12, 6), (10.5, 6), (14, 12), (9.2, 12), (9.2, 15.5), (6.8, 15.5), (6.8, 12), (2, 12), (5.5, 6), (4, 6)],
    }
)

NAMES = frozenset(f"{shape}-{paint}" for shape in _OUTLINES for paint in PAINTS)
"""Of all icons."""


def path(shape: str) -> str:
    """The shape as the path of an SVG whose viewBox is 0 0 16 16: what a legend draws."""
    return "M" + "L".join(f"{round(x, 2):g} {round(y, 2):g}" for x, y in _OUTLINES[shape]) + "Z"


@lru_cache(maxsize=2)
def sheet(scale: int) -> Sheet:
    """Every shape in every color, at 1 or 2 device pixels a pixel: a row a shape, a column a color."""
    side = SIDE * scale
    masks = [_coverage(shape, scale) for shape in _OUTLINES]
    rows = [np.concatenate([_painted(*mask, color) for color in PAINTS.values()], axis=1) for mask in masks]
    index = {
        f"{shape}-{paint}": {"x": column * side, "y": row * side, "width": side, "height": side, "pixelRatio": scale}
        for row, shape in enumerate(_OUTLINES)
        for column, paint in enumerate(PAINTS)
    }
    return Sheet(index, _png(np.concatenate(rows)))


def _coverage(shape: str, scale: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much of each pixel the shape covers, and how much the shape with its halo, 0 to 1, (side, side) each."""
    outline = shapely.Polygon(_OUTLINES[shape])
    count = SIDE * scale * FINE
    samples = (np.arange(count) + 0.5) / (scale * FINE) - MARGIN
    x, y = np.meshgrid(samples, samples)
    both = (outline, outline.buffer(HALO))
    inner, outer = (shapely.contains_xy(area, x, y).reshape(count // FINE, FINE, -1, FINE).mean(axis=(1, 3)) for area in both)
    return inner, outer


def _painted(inner: NDArray[np.float64], outer: NDArray[np.float64], color: str) -> NDArray[np.uint8]:
    """Red, green, blue, alpha, shape (side, side, 4): the color over white, which is the halo."""
    paint = np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)], np.float64)
    share = np.divide(inner, outer, out=np.zeros_like(inner), where=outer > 0)[..., np.newaxis]
    mixed = np.concatenate([share * paint + (1 - share) * 255, 255 * outer[..., np.newaxis]], axis=2)
    pixels: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return pixels


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (height, width, 4) as a PNG of 8 bits a channel, no interlacing, no filter (ISO/IEC 15948)."""
    height, width, _ = pixels.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

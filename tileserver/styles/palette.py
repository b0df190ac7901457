"""The colors of the map, and which of them a layer begins with."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from tileserver.catalog import Layer

PAPER = "#f7f6f3"
INK = "#1f2328"

COLORS = ("#1c63c7", "#de6a10", "#005a3c", "#b8509f", "#836413", "#2f8fcb", "#2a2431")
"""The hues of Okabe and Ito, made dark enough for 3:1 on `PAPER`; any two differ by 7 or more in OKLab × 100, also as seen with
protanopia, deuteranopia and tritanopia (Machado 2009)."""
OTHER = "#8c8c8c"
"""Values without a color of their own, and several rows of different classes drawn as one."""
NONE = "#666666"
"""Rows without a value; differs from every color by 7 or more."""

RAMP = ("#b97f22", "#bb6225", "#a93f39", "#8c264c", "#671855", "#3f1152", "#1b0b41")
"""From low to high: each is darker than the one before, which everybody sees, and even the first has 3:1 on `PAPER`."""


def ramp(classes: int) -> list[int]:
    """Which of `RAMP` stand for two to seven classes: spread over all of it."""
    return [round(number * (len(RAMP) - 1) / (classes - 1)) for number in range(classes)]


def starts(layers: Iterable[Layer]) -> dict[str, int]:
    """With which of `COLORS` each layer begins, in the order of ids: its own by its id, so that it is the same at every start, on
    every machine and in every style; the next one where another layer of its kind has taken that. Only an eighth layer of a kind
    shares."""
    found: dict[str, int] = {}
    taken: dict[str, set[int]] = {}
    for layer in layers:
        mine = taken.setdefault(layer.kind, set())
        if len(mine) == len(COLORS):
            mine.clear()
        start = zlib.crc32(layer.id.encode()) % len(COLORS)
        while start in mine:
            start = (start + 1) % len(COLORS)
        mine.add(start)
        found[layer.id] = start
    return found

"""How numbers become colors: what a request may say of it, and what goes without saying."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from rio_tiler.colormap import cmap
from rio_tiler.types import GDALColorMapType

from tileserver.errors import BadRequest

COLORMAPS: tuple[str, ...] = tuple(sorted(cmap.list()))
RESAMPLINGS = ("nearest", "bilinear", "cubic", "average", "mode")
"""How values between and over several pixels are taken; a part of what GDAL knows, none of it slow."""

MOST_BANDS = 16
RAMP = 9

# ASCII digits only; float() would also take "nan", "inf" and underscores.
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_BAND = re.compile(r"[1-9][0-9]{0,2}")

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """What a request says; None and () where it says nothing."""

    bands: tuple[int, ...] = ()
    ranges: tuple[Range, ...] = ()
    colormap: str | None = None
    resampling: str | None = None


def parse(given: Mapping[str, Sequence[str]]) -> Look:
    """The parameters `bidx`, `rescale`, `colormap_name` and `resampling`, each with the values that came for it.

    Raises:
        BadRequest: a value that is none, or a second one where one is taken.
    """
    return Look(
        bands=_bands(given.get("bidx", ())),
        ranges=tuple(_range(text) for text in _bounded("rescale", given.get("rescale", ()))),
        colormap=_one_of("colormap_name", given, COLORMAPS),
        resampling=_one_of("resampling", given, RESAMPLINGS),
    )


@lru_cache(maxsize=64)
def colors(name: str) -> GDALColorMapType:
    """256 colors by their number."""
    return cast("GDALColorMapType", cmap.get(name))


def ramp(name: str) -> list[str]:
    """`RAMP` of these colors, evenly spaced from the first to the last, as `#rrggbb`."""
    steps = colors(name)
    return ["#{:02x}{:02x}{:02x}".format(*steps[255 * index // (RAMP - 1)]) for index in range(RAMP)]


@lru_cache(maxsize=64)
def fading(name: str) -> GDALColorMapType:
    """The same colors, of which the first ones let the map shine through."""
    return {step: (*color[:3], min(255, step * 255 // OPAQUE_FROM)) for step, color in colors(name).items()}


OPAQUE_FROM = 64


def _one_of(name: str, given: Mapping[str, Sequence[str]], known: Sequence[str]) -> str | None:
    values = given.get(name, ())
    if not values:
        return None
    if len(values) > 1 or values[0] not in known:
        raise BadRequest(f"{name} takes one of {', '.join(known)}.")
    return values[0]


def _bounded(name: str, values: Sequence[str]) -> Sequence[str]:
    if len(values) > MOST_BANDS:
        raise BadRequest(f"{name} takes at most {MOST_BANDS} values.")
    return values


def _bands(values: Sequence[str]) -> tuple[int, ...]:
    if not all(_BAND.fullmatch(text) for text in _bounded("bidx", values)):
        raise BadRequest("bidx takes the number of a band, from 1 on; it may be repeated.")
    return tuple(int(text) for text in values)


def _range(text: str) -> Range:
    low, comma, high = text.partition(",")
    if not (comma and _NUMBER.fullmatch(low) and _NUMBER.fullmatch(high)) or float(low) >= float(high):
        raise BadRequest("rescale takes the values of the first and the last color, such as 0,250: the lower one first.")
    return float(low), float(high)

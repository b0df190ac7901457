"""A layer that is a picture of numbers: a Cloud Optimized GeoTIFF that its layer file names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field as Key
from pydantic import model_validator

from tileserver.catalog.layer import Tiles, Translation
from tileserver.catalog.values import INTERNAL, FileName, Period, Table


class Raster(Table):
    """One raster, served under `/raster/{id}` alone."""

    id: str = Key(json_schema_extra=INTERNAL)
    title: str = Key(description="what readers see the layer called")
    description: str = Key(default="", description="what it shows, where it comes from")
    attribution: str = Key(default="", description="whose data it is")
    license: str = Key(default="", description="under which terms, such as CC0-1.0")
    kind: Literal["raster", "events", "places", "areas", "shapes"] = Key(
        default="raster", description="a raster has none: leave it out", json_schema_extra=INTERNAL
    )
    raster: FileName = Key(description="a GeoTIFF beside the layer file, or in the folder of rasters")
    unit: str = Key(default="", description="what its numbers measure, such as m")
    range: tuple[float, float] | None = Key(
        default=None, description="the values of the first and the last color; else the file's own"
    )
    colormap: str = Key(default="viridis", description="a name of rio-tiler's colormaps")
    max_age: Period | None = Key(default=None, description="how long copies outside may be kept unasked; without it a year")
    tiles: Tiles = Key(default=Tiles(), description="the zooms that have tiles")
    translations: Mapping[str, Translation] = Key(
        default_factory=dict, description="a language, such as es = what readers of it see"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Raster:
        if self.range and self.range[0] >= self.range[1]:
            raise ValueError("range is [lowest, highest]")
        return self

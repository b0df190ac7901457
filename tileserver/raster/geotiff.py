"""The file of a raster: the one that its layer file names, a GeoTIFF and nothing else that GDAL could open."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any

import rasterio
from morecantile import TileMatrixSet
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rio_tiler.constants import WEB_MERCATOR_TMS
from rio_tiler.io import Reader

from tileserver.catalog import Catalog, Raster
from tileserver.errors import ConfigError, Unavailable
from tileserver.raster.look import COLORMAPS
from tileserver.settings import Settings

ENVIRONMENT: Mapping[str, Any] = MappingProxyType(
    {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # a file is read alone, without what may lie beside it
        "GDAL_PAM_ENABLED": "NO",
        "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",  # were a name ever taken for an address, no socket would be opened
        "GDAL_CACHEMAX": 64,  # megabytes a process
    }
)
"""GDAL's options, wherever a file is opened."""

DEEPEST_ZOOM = 22
MOST_PIXELS = 1_024
"""Along the longer side of what is read to find out a file's range."""

Bounds = tuple[float, float, float, float]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the file itself says."""

    bounds: Bounds
    """West, south, east, north in degrees."""
    maxzoom: int
    """The zoom whose pixels are about as fine as the file's."""
    count: int
    """Bands."""
    shown: tuple[int, ...]
    """The bands that are shown unasked: red, green and blue, or the first."""
    has_palette: bool
    is_bytes: bool


@dataclass(frozen=True, slots=True)
class GeoTiff:
    """A raster with its file as it is now."""

    raster: Raster
    path: Path
    version: str
    """Moves whenever the file does."""
    facts: Facts

    @property
    def revision(self) -> str:
        """Moves with the file and with the layer file."""
        return hashlib.blake2b(f"{self.version} {self.raster.model_dump_json()}".encode(), digest_size=8).hexdigest()

    @property
    def minzoom(self) -> int:
        return self.raster.tiles.minzoom

    @property
    def maxzoom(self) -> int:
        """The layer file's, or else the last zoom at which the file shows more."""
        declared = "maxzoom" in self.raster.tiles.model_fields_set
        return self.raster.tiles.maxzoom if declared else max(self.facts.maxzoom, self.minzoom)

    def range_of(self, band: int) -> Range:
        """The values of the first and the last color: the layer file's, or else the file's own."""
        return self.raster.range or _range(self.path, self.version, band)


class GeoTiffReader(Reader):
    """rio-tiler's reader over a file that is opened as a GeoTIFF: a virtual raster of whatever name is refused."""

    def __init__(self, path: Path, tms: TileMatrixSet = WEB_MERCATOR_TMS) -> None:
        dataset = _open(path)
        super().__init__(str(path), dataset=dataset, tms=tms)
        self._ctx_stack.callback(dataset.close)


def current(raster: Raster, settings: Settings) -> GeoTiff:
    """The file as it is now; blocks on the disk.

    Raises:
        Unavailable: it cannot be read. `tileserver check` says why; a request is told no path.
    """
    try:
        return _current(raster, find(raster, settings))
    except (ConfigError, RasterioError, OSError) as error:
        raise Unavailable(f"The raster {raster.id} cannot be read at the moment. Try again later.") from error


def check(settings: Settings, catalog: Catalog) -> None:
    """Raises ConfigError, naming layer file and key of each raster that cannot be served."""
    wrong = []
    for raster in catalog.rasters.values():
        try:
            _check(raster, settings)
        except ConfigError as error:
            wrong.append(f"{settings.layers / raster.id}.toml: {error}")
    if wrong:
        raise ConfigError("\n".join(wrong))


def find(raster: Raster, settings: Settings) -> Path:
    """Beside the layer file, or in the folder of rasters.

    Raises:
        ConfigError: in neither; or the name leads out of both.
    """
    name = PurePath(raster.raster)
    if name.is_absolute() or ".." in name.parts:
        raise ConfigError(f"raster: must be the name of a file in {settings.layers} or {settings.rasters}")
    for folder in (settings.layers, settings.rasters):
        if (folder / name).is_file():
            return (folder / name).resolve()
    raise ConfigError(f"raster: there is no file {name} in {settings.layers} or {settings.rasters}")


def _check(raster: Raster, settings: Settings) -> None:
    if raster.colormap not in COLORMAPS:
        raise ConfigError(f'colormap: "{raster.colormap}" is not one of: {", ".join(COLORMAPS)}')
    path = find(raster, settings)
    try:
        _current(raster, path)
    except (RasterioError, OSError) as error:
        raise ConfigError(f"raster: {path} is not a GeoTIFF that can be read") from error


def _current(raster: Raster, path: Path) -> GeoTiff:
    stat = path.stat()
    version = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
    return GeoTiff(raster, path, version, _facts(path, version))


def _open(path: Path) -> DatasetReader:
    return rasterio.open(path, driver="GTiff")


@lru_cache(maxsize=256)
def _facts(path: Path, version: str) -> Facts:
    """Looked at once for each state of a file. Raises ConfigError if nothing says where on the earth it lies."""
    with rasterio.Env(**ENVIRONMENT), _open(path) as dataset:
        if not dataset.crs or (dataset.transform.is_identity and not dataset.gcps[0]):
            raise ConfigError(f"raster: {path} does not say where it lies (no CRS); see gdal_translate -a_srs and -a_ullr")
        alpha = ColorInterp.alpha in dataset.colorinterp
        primary = tuple(
            dataset.colorinterp.index(color) + 1
            for color in (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            if color in dataset.colorinterp
        )
    with rasterio.Env(**ENVIRONMENT), GeoTiffReader(path) as reader:
        return Facts(
            bounds=_rounded(reader.get_geographic_bounds(reader.tms.rasterio_geographic_crs)),
            maxzoom=min(reader.maxzoom, DEEPEST_ZOOM),
            count=dataset.count - alpha,
            shown=primary if len(primary) == 3 else (1,),
            has_palette=bool(reader.colormap),
            is_bytes=dataset.dtypes[0] == "uint8",
        )


@lru_cache(maxsize=256)
def _range(path: Path, version: str, band: int) -> Range:
    with rasterio.Env(**ENVIRONMENT), GeoTiffReader(path) as reader:
        values = reader.preview(indexes=band, max_size=MOST_PIXELS).array.compressed()
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low, low + 1)


def _rounded(bounds: tuple[float, ...]) -> Bounds:
    west, south, east, north = (round(side, 7) for side in bounds)
    return max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0)

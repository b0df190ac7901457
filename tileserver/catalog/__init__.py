"""The layers of the city: `layers/*.toml` read into frozen, typed objects. Errors name file and key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tileserver.catalog.field import ARROW_TYPES, Field
from tileserver.catalog.layer import GEOMETRY, Ingest, Join, Layer, Privacy, Tiles, Translation
from tileserver.catalog.load import read, read_file
from tileserver.catalog.raster import Raster
from tileserver.errors import ConfigError

__all__ = [
    "ARROW_TYPES",
    "GEOMETRY",
    "Catalog",
    "Field",
    "Ingest",
    "Join",
    "Layer",
    "Privacy",
    "Raster",
    "Tiles",
    "Translation",
    "load",
    "load_layer",
]


class Catalog(Mapping[str, Layer]):
    """All layers of rows by id, in the order of their ids, and beside them the rasters."""

    def __init__(self, layers: Mapping[str, Layer], rasters: Mapping[str, Raster] | None = None) -> None:
        self._layers = dict(sorted(layers.items()))
        self.rasters: Mapping[str, Raster] = dict(sorted((rasters or {}).items()))

    def __getitem__(self, id: str) -> Layer:
        return self._layers[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def load(folder: Path) -> Catalog:
    """Every `*.toml` of a folder.

    Raises:
        ConfigError: naming each file and key that is wrong, one a line.
    """
    return _catalog(read(folder))


def load_layer(path: Path) -> Layer:
    """The layer of one file; its id is the file's name.

    Raises:
        ConfigError: naming the file and each key that is wrong; or the file is that of a raster, which has no rows.
    """
    layer = read_file(path)
    if isinstance(layer, Raster):
        raise ConfigError(f"{path}: is a raster, which has no rows; its file is {layer.raster}")
    return layer


def _catalog(layers: Iterable[Layer | Raster]) -> Catalog:
    known = list(layers)
    return Catalog(
        {layer.id: layer for layer in known if isinstance(layer, Layer)},
        {layer.id: layer for layer in known if isinstance(layer, Raster)},
    )

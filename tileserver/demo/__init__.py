"""A made-up city for demonstration: place and size of a real one, and not one real record.

Everything follows from a seed: water, streets and parcels (`city`), what they add up to (`areas`, `places`), and what happens
there (`events`: of some `kinds`, at some `spots`, in some `rhythm`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from tileserver.demo import areas, city, elevation, events, parcels, parks, places, streets, water
from tileserver.demo.city import City
from tileserver.demo.ground import BOUNDS, Columns
from tileserver.errors import ConfigError

__all__ = ["BOUNDS", "ELEVATION", "LAYERS", "batches", "write_elevation"]

BATCH = 65_536
"""Rows of a batch, at most."""

_STANDING: Mapping[str, Callable[[City], Columns]] = {
    "parks": lambda city: parks.columns(city.parks),
    "water": lambda city: water.columns(city.water),
    "parcels": lambda city: parcels.columns(city.parcels, city.parcel_streets),
    "streets": lambda city: streets.columns(city.streets),
    "wards": lambda city: areas.wards(city.faces, city.rng("wards")),
    "neighborhoods": lambda city: areas.neighborhoods(city.faces, city.rng("neighborhoods")),
    "police_beats": lambda city: areas.police_beats(city.faces, city.rng("police beats")),
    "land_bank_properties": lambda city: parcels.land_bank(city.parcels, city.parcel_streets, city.rng("land bank")),
    "schools": places.schools,
    "libraries": places.libraries,
    "fire_stations": places.fire_stations,
}
_HAPPENING: Mapping[str, Callable[[City, int], Columns]] = {
    "planning_permits": events.planning_permits,
    "business_licenses": events.business_licenses,
    "service_requests": events.service_requests,
    "police_incidents": events.police_incidents,
}

LAYERS: tuple[str, ...] = (*_STANDING, *_HAPPENING)
"""Every layer of the demo city, in drawing order."""

ELEVATION = "elevation.tif"
"""The file that the layer file of the demo city's raster names."""


def batches(layer_id: str, schema: pa.Schema, *, events: int = 300_000, seed: int = 1) -> Iterator[pa.RecordBatch]:
    """The rows of one layer, in batches of `schema`; the same bytes for the same seed and number of events.

    Args:
        layer_id: one of `LAYERS`.
        schema: the layer's, from the catalog: the columns to fill.
        events: how many there are in the layers of kind "events" together, of a hundred 45 police incidents, 40 service
            requests, 5 permits and 10 licenses.
        seed: of the city; not negative.

    Raises:
        ConfigError: the demo city has no such layer, or the layer file declares a column that it does not have.
    """
    columns = _columns(layer_id, city.build(seed), events)
    if missing := [name for name in schema.names if name not in columns]:
        raise ConfigError(f"{layer_id}.toml: fields.{missing[0]}: the demo city has no such column; it has {', '.join(columns)}")
    rows = pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
    yield from rows.to_batches(max_chunksize=BATCH)


def write_elevation(folder: Path, *, seed: int = 1) -> tuple[int, int]:
    """The raster `ELEVATION` in a folder of rasters, the same bytes for the same seed; its width and height."""
    return elevation.write(city.build(seed), folder / ELEVATION)


def _columns(layer_id: str, made: City, count: int) -> Columns:
    if layer_id in _STANDING:
        return _STANDING[layer_id](made)
    if layer_id in _HAPPENING:
        return _HAPPENING[layer_id](made, events.split(count)[layer_id])
    raise ConfigError(f"{layer_id}: the demo city has no such layer; it has {', '.join(LAYERS)}")

"""The whole city, built once for a seed and shared by its layers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pyarrow as pa
import shapely

from tileserver.demo import areas, lattice, motorways, network, parcels, parks, sections, spots, streets, water
from tileserver.demo.parcels import USES, Parcels
from tileserver.demo.parks import Parks
from tileserver.demo.sections import Pattern, Sections
from tileserver.demo.spots import Spots
from tileserver.demo.streets import Edges, Streets, Zone
from tileserver.demo.water import Water

PEOPLE = {"SINGLE_FAMILY": 3.05, "MULTI_FAMILY": 38.0}
"""Who live on a parcel, on average."""


@dataclass(frozen=True)
class City:
    """Positions are in meters, see `ground`."""

    seed: int
    water: Water
    sections: Sections
    cells: lattice.Cells
    streets: Streets
    edges: Edges
    zones: list[Zone]

    def rng(self, part: str) -> np.random.Generator:
        """Randomness of one part, the same whatever else was made before."""
        return _rng(self.seed, part)

    @cached_property
    def parcels(self) -> Parcels:
        return parcels.build(self.sections, self.cells, self.edges, self.zones, self.rng("parcels"))

    @cached_property
    def parks(self) -> Parks:
        return parks.build(self.sections, self.cells, self.water, self.rng("parks"))

    @cached_property
    def faces(self) -> areas.Faces:
        people = np.array([PEOPLE.get(use, 0.0) for use in USES])[self.parcels.use]
        homes = people > 0
        return areas.faces(self.sections, self.water, self.parcels.corners[homes].mean(axis=1), people[homes])

    @cached_property
    def spots(self) -> Spots:
        return spots.build(self.edges, self.parcels, self.rng("spots"))

    @cached_property
    def street_of_edge(self) -> pa.Array:
        """The name of the street of each edge."""
        return pa.array(self.streets.name).take(pa.array(self.edges.street))

    @cached_property
    def parcel_streets(self) -> pa.Array:
        """The name of the street of each parcel."""
        return self.street_of_edge.take(pa.array(self.parcels.edge))


@lru_cache(maxsize=2)
def build(seed: int) -> City:
    land = sections.build(_rng(seed, "sections"))
    rivers = water.build(_rng(seed, "water"))
    middles = land.centers[land.pattern == Pattern.PARK]
    apart = ~shapely.intersects(shapely.union_all(motorways.corridors(350)), shapely.points(middles))
    rivers = water.with_ponds(rivers, middles[apart][::2], _rng(seed, "ponds"))
    edges, cells = lattice.lay_out(land, _rng(seed, "lattice"))
    zones = streets.free_zones(rivers)
    raw = network.build(land, edges, _rng(seed, "network"))
    named, numbered = streets.build(land, raw, rivers, zones, _rng(seed, "streets"))
    return City(seed, rivers, land, cells, named, numbered, zones)


def _rng(seed: int, part: str) -> np.random.Generator:
    return np.random.default_rng([seed, *part.encode()])

"""What a tile is asked for and what it shows, of points (`tile.py`) as of shapes (`shapes.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tileserver import mvt
from tileserver.snapshot import Snapshot
from tileserver.snapshot.cells import Groups
from tileserver.snapshot.clip import EXTENT
from tileserver.snapshot.columns import Rows
from tileserver.snapshot.detail import GRID
from tileserver.snapshot.morton import morton_one
from tileserver.snapshot.order import WORLD_BITS

EXTENT_BITS = EXTENT.bit_length() - 1


@dataclass(frozen=True, slots=True)
class Address:
    z: int
    x: int
    y: int

    @property
    def span(self) -> int:
        """The side of a tile in world units."""
        return 1 << (WORLD_BITS - self.z)

    @property
    def left(self) -> int:
        """Where it begins in the west, in world units."""
        return self.x * self.span

    @property
    def top(self) -> int:
        """Where it begins in the north, in world units."""
        return self.y * self.span

    @property
    def codes(self) -> tuple[int, int]:
        """The first and the last Morton code of the tile."""
        first = morton_one(self.left, self.top)
        return first, first + self.span**2 - 1

    @property
    def shift(self) -> int:
        """How many bits of a world unit are below a tile unit; less than 0 where tile units are the smaller ones."""
        return WORLD_BITS - self.z - EXTENT_BITS

    def units(self, world: NDArray[np.int64]) -> NDArray[np.int64]:
        """World units from the tile's corner on → units of the tile, floored."""
        return world >> self.shift if self.shift >= 0 else world << -self.shift

    def place(self, snapshot: Snapshot, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The positions of rows in units of the tile, floored, shape (k,) each."""
        x, y = (self.units(axis[rows] - np.int64(corner)) for axis, corner in ((snapshot.x, self.left), (snapshot.y, self.top)))
        return x, y


@dataclass(frozen=True, slots=True)
class Options:
    grid: int = GRID
    aggregate: Literal["auto", "always", "never"] = "auto"


@dataclass(frozen=True, slots=True)
class Content:
    """What a tile shows of a layer: rows as they are, and groups; with the geometry of both, in this order."""

    members: Rows
    groups: Groups
    geometry: mvt.Geometry
    total: int

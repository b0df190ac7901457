"""Tiles without any filter that hold so many rows that they are drawn when the snapshot is built: those of the middle zooms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tileserver.snapshot import columns
from tileserver.snapshot.columns import Entry


@dataclass(frozen=True, slots=True)
class Rendered:
    """Each tile by the number of its address, `key`, ascending."""

    keys: NDArray[np.uint64]
    """Shape (t,)."""
    ends: NDArray[np.int64]
    """Shape (t + 1,): tile i is bytes [ends[i], ends[i + 1])."""
    rows: NDArray[np.int64]
    """How many rows each tile holds, shape (t,)."""
    data: NDArray[np.uint8]

    @classmethod
    def open(cls, folder: Path, entries: dict[str, Entry]) -> Self:
        return cls(**{name: columns.map_array(folder, entry) for name, entry in entries.items()})

    def get(self, z: int, x: int, y: int) -> tuple[bytes, int] | None:
        """A tile and how many rows it holds."""
        wanted = np.uint64(key(z, x, y))
        place = int(np.searchsorted(self.keys, wanted))
        if place == len(self.keys) or self.keys[place] != wanted:
            return None
        return self.data[self.ends[place] : self.ends[place + 1]].tobytes(), int(self.rows[place])


def key(z: int, x: int, y: int) -> int:
    """One number for a tile of a zoom up to 28."""
    return z << 58 | y << 29 | x

"""Draws what `rendered.py` keeps, as the last step of a build."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tileserver.filters import Filter
from tileserver.snapshot import Snapshot
from tileserver.snapshot.columns import ArrayFile, Entry
from tileserver.snapshot.morton import unmorton
from tileserver.snapshot.order import WORLD_BITS
from tileserver.snapshot.rendered import key
from tileserver.snapshot.tile import Address, Options, draw

MANY = 50_000
"""Rows from which on a tile is drawn beforehand: what takes longer than some ten milliseconds on demand."""


def write(snapshot: Snapshot, folder: Path, *, progress: bool) -> dict[str, Entry]:
    """Draw the tiles without filter that hold many rows and fit the limit of bytes, and say which files hold them."""
    addresses = sorted(_full(snapshot), key=lambda address: key(address.z, address.x, address.y))
    keys, ends, rows = [], [0], []
    data = ArrayFile(folder, "rendered.data", np.dtype(np.uint8))
    for address in tqdm(addresses, desc=f"{snapshot.layer.id}: drawing", unit=" tiles", disable=not progress):
        drawn = draw(snapshot, Filter(), address, Options())
        if not drawn.dropped:
            keys.append(key(address.z, address.x, address.y))
            ends.append(ends[-1] + len(drawn.data))
            rows.append(drawn.total)
            data.append(np.frombuffer(drawn.data, np.uint8))
    entries = {"data": data.finish()}
    for name, values in {"keys": np.array(keys, np.uint64), "ends": np.array(ends), "rows": np.array(rows, np.int64)}.items():
        file = ArrayFile(folder, f"rendered.{name}", values.dtype)
        file.append(values)
        entries[name] = file.finish()
    return entries


def _full(snapshot: Snapshot) -> Iterator[Address]:
    """The tiles that hold many rows, but for those inside of one leaf, which hold little."""
    leaves = snapshot.leaves
    held = leaves.bounds[:, -1] - leaves.bounds[:, 0]
    for zoom in range(snapshot.layer.tiles.minzoom, snapshot.layer.tiles.maxzoom + 1):
        fine = leaves.levels >= zoom
        codes = leaves.codes[fine] >> np.uint64(2 * (WORLD_BITS - zoom)) if zoom else np.zeros(int(fine.sum()), np.uint64)
        tiles, of_leaf = np.unique(codes, return_inverse=True)
        rows = np.bincount(of_leaf, weights=held[fine], minlength=len(tiles))
        for x, y in zip(*(axis.tolist() for axis in unmorton(tiles[rows >= MANY])), strict=True):
            yield Address(zoom, x, y)

"""Draws what `rendered.py` keeps, as the last step of a build."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
"""Rows from which on a tile of points is drawn beforehand: what takes longer than some ten milliseconds on demand."""
MANY_SHAPES = 50
"""Of shapes: what takes longer than some two milliseconds, most of which are the same for any tile. So tiles are at most one for
each fifty shapes, at each zoom."""
HELD = 64
"""Drawn tiles that wait in memory for those before them to be written."""


def write(snapshot: Snapshot, folder: Path, *, progress: bool) -> dict[str, Entry]:
    """Draw the tiles without filter that hold many rows and fit the limit of bytes, and say which files hold them."""
    addresses = sorted(_full(snapshot), key=lambda address: key(address.z, address.x, address.y))
    keys, ends, rows = [], [0], []
    data = ArrayFile(folder, "rendered.data", np.dtype(np.uint8))
    bar = tqdm(total=len(addresses), desc=f"{snapshot.layer.id}: drawing", unit=" tiles", disable=not progress)
    with bar, ThreadPoolExecutor(2) as drawers:
        for begin in range(0, len(addresses), HELD):
            some = addresses[begin : begin + HELD]
            for address, drawn in zip(some, drawers.map(lambda each: draw(snapshot, Filter(), each, Options()), some), strict=True):
                if not drawn.dropped:
                    keys.append(key(address.z, address.x, address.y))
                    ends.append(ends[-1] + len(drawn.data))
                    rows.append(drawn.total)
                    data.append(np.frombuffer(drawn.data, np.uint8))
                bar.update()
    entries = {"data": data.finish()}
    for name, values in {"keys": np.array(keys, np.uint64), "ends": np.array(ends), "rows": np.array(rows, np.int64)}.items():
        file = ArrayFile(folder, f"rendered.{name}", values.dtype)
        file.append(values)
        entries[name] = file.finish()
    return entries


def _full(snapshot: Snapshot) -> Iterator[Address]:
    """The tiles that hold many rows; of points but for those inside of one leaf, which hold little."""
    if snapshot.layer.is_points:
        leaves, many = snapshot.leaves, MANY
        codes, levels, held = leaves.codes, leaves.levels, leaves.bounds[:, -1] - leaves.bounds[:, 0]
    else:
        codes, many = snapshot.codes(np.arange(snapshot.positioned)), MANY_SHAPES
        levels, held = np.full(len(codes), WORLD_BITS, np.uint8), np.ones(len(codes), np.int64)
    for zoom in range(snapshot.layer.tiles.minzoom, snapshot.layer.tiles.maxzoom + 1):
        fine = levels >= zoom
        above = codes[fine] >> np.uint64(2 * (WORLD_BITS - zoom)) if zoom else np.zeros(int(fine.sum()), np.uint64)
        tiles, of_code = np.unique(above, return_inverse=True)
        rows = np.bincount(of_code, weights=held[fine], minlength=len(tiles))
        for x, y in zip(*(axis.tolist() for axis in unmorton(tiles[rows >= many])), strict=True):
            yield Address(zoom, x, y)

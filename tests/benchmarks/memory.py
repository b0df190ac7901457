"""Memory of four workers of `tileserver serve`, with few rows and with many: what each has for itself, and what they share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from unittest.mock import patch
from urllib.parse import urlencode

import numpy as np
from serving import serving, status, wait_until
from tqdm import tqdm

from benchmarks import reports
from benchmarks.asked import CASES
from benchmarks.reports import LATTICE, LAYER, LAYER_FILE, NORTH, SIDE, WEST
from benchmarks.servers import NO_CACHE
from benchmarks.tables import Aim, Measured
from tileserver.stores import open_store

WORKERS = 4
TILES = 600
"""Asked for in all, over zooms 0 to 16 and every sort of filter."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the workers together or one by one, in MB."""

    private: Sequence[float]
    """What each has written to for itself, shape (workers,)."""
    proportional: float
    """PSS of all: what they have for themselves, and their part of what is shared, mapped files among it."""


def measure(rows: int) -> Measured:
    lines, grown = [], []
    for count in tqdm((rows // 10, rows), desc="four workers", leave=False):
        before, after = _asked(count)
        lines.append(
            {
                "rows": f"{count:,}",
                "private before, MB a worker": mean(before.private),
                "private after, MB a worker": mean(after.private),
                "private after, most": max(after.private),
                "PSS of four before, MB": before.proportional,
                "PSS of four after, MB": after.proportional,
            }
        )
        grown.append(mean(after.private))
    title = f"Memory of {WORKERS} workers before and after {TILES} tiles"
    each = (grown[1] - grown[0]) * 2**20 / (rows - rows // 10)
    aim = Aim("private memory of a worker, for each row more", each, 4, at_most=True, unit="bytes")
    return Measured({title: lines}, [aim])


def _asked(rows: int) -> tuple[Memory, Memory]:
    """Before any tile is asked for, and after many. Nothing is kept of tiles: that grows up to a setting, and not with rows."""
    with tempfile.TemporaryDirectory(prefix="tileserver-bench-") as name:
        folder = Path(name)
        (folder / "layers").mkdir()
        (folder / "layers" / f"{LAYER.id}.toml").write_text(LAYER_FILE, "utf-8")
        with open_store(str(folder / "data")) as store:
            store.publish(LAYER, reports.batches(rows))
        options = ["--layers", str(folder / "layers"), "--snapshots", str(folder / "snapshots"), "--workers", str(WORKERS)]
        with patch.dict(os.environ, NO_CACHE), serving(str(folder / "data"), *options) as (process, origin):
            wait_until(lambda: status(f"{origin}/health/ready") == 200, seconds=600)
            workers = _listening(process.pid, int(origin.rpartition(":")[2]))
            before = _memory(workers)
            with ThreadPoolExecutor(2 * WORKERS) as pool:
                assert set(pool.map(status, _urls(origin))) <= {200, 204}
            return before, _memory(workers)


def _urls(origin: str) -> list[str]:
    """Tiles over the city, each on a connection of its own, so that they come to all workers."""
    random = np.random.default_rng(5)
    urls = []
    for at in range(TILES):
        zoom, make = at % 17, list(CASES.values())[at % len(CASES)]
        x, y = (int(corner + random.integers(SIDE)) * 2**zoom // LATTICE for corner in (WEST, NORTH))
        urls.append(f"{origin}/tiles/{LAYER.id}/{zoom}/{x}/{y}.mvt?{urlencode(make(random).items)}")
    return urls


def _listening(parent: int, port: int) -> list[int]:
    """The processes below one that have the port's socket: the workers, and not the indexer."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    sockets = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "0A"}
    children = [child for path in Path(f"/proc/{parent}/task").glob("*/children") for child in path.read_text().split()]
    workers = [int(child) for child in children if sockets & {_link(path) for path in Path(f"/proc/{child}/fd").iterdir()}]
    assert len(workers) == WORKERS, f"{len(workers)} workers listen"
    return workers


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""  # closed meanwhile


def _memory(workers: Sequence[int]) -> Memory:
    read = [_rollup(worker) for worker in workers]
    return Memory([each["Private_Dirty"] for each in read], sum(each["Pss"] for each in read))


def _rollup(process: int) -> dict[str, float]:
    """Linux's own sums over a process's mappings, in MB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    return {name.rstrip(":"): int(size) / 1024 for name, size, *_ in map(str.split, lines)}

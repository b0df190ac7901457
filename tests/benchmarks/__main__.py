"""Runs the benchmarks, or those parts that are named; prints what they measured as tables, and writes it to `bench.json`."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import shapely
from postgres import cluster, database

from benchmarks import building, growth, ingest, memory, parcels, peers, points, reports, shapes
from benchmarks.reports import LAYER
from benchmarks.tables import Measured, table
from tileserver.snapshot import Snapshot

RESULT = Path("bench.json")
ROWS = 3_000_000

KIND_TO_TILES = {
    "shared_buffers": "1GB",
    "work_mem": "256MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}
"""Settings of a database that tiles are made from: all of it in memory, and no time lost on compiling or on parallel workers.

`random_page_cost` stays what it is. Lower, as many set it, makes PostgreSQL follow the index of time for years on end, in seconds.
"""


class City:
    """What is in PostGIS, and the snapshot of the reports, made when the first part asks for them."""

    def __init__(self, stack: ExitStack, rows: int) -> None:
        self._stack = stack
        self._rows = rows

    @cached_property
    def _cluster(self) -> str:
        return self._stack.enter_context(cluster(**KIND_TO_TILES))

    @cached_property
    def database(self) -> str:
        """Of the reports."""
        reports.load(self._cluster, self._rows)
        return self._cluster

    @cached_property
    def shapes(self) -> str:
        """The database of the parcels and streets: as many fewer as there are fewer reports, in a city as dense."""
        address = self._stack.enter_context(database(self._cluster))
        parcels.load(address, parcels.COUNT * self._rows // ROWS)
        return address

    @cached_property
    def snapshot(self) -> Snapshot:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tileserver-bench-")))
        return Snapshot(LAYER, folder / LAYER.id / building.from_postgis(self.database, folder))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; without any, all of them")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of the city's reports; {ROWS:,} unless given")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    run(arguments.parts or list(PARTS), arguments.rows)


def run(parts: Sequence[str], rows: int) -> None:
    found = {}
    with ExitStack() as stack, cluster(fsync="on") as ordinary:
        told = _versions(ordinary)
        print("\n".join(f"{name}: {version}" for name, version in told.items()), flush=True)
        city = City(stack, rows)
        for part in parts:
            found[part] = measured = PARTS[part](ordinary, city, rows)
            _print(measured)
    aims = [aim.row() for measured in found.values() for aim in measured.aims]
    if aims:
        print(f"\nAims\n\n{table(aims)}")
    results = {part: asdict(measured) for part, measured in found.items()}
    RESULT.write_bytes(orjson.dumps({"versions": told, "rows": rows, **results}, option=orjson.OPT_INDENT_2))
    print(f"\nWritten to {RESULT}")


PARTS: dict[str, Callable[[str, City, int], Measured]] = {
    "ingest": lambda ordinary, _, __: ingest.measure(ordinary),
    "points": lambda _, city, __: points.measure(city.database, city.snapshot),
    "shapes": lambda _, city, __: shapes.measure(city.shapes),
    "building": lambda _, city, __: building.measure(city.database),
    "growth": lambda _, __, rows: growth.measure(rows),
    "memory": lambda _, __, rows: memory.measure(rows),
    "peers": lambda _, city, __: peers.measure(city.database, city.snapshot),
}


def _print(measured: Measured) -> None:
    for title, rows in measured.tables.items():
        print(f"\n{title}\n\n{table(rows)}", flush=True)
    for note in measured.notes:
        print(f"\n{note}", flush=True)


def _versions(database: str) -> dict[str, str]:
    """Of what is measured, and of what it runs on."""
    return {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "load at start": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
        "geos": shapely.geos_version_string,
        **ingest.versions(database),
        **peers.versions(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()

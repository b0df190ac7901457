"""Runs the benchmarks, prints what they measured as tables, and writes it to `bench.json`."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import orjson
from postgres import cluster

from benchmarks import ingest
from benchmarks.tables import table

RESULT = Path("bench.json")


def main() -> None:
    with cluster(fsync="on") as address:
        versions = {"python": platform.python_version(), "cores": str(os.cpu_count()), **ingest.versions(address)}
        print(", ".join(f"{name} {version}" for name, version in versions.items()), flush=True)
        measured = {"ingest": ingest.measure(address)}
    for name, rows in measured.items():
        print(f"\n{name}\n{table(rows)}")
    RESULT.write_bytes(orjson.dumps({"versions": versions, **measured}, option=orjson.OPT_INDENT_2))
    print(f"\nWritten to {RESULT}")


if __name__ == "__main__":
    main()

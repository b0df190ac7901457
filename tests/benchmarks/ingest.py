"""How fast a file comes into PostGIS: `tileserver ingest` beside COPY of the same rows and beside ogr2ogr."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

from benchmarks import incidents
from benchmarks.incidents import LAYER
from benchmarks.tables import Aim, Measured
from tileserver.ingest import ingest
from tileserver.stores import open_store

ROWS = 300_000
ROUNDS = 3

TABLE = "city.incidents"
EMPTY = """
DROP TABLE IF EXISTS city.incidents;
CREATE TABLE city.incidents (
    incident_id bigint PRIMARY KEY, occurred_at timestamptz, offense text, district text, address text,
    loss double precision, geometry geometry(Point, 4326)
);
CREATE INDEX ON city.incidents USING gist (geometry);
CHECKPOINT
"""
NONE = "DROP TABLE IF EXISTS city.incidents; CHECKPOINT"
VRT = """
<OGRVRTDataSource>
  <OGRVRTLayer name="incidents">
    <SrcDataSource>{file}</SrcDataSource>
    <FID>incident_id</FID>
    <GeometryType>wkbPoint</GeometryType>
    <LayerSRS>EPSG:4326</LayerSRS>
    <GeometryField name="geometry" encoding="PointFromColumns" x="longitude" y="latitude"/>
    <Field name="occurred_at" type="DateTime"/>
    <Field name="offense"/>
    <Field name="district"/>
    <Field name="address"/>
    <Field name="loss" type="Real"/>
  </OGRVRTLayer>
</OGRVRTDataSource>
"""
FINGERPRINT = "SELECT count(*), sum(hashtextextended(incidents::text, 0)) FROM city.incidents"


def versions(address: str) -> dict[str, str]:
    """Of what is compared."""

    async def ask() -> dict[str, str]:
        connection = await asyncpg.connect(address)
        try:
            postgresql, postgis = await connection.fetchrow("SELECT current_setting('server_version'), postgis_lib_version()")
            return {"postgresql": postgresql.split()[0], "postgis": postgis}
        finally:
            await connection.close()

    return {**asyncio.run(ask()), "gdal": _gdal()}


def _gdal() -> str:
    if not shutil.which("ogr2ogr"):
        return "not installed"
    told = subprocess.run(["ogr2ogr", "--version"], capture_output=True, text=True, check=True).stdout
    return told.removeprefix("GDAL ").partition(",")[0]


def measure(address: str, rows: int = ROWS, rounds: int = ROUNDS) -> Measured:
    """The median of `rounds` rounds in which each way has its turn, as rows a second, and as ratios to COPY and to ogr2ogr.

    COPY and ogr2ogr fill a table that is empty and has its primary key and its GiST index, and so does the first ingest; the
    second one makes the table itself. The last two find all their rows there already.
    """
    with tempfile.TemporaryDirectory(prefix="tileserver-bench-") as name:
        ways = Ways(address, Path(name), rows)
        turns: dict[str, Callable[[], float]] = {
            "COPY into the indexed table": lambda: ways.seconds(ways.copy, EMPTY),
            "ogr2ogr into the indexed table": lambda: ways.seconds(ways.ogr2ogr, EMPTY),
            "ogr2ogr with PG_USE_COPY into the indexed table": lambda: ways.seconds(ways.ogr2ogr_copy, EMPTY),
            "ingest into the indexed table": lambda: ways.seconds(ways.ingest, EMPTY),
            "ingest into a new table": lambda: ways.seconds(ways.ingest, NONE),
            "ingest of the same rows again": lambda: ways.seconds(ways.ingest),
            "ingest --replace of the same rows again": lambda: ways.seconds(ways.replace),
        }
        taken: dict[str, list[float]] = {way: [] for way in turns}
        for _ in range(rounds):
            for way, turn in turns.items():
                taken[way].append(turn())
    medians = {way: median(seconds) for way, seconds in taken.items()}
    copy, ogr2ogr = (medians[f"{way} into the indexed table"] for way in ("COPY", "ogr2ogr"))
    lines = [
        {"way": way, "seconds": taken, "rows/s": int(rows / taken), "× COPY": copy / taken, "× ogr2ogr": ogr2ogr / taken}
        for way, taken in medians.items()
    ]
    own = medians["ingest into the indexed table"]
    aims = [Aim("ingest to COPY, rows a second", copy / own, 0.6), Aim("ingest to ogr2ogr, rows a second", ogr2ogr / own, 3)]
    return Measured({f"Ingest of {rows:,} rows into PostGIS": lines}, aims)


class Ways:
    """The ways in, each into the same table; a file of `rows` rows in a folder, and the same rows as COPY takes them."""

    def __init__(self, address: str, folder: Path, rows: int) -> None:
        self._address = address
        self._folder = folder
        self._rows = rows
        self._file = folder / "incidents.csv"
        incidents.write(self._file, rows)
        self.run("CREATE SCHEMA IF NOT EXISTS city;" + NONE)
        self.ingest()
        self._copied = self._dump()
        self._stored = self.run(FINGERPRINT)

    def run(self, sql: str) -> Any:
        """The first row that a statement gives, if any."""

        async def ask() -> Any:
            connection = await asyncpg.connect(self._address)
            try:
                return await (connection.fetchrow(sql) if sql.startswith("SELECT") else connection.execute(sql))
            finally:
                await connection.close()

        return asyncio.run(ask())

    def seconds(self, way: Callable[[], object], before: str = "") -> float:
        """How long a way takes; what it leaves in the table is checked."""
        self.run(before or "CHECKPOINT")
        begin = time.perf_counter()
        way()
        taken = time.perf_counter() - begin
        assert self.run(FINGERPRINT) == self._stored, f"{way.__name__} left other rows in the table"
        return taken

    def ingest(self, *, replace: bool = False) -> None:
        with open_store(self._address) as store:
            ledger = ingest(LAYER, store, [str(self._file)], folder=self._folder, home=self._folder, replace=replace)
        assert (ledger.read, ledger.rejected) == (self._rows, 0)

    def replace(self) -> None:
        self.ingest(replace=True)

    def copy(self) -> None:
        """COPY in its text format, with geometries as EWKB in hexadecimal, as pg_dump writes them."""

        async def copy() -> None:
            connection = await asyncpg.connect(self._address)
            try:
                await connection.copy_to_table("incidents", schema_name="city", source=io.BytesIO(self._copied))
            finally:
                await connection.close()

        asyncio.run(copy())

    def ogr2ogr(self) -> None:
        """GDAL's own tool, from the same file, into a table that is there: by INSERT. A VRT says which column is what."""
        self._ogr2ogr("NO")

    def ogr2ogr_copy(self) -> None:
        """The same, told to use COPY."""
        self._ogr2ogr("YES")

    def _ogr2ogr(self, use_copy: str) -> None:
        settings = {"PG_USE_COPY": use_copy, "PGTZ": LAYER.timezone}
        source = self._folder / "incidents.vrt"
        source.write_text(VRT.format(file=self._file), "utf-8")
        command = ["ogr2ogr", "-append", "-preserve_fid", "-f", "PostgreSQL", f"PG:{self._address}", str(source), "-nln", TABLE]
        done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def _dump(self) -> bytes:
        async def dump() -> bytes:
            connection = await asyncpg.connect(self._address)
            try:
                rows = io.BytesIO()
                await connection.copy_from_table("incidents", schema_name="city", output=rows)
                return rows.getvalue()
            finally:
                await connection.close()

        return asyncio.run(dump())

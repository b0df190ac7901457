"""Reports over a made-up city, as many as wanted and the same for the same seed: as Arrow batches, and as a table of PostGIS."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterator, Sequence

import adbc_driver_postgresql.dbapi as adbc
import asyncpg
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tqdm import tqdm

from tileserver.catalog import Layer
from tileserver.snapshot.mercator import WORLD, geographic

BATCH = 100_000

OFFENSES = [
    "THEFT",
    "ASSAULT",
    "BURGLARY",
    "VANDALISM",
    "FRAUD",
    "DRUGS",
    "TRESPASS",
    "ROBBERY",
    "WEAPONS",
    "ARSON",
    "KIDNAPPING",
    "HOMICIDE",
]
DISTRICTS = ["NORTHWEST", "NORTH", "NORTHEAST", "SOUTHWEST", "SOUTH", "SOUTHEAST"]
STREETS = ["MAIN", "OAK", "MAPLE", "CEDAR", "RIVER", "HILL", "PARK", "CHURCH", "MILL", "LAKE", "PINE", "ELM"]
WAYS = ["ST", "AVE", "DR", "RD", "LN"]
ADDRESSES = [f"{100 * block} {street} {way}" for block in range(1, 251) for street in STREETS for way in WAYS]

LAYER_FILE = """
title = "Reports"
kind = "events"
table = "city.reports"
timezone = "America/Chicago"
bounds = [-92.6, 34.5, -92.1, 35.0]

[fields]
report_id = { role = "id", type = "integer" }
occurred_at = { role = "time" }
offense = { role = "category" }
district = { role = "category" }
loss = { type = "number", measure = true, unit = "USD" }
address = {}
"""
LAYER = Layer.model_validate({"id": "reports", **tomllib.loads(LAYER_FILE)})

FIRST_DAY = np.datetime64("2019-01-01", "us")
DAYS = 6 * 365

# Everything happens in the middle of a square of a lattice of 2^23 squares along the world's side, each 4.8 m wide in Web
# Mercator. PostGIS compares boxes in single precision, which is 1 m off here: so no report is that near to the edge of a tile or
# of a cell, and every way of counting agrees to the row.
LATTICE = 2**23
METERS = 40_075_016.685578488 / LATTICE
"""The side of a lattice square."""
WEST, NORTH = 2_040_000, 3_326_700
"""The city's corner in lattice squares: longitude -92.45, latitude 34.86."""
SIDE = 6_400
"""The city's side in lattice squares: 25 km on the ground, all of it in one tile of zoom 10."""

TABLE = """
CREATE SCHEMA city;
CREATE TABLE city.reports AS
SELECT report_id, occurred_at, offense, district, loss, address,
       ST_SetSRID(ST_MakePoint(x, y), 3857)::geometry(Point, 3857) AS geometry
FROM brought ORDER BY geometry;
DROP TABLE brought;
ALTER TABLE city.reports ADD PRIMARY KEY (report_id);
CREATE INDEX ON city.reports USING gist (geometry);
CREATE EXTENSION pg_prewarm
"""
PREWARM = """
SELECT pg_prewarm(oid::regclass) FROM pg_class WHERE relnamespace = 'city'::regnamespace AND relkind IN ('r', 'i')
"""


def batches(rows: int, offenses: Sequence[str] = OFFENSES) -> Iterator[pa.RecordBatch]:
    """All rows, in batches of the layer's schema."""
    for columns, x, y in _columns(rows, offenses):
        point = np.zeros(len(x), np.dtype([("order", "u1"), ("type", "<u4"), ("lon", "<f8"), ("lat", "<f8")]))
        point["order"] = point["type"] = 1
        point["lon"], point["lat"] = geographic(*((squares.astype(np.float64) + 0.5) * (WORLD / LATTICE) for squares in (x, y)))
        offsets = np.arange(len(x) + 1, dtype=np.int32) * point.itemsize
        wkb = pa.Array.from_buffers(pa.binary(), len(x), [None, pa.py_buffer(offsets), pa.py_buffer(point)])
        yield pa.record_batch([*columns.values(), wkb], schema=LAYER.schema)


def load(address: str, rows: int) -> None:
    """Bring the rows into the table `city.reports` in the way that is kindest to who makes tiles from it.

    Its geometry is in Web Mercator, so that no query transforms any; rows that are near lie near, in the Hilbert order by which
    PostGIS sorts points; there are a primary key, an index of place as `tileserver ingest` makes it, and fresh statistics; all of
    it is in memory.
    """
    with adbc.connect(address) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("brought", pa.RecordBatchReader.from_batches(_BROUGHT, _brought(rows)))
        connection.commit()

    async def arrange() -> None:
        connection = await asyncpg.connect(address)
        try:
            for statement in TABLE.split(";"):
                await connection.execute(statement)
            await connection.execute("VACUUM (ANALYZE, FREEZE) city.reports")
            await connection.execute(PREWARM)
        finally:
            await connection.close()

    asyncio.run(arrange())


_BROUGHT = pa.schema([*list(LAYER.schema)[:-1], pa.field("x", pa.float64()), pa.field("y", pa.float64())])


def _brought(rows: int) -> Iterator[pa.RecordBatch]:
    """Rows with their positions in meters of Web Mercator."""
    for columns, x, y in _columns(rows, OFFENSES):
        meters = (x + 0.5 - LATTICE / 2) * METERS, (LATTICE / 2 - y - 0.5) * METERS
        yield pa.record_batch([*columns.values(), *map(pa.array, meters)], schema=_BROUGHT)


def _columns(rows: int, offenses: Sequence[str]) -> Iterator[tuple[dict[str, pa.Array], NDArray[np.int64], NDArray[np.int64]]]:
    """The fields, and where each row is in lattice squares: half of the rows anywhere, others around 200 places, some exactly
    at one of 500 addresses. Batch by batch from seeds of their own, so that fewer rows are the first of more."""
    random = np.random.default_rng(0)
    centres, crowded = random.uniform(0, SIDE, (200, 2)), random.uniform(0, SIDE, (500, 2))
    share = 1 / np.arange(1, len(offenses) + 1)
    for start in tqdm(range(0, rows, BATCH), desc=f"{rows:,} reports", unit=" batches", leave=False):
        count = min(BATCH, rows - start)
        random = np.random.default_rng((1, start))
        places = random.uniform(0, SIDE, (count, 2))
        near, at = slice(count // 2, count), slice(count - count // 20, count)
        places[near] = centres[random.integers(0, 200, count - near.start)] + random.normal(0, 150, (count - near.start, 2))
        places[at] = crowded[random.integers(0, 500, count - at.start)]
        x, y = (places % SIDE).astype(np.int64).T
        district = x * 3 // SIDE + 3 * (y * 2 // SIDE)
        loss = np.round(random.gamma(1, 400, count), 2)
        times = FIRST_DAY + random.integers(0, DAYS * 24 * 60, count) * np.timedelta64(60_000_000, "us")
        columns = {
            "report_id": pa.array(np.arange(start, start + count)),
            "occurred_at": pa.array(times).cast(LAYER.schema.field("occurred_at").type),
            "offense": pa.array(offenses).take(pa.array(random.choice(len(offenses), count, p=share / share.sum()))),
            "district": pa.array(DISTRICTS).take(pa.array(district)),
            "loss": pa.array(loss, mask=random.random(count) < 0.3),
            "address": pa.array(ADDRESSES).take(pa.array(random.integers(0, len(ADDRESSES), count))),
        }
        yield columns, x + WEST, y + NORTH

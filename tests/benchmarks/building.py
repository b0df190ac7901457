"""How long a snapshot takes to build from PostGIS, beside reading the same columns; and how many bytes it has."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import adbc_driver_postgresql.dbapi as adbc
from postgres import run_sql
from tqdm import tqdm

from benchmarks.reports import LAYER
from benchmarks.tables import Aim, Measured
from tileserver.catalog import Layer
from tileserver.snapshot import Snapshot
from tileserver.snapshot.build import build
from tileserver.stores import open_store

ROUNDS = 3

TABLE = "CREATE TABLE city.published AS SELECT report_id, occurred_at, offense, district, loss, address, {} FROM city.reports"
GEOMETRY = "ST_Transform(geometry, 4326)::geometry(Point, 4326) AS geometry"
READ = "SELECT report_id, occurred_at, offense, district, loss, address, ST_AsBinary(geometry) FROM city.published"
PUBLISHED = LAYER.model_copy(update={"table": "city.published"})
"""The same rows in degrees, as an ingest publishes them."""


def measure(address: str) -> Measured:
    reads, builds = [], []
    run_sql(address, TABLE.format(GEOMETRY))
    with tempfile.TemporaryDirectory(prefix="tileserver-bench-") as name:
        for _ in tqdm(range(ROUNDS), desc="builds", leave=False):
            reads.append(_seconds_to_read(address))
            begin = time.perf_counter()
            revision = from_postgis(address, Path(name), PUBLISHED)
            builds.append(time.perf_counter() - begin)
            place = Path(name) / LAYER.id / revision
            snapshot = Snapshot(LAYER, place)
            text, beside = _bytes(snapshot, place)
            shutil.rmtree(Path(name) / LAYER.id)
    run_sql(address, "DROP TABLE city.published")
    rows = snapshot.rows
    line = {
        "rows": f"{rows:,}",
        "read through ADBC, s": median(reads),
        "build, s": median(builds),
        "ratio": median(builds) / median(reads),
        "bytes a row beside text": beside / rows,
        "bytes a row of text": text / rows,
    }
    aims = [
        Aim("build from PostGIS to the read through ADBC", median(builds) / median(reads), 2.5, at_most=True),
        Aim("bytes a row beside text", beside / rows, 64, at_most=True, unit="bytes"),
    ]
    return Measured({"Building a snapshot": [line]}, aims)


def from_postgis(address: str, folder: Path, layer: Layer = LAYER) -> str:
    """The revision of the snapshot of the table, as the indexer builds it."""
    with open_store(address) as store:
        return build(layer, store.read(layer), folder)


def _seconds_to_read(address: str) -> float:
    """All rows as Arrow batches, which nobody keeps."""
    begin = time.perf_counter()
    with adbc.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute(READ)
        rows = sum(batch.num_rows for batch in cursor.fetch_record_batch())
    assert rows
    return time.perf_counter() - begin


def _bytes(snapshot: Snapshot, folder: Path) -> tuple[int, int]:
    """Of a snapshot's files: those of text fields, and all others."""
    columns = (column for column in snapshot.manifest["columns"].values() if column["kind"] == "text")
    texts = {file["file"] for column in columns for file in column["files"].values()}
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    text = sum(sizes[name] for name in texts)
    return text, sum(sizes.values()) - text

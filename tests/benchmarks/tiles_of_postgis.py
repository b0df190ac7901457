"""Tiles that PostGIS makes: `ST_AsMVT` of the rows, as every server of tables does, and over the same cells as ours."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any, Self

import asyncpg

from benchmarks.asked import Asked
from tileserver.snapshot.tile import Address

CIRCUMFERENCE = 40_075_016.685578488
"""Of the world in meters of Web Mercator."""

ROWS = """
SELECT ST_AsMVT(tile, 'reports', 4096, 'geometry') FROM (
    SELECT ST_AsMVTGeom(geometry, ST_TileEnvelope($1, $2, $3), 4096, 64, true) AS geometry,
           report_id, occurred_at, offense, district, loss, address
    FROM city.reports
    WHERE geometry && ST_TileEnvelope($1, $2, $3, margin => 64.0 / 4096) AND {condition}
) AS tile
"""
"""All rows of a tile, with a buffer of 64 units as martin's."""

CELLS = """
SELECT ST_AsMVT(tile, 'reports', 4096, 'geometry') FROM (
    SELECT ST_AsMVTGeom(
               ST_SetSRID(ST_MakePoint(avg(ST_X(geometry)), avg(ST_Y(geometry))), 3857), ST_TileEnvelope($1, $2, $3), 4096, 64, true
           ) AS geometry, count(*) AS point_count, sum(loss) AS sum_loss
    FROM city.reports
    WHERE geometry && ST_TileEnvelope($1, $2, $3) AND {condition}
    GROUP BY floor(ST_X(geometry) / $4)::integer, floor(ST_Y(geometry) / $4)::integer
) AS tile
"""
"""64 × 64 cells of a tile, each with the count, the mean position and the sum of the measure; $4 is the side of a cell in meters.
No leading value of each category, which ours has: that would take a second grouping."""

SETTINGS = {"jit": "off", "max_parallel_workers_per_gather": "0", "plan_cache_mode": "force_custom_plan"}
"""As servers of tiles set their sessions. Each execution is planned with its values: a generic plan does not see the tile."""


class Postgis:
    """One connection with its prepared statements, one text for each kind of filter."""

    def __init__(self, address: str) -> None:
        self._runner = asyncio.Runner()
        self._connection: Any = self._runner.run(asyncpg.connect(address, server_settings=SETTINGS, command_timeout=600))
        self._prepared: dict[str, Any] = {}

    def tile(self, statement: str, address: Address, asked: Asked) -> tuple[bytes, float]:
        """A tile, and the seconds until all of its bytes were here."""
        data, seconds = self.value(statement, address, asked)
        return data, seconds

    def value(self, statement: str, address: Address, asked: Asked) -> tuple[Any, float]:
        """What one column of one row has, and the seconds until it was here."""
        z, x, y = address.z, address.x, address.y
        values = (z, x, y, CIRCUMFERENCE / 2**z / 64, *asked.values) if "$4" in statement else (z, x, y, *asked.values)
        first = len(values) - len(asked.values) + 1
        text = statement.format(condition=asked.condition.format(*(f"${first + at}" for at in range(len(asked.values)))))
        prepared = self._prepared.get(text)
        if prepared is None:
            prepared = self._prepared[text] = self._runner.run(self._connection.prepare(text))
        begin = time.perf_counter()
        value = self._runner.run(prepared.fetchval(*values))
        return value, time.perf_counter() - begin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()

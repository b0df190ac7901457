"""Tiles over HTTP, beside martin, pg_tileserv, tegola and tipg over the same table: one connection, the same tiles, no caches."""

from __future__ import annotations

import gzip
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import urllib3
from postgres import run_sql
from tqdm import tqdm

from benchmarks import servers
from benchmarks.asked import CASES, tile
from benchmarks.points import content
from benchmarks.reports import LAYER, LAYER_FILE
from benchmarks.servers import CLIENT_CORE, PEERS, SERVER_CORE, Peer, Server
from benchmarks.tables import Aim, Measured
from benchmarks.tiles_of_postgis import CELLS, CIRCUMFERENCE
from tileserver.snapshot import Snapshot
from tileserver.snapshot.tile import Address

TABLE_ZOOMS = (0, 2, 4, 6, 8, 9)
"""Where martin's table is asked for, one tile each: all of the city is in it, 50 bytes a row."""
OURS = 5
"""How often ours is asked for the same tile."""
SHOWN_ZOOMS = (11, 13, 15, 16)
"""Where all peers' tables are."""
CELL_ROUNDS = 5

CONDITION = """
occurred_at >= (query ->> 'from')::timestamptz
    AND occurred_at < (query ->> 'to')::timestamptz AND offense = query ->> 'offense'
"""
FUNCTION = """
CREATE OR REPLACE FUNCTION city.reports_cells(z integer, x integer, y integer, query json) RETURNS bytea
LANGUAGE plpgsql STABLE PARALLEL SAFE SET plan_cache_mode = force_custom_plan AS $function$
DECLARE side double precision := {circumference} / (64 * 2 ^ z);
BEGIN
    RETURN ({cells});
END
$function$
"""
"""The same GROUP BY as a function source: martin hands it the parameters of an address."""

LARGE = 5_000_000
"""Bytes: tiles beyond that are not decoded, since that takes many times their memory."""


@dataclass(frozen=True, slots=True)
class Got:
    seconds: float
    sent: int
    """Bytes, as they came."""
    data: bytes
    """The tile."""


class Client:
    """One connection to each server, kept open, over which answers are read whole."""

    def __init__(self) -> None:
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}

    def get(
        self,
        server: Server,
        path: str,
        address: Address,
        items: Sequence[tuple[str, str]] = (),
        *,
        accept: str = "identity",
        layer: str = LAYER.id,
    ) -> Got:
        pool = self._pools.setdefault(server.origin, urllib3.connectionpool.connection_from_url(server.origin, maxsize=1))
        url = path.format(layer=layer, z=address.z, x=address.x, y=address.y) + (f"?{urlencode(items)}" if items else "")
        begin = time.perf_counter()
        answer = pool.request("GET", url, headers={"Accept-Encoding": accept}, timeout=600, retries=False, decode_content=False)
        data = answer.data
        seconds = time.perf_counter() - begin
        assert answer.status in (200, 204), f"{server.name} answers {url} with {answer.status}: {data[:500]!r}"
        encoding = answer.headers.get("Content-Encoding", "identity")
        assert encoding in ("identity", accept)
        return Got(seconds, len(data), gzip.decompress(data) if encoding == "gzip" else data)

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()


def measure(database: str, snapshot: Snapshot) -> Measured:
    run_sql(database, _function())
    with (
        tempfile.TemporaryDirectory(prefix="tileserver-bench-") as folder,
        running(database, Path(folder), {LAYER.id: LAYER_FILE}) as (client, ours, peers),
    ):
        by_name = {server.name: server for server in peers}
        tables: dict[str, list[dict[str, Any]]] = {}
        aims: list[Aim] = []
        if martin := by_name.get("martin"):
            tables["martin's table and ours, over HTTP"] = rows = list(_whole_tables(client, snapshot, martin, ours))
            aims += [
                Aim("martin's table, z0–z9, over HTTP: median", float(np.median([row["ratio"] for row in rows])), 500),
                Aim("martin's table, z0–z9: bytes, median", float(np.median([row["times the bytes"] for row in rows])), 500),
            ]
            tables["A function of the same GROUP BY in martin, and ours, over HTTP: time and category"] = list(
                _cells(client, snapshot, martin, ours)
            )
        tables["Tables as they are served, over HTTP, without filter"] = list(shown(client, snapshot, [*peers, ours], SHOWN_ZOOMS))
    return Measured(tables, aims, missing())


def versions() -> dict[str, str]:
    return {peer.name: peer.version_text() if peer.is_installed else "not installed" for peer in PEERS}


def missing() -> list[str]:
    """A sentence for each peer that is not there."""
    names = [peer.name for peer in PEERS if not peer.is_installed]
    return [f"{name} is not installed, so it is left out; make bench-peers installs it" for name in names]


@contextmanager
def running(
    database: str, folder: Path, layer_files: Mapping[str, str], among: Sequence[Peer] = PEERS, *, cached: bool = False
) -> Iterator[tuple[Client, Server, list[Server]]]:
    """The client on a core of its own, ours, and those of the peers that are installed."""
    with ExitStack() as stack:
        stack.enter_context(servers.database_on_core(SERVER_CORE, database))
        ours = stack.enter_context(servers.ours(database, folder, layer_files, cached=cached))
        started = [stack.enter_context(servers.running(peer, database, folder)) for peer in among if peer.is_installed]
        stack.enter_context(servers.on_core(CLIENT_CORE))
        client = Client()
        stack.callback(client.close)
        yield client, ours, started


def _function() -> str:
    cells = CELLS.format(condition=CONDITION)
    for parameter, name in (("$1", "z"), ("$2", "x"), ("$3", "y"), ("$4", "side")):
        cells = cells.replace(parameter, name)
    return FUNCTION.format(circumference=CIRCUMFERENCE, cells=cells)


def _whole_tables(client: Client, snapshot: Snapshot, martin: Server, ours: Server) -> Iterator[dict[str, Any]]:
    """Without filter, since martin's tables take none: one tile of martin's, and ours several times."""
    random = np.random.default_rng(6)
    for zoom in tqdm(TABLE_ZOOMS, desc="martin's table", leave=False):
        address = tile(snapshot, zoom, random)
        client.get(ours, ours.table, address)
        theirs = client.get(martin, martin.table, address)
        own = [client.get(ours, ours.table, address) for _ in range(OURS)]
        seconds = float(np.median([got.seconds for got in own]))
        yield {
            "zoom": f"z{zoom}",
            "martin ms": theirs.seconds * 1e3,
            "ours ms": seconds * 1e3,
            "ratio": theirs.seconds / seconds,
            "martin kB": len(theirs.data) / 1e3,
            "ours kB": len(own[0].data) / 1e3,
            "times the bytes": len(theirs.data) / len(own[0].data),
        }


def _cells(client: Client, snapshot: Snapshot, martin: Server, ours: Server) -> Iterator[dict[str, Any]]:
    """Every request under another filter; both stand for the same rows."""
    random = np.random.default_rng(7)
    for zoom in tqdm(range(17), desc="the same GROUP BY in martin", leave=False):
        pairs = []
        for round in range(CELL_ROUNDS + 1):
            address, asked = tile(snapshot, zoom, random), CASES["time and category"](random)
            start, stop, offense = asked.values
            theirs = client.get(
                martin, martin.cells, address, (("from", start.isoformat()), ("to", stop.isoformat()), ("offense", offense))
            )
            own = client.get(ours, ours.cells, address, asked.items)
            assert content(theirs.data)[0] == content(own.data)[0], f"{address} {asked}: the tiles stand for different rows"
            if round:  # the first one warms up
                pairs.append((theirs, own))
        both = [float(np.median([pair[side].seconds for pair in pairs])) for side in (0, 1)]
        sizes = [float(np.median([len(pair[side].data) for pair in pairs])) for side in (0, 1)]
        yield {
            "zoom": f"z{zoom}",
            "martin ms": both[0] * 1e3,
            "ours ms": both[1] * 1e3,
            "ratio": both[0] / both[1],
            "martin kB": sizes[0] / 1e3,
            "ours kB": sizes[1] / 1e3,
        }


def shown(client: Client, snapshot: Snapshot, among: Sequence[Server], zooms: Sequence[int]) -> Iterator[dict[str, Any]]:
    """What each server shows of a table with the limits that it comes with; rows that a buffer repeats are counted too.

    As browsers ask for it, with gzip, since tegola compresses whatever one asks for.
    """
    random = np.random.default_rng(8)
    limits = {peer.name: peer.limit for peer in PEERS}
    for zoom in tqdm(zooms, desc="tables as they are", leave=False):
        address = tile(snapshot, zoom, random)
        for server in among:
            client.get(server, server.table, address, accept="gzip", layer=snapshot.layer.id)
            got = client.get(server, server.table, address, accept="gzip", layer=snapshot.layer.id)
            yield {
                "server": f"{server.name}, z{zoom}",
                "ms": got.seconds * 1e3,
                "kB, gzip": got.sent / 1e3,
                "rows shown": content(got.data)[0] if len(got.data) < LARGE else None,
                "limit of rows": limits.get(server.name, "500 kB"),
            }

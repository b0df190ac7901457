"""The peers, as `make bench-peers` installs them, and our own server: started over the same tables, on one core."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from postgres import run_sql
from serving import free_port, serving, status, wait_until

from tileserver import catalog

INSTALLED = Path(__file__).parents[2] / "build" / "peers"

SERVER_CORE, CLIENT_CORE = 0, 1
"""PostgreSQL shares the core of the server that asks it."""

NO_CACHE = {"TILESERVER_CACHE_BYTES": "0"}

POSTMASTER = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)"

STARTS_IN = 120
"""Seconds that a server may take to answer."""

TEGOLA = """
[webserver]
port = "127.0.0.1:{port}"

[[providers]]
name = "city"
type = "mvt_postgis"
uri = "{address}"
srid = 3857
"""
TEGOLA_TABLE = '''
[[providers.layers]]
name = "{table}"
geometry_fieldname = "geometry"
geometry_type = "{type}"
id_fieldname = "{id}"
sql = """
SELECT ST_AsMVTGeom(geometry, !BBOX!) AS geometry, {fields} FROM city.{table} WHERE geometry && !BBOX!
"""
'''
TEGOLA_MAP = """
[[maps]]
name = "city"
"""
TEGOLA_LAYER = """
[[maps.layers]]
provider_layer = "city.{table}"
min_zoom = 0
max_zoom = 22
"""
GEOMETRY_TYPES = "SELECT f_table_name, type FROM geometry_columns WHERE f_table_schema = 'city'"


@dataclass(frozen=True, slots=True)
class Server:
    """One that answers at an origin. The paths have {layer}, {z}, {x} and {y}."""

    name: str
    origin: str
    table: str
    """The path of a tile of a table as it is."""
    cells: str = ""
    """The path of a tile of reports over cells, if it has one, that takes `from`, `to` and `offense`."""


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    program: str
    """Below `build/peers`."""
    version: Sequence[str]
    """The command, after the folder of peers, that tells it."""
    start: Callable[[str, int, Path], tuple[list[str], Mapping[str, str]]]
    """Database, port and a folder that has the layer files in `layers` → command and environment."""
    table: str
    health: str
    cells: str = ""
    limit: str = "none"
    """Of rows in a tile as it comes."""

    @property
    def is_installed(self) -> bool:
        return (INSTALLED / self.program).exists()

    def version_text(self) -> str:
        done = subprocess.run([str(INSTALLED / self.version[0]), *self.version[1:]], capture_output=True, text=True, check=True)
        words = (done.stdout + done.stderr).split()
        return next((word.lstrip("v") for word in words if word.lstrip("v")[:1].isdigit()), "unknown")


def _martin(address: str, port: int, _: Path) -> tuple[list[str], Mapping[str, str]]:
    options = ["--cache-size", "0", "--workers", "1", "--pool-size", "2", "--auto-bounds", "skip"]
    return ["bin/martin", *options, "--listen-addresses", f"127.0.0.1:{port}", address], {"RUST_LOG": "error"}


def _pg_tileserv(address: str, port: int, _: Path) -> tuple[list[str], Mapping[str, str]]:
    settings = {"DATABASE_URL": f"{address}?sslmode=disable", "TS_HTTPPORT": str(port), "TS_HTTPHOST": "127.0.0.1"}
    return ["bin/pg_tileserv"], settings


def _tegola(address: str, port: int, folder: Path) -> tuple[list[str], Mapping[str, str]]:
    config = folder / "tegola.toml"
    types = dict(run_sql(address, GEOMETRY_TYPES))
    layers = [
        {"table": layer.id, "type": types[layer.id], "id": layer.id_name, "fields": ", ".join(layer.fields)}
        for layer in catalog.load(folder / "layers").values()
    ]
    text = TEGOLA.format(port=port, address=f"{address}?sslmode=disable")
    text += "".join(TEGOLA_TABLE.format(**layer) for layer in layers)
    config.write_text(text + TEGOLA_MAP + "".join(TEGOLA_LAYER.format(**layer) for layer in layers), "utf-8")
    return ["bin/tegola", "serve", "--no-cache", "--log-level", "ERROR", "--config", str(config)], {}


def _tipg(address: str, port: int, _: Path) -> tuple[list[str], Mapping[str, str]]:
    settings = {
        "DATABASE_URL": address,
        "TIPG_DB_SCHEMAS": '["city"]',
        "TIPG_DB_SPATIAL_EXTENT": "false",
        "TIPG_DB_DATETIME_EXTENT": "false",
    }
    command = ["tipg/bin/uvicorn", "tipg.main:app", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    return command, settings


PEERS = (
    Peer(
        "martin",
        "bin/martin",
        ("bin/martin", "--version"),
        _martin,
        "/{layer}/{z}/{x}/{y}",
        "/health",
        "/{layer}_cells/{z}/{x}/{y}",
    ),
    Peer(
        "pg_tileserv",
        "bin/pg_tileserv",
        ("bin/pg_tileserv", "--version"),
        _pg_tileserv,
        "/city.{layer}/{z}/{x}/{y}.pbf",
        "/health",
        limit="50,000",
    ),
    Peer("tegola", "bin/tegola", ("bin/tegola", "version"), _tegola, "/maps/city/{layer}/{z}/{x}/{y}", "/capabilities"),
    Peer(
        "tipg",
        "tipg/bin/uvicorn",
        ("tipg/bin/python", "-c", "import importlib.metadata as m; print(m.version('tipg'))"),
        _tipg,
        "/collections/city.{layer}/tiles/WebMercatorQuad/{z}/{x}/{y}",
        "/healthz",
        limit="10,000",
    ),
)


@contextmanager
def running(peer: Peer, database: str, folder: Path) -> Iterator[Server]:
    """A peer that answers."""
    port = free_port()
    (program, *arguments), settings = peer.start(database, port, folder)
    log = folder / f"{peer.name}.log"
    with log.open("wb") as out, on_core(SERVER_CORE):
        process = subprocess.Popen(
            [str(INSTALLED / program), *arguments], env=os.environ | settings, cwd=folder, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        origin = f"http://127.0.0.1:{port}"
        wait_until(lambda: process.poll() is not None or status(origin + peer.health) == 200, STARTS_IN)
        assert process.poll() is None, f"{peer.name} did not start:\n{log.read_text()[-2_000:]}"
        yield Server(peer.name, origin, peer.table, peer.cells)
    finally:
        process.kill()
        process.wait()


@contextmanager
def ours(database: str, folder: Path, layer_files: Mapping[str, str], *, cached: bool = False) -> Iterator[Server]:
    """`tileserver serve` over the tables of these layers, when their snapshots are built; one worker, and no cache unless told."""
    (folder / "layers").mkdir(exist_ok=True)
    for id, text in layer_files.items():
        (folder / "layers" / f"{id}.toml").write_text(text, "utf-8")
    options = ["--layers", str(folder / "layers"), "--snapshots", str(folder / "snapshots"), "--workers", "1"]
    with ExitStack() as stack:
        with patch.dict(os.environ, {} if cached else NO_CACHE), on_core(SERVER_CORE):
            _, origin = stack.enter_context(serving(database, *options))
        wait_until(lambda: status(f"{origin}/health/ready") == 200, seconds=600)
        path = "/tiles/{layer}/{z}/{x}/{y}.mvt"
        yield Server("tileserver", origin, path, path)


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """This process, and what it starts, on one core, if there are several."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[core % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def database_on_core(core: int, database: str) -> Iterator[None]:
    """PostgreSQL's next sessions on one core: they inherit it from the process that starts them."""
    own = os.sched_getaffinity(0)
    postmaster = int(run_sql(database, POSTMASTER)[0][0])
    os.sched_setaffinity(postmaster, {sorted(own)[core % len(own)]})
    try:
        yield
    finally:
        os.sched_setaffinity(postmaster, own)

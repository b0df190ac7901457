"""An attacker asks a real server everything it answers, and looks for what was never to leave: columns that are not declared, kinds
that are withheld, house numbers, places before they were snapped, times to the second, any row of a layer of counts."""

import asyncio
import gzip
import io
import itertools
import os
import re
import secrets
import signal
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg
import mapbox_vector_tile
import mercantile
import numpy as np
import orjson
import pyarrow.parquet as pq
import pyogrio
import pytest
import rasterio
import shapely
from serving import PATIENCE, serving, status, wait_until
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from tileserver.app import create_app
from tileserver.downloads import FORMATS
from tileserver.settings import load

LAYERS = {
    "calls": """
        title = "Calls"
        kind = "events"
        timezone = "America/Chicago"
        bounds = [-93, 34, -92, 35]
        {table}
        [fields]
        number = {{ role = "id" }}
        at = {{ role = "time" }}
        kind = {{ role = "category" }}
        address = {{}}
        note = {{}}
        [privacy]
        include = {{ kind = ["NOISE", "FIRE"] }}
        snap_meters = 500
        address = "block"
        time = "hour"
    """,
    "benches": """
        title = "Benches"
        kind = "places"
        {table}
        [fields]
        street = {{ role = "address" }}
        [privacy]
        snap_meters = 500
        address = "block"
    """,
    "hotline": """
        title = "Hotline"
        kind = "events"
        timezone = "America/Chicago"
        publish = "counts"
        min_count = 4
        {table}
        [fields]
        hot = {{ role = "id" }}
        at = {{ role = "time" }}
        kind = {{ role = "category" }}
        age = {{ type = "integer" }}
        note = {{}}
    """,
}
SHOWN = ("calls", "benches")
RASTER = "heights"
BEGIN = datetime(2024, 3, 5, 3, 47, 29, 123456, UTC)
HOUSES = [number for number in range(7_701, 7_741) if number % 100]
NEVER = [b"UNDECLARED", b"undeclared_column", b"WITHHELD", b"HOTLINE-ROW", b"HOT-00", b"RARE-KIND", b":47:29", b"rejected-value"]


@dataclass(frozen=True)
class Row:
    number: int

    @property
    def house(self) -> int:
        return HOUSES[self.number % len(HOUSES)]

    @property
    def at(self) -> datetime:
        return BEGIN + timedelta(hours=7 * self.number)

    @property
    def place(self) -> tuple[float, float]:
        """Somewhere in the town, nowhere near the middle of a square that positions are moved to (which a test makes sure of)."""
        return -92.3 + self.number % 7 * 0.0131 + 0.0003517, 34.7 + self.number // 7 * 0.0117 + 0.0004123

    def columns(self) -> dict[str, Any]:
        kind = "WITHHELD-KIND" if self.number % 8 == 0 else ("NOISE", "FIRE")[self.number % 2]
        return {
            "number": f"C-{self.number}",
            "id": self.number + 1,
            "hot": f"HOT-00{self.number}",
            "at": self.at,
            "kind": kind,
            "address": f"{self.house} WOODLAWN DR APT {self.house}",
            "street": f"{self.house} OAK ST",
            "note": "WITHHELD-NOTE" if kind.startswith("WITHHELD") else f"remark {self.number}",
            "undeclared_column": f"UNDECLARED-{self.number}",
            "age": 1_000_000 + self.number,
            "lon": self.place[0],
            "lat": self.place[1],
        }


ROWS = [Row(number) for number in range(40)]


def rows_of(id: str) -> list[dict[str, Any]]:
    rows = [row.columns() for row in ROWS]
    if id == "hotline":
        return [{**row, "note": f"HOTLINE-ROW {n}", "kind": "RARE-KIND" if n < 2 else "CALL"} for n, row in enumerate(rows)]
    return rows


# What may not be found, in text and in bytes


def traces() -> re.Pattern[bytes]:
    """Everything that may be in no answer, as it could stand there: words, numbers in text, numbers as files hold them."""
    found = [re.escape(word) for word in NEVER]
    for row in ROWS:
        found += [re.escape(f"{abs(degrees):.5f}"[:-1].encode()) for degrees in row.place]
        found += [re.escape(struct.pack(order, degrees)) for order in ("<d", ">d") for degrees in row.place]
        micros = int(row.at.timestamp()) * 1_000_000 + row.at.microsecond
        found += [re.escape(struct.pack("<q", instant)) for instant in (micros, micros // 1_000)]
        found += [str(instant).encode() for instant in (micros // 1_000_000, 1_000_000 + row.number)]
    return re.compile(b"|".join(found))


TRACES = traces()
HOUSE = re.compile(b"|".join(rb"(?<![0-9A-Za-z.])%d(?![0-9])" % house for house in HOUSES))
"""Four digits are found in any large file by chance, so only texts are searched for them."""


def trace(part: bytes) -> str:
    """What of it may not be there; empty for nothing."""
    hit = TRACES.search(part) or (HOUSE.search(part) if is_text(part) else None)
    return repr(hit[0]) if hit else ""


def is_text(part: bytes) -> bool:
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True


def opened(body: bytes, kind: str) -> Iterator[bytes]:
    """An answer as it came, and what is in it: packed, columnar and tabular files as text too."""
    yield body
    if body.startswith(b"\x1f\x8b"):
        yield from opened(gzip.decompress(body), kind)
    elif body.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            for name in archive.namelist():
                yield from opened(archive.read(name), kind)
    elif body.startswith(b"PAR1"):
        yield repr(pq.read_table(io.BytesIO(body)).to_pylist()).encode()
        yield repr(pq.read_metadata(io.BytesIO(body)).metadata).encode()
    elif body.startswith((b"SQLite format 3", b"fgb")):
        with NamedTemporaryFile(suffix=".gpkg" if body.startswith(b"SQLite") else ".fgb") as file:
            file.write(body)
            file.flush()
            meta, _, geometries, fields = pyogrio.raw.read(file.name)
        yield repr((meta, shapely.to_wkt(shapely.from_wkb(geometries)), [column.tolist() for column in fields])).encode()
    elif "vector-tile" in kind and body:
        yield repr(mapbox_vector_tile.decode(body)).encode()
    elif body.startswith(b"\x89PNG"):
        texts = re.findall(rb"(?:zTXt|iCCP)[^\0]*\0\0(.*?)(?=IDAT|IEND)", body, re.DOTALL)
        yield from (zlib.decompressobj().decompress(text) for text in texts)


# What is asked


def routes(several: Iterable[Any]) -> Iterator[str]:
    """The paths of the application, with names in braces; a mounted application by the files in it is asked for nothing."""
    for route in several:
        if isinstance(route, Route):
            yield route.path
        elif not isinstance(route, Mount):
            yield from routes(route.original_router.routes)


TILES = [(0, 0, 0), (9, 124, 203), (14, 3990, 6493), (16, 99999, 1)]
NOBODY = "UNDECLARED-layer"
TEXTS = {
    "id": [*LAYERS, RASTER, NOBODY],
    "ids": [*LAYERS, ",".join(LAYERS), ",".join(SHOWN), NOBODY],
    "format": ["png", "UNDECLARED"],
    "lon": ["-92.3"],
    "lat": ["34.7"],
    "feature": ["C-1", "C-8", "HOT-001", "1", "UNDECLARED-1"],
    "fontstack": ["Noto Sans Regular"],
    "range": ["0-255"],
    "path": ["main.js", "UNDECLARED.js"],
}


FILES = [f"{id}.{suffix}" for id in LAYERS for suffix in (*FORMATS, "shp.zip", "xlsx", "UNDECLARED")]
SHEETS = ["all.json", "sprite.png", "calls.json", "hotline.png", "UNDECLARED.json"]


def paths(template: str) -> Iterator[str]:
    """A route's addresses, with every value of its names that there is."""
    names = re.findall(r"\{(\w+)(?::\w+)?\}", template)
    path = re.sub(r":\w+\}", "}", template)
    tiles = [dict(zip("zxy", tile, strict=True)) for tile in TILES] if {"z", "x", "y"} <= set(names) else [{}]
    texts = TEXTS | {"name": FILES if "/downloads/" in template else SHEETS}
    others = [name for name in names if name not in "zxy"]
    for values in itertools.product(*(texts.get(name, ["1", "png", "json", "UNDECLARED"]) for name in others)):
        for tile in tiles:
            given = {name: quote(str(value), safe=",") for name, value in (dict(zip(others, values, strict=True)) | tile).items()}
            yield path.format(**given)
            if path.endswith("{y}"):
                yield path.format(**given) + ".mvt"


GOOD = [
    "",
    "kind=FIRE",
    "datetime=2024-03-05/2024-03-20",
    "last=1y",
    "bbox=-92.31,34.69,-92.29,34.71",
    "limit=3",
    "aggregate=never",
]
BAD = [
    "undeclared_column=UNDECLARED-1",
    "properties=undeclared_column",
    "filter=undeclared_column%3D'UNDECLARED-1'",
    "sortby=undeclared_column",
    "datetime=2024-03-05T03:47:29.123456Z-UNDECLARED",
    "bbox=UNDECLARED",
    "limit=UNDECLARED",
    "grid=UNDECLARED",
    "cursor=UNDECLARED",
    "f=UNDECLARED",
    "token=UNDECLARED",
    "x=UNDECLARED&kind=WITHHELD-KIND",
]
ENCODINGS = ["identity", "gzip, br, zstd"]


@dataclass
class Attacker:
    origin: str

    def __post_init__(self) -> None:
        self.connection = HTTPConnection(urlsplit(self.origin).netloc, timeout=PATIENCE)
        self.answers: Counter[int] = Counter()
        self.found: list[str] = []
        self.searched: set[bytes] = set()

    def ask(self, path: str, query: str, encoding: str, method: str = "GET") -> int:
        address = f"{path}?{query}" if query else path
        self.connection.request(method, address, headers={"Accept-Encoding": encoding})
        answer = self.connection.getresponse()
        body, kind = answer.read(), answer.headers.get("content-type", "")
        self.answers[answer.status] += 1
        assert answer.status < 500, f"{method} {address}: {answer.status}"
        for part in (str(answer.headers).encode(), *opened(body, kind)):
            if part in self.searched:
                continue
            self.searched.add(part)
            if hit := trace(part):
                self.found.append(f"{method} {address} ({encoding}): {hit}")
        return answer.status

    def walk(self, templates: Iterable[str]) -> dict[str, set[int]]:
        """The kinds of answers of each route."""
        seen: dict[str, set[int]] = {}
        for template in templates:
            seen[template], is_file = set(), "/downloads/" in template
            for path in paths(template):
                first = self.ask(path, "", "identity")
                # Where nothing is, one more question is enough.
                queries = BAD[:1] if first == 404 else [*(GOOD[:2] if is_file else GOOD), *(BAD[:4] if "{z}" in template else BAD)]
                asked = [
                    (query, encoding, "GET") for query in queries for encoding in ENCODINGS if encoding == "identity" or not query
                ]
                for query, encoding, method in [*asked, ("", "identity", "HEAD")]:
                    seen[template].add(self.ask(path, query, encoding, method))
        return seen


# The town


@dataclass(frozen=True)
class Town:
    folder: Path
    store: str

    @property
    def places(self) -> list[str]:
        return ["--layers", str(self.folder / "layers"), "--snapshots", str(self.folder / "snapshots")]

    def ingest(self, id: str) -> str:
        """Runs the real command on a file with everything in it, and returns what it says."""
        rows = rows_of(id)
        names = [name for name in rows[0] if name != "id"]
        lines = [",".join(f'"{row[name].isoformat() if name == "at" else row[name]}"' for name in names) for row in rows]
        lines.append(",".join("rejected-value" for _ in names))
        file = self.folder / f"{id}.csv"
        file.write_text("\n".join([",".join(names), *lines]))
        command = [sys.executable, "-m", "tileserver.cli", "ingest", id, str(file), "--store", self.store, *self.places]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def templates(self) -> list[str]:
        app = create_app(load(store=self.store, layers=self.folder / "layers", snapshots=self.folder / "snapshots"))
        return list(dict.fromkeys(routes(app.routes)))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Everything came through `tileserver ingest` into a folder."""
    folder = tmp_path_factory.mktemp("attack")
    (folder / "layers").mkdir()
    for id, text in LAYERS.items():
        (folder / "layers" / f"{id}.toml").write_text(text.format(table=""))
    (folder / "layers" / f"{RASTER}.toml").write_text(f'title = "Heights"\nraster = "{RASTER}.tif"\n')
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    place = rasterio.transform.from_bounds(-92.4, 34.6, -92.2, 34.8, 64, 64)
    with rasterio.open(folder / "layers" / f"{RASTER}.tif", "w", **profile, transform=place) as picture:
        picture.write(np.arange(64 * 64, dtype=np.float32).reshape(1, 64, 64))
    return Town(folder, str(folder / "data"))


def walked(town: Town) -> tuple[Attacker, dict[str, set[int]], str]:
    """The attacker after the walk, the answers of each route, and all that the server has said meanwhile."""
    with serving(town.store, *town.places, "--workers", "1") as (server, origin):
        wait_until(lambda: status(f"{origin}/health/ready") == 200)
        attacker = Attacker(origin)
        with closing(attacker.connection):
            seen = attacker.walk(town.templates())
        os.killpg(server.pid, signal.SIGTERM)
        said = "".join(server.communicate(timeout=PATIENCE))
    return attacker, seen, said


def test_the_places_are_no_middles_of_squares() -> None:
    degrees = np.array([row.place for row in ROWS])
    rows = int(180 * 111_320 / 500)
    middles = (np.floor((degrees[:, 1] + 90) * rows / 180) + 0.5) * 180 / rows - 90
    assert np.all(np.abs(middles - degrees[:, 1]) * 111_320 > 20)
    assert len({row.house for row in ROWS}) > 30


def test_a_trace_is_found_however_it_is_packed() -> None:
    assert all(trace(part) for part in (b"x 7733 WOODLAWN", struct.pack("<d", ROWS[3].place[0]), b'"2024-03-05T03:47:29Z"'))
    assert not any(trace(part) for part in (b"7700 block of WOODLAWN DR", b"-92.2977331", b"177331"))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv.gz", gzip.compress(b"UNDECLARED-1"))
    assert any(trace(part) for part in opened(packed.getvalue(), ""))


def test_no_answer_of_any_route_tells_what_is_not_to_leave(town: Town) -> None:
    said = "".join(town.ingest(id) for id in LAYERS)
    assert "Withheld by kind: WITHHELD-KIND (5)" in said  # for who runs the command, and nobody else
    assert not trace(said.replace("WITHHELD-KIND", "").encode())

    attacker, seen, log = walked(town)
    assert attacker.found == []
    assert not trace(log.encode())
    assert attacker.answers[200] > 500
    assert attacker.answers[400] > 300
    never_answered = {template for template, answers in seen.items() if not answers & {200, 204}}
    assert never_answered <= {"/basemap.pmtiles"}, "give the walk values for the names in these addresses"


def test_no_file_beside_the_ledger_holds_it_and_none_is_for_others(town: Town) -> None:
    for home in (town.folder / "snapshots").iterdir():
        assert home.stat().st_mode & 0o077 == 0
        for path in (path for path in home.rglob("*") if path.is_file()):
            is_ours = home.name == "hotline" or path.name in ("ledger.json", "rejects.csv")
            assert is_ours or not trace(path.read_bytes()), path
            assert not re.search(rb"UNDECLARED|undeclared_column|rejected-value", path.read_bytes()), path
    for path in (path for path in (town.folder / "data").rglob("*.parquet")):
        assert path.parent.stat().st_mode & 0o077 == 0
        assert path.parent.name == "hotline" or not any(trace(part) for part in opened(path.read_bytes(), "")), path


def test_no_tile_draws_a_point_where_it_was(town: Town) -> None:
    settings = load(store=town.store, layers=town.folder / "layers", snapshots=town.folder / "snapshots", workers=1)
    exact = np.array([row.place for row in ROWS])
    drawn = []
    with TestClient(create_app(settings)) as client:
        for tile in {mercantile.tile(*row.place, 16) for row in ROWS} | {mercantile.tile(*row.place, 13) for row in ROWS}:
            for id in SHOWN:
                body = client.get(f"/tiles/{id}/{tile.z}/{tile.x}/{tile.y}.mvt").content
                for feature in mapbox_vector_tile.decode(body)[id]["features"] if body else ():
                    west, south, east, north = mercantile.bounds(tile)
                    x, y = feature["geometry"]["coordinates"]
                    drawn.append((west + (east - west) * x / 4096, south + (north - south) * y / 4096))
    assert len(drawn) > 40
    apart = (np.array(drawn)[:, None] - exact[None]) * 111_320 * [np.cos(np.radians(34.7)), 1]
    assert np.hypot(*np.moveaxis(apart, 2, 0)).min() > 20


def test_a_guess_is_answered_like_nonsense(town: Town) -> None:
    with serving(town.store, *town.places, "--workers", "1") as (_, origin):
        wait_until(lambda: status(f"{origin}/health/ready") == 200)

        def told(address: str) -> tuple[int, bytes]:
            with closing(HTTPConnection(urlsplit(origin).netloc, timeout=PATIENCE)) as connection:
                connection.request("GET", address)
                answer = connection.getresponse()
                return answer.status, answer.read()

        for guess, nonsense in (
            ("/count/calls?kind=WITHHELD-KIND", "/count/calls?kind=NOBODY"),
            ("/count/calls?undeclared_column=1", "/count/calls?nothing_at_all=1"),
            ("/downloads/calls.csv?properties=undeclared_column", "/downloads/calls.csv?properties=nothing_at_all"),
            ("/tiles/calls/9/124/203.mvt?undeclared_column=1", "/tiles/calls/9/124/203.mvt?nothing_at_all=1"),
        ):
            assert told(guess) == told(nonsense)
        assert orjson.loads(told("/count/hotline?kind=RARE-KIND")[1])["count"] is None


@pytest.fixture
def city(postgres: str, tmp_path: Path) -> Iterator[Town]:
    """A city's own tables, which hold everything; our ingest has never seen them."""
    schema = f"test_{secrets.token_hex(4)}"
    (tmp_path / "layers").mkdir()
    for id, text in LAYERS.items():
        (tmp_path / "layers" / f"{id}.toml").write_text(text.format(table=f'table = "{schema}.{id}"'))
    asyncio.run(fill(postgres, schema))
    yield Town(tmp_path, postgres)
    asyncio.run(execute(postgres, f"DROP SCHEMA {schema} CASCADE"))


async def execute(address: str, *statements: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fill(address: str, schema: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(f"CREATE SCHEMA {schema}")
        for id in LAYERS:
            rows = rows_of(id)
            kinds = {str: "text", int: "int PRIMARY KEY", float: "float8", datetime: "timestamptz"}
            types = {name: kinds[type(value)] if name == "id" else kinds[type(value)].split()[0] for name, value in rows[0].items()}
            await connection.execute(f"CREATE TABLE {schema}.{id} ({', '.join(f'{name} {type}' for name, type in types.items())})")
            await connection.copy_records_to_table(id, schema_name=schema, records=[tuple(row.values()) for row in rows])
            await connection.execute(
                f"ALTER TABLE {schema}.{id} ADD geom geometry(Point, 4326); "
                f"UPDATE {schema}.{id} SET geom = ST_SetSRID(ST_Point(lon, lat), 4326)"
            )
    finally:
        await connection.close()


def test_a_table_that_others_fill_is_as_safe(city: Town) -> None:
    attacker, seen, log = walked(city)
    assert attacker.found == []
    assert not trace(log.encode())
    assert {200, 204} & seen["/tiles/{ids}/{z}/{x}/{y}"]
    assert attacker.answers[200] > 500

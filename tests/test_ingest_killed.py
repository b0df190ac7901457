"""An ingest that dies at any of its steps leaves the old rows whole, in the store and on the map, and a rerun succeeds."""

from __future__ import annotations

import asyncio
import csv
import os
import secrets
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson
import pytest
from starlette.testclient import TestClient

from tileserver import catalog
from tileserver.app import create_app
from tileserver.settings import load
from tileserver.stores import FolderStore

LAYER = """
title = "Reports"
kind = "places"
table = "{schema}.reports"
[fields]
number = {{ role = "id" }}
note = {{}}
"""
HEADER = "number,note,lon,lat\n"
OLD = HEADER + "1,old,-92.3,34.7\n2,kept,-92.3,34.7\n3,gone,-92.3,34.7\n4,nowhere,,\n"
NEW = HEADER + "1,new,-92.3,34.7\n2,kept,-92.3,34.7\n5,more,-92.3,34.7\n5,most,-92.3,34.7\n6,nowhere,,\n"
OLD_ROWS = {"1": "old", "2": "kept", "3": "gone"}
NEW_ROWS = {"1": "new", "2": "kept", "5": "most"}

LIVED, FAILED, KILLED, KILLED_IN_A_WRITE = 0, 1, -signal.SIGKILL, -signal.SIGXFSZ


class Commands:
    """The program that runs commands which die."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def start(self, folder: Path, argv: list[str], dies: str = "kill", at: int = 0) -> int:
        """The number of the process."""
        told = {"argv": argv, "folder": str(folder), "dies": dies, "at": at}
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(told) + b"\n")
        self._process.stdin.flush()
        return int(self._answer())

    def end(self) -> tuple[int, str]:
        """(its status, what it said)."""
        answer = self._answer()
        return answer["status"], answer["said"]

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return orjson.loads(self._process.stdout.readline())


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    program = Path(__file__).parent / "killing.py"
    with subprocess.Popen([sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Commands(process)
        assert process.stdin is not None
        process.stdin.close()


@dataclass
class Place:
    """A folder with a layer, a folder store and its snapshots, in which `OLD` is live."""

    folder: Path
    commands: Commands
    schema: str = "city"

    def __post_init__(self) -> None:
        (self.folder / "layers").mkdir(parents=True)
        (self.folder / "layers" / "reports.toml").write_text(LAYER.format(schema=self.schema))
        (self.folder / "old.csv").write_text(OLD)
        (self.folder / "new.csv").write_text(NEW)
        self.settings = load(store=str(self.folder / "data"), layers=self.folder / "layers", snapshots=self.folder / "snapshots")

    def arguments(self, file: str, store: str = "") -> list[str]:
        places = {"store": store or self.settings.store, "layers": self.settings.layers, "snapshots": self.settings.snapshots}
        return ["ingest", "reports", str(self.folder / file), "--replace", *(f"--{name}={at}" for name, at in places.items())]

    def ingest(self, file: str, dies: str = "kill", at: int = 0) -> tuple[int, str]:
        """(the command's status, what it said)."""
        self.commands.start(self.folder, self.arguments(file), dies, at)
        return self.commands.end()

    def ledger(self) -> dict[str, Any]:
        found = orjson.loads((self.settings.snapshots / "reports" / "ledger.json").read_bytes())
        return {name: value for name, value in found.items() if name != "at"}

    def held(self) -> dict[str, str]:
        """The rows of the store."""
        layer = catalog.load(self.settings.layers)["reports"]
        rows = [row for batch in FolderStore(Path(self.settings.store)).read(layer) for row in batch.to_pylist()]
        assert all(row["geometry"] for row in rows)
        return {row["number"]: row["note"] for row in rows}

    def shown(self) -> dict[str, str]:
        """The rows that a client of the server gets."""
        with TestClient(create_app(self.settings)) as client:
            answer = client.get("/downloads/reports.csv")
        assert answer.status_code == 200
        return {row["number"]: row["note"] for row in csv.DictReader(answer.text.lstrip("\ufeff").splitlines())}

    def files(self) -> set[str]:
        """What there is of the store and the snapshots."""
        return {str(path.relative_to(self.folder)) for room in ("data", "snapshots") for path in (self.folder / room).rglob("*")}

    def copied_to(self, folder: Path) -> None:
        """The store and the snapshots in another place, instead of what is there."""
        for room in ("data", "snapshots"):
            shutil.rmtree(folder / room, ignore_errors=True)
            shutil.copytree(self.folder / room, folder / room)


@pytest.fixture
def before(tmp_path: Path, commands: Commands) -> Place:
    """Where the old rows are live."""
    place = Place(tmp_path / "before", commands)
    assert place.ingest("old.csv")[0] == LIVED
    return place


class Steps:
    """Ingests of the new rows, each from the same begin, that die at one step after another."""

    def __init__(self, before: Place) -> None:
        self._before = before
        self._place = Place(before.folder.with_name("place"), before.commands)
        self._first, self._again, self._files = self._undisturbed()

    def _undisturbed(self) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
        """(the ledger of an ingest, that of the same once more, the files that it leaves)."""
        self._before.copied_to(self._place.folder)
        assert self._place.ingest("new.csv")[0] == LIVED
        first, files = self._place.ledger(), self._place.files()
        assert (first["published"], first["unchanged"], first["superseded"], first["removed"], first["rejected"]) == (2, 1, 1, 1, 1)
        assert self._place.ingest("new.csv")[0] == LIVED
        return first, self._place.ledger(), files

    def sizes(self) -> list[int]:
        """Of the files that an ingest leaves, each once."""
        return sorted({(self._place.folder / name).stat().st_size for name in self._files if (self._place.folder / name).is_file()})

    def die(self, dies: str, at: int) -> tuple[int, str]:
        """(status, what it said) of an ingest that dies, after which old or new rows are whole, and a rerun brings the new ones."""
        place, step = self._place, f"{dies} at {at}"
        self._before.copied_to(place.folder)
        status, said = place.ingest("new.csv", dies, at)
        held, shown = place.held(), place.shown()
        assert (held, shown) in [(OLD_ROWS, OLD_ROWS), (NEW_ROWS, OLD_ROWS), (NEW_ROWS, NEW_ROWS)], step
        assert "Traceback" not in said, f"{step}: {said}"
        assert place.ingest("new.csv")[0] == LIVED, step
        assert (place.held(), place.shown()) == (NEW_ROWS, NEW_ROWS), step
        assert place.ledger() == (self._first if held == OLD_ROWS else self._again), step
        assert place.files() <= self._files, f"{step}: something is left"
        return status, said


def test_killed_at_every_write_an_ingest_leaves_the_old_rows_and_a_rerun_succeeds(before: Place) -> None:
    steps = Steps(before)
    died = list(takewhile(lambda status: status != LIVED, (steps.die("kill", at)[0] for at in count(1))))
    assert set(died) == {KILLED}
    assert len(died) > 30


def test_killed_in_the_middle_of_a_file_an_ingest_leaves_the_old_rows_and_a_rerun_succeeds(before: Place) -> None:
    steps = Steps(before)
    died = [steps.die("mid", size - 1)[0] for size in steps.sizes() if size > 1]
    assert set(died) == {KILLED_IN_A_WRITE}
    assert len(died) > 5


def test_a_disk_that_is_full_from_any_write_on_leaves_the_old_rows_and_a_rerun_succeeds(before: Place) -> None:
    steps = Steps(before)
    ended = list(takewhile(lambda end: end[0] != LIVED, (steps.die("full", at) for at in count(1))))
    assert {status for status, _ in ended} == {FAILED}
    assert all("No space left on device" in said for _, said in ended)
    assert len(ended) > 30


# In a database


class Proxy(socketserver.ThreadingTCPServer):
    """A way to the database at `address`, on which nothing passes any more from the `until`-th piece that clients send."""

    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        place = urlsplit(address)
        self.upstream = place.hostname, place.port
        self.address = place._replace(netloc=f"{place.username}:{place.password}@127.0.0.1:{self.server_address[1]}").geturl()
        self.sent = 0
        """Pieces that clients have sent."""
        self.until = 0
        """0: everything passes."""
        self.at_the_end: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def may_pass(self) -> bool:
        with self._lock:
            self.sent += 1
            if self.sent == self.until:
                self.at_the_end()
            return not self.until or self.sent < self.until


class Connection(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        with socket.create_connection(self.server.upstream) as upstream:
            back = threading.Thread(target=pass_on, args=(upstream, self.request, lambda: True))
            back.start()
            pass_on(self.request, upstream, self.server.may_pass)
            back.join()


def pass_on(source: socket.socket, target: socket.socket, may_pass: Callable[[], bool]) -> None:
    with suppress(OSError):
        while (piece := source.recv(2**16)) and may_pass():
            target.sendall(piece)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(postgres: str) -> Iterator[Proxy]:
    with Proxy(postgres) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


class City:
    """A place whose store is a database, reached by a proxy."""

    def __init__(self, folder: Path, commands: Commands, address: str, proxy: Proxy) -> None:
        self.schema = f"test_{secrets.token_hex(4)}"
        self.place = Place(folder, commands, self.schema)
        self._address = address
        self._proxy = proxy

    def run(self, sql: str) -> list[Any]:
        async def run() -> list[Any]:
            connection = await asyncpg.connect(self._address)
            try:
                return list(await connection.fetch(sql))
            finally:
                await connection.close()

        return asyncio.run(run())

    def ingest(self, file: str, *, until: int = 0, kill: bool = False) -> tuple[int, str]:
        """(the command's status, what it said); it loses the database, or its life too, at the `until`-th piece that it sends."""
        started = threading.Event()
        process = 0

        def die() -> None:
            started.wait()
            os.kill(process, signal.SIGKILL)

        self._proxy.sent, self._proxy.until, self._proxy.at_the_end = 0, until, die if kill else lambda: None
        commands = self.place.commands
        process = commands.start(self.place.folder, self.place.arguments(file, self._proxy.address))
        started.set()
        return commands.end()

    def pieces(self, file: str) -> int:
        """How many pieces an undisturbed ingest sends."""
        status, said = self.ingest(file)
        assert status == LIVED, said
        return self._proxy.sent

    def held(self) -> dict[str, str]:
        return {row["number"]: row["note"] for row in self.run(f"SELECT number, note FROM {self.schema}.reports")}

    def left(self) -> list[Any]:
        return self.run("SELECT relname FROM pg_class WHERE relname LIKE 'staging%reports'")


@pytest.fixture
def city(tmp_path: Path, commands: Commands, postgres: str, proxy: Proxy) -> Iterator[City]:
    city = City(tmp_path / "city", commands, postgres, proxy)
    yield city
    city.run(f"DROP SCHEMA {city.schema} CASCADE")
    city.run("DELETE FROM tileserver.layers WHERE layer = 'reports'")


@pytest.mark.parametrize("kill", [True, False], ids=["the process is killed", "the connection is cut"])
def test_an_ingest_into_a_database_that_ends_anywhere_leaves_the_old_rows_and_a_rerun_succeeds(city: City, kill: bool) -> None:
    """The old and the new rows take turns: what a rerun has brought is what the next ingest finds."""
    city.pieces("old.csv")
    pieces = city.pieces("new.csv")
    live, other = ("new.csv", NEW_ROWS), ("old.csv", OLD_ROWS)
    died = 0
    for until in range(1, pieces + 1, pieces // 9):
        status, said = city.ingest(other[0], until=until, kill=kill)
        held = city.held()
        assert held in (live[1], other[1]), until
        # An end at the last pieces may come too late, since all is done, or not at all, since some pieces arrive as one.
        done = held == city.place.shown() == other[1]
        assert status == (KILLED if kill else FAILED) or (status == LIVED and done), f"{until} of {pieces}: {said}"
        died += status != LIVED
        assert "Traceback" not in said, said
        assert city.ingest(other[0])[0] == LIVED, until
        assert city.held() == city.place.shown() == other[1], until
        assert city.left() == [], until
        live, other = other, live
    assert died > 6

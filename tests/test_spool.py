"""Downloads on disk: written once, kept within bounds, and nothing is left of what failed or was given up."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen, run

import numpy as np
import pytest
from serving import wait_until
from starlette.requests import Request
from starlette.types import Message

from tileserver.downloads.spool import Spool
from tileserver.errors import Unavailable
from tileserver.snapshot.columns import Rows


def client(gone: asyncio.Event) -> Request:
    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


def lengths(path: Path, parts: Iterator[Rows]) -> None:
    path.write_text("".join(f"{len(part)}\n" for part in parts))


def two_parts() -> Iterator[Rows]:
    yield np.arange(3)
    yield np.arange(2)


def test_a_file_is_written_once_under_its_name() -> None:
    async def ask(spool: Spool) -> list[Path]:
        here = client(asyncio.Event())
        return [await spool.get("key", "rows.txt", lengths, two_parts(), here) for _ in range(2)]

    with closing(Spool(1_000)) as spool:
        first, second = asyncio.run(ask(spool))
        assert first == second
        assert (first.name, first.read_text()) == ("rows.txt", "3\n2\n")
    assert not first.exists()


def test_what_is_replaced_is_written_anew_and_goes_when_answers_have_begun() -> None:
    async def ask(spool: Spool) -> list[Path]:
        here = client(asyncio.Event())
        old = await spool.get("key", "rows.txt", lengths, two_parts(), here)
        other = await spool.get("other", "rows.txt", lengths, two_parts(), here)  # more than there is room for
        spool.let_go()
        assert old.read_text() == other.read_text()  # answers that were given them just before
        new = await spool.get("other", "rows.txt", lengths, two_parts(), here)
        await asyncio.to_thread(wait_until, lambda: not (old.parent.exists() or other.parent.exists()))
        return [old, other, new]

    with closing(Spool(5)) as spool:
        paths = asyncio.run(ask(spool))
        assert len(set(paths)) == 3
        assert paths[2].read_text() == "3\n2\n"


def test_what_a_killed_worker_left_goes_when_a_spool_is_opened_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    program = (
        "import sys; from tileserver.downloads.spool import Spool; "
        "spool = Spool(9); print(spool._home.name, flush=True); sys.stdin.read(); spool.close()"
    )
    command = [sys.executable, "-c", program]
    place = {**os.environ, "TMPDIR": str(tmp_path)}
    (tmp_path / "another").mkdir()
    (tmp_path / "tileserver-downloads-link").symlink_to(tmp_path / "another")
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=place) as dead:
        left = Path((dead.stdout or sys.stdin).readline().strip())
        (left / "rows.csv").write_text("a record")
        with Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=place) as living:
            other = Path((living.stdout or sys.stdin).readline().strip())
            assert (left / "rows.csv").exists()
            dead.kill()
            dead.wait()
            run([sys.executable, "-c", "from tileserver.downloads.spool import Spool; Spool(9).close()"], check=True, env=place)
            assert (left.exists(), other.exists(), (tmp_path / "another").exists()) == (False, True, True)
            living.communicate("")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another", "tileserver-downloads-link"]


def test_a_failed_write_leaves_nothing() -> None:
    places: list[Path] = []

    def fails(path: Path, parts: Iterator[Rows]) -> None:
        places.append(path)
        path.write_text("half")
        path.with_suffix(".part").write_text("beside it")
        raise ValueError("no more")

    with closing(Spool(1_000)) as spool:
        with pytest.raises(ValueError, match="no more"):
            asyncio.run(spool.get("key", "rows.txt", fails, two_parts(), client(asyncio.Event())))
        assert list(places[0].parents[1].iterdir()) == []


@pytest.mark.parametrize("parts_left", [True, False])
def test_a_write_that_is_given_up_ends_and_leaves_nothing(parts_left: bool) -> None:
    begun, go_on = threading.Event(), threading.Event()
    places: list[Path] = []

    def slow(path: Path, parts: Iterator[Rows]) -> None:
        places.append(path)
        path.write_text(str(len(next(parts))))
        begun.set()
        go_on.wait()
        if parts_left:
            next(parts)
            path.write_text("more")

    async def ask(spool: Spool) -> None:
        gone = asyncio.Event()
        asked = asyncio.ensure_future(spool.get("key", "rows.txt", slow, two_parts(), client(gone)))
        await asyncio.to_thread(begun.wait)
        gone.set()
        with pytest.raises(Unavailable):
            await asked
        go_on.set()

    with closing(Spool(1_000)) as spool:
        asyncio.run(ask(spool))
        wait_until(lambda: list(places[0].parents[1].iterdir()) == [])
        again = asyncio.run(spool.get("key", "rows.txt", lengths, two_parts(), client(asyncio.Event())))
        assert again.read_text() == "3\n2\n"

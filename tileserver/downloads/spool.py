"""Finished downloads on disk, so that HEAD and byte ranges are answered from a file whose length is known."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from starlette.requests import Request

from tileserver.errors import Unavailable
from tileserver.flights import Flights
from tileserver.snapshot.columns import Rows

THREADS = 2
"""Downloads are written beside the tiles' own threads, so that large ones do not hold up a map."""

MOST_FILES = 1_000

PREFIX = "tileserver-downloads-"
"""How the names of spools' folders begin, in the folder for temporary files."""

TO_BEGIN = 5
"""Seconds until an answer that was given a file has begun, and holds it open."""

Write = Callable[[Path, Iterator[Rows]], None]
"""Writes the parts of the rows to a file."""


def sweep() -> None:
    """Delete the folders of this user's spools whose processes have ended without doing so: nobody holds their locks."""
    for folder in Path(gettempdir()).glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError, BlockingIOError), closing(_Lock(folder)) as lock:
            if lock.is_ours:
                shutil.rmtree(folder, ignore_errors=True)


class _Lock:
    """A lock on a folder itself, so that nothing lies beside what it holds. The system lets it go when the process ends."""

    def __init__(self, folder: Path) -> None:
        """Raises BlockingIOError if another holds it, and other OSErrors if there is no such folder or it is another user's."""
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            flock(self._descriptor, LOCK_EX | LOCK_NB)
        except BaseException:
            self.close()
            raise

    @property
    def is_ours(self) -> bool:
        return os.fstat(self._descriptor).st_uid == os.geteuid()

    def close(self) -> None:
        os.close(self._descriptor)


def _locked_home() -> tuple[TemporaryDirectory[str], _Lock]:
    """A new folder, and the lock on it."""
    while True:
        home = TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        with suppress(FileNotFoundError, BlockingIOError):
            lock = _Lock(Path(home.name))
            if Path(home.name).exists():
                return home, lock
            lock.close()
        home.cleanup()  # another has swept it, or is about to, in the moment before it was locked


class Spool:
    """Files by key, each in a folder of its own, the least recently used going first. They leave with the process; what a
    process that was killed has left goes when the next spool is opened.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        sweep()
        self._home, self._lock = _locked_home()
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="download")
        self._files: OrderedDict[str, tuple[Path, int]] = OrderedDict()
        self._bytes = 0
        self._age = 0
        self._flights: Flights[Path] = Flights(self._executor)
        self._closing = threading.Event()

    async def get(self, key: str, name: str, write: Write, parts: Iterator[Rows], request: Request) -> Path:
        """The file of a key, written on a thread under `name` if it is not there.

        Between two parts a write that nobody waits for any more ends, and leaves nothing.

        Raises:
            Unavailable: too many are being written.
        """
        if key in self._files:
            self._files.move_to_end(key)
            return self._files[key][0]
        path = Path(self._home.name) / secrets.token_hex(8) / name
        given_up = threading.Event()
        make = partial(self._write, path, write, parts, given_up)
        return await self._flights.get(
            key, make, partial(self._keep, key, self._age), request, partial(self._give_up, path, given_up)
        )

    def let_go(self) -> None:
        """Deletes every file, also what is being written: a row in one of them may be gone for good."""
        self._age += 1
        for key in list(self._files):
            self._drop(key)

    def close(self) -> None:
        self._closing.set()
        self._executor.shutdown(cancel_futures=True)
        self._home.cleanup()
        self._lock.close()

    def _write(self, path: Path, write: Write, parts: Iterator[Rows], given_up: threading.Event) -> Path:
        path.parent.mkdir()
        try:
            write(path, self._while_wanted(parts, given_up))
            self._check(given_up)
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        return path

    def _while_wanted(self, parts: Iterator[Rows], given_up: threading.Event) -> Iterator[Rows]:
        for part in parts:
            self._check(given_up)
            yield part

    def _check(self, given_up: threading.Event) -> None:
        if given_up.is_set() or self._closing.is_set():
            raise Unavailable("The client has gone.")

    def _give_up(self, path: Path, given_up: threading.Event) -> None:
        """Tells the write to end, and removes what one has written that had just come to its end."""
        given_up.set()
        self._executor.submit(shutil.rmtree, path.parent, ignore_errors=True)

    def _keep(self, key: str, age: int, path: Path) -> None:
        size = path.stat().st_size
        self._files[key] = path, size
        self._bytes += size
        if age != self._age:
            self._drop(key)
        while (self._bytes > self._most_bytes or len(self._files) > MOST_FILES) and len(self._files) > 1:
            self._drop(next(iter(self._files)))

    def _drop(self, key: str) -> None:
        """Nobody is given the file any more; it goes when those who were given it have opened it."""
        path, size = self._files.pop(key)
        self._bytes -= size
        asyncio.get_running_loop().call_later(TO_BEGIN, partial(shutil.rmtree, path.parent, ignore_errors=True))

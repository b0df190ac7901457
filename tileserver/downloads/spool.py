"""Finished downloads on disk, so that HEAD and byte ranges are answered from a file whose length is known."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp

from starlette.requests import Request

from tileserver.flights import Flights

THREADS = 2
"""Downloads are written beside the tiles' own threads, so that large ones do not hold up a map."""

MOST_FILES = 1_000


class Spool:
    """Files by key, the least recently used going first. They leave with the process."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._home = TemporaryDirectory(prefix="tileserver-downloads-")
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="download")
        self._files: OrderedDict[str, tuple[Path, int]] = OrderedDict()
        self._bytes = 0
        self._flights: Flights[Path] = Flights(self._executor)

    async def get(self, key: str, write: Callable[[], Iterator[bytes]], request: Request) -> Path:
        """The file of a key, written on a thread if it is not there. Raises Unavailable when too many are being written."""
        if key in self._files:
            self._files.move_to_end(key)
            return self._files[key][0]
        return await self._flights.get(key, partial(self._write, write), partial(self._keep, key), request)

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)
        self._home.cleanup()

    def _write(self, write: Callable[[], Iterator[bytes]]) -> Path:
        handle, name = mkstemp(dir=self._home.name)
        os.close(handle)
        path = Path(name)
        try:
            with path.open("wb") as file:
                file.writelines(write())
        except BaseException:
            path.unlink()
            raise
        return path

    def _keep(self, key: str, path: Path) -> None:
        size = path.stat().st_size
        self._files[key] = path, size
        self._bytes += size
        while (self._bytes > self._most_bytes or len(self._files) > MOST_FILES) and len(self._files) > 1:
            _, (oldest, size) = self._files.popitem(last=False)
            self._bytes -= size
            oldest.unlink()  # who is reading it still holds it open

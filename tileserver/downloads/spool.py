"""Finished downloads on disk, so that HEAD and byte ranges are answered from a file whose length is known."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp

THREADS = 2
"""Downloads are written beside the tiles' own threads, so that large ones do not hold up a map."""


class Spool:
    """Files by key, the least recently used going first. They leave with the process."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._home = TemporaryDirectory(prefix="tileserver-downloads-")
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="download")
        self._files: OrderedDict[str, Path] = OrderedDict()
        self._making: dict[str, asyncio.Future[Path]] = {}

    async def get(self, key: str, write: Callable[[], Iterator[bytes]]) -> Path:
        """The file of a key, written on a thread if it is not there; those who ask meanwhile wait for the same one."""
        if key in self._files:
            self._files.move_to_end(key)
            return self._files[key]
        making = self._making.get(key)
        if making is None:
            making = asyncio.get_running_loop().run_in_executor(self._executor, self._write, write)
            self._making[key] = making
            making.add_done_callback(lambda done: self._made(key, done))
        return await asyncio.shield(making)

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)
        self._home.cleanup()

    def _write(self, write: Callable[[], Iterator[bytes]]) -> Path:
        handle, name = mkstemp(dir=self._home.name)
        os.close(handle)
        path = Path(name)
        with path.open("wb") as file:
            file.writelines(write())
        return path

    def _made(self, key: str, done: asyncio.Future[Path]) -> None:
        del self._making[key]
        if done.cancelled() or done.exception() is not None:
            return
        self._files[key] = done.result()
        sizes = {key: path.stat().st_size for key, path in self._files.items()}
        while sum(sizes.values()) > self._most_bytes and len(sizes) > 1:
            oldest, path = self._files.popitem(last=False)
            del sizes[oldest]
            path.unlink()  # who is reading it still holds it open

"""Tiles in memory, the least recently used going first, and one render a key at a time: others wait for it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

OVERHEAD = 500
"""Bytes that an entry takes beside its body, roughly."""


@dataclass(frozen=True, slots=True)
class Tile:
    """What is sent for a tile."""

    body: bytes
    """Encoded as its key says; empty for a tile without features."""
    detail: str = ""
    """The Tile-Detail header; empty when nothing was dropped."""


class TileCache:
    def __init__(self, most_bytes: int, executor: Executor) -> None:
        self._most_bytes = most_bytes
        self._executor = executor
        self._tiles: OrderedDict[str, Tile] = OrderedDict()
        self._bytes = 0
        self._making: dict[str, asyncio.Future[Tile]] = {}

    @property
    def entries(self) -> int:
        return len(self._tiles)

    async def get(self, key: str, make: Callable[[], Tile]) -> Tile:
        """The tile of a key, made on a thread if it is not there. A client that goes away does not stop what others wait for."""
        if (tile := self._tiles.get(key)) is not None:
            self._tiles.move_to_end(key)
            return tile
        making = self._making.get(key)
        if making is None:
            making = asyncio.get_running_loop().run_in_executor(self._executor, make)
            self._making[key] = making
            making.add_done_callback(lambda done: self._made(key, done))
        return await asyncio.shield(making)

    def _made(self, key: str, done: asyncio.Future[Tile]) -> None:
        del self._making[key]
        if not done.cancelled() and done.exception() is None:
            self._keep(key, done.result())

    def _keep(self, key: str, tile: Tile) -> None:
        self._tiles[key] = tile
        self._bytes += len(tile.body) + OVERHEAD
        while self._bytes > self._most_bytes and self._tiles:
            _, oldest = self._tiles.popitem(last=False)
            self._bytes -= len(oldest.body) + OVERHEAD

"""Tiles in memory, the least recently used going first, and one render a key at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request

from tileserver.flights import Flights

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
        self._tiles: OrderedDict[str, Tile] = OrderedDict()
        self._bytes = 0
        self._flights: Flights[Tile] = Flights(executor)

    @property
    def entries(self) -> int:
        return len(self._tiles)

    async def get(self, key: str, make: Callable[[], Tile], request: Request) -> Tile:
        """The tile of a key, made on a thread if it is not there. Raises Unavailable when too many are being made."""
        if (tile := self._tiles.get(key)) is not None:
            self._tiles.move_to_end(key)
            return tile
        return await self._flights.get(key, make, partial(self._keep, key), request)

    def _keep(self, key: str, tile: Tile) -> None:
        self._tiles[key] = tile
        self._bytes += len(tile.body) + OVERHEAD
        while self._bytes > self._most_bytes and self._tiles:
            _, oldest = self._tiles.popitem(last=False)
            self._bytes -= len(oldest.body) + OVERHEAD

"""Tiles in memory, the least recently used going first, and one render a key at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Set
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
    shown: int = 0
    """Rows that its features stand for."""
    total: int = 0
    """Rows of the tile."""
    dropped: str = ""
    """What was left out to keep within the limit of bytes: attributes, features, or both with a + between."""


class TileCache:
    def __init__(self, most_bytes: int, executor: Executor) -> None:
        self._most_bytes = most_bytes
        self._tiles: OrderedDict[str, tuple[Tile, Set[str]]] = OrderedDict()
        self._replaced: Set[str] = frozenset()
        self._bytes = 0
        self._flights: Flights[Tile] = Flights(executor)

    @property
    def entries(self) -> int:
        return len(self._tiles)

    def __contains__(self, key: str) -> bool:
        return key in self._tiles

    async def get(self, key: str, make: Callable[[], Tile], request: Request, revisions: Set[str] = frozenset()) -> Tile:
        """The tile of a key, made on a thread if it is not there; `revisions` are those that it shows.

        Raises Unavailable when too many are being made.
        """
        if (kept := self._tiles.get(key)) is not None:
            self._tiles.move_to_end(key)
            return kept[0]
        return await self._flights.get(key, make, partial(self._keep, key, revisions), request)

    def let_go(self, replaced: Set[str]) -> None:
        """Drops every tile that shows one of these revisions, also what is still being made: a row may be gone for good."""
        self._replaced = replaced
        for key in [key for key, (_, revisions) in self._tiles.items() if not revisions.isdisjoint(replaced)]:
            self._bytes -= len(self._tiles.pop(key)[0].body) + OVERHEAD

    def _keep(self, key: str, revisions: Set[str], tile: Tile) -> None:
        if not revisions.isdisjoint(self._replaced):
            return
        self._tiles[key] = tile, revisions
        self._bytes += len(tile.body) + OVERHEAD
        while self._bytes > self._most_bytes and self._tiles:
            _, (oldest, _) = self._tiles.popitem(last=False)
            self._bytes -= len(oldest.body) + OVERHEAD

"""The bytes of a tile: cache → one render → gzip. A tile of several layers is the bytes of each, one after the other."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from starlette.requests import Request

from tileserver.answers import GZIP_LEVEL, etag
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot
from tileserver.snapshot.tile import MOST_BYTES, RENDERER, Address, Options, draw
from tileserver.tiles.cache import Tile, TileCache


@dataclass(frozen=True, slots=True)
class Part:
    """One layer of a tile."""

    snapshot: Snapshot
    filter: Filter
    address: Address
    options: Options

    @property
    def content(self) -> tuple[str, str, str]:
        """All that its bytes depend on, but for address and options."""
        return self.snapshot.layer.id, self.snapshot.revision, self.filter.text

    def draw(self, most_bytes: int = MOST_BYTES) -> Tile:
        """On a thread. Raises BadRequest: `aggregate=never` where that would pass the limit."""
        made = draw(self.snapshot, self.filter, self.address, self.options, most_bytes)
        return Tile(made.data, made.shown, made.total, made.dropped)


def tag(encoding: str, options: Options, contents: Iterable[tuple[str, str, str]]) -> str:
    """The ETag of a tile at its address; of each layer its id, its revision and the text of its filter."""
    return etag(str(RENDERER), encoding, str(options), *chain.from_iterable(contents))


async def tile(cache: TileCache, parts: Sequence[Part], encoding: str, request: Request) -> Tile:
    """The tile of these layers, encoded. Of several each is made and kept by itself, for every tile that it is a part of.

    Raises:
        BadRequest: `aggregate=never` where that would pass the limit of bytes.
        Unavailable: too many tiles are being made.
    """

    def key(parts: Sequence[Part], encoding: str) -> str:
        return f"{tag(encoding, parts[0].options, [part.content for part in parts])}{parts[0].address}"

    whole, shown = key(parts, encoding), {part.snapshot.revision for part in parts}
    if len(parts) == 1 or whole in cache:
        return await cache.get(whole, lambda: _encoded([parts[0].draw()], encoding), request, shown)
    made = [await cache.get(key([part], "identity"), part.draw, request, {part.snapshot.revision}) for part in parts]
    return await cache.get(whole, lambda: _encoded(_shared_out(parts, made), encoding), request, shown)


def _shared_out(parts: Sequence[Part], made: Sequence[Tile]) -> list[Tile]:
    """What was made of the parts; where it passes the limit together, those larger than their share are drawn anew."""
    share = _share([len(each.body) for each in made])
    return [each if len(each.body) <= share else part.draw(share) for part, each in zip(parts, made, strict=True)]


def _share(sizes: Sequence[int]) -> int:
    """The most that each part may have so that all of them keep to the limit: what small ones leave is for the large ones."""
    left = MOST_BYTES
    for count, size in zip(range(len(sizes), 0, -1), sorted(sizes), strict=True):
        if size * count > left:
            return left // count
        left -= size
    return MOST_BYTES


def _encoded(tiles: Sequence[Tile], encoding: str) -> Tile:
    body = b"".join(each.body for each in tiles)
    if body and encoding == "gzip":
        body = gzip.compress(body, GZIP_LEVEL, mtime=0)
    dropped = sorted({each.dropped for each in tiles if each.dropped})
    return Tile(body, sum(each.shown for each in tiles), sum(each.total for each in tiles), "+".join(dropped))

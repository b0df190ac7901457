"""`{ids}/{z}/{x}/{y}` as text → layers and numbers. Nothing is coerced: what is not written as we write it is not there."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tileserver.catalog import Layer
from tileserver.errors import BadRequest, NotFound
from tileserver.snapshot import Live
from tileserver.snapshot.tile import Address

MOST_LAYERS = 16
MOST_ZOOM = 22

# [0-9], since \d takes digits of every script.
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
_LAST = re.compile(r"(0|[1-9][0-9]{0,9})(\.mvt|\.pbf)?")

_NO_TILE = "There is no tile at this address. Tiles are at /tiles/{layer}/{z}/{x}/{y}.mvt with whole numbers inside the grid."


def layers_of(live: Live, ids: str) -> list[Layer]:
    """The layers of an address, each once, in the order of their ids.

    Raises:
        NotFound: a layer that there is not, or that is not drawn.
        BadRequest: more than 16 of them.
    """
    names = sorted(set(ids.split(",", maxsplit=MOST_QUERY_IDS)))
    if len(names) > MOST_LAYERS:
        raise BadRequest(f"An address takes at most {MOST_LAYERS} layers.")
    return [live.published(name) for name in names]


MOST_QUERY_IDS = 10_000
"""An address is never split into more parts than this; what remains is the name of no layer."""


def tile_of(z: str, x: str, y: str) -> Address:
    """Raises NotFound for what is no tile of the grid."""
    last = _LAST.fullmatch(y)
    if not (_NUMBER.fullmatch(z) and _NUMBER.fullmatch(x) and last) or int(z) > MOST_ZOOM:
        raise NotFound(_NO_TILE)
    address = Address(int(z), int(x), int(last[1]))
    if max(address.x, address.y) >= 1 << address.z:
        raise NotFound(_NO_TILE)
    return address


def drawn_at(layers: Sequence[Layer], zoom: int) -> list[Layer]:
    """The layers that have tiles at a zoom. Raises NotFound if none has."""
    drawn = [layer for layer in layers if layer.tiles.minzoom <= zoom <= layer.tiles.maxzoom]
    if not drawn:
        raise NotFound("This zoom is outside the zooms of every layer asked for; the TileJSON tells them.")
    return drawn

"""What a protocol is asked for, and what it brings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

from tileserver.catalog import Layer
from tileserver.ingest.feeds.address import Address
from tileserver.ingest.feeds.spool import Mark
from tileserver.stores.store import State

Tell: TypeAlias = Callable[[int, int | None, str], None]
"""Takes how much is done, of how much in all (None: unknown), of which unit ("B" or "rows")."""


@dataclass(frozen=True, slots=True)
class Order:
    """One address to be read."""

    address: Address
    layer: Layer
    folder: Path
    """Its own, for what is fetched; it survives a failure."""
    last: Mark | None
    """How the source was when its rows were last published; None: to be read in any case."""
    replace: bool
    """All rows are wanted, not only those that have changed."""
    tell: Tell
    definition: str
    """See `definition`."""


@dataclass(frozen=True, slots=True)
class Delivery:
    path: Path | None
    """The file to read; None: nothing has changed since `Order.last`."""
    mark: Mark
    """How the source is now; empty if it does not tell."""


def definition(layer: Layer, joined: State | None) -> str:
    """A short name for what decides what becomes of a row, so that with another one all rows are to be read again.

    It is of keys of the layer file, and of the state of the layer that gives positions, if one does.
    """
    keys = {"kind", "fields", "ingest", "privacy", "bounds", "position", "timezone"}
    told = f"{layer.model_dump_json(include=keys)} {joined and joined.revision}"
    return blake2b(told.encode(), digest_size=8).hexdigest()

"""Real cities' files through a store, and what an independent plain reader makes of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.testclient import TestClient

from tileserver import catalog, indexer
from tileserver.app import create_app
from tileserver.catalog import Catalog
from tileserver.ingest import Ledger, ingest
from tileserver.settings import Settings
from tileserver.stores import open_store

LAYERS = Path(__file__).parent / "layers"


@dataclass(frozen=True)
class City:
    client: TestClient
    layers: Catalog
    ledgers: dict[str, Ledger]


@contextmanager
def served(prefix: str, files: Path, address: str, folder: Path) -> Iterator[City]:
    """The layers whose ids begin with `prefix`, brought in from `files` into the store at `address`, and served."""
    settings = Settings(store=address, layers=LAYERS, styles=folder, snapshots=folder / "snapshots", workers=1)
    layers = catalog.load(LAYERS)
    mine = [layer for id, layer in layers.items() if id.startswith(prefix)]
    ledgers = {}
    with open_store(settings.store) as store:
        for layer in sorted(mine, key=lambda layer: layer.ingest.join is not None):
            other = layers[layer.ingest.join.layer] if layer.ingest.join else None
            home = settings.snapshots / layer.id
            ledgers[layer.id] = ingest(layer, store, [], folder=files, home=home, replace=True, other=other)
            indexer.refresh(layer, store, settings)
    with TestClient(create_app(settings), headers={"Accept-Encoding": "identity"}) as client:
        yield City(client, layers, ledgers)


def plain_rows(path: Path) -> list[dict[str, str]]:
    """A CSV file as Python reads it: UTF-8, else cp1252."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252")
    return list(csv.DictReader(text.splitlines(keepends=True)))


def adds_up(ledger: Ledger) -> bool:
    return ledger.read == ledger.published + ledger.unchanged + ledger.superseded + ledger.excluded + ledger.rejected


def tiles_of(city: City, ids: str, tiles: tuple[str, ...], queries: tuple[str, ...] = ("",)) -> dict[str, bytes]:
    """The bytes of some tiles, by address."""
    found = {}
    for tile in tiles:
        for query in queries:
            answer = city.client.get(f"/tiles/{ids}/{tile}.mvt{query}")
            assert answer.status_code in (200, 204), answer.text
            found[f"{ids}/{tile}{query}"] = answer.content
    return found

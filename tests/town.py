"""A small town for the tests of everything that answers over HTTP: its layer files, a folder store, its snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import shapely
from starlette.testclient import TestClient

from tileserver import catalog, indexer
from tileserver.app import create_app
from tileserver.catalog import GEOMETRY, Catalog, Layer
from tileserver.settings import load
from tileserver.stores import open_store

LAYERS = {
    "reports": """
        title = "Reports"
        description = "What people report."
        attribution = "The town"
        kind = "events"
        timezone = "America/Chicago"
        position = "optional"
        [fields]
        number = { role = "id" }
        at = { role = "time" }
        kind = { role = "category", labels = { NOISE = "Noise" }, descriptions = { NOISE = "Loud music, and the like." } }
        cost = { type = "number", measure = true, unit = "USD" }
        note = {}
        [tiles]
        minzoom = 2
        maxzoom = 14
    """,
    "schools": """
        title = "Schools"
        kind = "places"
        [fields]
        name = {}
        level = { role = "category" }
    """,
    "wards": """
        title = "Wards"
        kind = "areas"
        [fields]
        ward = { role = "id", type = "integer" }
    """,
}

NO_POSITION = None


def report(number: int, **given: Any) -> dict[str, Any]:
    """A row of the layer `reports`; what is not given is made from its number."""
    return {
        "number": f"R-{number:04d}",
        "at": 1_700_000_000_000_000 + number * 3_600_000_000,
        "kind": ("NOISE", "FIRE", None)[number % 3],
        "cost": number / 4,
        "note": f"note {number}",
        GEOMETRY: shapely.Point(-92.3 + number % 50 / 1_000, 34.7 + number // 50 / 1_000),
    } | given


SCHOOLS = [
    {"id": number, "name": name, "level": level, GEOMETRY: shapely.Point(-92.3, 34.7 + number / 100)}
    for number, (name, level) in enumerate([("Oak", "high"), ("<b>Elm</b>", "middle"), ("=1+1", "high")])
]
WARDS = [{"ward": 1, GEOMETRY: shapely.box(-92.4, 34.6, -92.3, 34.8)}, {"ward": 2, GEOMETRY: shapely.box(-92.3, 34.6, -92.2, 34.8)}]


def batch(layer: Layer, rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    """Rows as a store takes them; geometries are shapely's."""
    columns = {name: [row.get(name) for row in rows] for name in layer.schema.names}
    columns[GEOMETRY] = [None if shape is None else shapely.to_wkb(shape) for shape in columns[GEOMETRY]]
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in layer.schema], schema=layer.schema)


class Town:
    def __init__(self, folder: Path, **settings: Any) -> None:
        (folder / "layers").mkdir(parents=True)
        (folder / "styles").mkdir()
        for id, text in LAYERS.items():
            (folder / "layers" / f"{id}.toml").write_text(text, "utf-8")
        places = {name: folder / name for name in ("layers", "styles", "snapshots")}
        self.settings = load(store=str(folder / "data"), workers=1, **places, **settings)
        self.layers: Catalog = catalog.load(self.settings.layers)

    def publish(self, id: str, rows: Sequence[dict[str, Any]], *, replace: bool = True) -> None:
        """Bring rows in and make them live, as a command would beside the running server."""
        with open_store(self.settings.store) as store:
            store.publish(self.layers[id], [batch(self.layers[id], rows)], replace=replace)
            indexer.refresh(self.layers[id], store, self.settings)

    def settle(self) -> Town:
        """Publish some rows of every layer."""
        self.publish("reports", [report(number) for number in range(300)] + [report(300, **{GEOMETRY: NO_POSITION})])
        self.publish("schools", SCHOOLS)
        self.publish("wards", WARDS)
        return self

    def reloaded(self) -> Town:
        """The same town after its layer files were edited."""
        self.layers = catalog.load(self.settings.layers)
        return self

    def client(self) -> TestClient:
        return TestClient(create_app(self.settings), headers={"Accept-Encoding": "identity"})

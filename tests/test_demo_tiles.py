"""The demo city over HTTP: at every zoom, under any filter, tiles and counts agree to the row."""

import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import mapbox_vector_tile
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from starlette.testclient import TestClient

from tileserver import catalog, demo, indexer
from tileserver.app import create_app
from tileserver.settings import Settings, shipped
from tileserver.snapshot.mercator import mercator
from tileserver.stores import open_store

EVENTS = 20_000
CLOSE = 12
"""From this zoom on only a part of the city is looked at, some tiles wide."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("demo")
    settings = Settings(
        store=str(folder / "data"), layers=shipped("layers"), styles=shipped("styles"), snapshots=folder / "snapshots", workers=1
    )
    layers = catalog.load(settings.layers)
    with open_store(settings.store) as store:
        for id in demo.LAYERS:
            store.publish(layers[id], demo.batches(id, layers[id].schema, events=EVENTS), replace=True)
            indexer.refresh(layers[id], store, settings)
    with TestClient(create_app(settings), headers={"Accept-Encoding": "identity"}) as client:
        yield client


def some_filter(client: TestClient, id: str, zoom: int, random: np.random.Generator) -> list[tuple[str, str]]:
    """Conditions picked at random; close views get a box of a few tiles, so that they can be looked at whole."""
    told = client.get(f"/layers/{id}").json()
    query: list[tuple[str, str]] = []
    for field in told["fields"]:
        if field.get("values") and random.random() < 0.4:
            values = [value["value"] for value in field["values"]]
            chosen = random.choice(values, size=random.integers(1, len(values) + 1), replace=False)
            query += [(field["name"], str(value)) for value in chosen]
    if told["kind"] == "events" and random.random() < 0.6:
        query.append([("last", "3m"), ("last", "2y"), ("datetime", "2020-01-01/2024-06-30")][random.integers(0, 3)])
    if zoom >= CLOSE:
        side = 2 * 360 / 2**zoom
        west, south = random.uniform([-92.36, 34.70], [-92.26, 34.76])
        query.append(("bbox", f"{west:.5f},{south:.5f},{west + side:.5f},{south + side:.5f}"))
    return query


def tiles_with_rows(client: TestClient, id: str, zoom: int, query: str) -> set[tuple[int, int]]:
    """The tiles that hold the anchor of a matching row, or a point of its shape: read from the download."""
    content = client.get(f"/downloads/{id}.parquet?{query}").content
    shapes = shapely.from_wkb(pq.read_table(io.BytesIO(content), columns=["geometry"])["geometry"].drop_null().to_numpy())
    if not len(shapes):
        return set()
    west, south, east, north = shapely.bounds(shapes).T
    inside = shapely.point_on_surface(shapes)
    tops, bottoms = mercator(west, north), mercator(east, south)
    found: set[tuple[int, int]] = set()
    for x, y in (
        ((tops[0] + bottoms[0]) / 2, (tops[1] + bottoms[1]) / 2),
        mercator(shapely.get_x(inside), shapely.get_y(inside)),
    ):
        found |= set(zip((x // 2 ** (32 - zoom)).astype(int).tolist(), (y // 2 ** (32 - zoom)).astype(int).tolist(), strict=True))
    return found


@pytest.mark.parametrize("id", demo.LAYERS)
def test_tiles_add_up_to_the_count_at_every_zoom(client: TestClient, id: str) -> None:
    layer = catalog.load_layer(Path(shipped("layers")) / f"{id}.toml")
    random = np.random.default_rng(sum(id.encode()))
    for zoom in range(layer.tiles.minzoom, layer.tiles.maxzoom + 1):
        query = urlencode(some_filter(client, id, zoom, random))
        ids: set[object] = set()
        grouped = dropped = 0
        for x, y in tiles_with_rows(client, id, zoom, query):
            answer = client.get(f"/tiles/{id}/{zoom}/{x}/{y}.mvt?{query}")
            assert answer.status_code in (200, 204)
            assert len(answer.content) <= 500_000
            if detail := answer.headers.get("tile-detail"):
                told = dict(part.split("=") for part in detail.split(", "))
                dropped += int(told["total"]) - int(told["shown"])
            for feature in (
                mapbox_vector_tile.decode(answer.content).get(id, {"features": []})["features"] if answer.content else ()
            ):
                if feature["properties"].get("cluster"):
                    grouped += feature["properties"]["point_count"]
                else:
                    ids.add(feature["properties"]["id"])
        counted = client.get(f"/count/{id}?{query}").json()
        assert len(ids) + grouped + dropped == counted["count"] - counted["without_position"], f"zoom {zoom}, {query}"


def test_every_layer_is_ready_and_says_that_it_is_made_up(client: TestClient) -> None:
    assert client.get("/health/ready").status_code == 200
    told = client.get("/layers").json()["layers"]
    assert len(told) >= 10
    assert all("made-up city" in layer["description"].lower() for layer in told)

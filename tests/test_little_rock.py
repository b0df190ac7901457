"""Little Rock's real files through both stores: ledgers that add up, no house number anywhere, the same tiles byte for byte."""

import re
from collections.abc import Iterator
from pathlib import Path

import mapbox_vector_tile
import pytest
from starlette.testclient import TestClient

from tileserver import catalog, indexer
from tileserver.app import create_app
from tileserver.ingest import ingest
from tileserver.ingest.ledger import Ledger
from tileserver.settings import Settings
from tileserver.stores import open_store

LAYERS = Path(__file__).parent / "layers"
FILES = {
    "little_rock_incidents": "vcrime2017_2020.csv",
    "little_rock_points": "lrpd_points_2017_2023_from_heatmap.csv",
    "little_rock_historic_sites": "Historic.csv",
    "little_rock_schools": "LRSchools.csv",
    "little_rock_public_wifi": "PublicWifi.csv",
    "little_rock_police_facilities": "Police_Facilities.csv",
    "little_rock_libraries": "CALS.csv",
    "little_rock_business_licenses": "Business_Licenses.csv",
    "little_rock_city_limits": "boundaries/*.geojson",
}
TILES = ("0/0/0", "8/62/101", "10/249/406", "11/498/812", "12/997/1625", "13/1995/3250", "14/3990/6500", "16/15960/26002")


@pytest.fixture(scope="module", params=["folder", "postgis"])
def town(
    request: pytest.FixtureRequest, city_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TestClient, dict[str, Ledger]]]:
    """The city's layers served from one kind of store, and the ledgers of bringing them in."""
    folder = tmp_path_factory.mktemp(request.param)
    address = str(folder / "data") if request.param == "folder" else request.getfixturevalue("postgres")
    settings = Settings(store=address, layers=LAYERS, styles=folder, snapshots=folder / "snapshots", workers=1)
    layers = {id: layer for id, layer in catalog.load(LAYERS).items() if id in FILES}
    ledgers = {}
    files = city_files / "little_rock"
    with open_store(settings.store) as store:
        for id, layer in layers.items():
            ledgers[id] = ingest(layer, store, [FILES[id]], folder=files, home=folder / id, replace=True)
            again = ingest(layer, store, [FILES[id]], folder=files, home=folder / id)
            assert again.published == again.removed == 0
            indexer.refresh(layer, store, settings)
    with TestClient(create_app(settings), headers={"Accept-Encoding": "identity"}) as client:
        yield client, ledgers


TILES_SEEN: dict[str, bytes] = {}
"""What the first store's tiles were; the second one's must be the same."""


def test_every_row_read_stands_in_the_ledger(town: tuple[TestClient, dict[str, Ledger]]) -> None:
    client, ledgers = town
    for id, ledger in ledgers.items():
        assert ledger.read == ledger.published + ledger.unchanged + ledger.superseded + ledger.excluded + ledger.rejected
        assert client.get(f"/count/{id}").json()["count"] == ledger.published + ledger.unchanged
    assert ledgers["little_rock_incidents"].read == 20_375
    assert ledgers["little_rock_points"].read == 87_021
    assert ledgers["little_rock_points"].reasons == {"position 0,0": 3_140, "outside the bounds": 634}


def test_licenses_without_any_position_are_counted_filtered_and_downloaded(town: tuple[TestClient, dict[str, Ledger]]) -> None:
    client, ledgers = town
    assert ledgers["little_rock_business_licenses"].read == 14_573
    counted = client.get("/count/little_rock_business_licenses").json()
    assert (counted["count"], counted["without_position"]) == (14_573, 14_573)
    assert client.get("/count/little_rock_business_licenses?category=SHOPPING").json()["count"] == 2_174
    assert client.get("/count/little_rock_business_licenses?datetime=1987-01-01").json()["count"] == 1_044
    assert len(client.get("/downloads/little_rock_business_licenses.csv").text.splitlines()) > 14_573
    assert client.get("/tiles/little_rock_business_licenses/0/0/0.mvt").status_code == 204


def test_no_house_number_and_no_withheld_kind_leaves(town: tuple[TestClient, dict[str, Ledger]]) -> None:
    client, _ = town
    for answer in (client.get("/downloads/little_rock_incidents.csv"), client.get("/downloads/little_rock_incidents.geojson")):
        assert '"RAPE"' not in answer.text
        blocks = re.findall(r"(\d+) block of", answer.text)
        assert len(blocks) > 15_000
        assert all(int(block) % 100 == 0 for block in blocks)


def test_both_stores_give_the_same_tiles_byte_for_byte(town: tuple[TestClient, dict[str, Ledger]]) -> None:
    client, _ = town
    ids = ",".join(FILES)
    queries = ("", "?grid=16", "?little_rock_incidents.offense=ROBBERY", "?bbox=-92.35,34.7,-92.25,34.76")
    for tile in TILES:
        for query in queries:
            answer = client.get(f"/tiles/{ids}/{tile}.mvt{query}")
            assert answer.status_code in (200, 204)
            seen = TILES_SEEN.setdefault(tile + query, answer.content)
            assert seen == answer.content
    assert len([content for content in TILES_SEEN.values() if content]) > 20
    assert "little_rock_incidents" in mapbox_vector_tile.decode(TILES_SEEN["10/249/406"])

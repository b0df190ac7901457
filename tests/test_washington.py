"""Washington: six indicators of one month and the areas to break them down by, through both stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from cities import City, adds_up, served, tiles_of

FILES = {
    "washington_crimes": "crime-incidents-last-30-days.geojson",
    "washington_space_permits": "public-space-permits-last-30-days.geojson",
    "washington_rental_permits": "annual-public-space-rental-permits.geojson",
    "washington_bulk_collections": "bulk-collection-last-30-days.geojson",
    "washington_recycling": "recycling-requested-last-30-days.geojson",
    "washington_fire_services": "fems-service-requests-in-last-30-days.geojson",
    "washington_wards": "ward-2012.geojson",
    "washington_clusters": "neighborhood-clusters.geojson",
    "washington_police_districts": "police-districts-mpd.geojson",
    "washington_police_stations": "police-stations.geojson",
}
TILES = ("0/0/0", "9/146/195", "11/585/783", "12/1171/1566", "14/4686/6267")
SEEN: dict[str, dict[str, bytes]] = {}
"""What the first store's tiles were; the second one's must be the same."""


@pytest.fixture(scope="module", params=["folder", "postgis"])
def city(request: pytest.FixtureRequest, city_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    folder = tmp_path_factory.mktemp(request.param)
    address = str(folder / "data") if request.param == "folder" else request.getfixturevalue("postgres")
    with served("washington_", city_files / "dc", address, folder) as city:
        yield city


def features(files: Path, id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads((files / "dc" / FILES[id]).read_bytes())["features"]
    return found


def outside(feature: dict[str, Any]) -> bool:
    """Of the city. The permits that the city has given no place are at 0,0 in feet, far away in degrees."""
    if feature["geometry"] is None or feature["geometry"]["type"] != "Point":
        return False
    longitude, latitude = feature["geometry"]["coordinates"][:2]
    return not (-77.13 <= longitude <= -76.9 and 38.78 <= latitude <= 39.0)


@pytest.mark.parametrize("id", FILES)
def test_the_ledger_equals_a_plain_reading_to_the_row(id: str, city: City, city_files: Path) -> None:
    ledger, given = city.ledgers[id], features(city_files, id)
    lost = sum(map(outside, given))
    assert adds_up(ledger)
    assert (ledger.read, ledger.rejected) == (len(given), lost)
    assert ledger.superseded == ledger.excluded == 0
    counted = city.client.get(f"/count/{id}").json()
    assert counted["count"] == len(given) - lost
    assert counted["without_position"] == sum(each["geometry"] is None for each in given)
    assert not set(ledger.blanked) - {"position"}


def test_permits_without_geometry_are_counted_and_downloaded(city: City, city_files: Path) -> None:
    counted = city.client.get("/count/washington_space_permits").json()
    assert (counted["count"], counted["without_position"]) == (3_192, 10)
    assert city.ledgers["washington_space_permits"].reasons == {"outside the bounds": 129}
    downloaded = city.client.get("/downloads/washington_space_permits.geojson").json()["features"]
    missing = {
        each["properties"]["OBJECTID"] for each in features(city_files, "washington_space_permits") if each["geometry"] is None
    }
    assert {each["properties"]["permit"] for each in downloaded if each["geometry"] is None} == missing
    assert len(missing) == 10


def test_times_with_an_offset_are_instants(city: City, city_files: Path) -> None:
    given = features(city_files, "washington_crimes")
    # Midnight of the city is four hours after that of the file's clock in August.
    expected = sum("2016-08-01T04:00" <= each["properties"]["REPORTDATETIME"] < "2016-08-02T04:00" for each in given)
    assert city.client.get("/count/washington_crimes?datetime=2016-08-01").json()["count"] == expected > 0


def test_categories_count_as_in_the_files(city: City, city_files: Path) -> None:
    told = {field["name"]: field for field in city.client.get("/layers/washington_crimes").json()["fields"]}["offense"]
    given = Counter(each["properties"]["OFFENSE"] for each in features(city_files, "washington_crimes"))
    assert {value["value"]: value["count"] for value in told["values"]} == given


def test_both_stores_give_the_same_tiles_byte_for_byte(city: City) -> None:
    seen = tiles_of(city, ",".join(FILES), TILES, ("", "?grid=16", "?bbox=-77.05,38.87,-77,38.92"))
    assert SEEN.setdefault("tiles", seen) == seen
    assert len([content for content in seen.values() if content]) > 10

"""St. Louis: 445,326 reports in 95 files of two schemas, in feet, and 88 neighborhoods in 88 files, through both stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import mapbox_vector_tile
import orjson
import pytest
from cities import City, adds_up, plain_rows, served, tiles_of
from pyproj import Transformer

TILES = ("0/0/0", "8/63/98", "10/255/392", "11/510/785", "13/2043/3141", "14/4086/6283", "16/16347/25132")
WEST, SOUTH, EAST, NORTH = -90.35, 38.52, -90.15, 38.79
SCHEMAS = {"DateOccured": 67, "DateOccur": 28}
SEEN: dict[str, dict[str, bytes]] = {}
"""What the first store's tiles were; the second one's must be the same."""


@pytest.fixture(scope="module", params=["folder", "postgis"])
def city(request: pytest.FixtureRequest, city_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    folder = tmp_path_factory.mktemp(request.param)
    address = str(folder / "data") if request.param == "folder" else request.getfixturevalue("postgres")
    with served("st_louis_", city_files / "st_louis", address, folder) as city:
        yield city


@cache
def reports(files: Path) -> list[dict[str, str]]:
    """Every row of the 95 files; `where` says what a plain reader makes of its position."""
    rows = [row for path in sorted((files / "st_louis" / "monthly").iterdir()) for row in plain_rows(path)]
    x, y = zip(*((float(row["XCoord"]), float(row["YCoord"])) for row in rows), strict=True)
    longitudes, latitudes = Transformer.from_crs("ESRI:102696", "EPSG:4326", always_xy=True).transform(x, y)
    for row, feet, longitude, latitude in zip(rows, zip(x, y, strict=True), longitudes, latitudes, strict=True):
        within = WEST <= longitude <= EAST and SOUTH <= latitude <= NORTH
        row["where"] = "position 0,0" if feet == (0, 0) else "" if within else "outside the bounds"
    return rows


@cache
def later_reports(files: Path) -> list[dict[str, str]]:
    return [row for path in sorted((files / "st_louis" / "part1").iterdir()) for row in plain_rows(path)]


def kept(files: Path) -> list[dict[str, str]]:
    return [row for row in reports(files) if not row["where"]]


def year(row: dict[str, str]) -> str:
    """Of any of the eight spellings, "1/2/2011 3:04" and "01/02/2011 03:04" among them."""
    day = (row.get("DateOccured") or row["DateOccur"]).split()[0]
    return day.split("/")[2]


def test_the_ledger_equals_a_plain_reading_to_the_row(city: City, city_files: Path) -> None:
    ledger, rows = city.ledgers["st_louis_crimes"], reports(city_files)
    assert (len(ledger.files), ledger.read, len(rows)) == (95, 445_326, 445_326)
    assert adds_up(ledger)
    assert (
        ledger.reasons == Counter(row["where"] for row in rows if row["where"]) == {"position 0,0": 9_380, "outside the bounds": 25}
    )
    assert ledger.published + ledger.unchanged == len(kept(city_files)) == 435_921
    assert not ledger.blanked
    assert not ledger.lacking
    assert city.client.get("/count/st_louis_crimes").json()["count"] == 435_921


def test_both_schemas_and_all_spellings_of_dates_are_read(city: City, city_files: Path) -> None:
    headers = [path.read_bytes().partition(b"\n")[0] for path in (city_files / "st_louis" / "monthly").iterdir()]
    assert Counter("DateOccured" if b"DateOccured" in header else "DateOccur" for header in headers) == SCHEMAS
    expected = Counter(map(year, kept(city_files)))
    for one in ("1900", "2008", "2011", "2014"):
        assert city.client.get(f"/count/st_louis_crimes?datetime={one}-01-01/{one}-12-31").json()["count"] == expected[one]
    assert min(expected["2008"], expected["2011"], expected["2014"]) > 30_000


def test_corrections_subtract(city: City, city_files: Path) -> None:
    counts = Counter(int(row["Count"]) for row in kept(city_files))
    assert set(counts) == {1, -1}
    total = counts[1] - counts[-1]
    world = mapbox_vector_tile.decode(city.client.get("/tiles/st_louis_crimes/0/0/0.mvt").content)["st_louis_crimes"]["features"]
    assert sum(each["properties"].get("point_count", 1) for each in world) == counts[1] + counts[-1]
    assert sum(each["properties"].get("sum_crimes", each["properties"].get("crimes")) for each in world) == total
    described = {field["name"]: field for field in city.client.get("/layers/st_louis_crimes").json()["fields"]}["crimes"]
    assert (described["type"], described["min"], described["max"]) == ("integer", -1, 1)


def test_a_category_counts_as_in_the_files(city: City, city_files: Path) -> None:
    expected = Counter(row["Neighborhood"].strip() for row in kept(city_files))
    assert len(expected) == 89
    for number in ("0", "35", "87"):
        assert city.client.get(f"/count/st_louis_crimes?neighborhood={number}").json()["count"] == expected[number]


def test_letters_of_another_encoding_arrive(city_files: Path) -> None:
    odd = [path.name for path in (city_files / "st_louis" / "monthly").iterdir() if not _is_utf8(path)]
    assert len(odd) == 6
    assert not any("\ufffd" in value for row in reports(city_files) for value in row.values() if isinstance(value, str))


def _is_utf8(path: Path) -> bool:
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError:
        return False
    return True


def test_88_neighborhoods_come_from_88_files_with_whole_numbers(city: City, city_files: Path) -> None:
    ledger = city.ledgers["st_louis_neighborhoods"]
    assert (ledger.read, ledger.published + ledger.unchanged, len(ledger.files)) == (88, 88, 88)
    features = city.client.get("/downloads/st_louis_neighborhoods.geojson").json()["features"]
    found = {each["properties"]["number"]: each["properties"]["name"] for each in features}
    given = {}
    for path in (city_files / "st_louis" / "boundaries" / "data").glob("*.geojson"):
        [feature] = orjson.loads(path.read_bytes())["features"]
        given[feature["properties"]["NHD_NUM"]] = feature["properties"]["NHD_NAME"]
    assert found == given
    assert all(isinstance(number, int) for number in found)


def test_the_later_files_come_in_too(city: City, city_files: Path) -> None:
    rows = later_reports(city_files)
    ledger = city.ledgers["st_louis_part1"]
    without = sum(row["x"] == "NA" for row in rows)
    assert adds_up(ledger)
    assert (ledger.read, ledger.rejected, len(rows)) == (68_552, 1, 68_552)
    counted = city.client.get("/count/st_louis_part1").json()
    assert (counted["count"], counted["without_position"]) == (68_551, without) == (68_551, 401)


def test_a_neighborhood_gives_its_reports_a_position(city: City, city_files: Path) -> None:
    rows = later_reports(city_files)
    unmatched = sum(row["neighborhood"] not in {str(number) for number in range(1, 89)} for row in rows)
    ledger = city.ledgers["st_louis_part1_by_neighborhood"]
    assert ledger.joined == {"matched": 68_552 - unmatched, "unmatched": unmatched, "ambiguous": 0}
    assert adds_up(ledger)
    counted = city.client.get("/count/st_louis_part1_by_neighborhood").json()
    assert (counted["count"], counted["without_position"]) == (68_552, unmatched)


def test_both_stores_give_the_same_tiles_byte_for_byte(city: City) -> None:
    seen = tiles_of(city, "st_louis_crimes", TILES, ("", "?grid=32", "?district=4", "?datetime=2012-01-01/2012-06-30"))
    seen |= tiles_of(city, "st_louis_neighborhoods,st_louis_part1,st_louis_part1_by_neighborhood", TILES)
    assert SEEN.setdefault("tiles", seen) == seen
    assert len([content for content in seen.values() if content]) >= 30

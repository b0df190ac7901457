"""Downloads hold exactly the rows that the count counts, and answer HEAD and ranges."""

import csv
import io
import json
from collections.abc import Iterator

import pytest
import shapely
from starlette.testclient import TestClient
from town import Town, report


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with Town(tmp_path_factory.mktemp("town")).settle().client() as client:
        yield client


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("query", ["", "?kind=FIRE", "?last=7d&kind=NOISE", "?bbox=-92.3,34.7,-92.28,34.702", "?kind=NOTHING"])
def test_both_formats_hold_the_rows_of_the_count(client: TestClient, query: str) -> None:
    count = client.get(f"/count/reports{query}").json()["count"]
    rows = table(client.get(f"/downloads/reports.csv{query}").text)
    features = client.get(f"/downloads/reports.geojson{query}").json()["features"]
    assert len(rows) == len(features) == count
    assert [row["number"] for row in rows] == [feature["id"] for feature in features]


def test_positions_times_and_numbers_are_those_that_came_in(client: TestClient) -> None:
    row = next(row for row in table(client.get("/downloads/reports.csv").text) if row["number"] == "R-0007")
    expected = report(7)
    assert (float(row["longitude"]), float(row["latitude"])) == (round(expected["geometry"].x, 7), expected["geometry"].y)
    assert row["at"] == "2023-11-14T23:13:20-06:00"
    assert float(row["cost"]) == expected["cost"]
    missing = next(row for row in table(client.get("/downloads/reports.csv").text) if row["number"] == "R-0300")
    assert (missing["longitude"], missing["latitude"]) == ("", "")


def test_a_cell_that_a_spreadsheet_would_run_is_neutral_and_numbers_are_untouched(client: TestClient) -> None:
    rows = table(client.get("/downloads/schools.csv").text)
    assert {row["name"] for row in rows} == {"Oak", "<b>Elm</b>", "'=1+1"}
    assert all(row["longitude"] == "-92.3" for row in rows)
    assert {feature["properties"]["name"] for feature in client.get("/downloads/schools.geojson").json()["features"]} == {
        "Oak",
        "<b>Elm</b>",
        "=1+1",
    }


def test_areas_come_with_their_shapes(client: TestClient) -> None:
    features = client.get("/downloads/wards.geojson").json()["features"]
    rows = table(client.get("/downloads/wards.csv").text)
    for feature, row in zip(features, rows, strict=True):
        assert shapely.from_geojson(json.dumps(feature["geometry"])).equals(shapely.from_wkt(row["geometry"]))
    assert {feature["id"] for feature in features} == {1, 2}


def test_head_tells_the_length_and_ranges_are_parts_of_the_whole(client: TestClient) -> None:
    for path in ("/downloads/reports.csv", "/downloads/reports.geojson?kind=FIRE"):
        whole = client.get(path)
        head = client.head(path)
        assert head.headers["content-length"] == str(len(whole.content))
        assert head.headers["etag"] == whole.headers["etag"]
        part = client.get(path, headers={"Range": "bytes=10-29", "If-Range": whole.headers["etag"]})
        assert part.status_code == 206
        assert part.content == whole.content[10:30]
        assert client.get(path, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
        beyond = client.get(path, headers={"Range": f"bytes={len(whole.content)}-"})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole.content)}")
        assert beyond.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("given", ["bytes=", "bytes=-", "bytes=a-b", "bytes=5-1", "chars=1-2", "bytes=1-2;3-4", "bytes=1-2,5-3"])
def test_a_range_that_means_nothing_is_not_there(client: TestClient, given: str) -> None:
    answer = client.get("/downloads/reports.csv", headers={"Range": given})
    assert answer.status_code == 200
    assert answer.content == client.get("/downloads/reports.csv").content


def test_the_last_bytes_and_several_ranges_are_found(client: TestClient) -> None:
    whole = client.get("/downloads/reports.csv").content
    assert client.get("/downloads/reports.csv", headers={"Range": "bytes=-7"}).content == whole[-7:]
    assert client.get("/downloads/reports.csv", headers={"Range": "bytes=-0"}).status_code == 416
    several = client.get("/downloads/reports.csv", headers={"Range": "bytes=0-9, 30-39"})
    assert several.status_code == 206
    assert whole[30:40] in several.content


def test_a_thousand_ranges_are_refused(client: TestClient) -> None:
    answer = client.get("/downloads/reports.csv", headers={"Range": "bytes=" + ",".join(f"{n}-{n}" for n in range(1_000))})
    assert answer.status_code == 416
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_a_download_does_not_take_is_refused(client: TestClient) -> None:
    assert client.get("/downloads/reports.csv?secret=1").status_code == 400
    for name in ("reports", "reports.exe", "reports.csv.gz", "nothing.csv", ".csv", "..%2freports.csv"):
        assert client.get(f"/downloads/{name}").status_code == 404


def test_chosen_properties_are_all_that_a_download_carries(client: TestClient) -> None:
    assert client.get("/downloads/reports.csv?properties=cost").text.splitlines()[0] == '"number","cost","longitude","latitude"'
    feature = client.get("/downloads/reports.geojson?properties=cost").json()["features"][0]
    assert list(feature["properties"]) == ["cost"]

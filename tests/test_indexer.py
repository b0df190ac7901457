"""The indexer brings snapshots up to the store, and leaves alone what is up already."""

import json
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from serving import PATIENCE, serving
from town import SCHOOLS, Town, batch, report

from tileserver import indexer, revisions
from tileserver.revisions import Current
from tileserver.stores import open_store


def live(town: Town, id: str) -> Current | None:
    return revisions.read(town.settings.snapshots, id)


def refreshed(town: Town, id: str, *, reread: bool = False) -> Current:
    with open_store(town.settings.store) as store:
        return indexer.refresh(town.layers[id], store, town.settings, reread=reread)


def test_a_layer_without_rows_gets_an_empty_snapshot(tmp_path: Path) -> None:
    town = Town(tmp_path / "town")
    assert refreshed(town, "schools") == live(town, "schools")
    with town.client() as client:
        assert client.get("/count/schools").json()["count"] == 0
        assert client.get("/layers/schools").json()["extent"] is None
        assert client.get("/tiles/schools/0/0/0.mvt").status_code == 204
        assert client.get("/downloads/schools.geojson").json() == {"type": "FeatureCollection", "features": []}


def test_what_is_up_to_date_is_left_alone(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    before = live(town, "schools")
    assert refreshed(town, "schools", reread=True) == before
    assert len([path for path in (town.settings.snapshots / "schools").iterdir() if path.is_dir()]) == 1


def test_a_publish_that_changes_nothing_moves_the_time_but_not_the_revision(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    before = live(town, "schools")
    town.publish("schools", SCHOOLS)
    after = live(town, "schools")
    assert before is not None
    assert after is not None
    assert after.revision == before.revision
    assert after.published_at > before.published_at


def test_another_layer_file_makes_another_revision(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    before = live(town, "schools")
    path = town.settings.layers / "schools.toml"
    path.write_text(path.read_text().replace("Schools", "All schools"))
    assert refreshed(town.reloaded(), "schools") == before  # a title is not in the snapshot
    path.write_text(path.read_text().replace("name = {}", 'name = { role = "category" }'))
    after = refreshed(town.reloaded(), "schools")
    assert before is not None
    assert after.revision != before.revision


def test_a_snapshot_for_another_layer_file_is_not_served(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    path = town.settings.layers / "schools.toml"
    path.write_text(path.read_text().replace("name = {}", ""))
    with town.client() as client:
        assert client.get("/layers/schools").status_code == 503
        assert [layer["id"] for layer in client.get("/layers").json()["layers"]] == ["reports", "wards"]
        assert client.get("/tiles/schools/0/0/0.mvt").status_code == 503


def test_a_damaged_snapshot_is_built_anew(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    current = live(town, "schools")
    assert current is not None
    (town.settings.snapshots / "schools" / current.revision / "x").write_bytes(b"short")
    with town.client() as client:
        assert client.get("/tiles/schools/0/0/0.mvt").status_code == 503
        assert refreshed(town, "schools", reread=True).revision == current.revision
        assert client.get("/tiles/schools/0/0/0.mvt").status_code == 200


def test_the_snapshot_before_the_live_one_stays_and_older_ones_go(tmp_path: Path) -> None:
    town = Town(tmp_path / "town")
    for number in range(4):
        town.publish("reports", [report(number)])
    folders = [path for path in (town.settings.snapshots / "reports").iterdir() if path.is_dir()]
    assert len(folders) == 2


def test_rows_pass_the_door_of_privacy_again(tmp_path: Path) -> None:
    town = Town(tmp_path / "town")
    path = town.settings.layers / "reports.toml"
    path.write_text(path.read_text() + '[privacy]\ninclude = { kind = ["FIRE"] }\nsnap_meters = 1000\n')
    town = town.reloaded()
    layer = town.layers["reports"]
    with open_store(town.settings.store) as store:
        store.publish(layer, [batch(layer, [report(number) for number in range(9)])])  # as if another program had written it
        indexer.refresh(layer, store, town.settings)
    with town.client() as client:
        assert client.get("/count/reports").json()["count"] == 3
        features = client.get("/downloads/reports.geojson").json()["features"]
        assert {feature["properties"]["kind"] for feature in features} == {"FIRE"}
        assert len({tuple(feature["geometry"]["coordinates"]) for feature in features}) == 1


def test_what_was_served_stays_when_a_layer_of_another_file_takes_its_place(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    with town.client() as client:
        path = town.settings.layers / "schools.toml"
        path.write_text(path.read_text().replace("name = {}", ""))
        refreshed(town.reloaded(), "schools")
        assert client.get("/count/schools").json()["count"] == 3
        assert client.get("/health/ready").status_code == 503


def test_a_layer_that_cannot_be_prepared_is_told_without_what_is_inside(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    path = town.settings.layers / "schools.toml"
    path.write_text(path.read_text().replace("name = {}", 'name = { type = "number" }'))
    with serving(f"--layers={town.settings.layers}", f"--snapshots={town.settings.snapshots}", town.settings.store) as (
        process,
        url,
    ):
        assert process.stdout is not None
        said = process.stdout.readline()
        with pytest.raises(HTTPError) as answer:
            urlopen(f"{url}/layers/schools", timeout=PATIENCE)
        detail = json.loads(answer.value.read())["detail"]
    assert "answers, but not for every layer. Cannot be prepared" in said
    assert detail == "The layer schools cannot be prepared. The server's log tells its operator why."
    assert "schools" in said

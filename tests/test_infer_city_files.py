"""`tileserver new` on the files of real cities: what it writes can be ingested as it is, and shows nobody's house or name."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from tileserver import catalog, infer
from tileserver.ingest import ingest
from tileserver.ingest.ledger import Ledger
from tileserver.stores import open_store


def made(file: Path | str, folder: Path, id: str = "made") -> tuple[infer.Made, str]:
    (folder / "layers").mkdir(exist_ok=True)
    layer_file = infer.new_from_file(id, str(file), folder / "layers")
    return layer_file, layer_file.path.read_text("utf-8")


def ingested(folder: Path, id: str = "made") -> Ledger:
    layer = catalog.load(folder / "layers")[id]
    with open_store(str(folder / "data")) as store:
        return ingest(layer, store, (), folder=folder / "layers", home=folder)


FILES = {
    "little_rock/311_open_potholes_popups.csv": "places",
    "little_rock/vcrime2017_2020.csv": "events",
    "little_rock/Business_Licenses.csv": "events",
    "little_rock/CALS.csv": "places",
    "little_rock/Historic.csv": "places",
    "little_rock/LRSchools.csv": "places",
    "little_rock/Police_Facilities.csv": "places",
    "little_rock/PublicWifi.csv": "places",
    "little_rock/lrpd_points_2017_2023_from_heatmap.csv": "places",
    "little_rock/boundaries/*.geojson": "areas",
    "st_louis/neighborhoods_cth.geojson": "areas",
    "st_louis/boundaries/data/*.geojson": "areas",
    "st_louis/part1/*.csv": "events",
    "dc/crime-incidents-last-30-days.geojson": "events",
    "dc/public-space-permits-last-30-days.geojson": "events",
    "dc/bulk-collection-last-30-days.geojson": "events",
    "dc/ward-2012.geojson": "areas",
    "dc/neighborhood-clusters.geojson": "areas",
    "dc/police-stations.geojson": "places",
}


@pytest.mark.parametrize("file", FILES)
def test_a_citys_file_is_ingested_without_an_edit_and_loses_only_what_was_announced(
    city_files: Path, tmp_path: Path, file: str
) -> None:
    layer_file, text = made(city_files / file, tmp_path)
    ledger = ingested(tmp_path)
    assert tomllib.loads(text)["kind"] == FILES[file]
    assert ledger.published + ledger.superseded + ledger.rejected == ledger.read > 0
    for reason, count in ledger.reasons.items():
        assert f"ingest will reject {count:,} of {ledger.read:,} rows: {reason}" in layer_file.told
    assert all(any(f"{count:,} values of {name}," in line for line in layer_file.told) for name, count in ledger.blanked.items())
    assert ledger.rejected <= 0.05 * ledger.read
    assert layer_file.next_step.endswith("tileserver ingest made")


def test_house_numbers_become_blocks_and_rows_without_position_stay(city_files: Path, tmp_path: Path) -> None:
    _, text = made(city_files / "little_rock" / "vcrime2017_2020.csv", tmp_path)
    layer = catalog.load(tmp_path / "layers")["made"]
    assert [field.name for field in layer.addresses] == ["address"]
    assert layer.privacy.address == "block"
    assert layer.position == "optional"
    assert layer.time_field is not None
    assert layer.ingest.dates == ("%m/%d/%y %H:%M",)
    assert [field.name for field in layer.categories] == ["offense", "year", "zip"]
    assert "AGGRAVATED ASSAULT 10,263" in text
    assert "833 rows have none" in text


def test_licences_without_position_are_events_by_their_start_date(city_files: Path, tmp_path: Path) -> None:
    made(city_files / "little_rock" / "Business_Licenses.csv", tmp_path)
    layer = catalog.load(tmp_path / "layers")["made"]
    assert layer.time_field is not None
    assert layer.time_field.name == "account_start_date"
    assert layer.privacy.address == "block"
    assert layer.fields["zip"].type == "text"


def test_addresses_within_a_longer_text_are_not_published(city_files: Path, tmp_path: Path) -> None:
    layer_file, text = made(city_files / "little_rock" / "311_open_potholes_popups.csv", tmp_path)
    assert "popup" not in catalog.load(tmp_path / "layers")["made"].fields
    assert "# popup: seems to hold street addresses" in text
    assert any("not published: popup" in line for line in layer_file.told)


def test_persons_and_their_telephones_are_not_published(city_files: Path, tmp_path: Path) -> None:
    _, text = made(city_files / "dc" / "ward-2012.geojson", tmp_path)
    layer = catalog.load(tmp_path / "layers")["made"]
    assert {"rep_name", "rep_phone", "rep_email", "shape_area"} & set(layer.fields) == set()
    assert layer.name_field is not None
    assert layer.id_field is not None
    assert "# rep_phone = {" in text
    made(city_files / "dc" / "public-space-permits-last-30-days.geojson", tmp_path, "permits")
    permits = catalog.load(tmp_path / "layers")["permits"]
    assert {"appliedbyname", "ownerofpremise", "owneraddress", "permittee"} & set(permits.fields) == set()


def test_what_lies_far_from_everything_else_is_left_outside_the_bounds(city_files: Path, tmp_path: Path) -> None:
    layer_file, text = made(city_files / "dc" / "public-space-permits-last-30-days.geojson", tmp_path)
    west, south, east, north = catalog.load(tmp_path / "layers")["made"].bounds
    assert -77.2 < west < east < -76.8
    assert 38.7 < south < north < 39.1
    assert "129 rows far off" in text
    assert any("ingest will reject 129 of" in line for line in layer_file.told)


def test_state_plane_feet_are_told_by_the_bounds_of_the_layers_beside(city_files: Path, tmp_path: Path) -> None:
    made(city_files / "st_louis" / "neighborhoods_cth.geojson", tmp_path, "neighborhoods")
    layer_file, _ = made(city_files / "st_louis" / "monthly" / "April2008.csv", tmp_path, "crimes")
    layer = catalog.load(tmp_path / "layers")["crimes"]
    assert layer.ingest.crs == "ESRI:102696"
    assert any("NAD_1983_StatePlane_Missouri_East" in line for line in layer_file.told)
    assert {"ileadsaddress", "cadaddress"} & set(layer.fields) == set()
    ledger = ingested(tmp_path, "crimes")
    assert ledger.read == 5_699
    assert ledger.rejected == 0


def test_state_plane_feet_without_a_hint_are_left_to_who_knows_the_city(city_files: Path, tmp_path: Path) -> None:
    layer_file, text = made(city_files / "st_louis" / "monthly" / "April2008.csv", tmp_path)
    assert catalog.load(tmp_path / "layers")["made"].ingest.crs is None
    assert text.count("# crs = ") > 5
    assert "choose the coordinate system" in layer_file.next_step
    assert any("with --near LON,LAT" in line for line in layer_file.told)


def test_a_place_in_the_city_tells_state_plane_feet(city_files: Path, tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    file = str(city_files / "st_louis" / "monthly" / "April2008.csv")
    infer.new_from_file("made", file, tmp_path / "layers", near=(-90.2, 38.63))
    layer = catalog.load(tmp_path / "layers")["made"]
    assert layer.ingest.crs == "ESRI:102696"
    assert layer.timezone == "America/Chicago"
    assert [field.name for field in layer.categories[:2]] == ["district", "description"]
    assert ingested(tmp_path).rejected == 0


def test_keys_of_addresses_and_what_workers_wrote_are_not_published(city_files: Path, tmp_path: Path) -> None:
    layer_file, _ = made(city_files / "dc" / "bulk-collection-last-30-days.geojson", tmp_path)
    layer = catalog.load(tmp_path / "layers")["made"]
    assert layer.addresses
    assert {"details", "maraddressrepositoryid"} & set(layer.fields) == set()
    assert any(line.startswith("not published: DETAILS, which seems to hold free text") for line in layer_file.told)
    made(city_files / "dc" / "public-space-permits-last-30-days.geojson", tmp_path, "permits")
    permits = catalog.load(tmp_path / "layers")["permits"]
    assert {"maraddressrepositoryid", "dcstataddresskey", "dcstatlocationkey"} & set(permits.fields) == set()


def test_a_pattern_of_files_is_one_layer_with_every_format_of_their_dates(city_files: Path, tmp_path: Path) -> None:
    made(city_files / "st_louis" / "neighborhoods_cth.geojson", tmp_path, "neighborhoods")
    made(city_files / "st_louis" / "monthly" / "*200[89].csv", tmp_path, "crimes")
    layer = catalog.load(tmp_path / "layers")["crimes"]
    assert layer.ingest.from_ == (os.path.relpath(city_files / "st_louis" / "monthly", tmp_path / "layers") + "/*200[89].csv",)
    ledger = ingested(tmp_path, "crimes")
    assert ledger.rejected < ledger.read / 1_000
    assert ledger.blanked.get("dateoccured", 0) == 0

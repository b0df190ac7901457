"""`tileserver check`: what it refuses, and what it has to say of files that are in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from town import Town, report

from tileserver.cli import main

ICON = {"id": "schools", "type": "symbol", "source": "schools", "source-layer": "schools", "layout": {"icon-image": "star-blue"}}


def places(town: Town) -> list[str]:
    return [f"--{name}={getattr(town.settings, name)}" for name in ("layers", "styles", "snapshots")]


def test_a_style_with_an_icon_that_there_is_not_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    town = Town(tmp_path)
    style = town.settings.styles / "schools.json"
    style.write_text(json.dumps({"layers": [ICON]}))
    assert main(["check", *places(town)]) == 0
    style.write_text(json.dumps({"layers": [ICON | {"layout": {"icon-image": "tree-purple"}}]}))
    assert main(["check", *places(town)]) == 2
    assert "schools.json: layers.schools.layout.icon-image: there is no such icon" in capsys.readouterr().err


def test_a_style_of_no_layer_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    town = Town(tmp_path)
    (town.settings.styles / "trees.json").write_text("{}")
    assert main(["check", *places(town)]) == 0
    assert "trees.json: there is no layer trees, so this style is not used" in capsys.readouterr().out


def test_a_value_to_include_that_no_row_has_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    town = Town(tmp_path)
    with (town.settings.layers / "schools.toml").open("a") as file:
        file.write('[privacy]\ninclude = { level = ["high", "High"] }\n')
    town.reloaded().settle()
    assert main(["check", *places(town)]) == 0
    told = capsys.readouterr().out
    assert 'schools: privacy.include: no row has level = "High"' in told
    assert 'level = "high"' not in told


def test_layer_files_are_compared_with_the_files_they_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    town = Town(tmp_path)
    (tmp_path / "layers" / "schools.csv").write_text("Name,level,X,Y\nOak,high,-92.3,34.7\n")
    path = town.settings.layers / "schools.toml"
    plain = (
        path.read_text()
        .replace("name = {}", "nam = {}")
        .replace("category", 'category", labels = { hihg = "High", high = "High" }, title = "Level')
    )
    for ingest, told in (
        ("", "schools: fields: no column in schools.csv for nam; correct the names"),
        ("", 'schools: fields.level.labels: no row has level = "hihg"'),
        ('x = "LON"\ny = "LAT"', "no column LON, which the layer file names as a position"),
        ('crs = "EPSG:99999"', "schools: ingest.crs: EPSG:99999 is no coordinate system that PROJ knows"),
        ('x = "X"\ny = "Name"', "ingest would reject all of the first 1 rows of schools.csv"),
    ):
        path.write_text(f'{plain}\n[ingest]\nfrom = ["schools.csv"]\n{ingest}\n')
        assert main(["check", *places(town)]) == 0
        out = capsys.readouterr().out
        assert told in out
        assert "are in order" not in out


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    town = Town(tmp_path)
    with (town.settings.layers / "schools.toml").open("a") as file:
        file.write('[ingest]\nfrom = ["gone.csv", "https://example.org/not-asked.csv"]\n')
    assert main(["check", *places(town)]) == 0
    out = capsys.readouterr().out
    assert "gone.csv: there is no such file" in out
    assert "3 layer files" in out
    assert "can be served; see 1 remark above" in out


def test_exact_positions_beside_snapped_ones_are_told_by_name_and_by_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    town = Town(tmp_path)
    path = town.settings.layers / "reports.toml"
    text = path.read_text().replace("note = {}", "gps_latitude_y = {}\ncount_of_lamps = { type = 'integer' }")
    path.write_text(text + "[privacy]\nsnap_meters = 1000\n")
    town.reloaded().publish("reports", [report(number, cost=-92.3001 + number % 50 / 1_000) for number in range(300)])
    assert main(["check", *places(town)]) == 0
    out = capsys.readouterr().out
    assert "reports: fields.cost: seems to hold the exact position that privacy.snap_meters is to hide" in out
    assert "reports: fields.gps_latitude_y: seems" in out
    assert "count_of_lamps" not in out


def test_rows_stored_in_another_type_are_told_and_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    town = Town(tmp_path).settle()
    path = town.settings.layers / "reports.toml"
    path.write_text(path.read_text().replace("note = {}", "note = { type = 'number' }"))
    (tmp_path / "1.csv").write_text("number,at,note,lon,lat\nR-0001,2024-01-02,7,-92.3,34.7\n")
    stored = [*places(town), f"--store={town.settings.store}"]
    command = ["ingest", "reports", str(tmp_path / "1.csv"), *stored[:1], *stored[2:]]
    assert main(command) == 1
    assert "bring all rows in anew: tileserver ingest reports --replace" in capsys.readouterr().err
    assert main([*command, "--replace"]) == 0
    assert "Removed, since no published row of the files has their ids: 300 rows." in capsys.readouterr().out


def test_two_values_with_one_label_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    town = Town(tmp_path)
    file = town.settings.layers / "schools.toml"
    file.write_text(
        file.read_text().replace('"category" }', '"category", labels = { high = "Upper", High = "Upper", middle = "Middle" } }')
    )
    assert main(["check", *places(town)]) == 0
    told = capsys.readouterr().out
    assert 'schools: fields.level.labels: high and High are both "Upper", in two entries of the legend' in told
    assert "Middle" not in told

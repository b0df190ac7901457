"""`tileserver check`: what it refuses, and what it has to say of files that are in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from town import Town

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

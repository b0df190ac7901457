"""`tileserver init`: a folder of one's own, in which every command needs no options."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import orjson
import pytest

from tileserver import place
from tileserver.catalog.schema import schema
from tileserver.cli import main
from tileserver.errors import ConfigError
from tileserver.settings import load


def test_a_file_becomes_a_layer_there_without_options_and_without_an_edit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("TILESERVER_")]:
        monkeypatch.delenv(name)

    def tileserver(*arguments: str, folder: Path) -> str:
        """What a command prints that is started in a folder, without any setting in the environment."""
        monkeypatch.chdir(folder)
        assert main(arguments) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    printed = tileserver("init", "my city", folder=tmp_path)
    assert "cd 'my city'" in printed
    home = tmp_path / "my city"
    (tmp_path / "potholes.csv").write_text("Reported,Lon,Lat\n2024-05-01 08:00,-92.3,34.7\n2024-05-02 09:30,-92.31,34.71\n")
    assert "wrote layers/potholes.toml" in tileserver("new", "potholes", "../potholes.csv", folder=home)
    assert (home / "layers" / "potholes.toml").read_text().startswith("#:schema ./layer.schema.json\n")
    assert "1 layer files in layers are in order" in tileserver("check", folder=home)
    assert "2 rows read" in tileserver("ingest", "potholes", folder=home)
    assert (home / "data").is_dir()
    assert (home / "snapshots" / "potholes").is_dir()


def test_the_settings_are_for_their_owner_alone_and_say_what_holds_anyway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "a" / "city")]) == 0
    settings = tmp_path / "a" / "city" / ".env"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    given = dict(line.split("=", 1) for line in settings.read_text().splitlines() if line and not line.startswith("#"))
    defaults = load()
    for name, value in given.items():
        field = name.removeprefix("TILESERVER_").lower()
        if field not in ("layers", "styles"):
            assert value == str(getattr(defaults, field))
    assert "tileserver new LAYER FILE" in capsys.readouterr().out


def test_the_settings_are_those_that_the_readme_lists(tmp_path: Path) -> None:
    place.init(tmp_path / "city")
    there = re.findall(r"^(?:# )?(TILESERVER_[A-Z_]+)=", (tmp_path / "city" / ".env").read_text(), re.MULTILINE)
    table = re.findall(r"^\| (`TILESERVER_.+?) \|", (Path(__file__).parents[1] / "README.md").read_text(), re.MULTILINE)
    assert set(there) == set(re.findall(r"TILESERVER_[A-Z_]+", " ".join(table)))


def test_it_has_the_page_of_keys_and_the_schema_and_keeps_records_out_of_git(tmp_path: Path) -> None:
    made = place.init(tmp_path / "city")
    assert all(path.is_file() for path in made)
    assert orjson.loads((tmp_path / "city" / "layers" / place.SCHEMA).read_bytes()) == schema()
    assert "### `[fields]`" in (tmp_path / "city" / "layers" / "README.md").read_text()
    assert {"/.env", "/data/", "/snapshots/"} <= set((tmp_path / "city" / ".gitignore").read_text().splitlines())


def test_what_is_there_already_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "full" / ".env").write_text("MINE=1")
    with pytest.raises(ConfigError, match=r"holds \.env already"):
        place.init(tmp_path / "full")
    with pytest.raises(ConfigError, match="is a file"):
        place.init(tmp_path / "full" / "notes.txt")
    with pytest.raises(ConfigError, match="lies inside a file"):
        place.init(tmp_path / "full" / "notes.txt" / "city")
    assert {path.name for path in (tmp_path / "full").iterdir()} == {".env", "notes.txt"}


def test_a_folder_with_other_files_is_taken_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lights.csv").write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert main(["init", "."]) == 0
    assert "cd " not in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"holds \.env and \.gitignore and layers and styles already"):
        place.init(tmp_path)

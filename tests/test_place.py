"""`tileserver init`: a folder of one's own, in which every command needs no options."""

from __future__ import annotations

import os
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


def test_it_has_the_page_of_keys_and_the_schema_and_keeps_records_out_of_git(tmp_path: Path) -> None:
    made = place.init(tmp_path / "city")
    assert all(path.is_file() for path in made)
    assert orjson.loads((tmp_path / "city" / "layers" / place.SCHEMA).read_bytes()) == schema()
    assert "### `[fields]`" in (tmp_path / "city" / "layers" / "README.md").read_text()
    assert {"/.env", "/data/", "/snapshots/"} <= set((tmp_path / "city" / ".gitignore").read_text().splitlines())


def test_what_is_there_already_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        place.init(tmp_path / "full")
    with pytest.raises(ConfigError, match="is a file"):
        place.init(tmp_path / "full" / "notes.txt")
    with pytest.raises(ConfigError, match="lies inside a file"):
        place.init(tmp_path / "full" / "notes.txt" / "city")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert place.init(tmp_path)
    with pytest.raises(ConfigError, match="is not empty"):
        place.init(tmp_path)

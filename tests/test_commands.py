"""What a person types: arguments in either order, and what is said when they do not fit."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from tileserver.cli import main, parse


def test_files_and_ids_are_taken_before_and_after_options() -> None:
    for argv in (
        ["a.csv", "b.csv", "--layers", "own"],
        ["--layers", "own", "a.csv", "b.csv"],
        ["a.csv", "--layers", "own", "b.csv"],
    ):
        args = parse(["ingest", "permits", *argv])
        assert (args.layer, args.sources, args.layers) == ("permits", ["a.csv", "b.csv"], Path("own"))
    assert parse(["ingest", "permits", "--replace"]).sources == []
    assert parse(["forget", "permits", "1", "--store", "data", "2"]).ids == ["1", "2"]


@pytest.mark.parametrize(("argv", "named"), [(["ingest", "permits", "--nope"], "--nope"), (["check", "permits"], "permits")])
def test_what_no_command_takes_is_named_with_the_help_that_tells_more(
    argv: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(argv)
    assert f"{named} is not understood here; tileserver {argv[0]} --help shows what is" in capsys.readouterr().err


def test_the_demo_city_is_not_made_among_other_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "layers").mkdir()
    assert main(["demo", "--layers", str(tmp_path / "layers"), "--store", str(tmp_path / "data")]) == 2
    assert "in an empty folder" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"tileserver {version('tileserver')}\n")


def test_an_option_before_the_command_is_told_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--layers=own", "check"])
    assert "tileserver COMMAND --layers …" in capsys.readouterr().err


def test_after_the_demo_city_comes_serve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--events", "0"]) == 0
    assert capsys.readouterr().out.endswith("\nNext: tileserver serve\n")
    assert main(["check"]) == 0


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_folder_without_layers_is_no_place(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([command]) == 2
    told = capsys.readouterr().err
    assert "make a place of your own with tileserver init" in told
    assert "tileserver demo" in told
    assert not list(tmp_path.iterdir())

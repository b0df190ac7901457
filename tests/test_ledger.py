"""The ledger of the last ingest, as everyone may see it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient
from town import Town

from tileserver.cli import main
from tileserver.settings import Settings

HEADER = "number,at,kind,cost,note,lon,lat\n"
ROW = "{number},2024-01-02 03:04,{kind},{cost},seen by M. Secret,-92.3,34.7\n"


def bring(settings: Settings, path: Path, text: str, *options: str, layer: str = "reports") -> int:
    path.write_text(text, "utf-8")
    places = ["--store", settings.store, "--layers", str(settings.layers), "--snapshots", str(settings.snapshots)]
    return main(["ingest", layer, str(path), *places, *options])


def ledger(client: TestClient, id: str = "reports") -> Any:
    return client.get(f"/layers/{id}").json()["ledger"]


def narrowed(town: Town, key: str) -> Town:
    """The town after a line was added to the layer file of its reports."""
    path = town.settings.layers / "reports.toml"
    path.write_text(path.read_text("utf-8").replace("[tiles]", f"{key}\n[tiles]"), "utf-8")
    return town.reloaded()


def test_everyone_may_see_the_counts_and_nobody_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    town = Town(tmp_path)
    rows = [("1", "NOISE", "5"), ("3", "NOISE", "many"), ("", "SECRET", "5"), ("1", "NOISE", "7")]
    text = HEADER + "".join(ROW.format(number=number, kind=kind, cost=cost) for number, kind, cost in rows)
    assert bring(town.settings, tmp_path / "secret-file.csv", text) == 0
    with town.client() as client:
        answer = client.get("/layers/reports")
        told = ledger(client)
        listed = {layer["id"]: layer["ledger"] for layer in client.get("/layers").json()["layers"]}
    at = datetime.fromisoformat(told.pop("at"))
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60
    assert told == {
        "read": 4,
        "published": 2,
        "unchanged": 0,
        "superseded": 1,
        "excluded": 0,
        "rejected": 1,
        "removed": 0,
        "repaired": 0,
        "kept": 0,
        "without_position": 0,
        "blanked": {"cost": 1},
        "reasons": {"no number": 1},
        "joined": {},
    }
    assert told["read"] == sum(told[name] for name in ("published", "unchanged", "superseded", "excluded", "rejected"))
    assert not [word for word in ("SECRET", "Secret", "secret-file", str(tmp_path)) if word in answer.text.replace("seen by", "")]
    assert listed["reports"] == {**told, "at": listed["reports"]["at"]}
    out = capsys.readouterr().out
    assert "2 published" in out
    assert "No number: fill it in the file; or change the layer file: without a field of role id, rows get one." in out


def test_rows_without_a_position_are_told_to_whoever_looks_for_them_on_the_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    town = Town(tmp_path)
    nowhere = "9{number},2024-01-02 03:04,NOISE,5,,{at}\n"
    text = (
        HEADER + ROW.format(number=1, kind="NOISE", cost=5) + nowhere.format(number=2, at=",") + nowhere.format(number=3, at="0,0")
    )
    assert bring(town.settings, tmp_path / "1.csv", text) == 0
    assert "3 published, 0 unchanged.\nWithout a position, so counted and downloaded, not drawn: 2 rows." in capsys.readouterr().out
    assert bring(town.settings, tmp_path / "1.csv", text) == 0
    with town.client() as client:
        assert (ledger(client)["published"], ledger(client)["unchanged"], ledger(client)["without_position"]) == (0, 3, 2)


def test_what_is_outside_is_told_with_the_bounds_and_their_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    town = Town(tmp_path)
    path = town.settings.layers / "reports.toml"
    path.write_text("bounds = [-93, 34, -92, 35]\n" + path.read_text("utf-8"), "utf-8")
    far = ROW.format(number=2, kind="NOISE", cost=5).replace("-92.3", "92.3")
    assert bring(town.settings, tmp_path / "1.csv", HEADER + ROW.format(number=1, kind="NOISE", cost=5) + far) == 0
    out = capsys.readouterr().out
    assert "Outside the bounds: widen bounds = [-93.0, 34.0, -92.0, 35.0] in the layer file if they are right" in out
    assert "1 published, 0 unchanged, 1 rejected" in out


def test_how_many_rows_are_withheld_is_not_told(tmp_path: Path) -> None:
    town = narrowed(Town(tmp_path), '[privacy]\ninclude = { kind = ["NOISE"] }')
    rows = "".join(ROW.format(number=number, kind=kind, cost=1) for number, kind in enumerate(("NOISE", "SECRET", "SECRET")))
    assert bring(town.settings, tmp_path / "1.csv", HEADER + rows) == 0
    with town.client() as client:
        assert "SECRET" not in client.get("/layers/reports").text
        assert (ledger(client)["published"], ledger(client)["excluded"], ledger(client)["read"]) == (1, None, None)
    kept = orjson.loads((town.settings.snapshots / "reports" / "ledger.json").read_bytes())
    assert (kept["excluded"], kept["withheld"]) == (2, {"kind": {"SECRET": 2}})


def test_the_next_ingest_is_seen_at_once(tmp_path: Path) -> None:
    town = Town(tmp_path).settle()
    with town.client() as client:
        assert ledger(client) is None
        tag = client.get("/layers/reports").headers["ETag"]
        assert bring(town.settings, tmp_path / "1.csv", HEADER + ROW.format(number="R-9999", kind="FIRE", cost=1)) == 0
        assert (ledger(client)["read"], ledger(client)["published"]) == (1, 1)
        assert bring(town.settings, tmp_path / "1.csv", HEADER + ROW.format(number="R-9999", kind="FIRE", cost=1)) == 0
        assert (ledger(client)["published"], ledger(client)["unchanged"]) == (0, 1)
        assert client.get("/layers/reports").headers["ETag"] != tag


def test_of_a_layer_of_counts_no_ledger_is_told(tmp_path: Path) -> None:
    town = Town(tmp_path)
    path = town.settings.layers / "reports.toml"
    path.write_text('publish = "counts"\nmin_count = 5\n' + path.read_text("utf-8"), "utf-8")
    assert bring(town.settings, tmp_path / "1.csv", HEADER + ROW.format(number=1, kind="FIRE", cost=1)) == 0
    with town.reloaded().client() as client:
        assert ledger(client) is None


def test_what_cannot_be_read_is_no_ledger(tmp_path: Path) -> None:
    town = Town(tmp_path).settle()
    (town.settings.snapshots / "reports" / "ledger.json").mkdir()
    with town.client() as client:
        assert client.get("/layers/reports").status_code == 200
        assert ledger(client) is None


def test_the_ledger_in_the_folder_is_for_its_owner_and_tells_all(tmp_path: Path) -> None:
    town = Town(tmp_path)
    assert bring(town.settings, tmp_path / "1.csv", HEADER + ROW.format(number=1, kind="FIRE", cost=1)) == 0
    path = town.settings.snapshots / "reports" / "ledger.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(orjson.loads(path.read_bytes())["files"].values()) == [1]


def test_of_few_rows_outside_it_is_not_the_layer_file_that_is_blamed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [ROW.format(number=number, kind="NOISE", cost=5) for number in range(20)]
    swapped = rows[3].replace("-92.3,34.7", "34.7,-92.3")
    town = Town(tmp_path)
    assert bring(town.settings, tmp_path / "1.csv", HEADER + "".join([*rows, swapped])) == 0
    out = capsys.readouterr().out
    assert "perhaps swapped" in out
    assert "[ingest] crs" not in out
    assert "its values, which may be personal, are in the file alone" in out

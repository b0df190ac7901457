"""`tileserver forget`: a record leaves the store, the snapshots and what an ingest has left of it, and does not come back."""

import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import cast
from urllib.request import urlopen

import orjson
import pytest
from fastapi import FastAPI
from postgres import run_sql
from serving import serving, status, wait_until
from town import Town, report

from tileserver import catalog, indexer, revisions
from tileserver.answers import REVALIDATE
from tileserver.cli import main
from tileserver.errors import SnapshotError
from tileserver.forgotten import FILE, Forgotten
from tileserver.settings import load
from tileserver.stores import open_store

CANARY = "Canary-7731"
CSV = "number,at,kind,cost,note,lon,lat\n" + "".join(
    f"R-{n},2024-01-{n + 1:02}T10:00:00Z,{'UNLISTED' if n == 5 else 'NOISE'},1,{CANARY if n == 3 else 'plain'},-92.3,34.7\n"
    for n in range(9)
)
REPORTS = """
    title = "Reports"
    kind = "events"
    table = "{schema}.reports"
    [fields]
    number = {{ role = "id" }}
    at = {{ role = "time" }}
    kind = {{ role = "category" }}
    note = {{}}
    [privacy]
    include = {{ kind = ["NOISE"] }}
"""


class Place:
    """A folder of settings of its own, and the commands run in it."""

    def __init__(self, folder: Path, store: str, schema: str) -> None:
        self.folder, self.store = folder, store
        self.home = folder / "snapshots" / "reports"
        (folder / "layers").mkdir()
        (folder / "layers" / "reports.toml").write_text(REPORTS.format(schema=schema))
        self.file = folder / "reports.csv"
        self.file.write_text(CSV)
        self.options = ["--store", store, "--layers", str(folder / "layers"), "--snapshots", str(folder / "snapshots")]

    def run(self, command: str, *words: str) -> int:
        return main([command, "reports", *words, *self.options])

    def holds(self, text: str) -> list[str]:
        """The files of the snapshots, and of the store if it is a folder, that hold a text or its bytes."""
        roots = [self.folder / "snapshots", Path(self.store)]
        files = [path for root in roots if root.is_dir() for path in root.rglob("*") if path.is_file()]
        return [str(path) for path in files if text.encode() in path.read_bytes()]


@pytest.fixture(params=["folder", "postgis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    schema = f"test_{secrets.token_hex(4)}"
    if request.param == "folder":
        yield Place(tmp_path, str(tmp_path / "data"), schema)
        return
    postgres: str = request.getfixturevalue("postgres")
    yield Place(tmp_path, postgres, schema)
    run_sql(postgres, f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    run_sql(postgres, "DELETE FROM tileserver.layers WHERE layer = 'reports'")


def notes(place: Place) -> dict[str, str]:
    layer = catalog.load_layer(place.folder / "layers" / "reports.toml")
    with open_store(place.store) as store:
        return {row["number"]: row["note"] for batch in store.read(layer) for row in batch.to_pylist()}


def test_a_forgotten_record_is_gone_and_stays_gone(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("ingest", str(place.file)) == 0
    place.file.write_text(CSV.replace("plain", "later"))
    assert place.run("ingest", str(place.file)) == 0  # so that there are replaced rows and a replaced snapshot too
    assert notes(place)["R-3"] == CANARY
    assert place.holds(CANARY)
    (place.home / "feed").mkdir()
    (place.home / "feed" / "body").write_text(CANARY)

    assert place.run("forget", "R-3") == 0
    assert "reports: 1 record forgotten." in capsys.readouterr().out
    assert "R-3" not in notes(place)
    assert len(notes(place)) == 7
    assert place.holds(CANARY) == place.holds("R-3") == place.holds("UNLISTED") == []
    assert not (place.home / "rejects.csv").exists()

    assert place.run("ingest", str(place.file)) == 0
    told = capsys.readouterr().out
    assert "2 excluded" in told
    assert "Held back, since they were forgotten: 1 row." in told
    assert "R-3" not in notes(place)
    assert place.run("ingest", str(place.file), "--replace") == 0
    assert "R-3" not in notes(place)


def test_ids_that_are_not_there_are_said_and_kept_out(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("forget", "R-2") == 1
    assert "Not there, and kept out should they come: R-2." in capsys.readouterr().out
    assert place.run("ingest", str(place.file)) == 0
    assert place.run("forget", "R-1", "R-1", "R-77") == 1
    assert "reports: 1 record forgotten. Not there, and kept out should they come: R-77." in capsys.readouterr().out
    assert notes(place).keys() == {"R-0", "R-3", "R-4", "R-6", "R-7", "R-8"}


def test_a_slip_is_undone(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("forget", "R-0", "R-2") == 1
    assert "If that was a slip: the same command with --undo." in capsys.readouterr().out
    assert place.run("forget", "R-0", "R-77", "--undo") == 0
    assert "reports: 1 id is no longer kept out; ingest a file that has the record" in capsys.readouterr().out
    assert place.run("ingest", str(place.file)) == 0
    assert "R-0" in notes(place)
    assert "R-2" not in notes(place)


def test_a_table_that_others_fill_is_left_alone_but_its_record_is_shown_no_more(
    tmp_path: Path, postgres: str, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = f"test_{secrets.token_hex(4)}"
    place = Place(tmp_path, postgres, schema)
    run_sql(postgres, f"CREATE SCHEMA {schema}")
    try:
        run_sql(
            postgres,
            f"CREATE TABLE {schema}.reports AS SELECT 'R-' || n AS number, now() AS at, 'NOISE' AS kind, '{CANARY}' || n AS note "
            "FROM generate_series(1, 3) AS n",
        )
        assert place.run("forget", "R-2") == 1
        assert "is filled by others; delete the records there" in capsys.readouterr().out
        assert notes(place).keys() == {"R-1", "R-2", "R-3"}
        assert place.holds(CANARY + "1")
        assert place.holds(CANARY + "2") == []
    finally:
        run_sql(postgres, f"DROP SCHEMA {schema} CASCADE")


def test_numbers_are_ids_too_and_words_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    town = Town(tmp_path / "town").settle()
    settings = town.settings
    options = ["--store", settings.store, "--layers", str(settings.layers), "--snapshots", str(settings.snapshots)]
    left = Path(mkdtemp(prefix="tileserver-downloads-"))  # as a worker that was killed leaves it
    assert main(["forget", "wards", "2", *options]) == 0
    assert not left.exists()
    assert main(["forget", "schools", "0", *options]) == 0  # an id that was made
    assert main(["forget", "wards", "two", *options]) == 2
    assert main(["forget", "wards", "9" * 30, *options]) == 2
    assert "the ids of wards are whole numbers" in capsys.readouterr().err
    with town.client() as client:
        assert client.get("/count/wards").json()["count"] == 1
        assert client.get("/count/schools").json()["count"] == 2


def test_running_workers_let_go_of_the_record_within_seconds(tmp_path: Path) -> None:
    place = Place(tmp_path, str(tmp_path / "data"), "city")
    assert place.run("ingest", str(place.file)) == 0
    (tmp_path / "temporary").mkdir()
    os.environ["TMPDIR"] = str(tmp_path / "temporary")
    try:
        with serving(place.store, *place.options[2:], "--workers", "1") as (server, origin):
            wait_until(lambda: status(f"{origin}/health/ready") == 200)
            with urlopen(f"{origin}/downloads/reports.csv") as answer:
                assert CANARY.encode() in answer.read()
            with urlopen(f"{origin}/tiles/reports/14/3988/6480.mvt") as answer:
                answer.read()
            spooled = list((tmp_path / "temporary").rglob("*.csv"))
            assert len(spooled) == 1
            assert place.run("forget", "R-3") == 0
            with urlopen(f"{origin}/downloads/reports.csv") as answer:
                assert CANARY.encode() not in answer.read()
            wait_until(lambda: not spooled[0].exists())
            wait_until(lambda: mapped(server.pid) == set() or mapped(server.pid) == {live(place)})
    finally:
        del os.environ["TMPDIR"]


def live(place: Place) -> str:
    current = revisions.read(place.home.parent, "reports")
    assert current is not None
    return current.revision


def mapped(server: int) -> set[str]:
    """The revisions whose files the processes of a server have mapped, deleted ones too."""
    found = set()
    for process in (path for path in Path("/proc").iterdir() if path.name.isdigit()):
        try:
            if os.getsid(int(process.name)) == server:
                maps = (process / "maps").read_text()
                found |= {line.split("/snapshots/reports/")[1].split("/")[0] for line in maps.splitlines() if "/reports/" in line}
        except (ProcessLookupError, FileNotFoundError):
            continue  # it has just ended
    return found


def test_the_list_of_the_forgotten_names_nobody_and_is_its_owners(tmp_path: Path) -> None:
    one, other = (Forgotten.read(tmp_path).with_ids(["R-1", 7]) for _ in range(2))
    one.write(tmp_path)
    path = tmp_path / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"R-1" not in path.read_bytes()
    assert Forgotten.read(tmp_path) == one
    assert one.hashes.isdisjoint(other.hashes)
    assert one.holds(["R-1", "R-2", None, 7, "7"]).tolist() == [True, False, False, True, True]
    path.write_bytes(b"{")
    with pytest.raises(SnapshotError, match="damaged; restore it from a backup"):
        Forgotten.read(tmp_path)


# Retention


def aged(path: Path, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(path, (then, then))


def test_what_was_replaced_is_kept_for_its_time_and_no_longer(tmp_path: Path) -> None:
    place = Place(tmp_path, str(tmp_path / "data"), "city")
    rows = tmp_path / "data" / "reports"
    place.file.write_text(CSV.replace("2024-01-05", "yesterday"))
    assert place.run("ingest", str(place.file)) == 0
    place.file.write_text(CSV.replace("plain", "later").replace("2024-01-05", "yesterday"))
    assert place.run("ingest", str(place.file)) == 0
    snapshots = {path for path in place.home.iterdir() if path.is_dir()}
    old = snapshots - {place.home / live(place)}
    assert len(old) == 1
    assert (rows / "1.parquet").exists()

    for path in (*old, place.home / "rejects.csv", rows / "2.parquet"):
        aged(path, 31)
    (layer,) = catalog.load(place.folder / "layers").values()
    settings = load(store=place.store, layers=place.folder / "layers", snapshots=place.folder / "snapshots")
    with open_store(place.store) as store:
        indexer.expire(layer, store, settings)
    assert {path for path in place.home.iterdir() if path.is_dir()} == {place.home / live(place)}
    assert not (place.home / "rejects.csv").exists()
    assert [path.name for path in rows.glob("*.parquet")] == ["2.parquet"]


def test_a_snapshot_ages_from_the_moment_it_was_replaced(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    first = revisions.read(town.settings.snapshots, "reports")
    assert first is not None
    aged(town.settings.snapshots / "reports" / first.revision, 400)
    town.publish("reports", [report(1)])
    with open_store(town.settings.store) as store:
        indexer.expire(town.layers["reports"], store, town.settings)
    assert (town.settings.snapshots / "reports" / first.revision).is_dir()


def test_what_lies_in_a_layers_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    place = Place(tmp_path, str(tmp_path / "data"), "city")
    place.home.mkdir(parents=True, mode=0o755)
    assert place.run("ingest", str(place.file)) == 0
    assert place.run("forget", "R-1") == 0
    assert stat.S_IMODE(place.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "reports").stat().st_mode) == 0o700
    modes = {name: stat.S_IMODE((place.home / name).stat().st_mode) for name in ("ledger.json", FILE)}
    assert modes == {"ledger.json": 0o600, FILE: 0o600}
    assert orjson.loads((place.home / "ledger.json").read_bytes())["withheld"] == {}


# Copies


def test_tiles_of_a_revision_that_was_replaced_leave_the_memory(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    with town.client() as client:
        cache = cast("FastAPI", client.app).state.tile_cache
        client.get("/tiles/reports/9/124/203.mvt")
        client.get("/tiles/schools/9/124/203.mvt")
        client.get("/tiles/reports,schools/9/124/203.mvt")
        assert cache.entries == 3
        town.publish("reports", [report(1)])
        wait_until(lambda: cache.entries == 1)
        client.get("/tiles/reports/9/124/203.mvt")
        assert cache.entries == 2


def test_copies_outside_are_kept_as_long_as_the_strictest_layer_of_a_tile_allows(tmp_path: Path) -> None:
    town = Town(tmp_path / "town")
    for id, age in (("reports", "12h"), ("schools", "2d")):
        path = town.settings.layers / f"{id}.toml"
        path.write_text(f'max_age = "{age}"\n{path.read_text()}')
    town.reloaded().settle()
    with town.client() as client:

        def kept(ids: str) -> str:
            [tiles] = client.get(f"/tiles/{ids}.json").json()["tiles"]
            return client.get(tiles.format(z=9, x=124, y=203)).headers["cache-control"]

        assert kept("wards") == "public, max-age=31536000, immutable"
        assert kept("schools,wards") == "public, max-age=172800, immutable"
        assert kept("reports,schools,wards") == "public, max-age=43200, immutable"
        assert client.get("/tiles/reports/9/124/203.mvt?rev=old").headers["cache-control"] == REVALIDATE

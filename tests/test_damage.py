"""A snapshot whose files are not those that were written is recognised and built anew; no wrong tile is made from it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from serving import wait_until
from town import Town, report

from tileserver import indexer, revisions
from tileserver.catalog import GEOMETRY
from tileserver.errors import Unavailable
from tileserver.revisions import Revisions
from tileserver.snapshot import Live, order, prerender
from tileserver.snapshot.build import is_sound, is_whole
from tileserver.stores import open_store

TILE = "/tiles/reports/8/62/101.mvt"
COUNT = 300


def rows(seed: int) -> list[dict[str, object]]:
    """Reports that fill as many bytes under every seed, of which each column has others."""
    chance = np.random.default_rng(seed)
    lons, lats = chance.permutation(COUNT) / 10_000 - 92.3, chance.permutation(COUNT) / 10_000 + 34.7
    kinds = chance.permutation(["FIRE"] * 100 + ["NOISE"] * 100 + ["THEFT"] * 100)
    return [
        report(
            int(chance.integers(1_000, 9_999)) * COUNT + number,
            kind=str(kinds[number]),
            note=f"note {int(chance.integers(100, 999))}",
            **{GEOMETRY: shapely.Point(lons[number], lats[number])},
        )
        for number in range(COUNT)
    ]


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> tuple[Town, Town]:
    """Two towns whose reports differ; their snapshots have leaves of several sizes, and tiles drawn beforehand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "SMALL_LEAF", 16)
        patch.setattr(prerender, "MANY", 20)
        made = Town(tmp_path_factory.mktemp("one")), Town(tmp_path_factory.mktemp("other"))
        for seed, town in enumerate(made):
            town.publish("reports", rows(seed))
    return made


def place(town: Town) -> Path:
    """The folder of the live snapshot of the reports."""
    current = revisions.read(town.settings.snapshots, "reports")
    assert current is not None
    return town.settings.snapshots / "reports" / current.revision


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def put(path: Path, content: bytes) -> None:
    """By rename, since shortening a file that is mapped ends the process that reads it."""
    fresh = path.with_name("fresh")
    fresh.write_bytes(content)
    fresh.replace(path)


def flip(content: bytes, where: int) -> bytes:
    return content[:where] + bytes([content[where] ^ 4]) + content[where + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "shorter": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"\0",
    "twice": lambda content: content * 2,
    "flipped at the end": lambda content: flip(content, len(content) - 1),
}


def test_a_whole_snapshot_is_whole(towns: tuple[Town, Town]) -> None:
    town, other = towns
    assert is_whole(town.layers["reports"], place(town))
    assert is_sound(town.layers["reports"], place(town))
    assert names(place(town)) == names(place(other))
    sizes = [{path.name: path.stat().st_size for path in place(each).iterdir()} for each in towns]
    assert len(sizes[0].items() & sizes[1].items()) >= 15


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_of_another_size_or_end_is_noticed_when_it_is_opened(towns: tuple[Town, Town], tmp_path: Path, damage: str) -> None:
    layer = towns[0].layers["reports"]
    folder = Path(shutil.copytree(place(towns[0]), tmp_path / place(towns[0]).name))
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        put(path, DAMAGE[damage](content))
        assert not is_whole(layer, folder), path.name
        put(path, content)
        assert is_whole(layer, folder), path.name


def test_a_missing_file_and_one_of_another_snapshot_are_noticed_when_opened(towns: tuple[Town, Town], tmp_path: Path) -> None:
    town, other = towns
    layer = town.layers["reports"]
    folder = Path(shutil.copytree(place(town), tmp_path / place(town).name))
    for path in sorted(folder.iterdir()):
        content, foreign = path.read_bytes(), (place(other) / path.name).read_bytes()
        path.unlink()
        assert not is_whole(layer, folder), path.name
        path.mkdir()
        assert not is_whole(layer, folder), path.name
        path.rmdir()
        put(path, foreign)
        assert is_whole(layer, folder) == (foreign == content), path.name
        put(path, content)
    assert is_whole(layer, folder)


def test_one_flipped_byte_is_noticed_when_all_is_read(towns: tuple[Town, Town], tmp_path: Path) -> None:
    layer = towns[0].layers["reports"]
    folder = Path(shutil.copytree(place(towns[0]), tmp_path / place(towns[0]).name))
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for where in {0, len(content) // 2, max(len(content) - 17, 0)}:
            put(path, flip(content, where))
            assert not is_sound(layer, folder), (path.name, where)
        put(path, content)
    assert is_sound(layer, folder)


def test_any_flipped_byte_of_the_manifest_is_noticed_when_opened(towns: tuple[Town, Town], tmp_path: Path) -> None:
    layer = towns[0].layers["reports"]
    folder = Path(shutil.copytree(place(towns[0]), tmp_path / place(towns[0]).name))
    manifest = folder / "manifest.json"
    content = manifest.read_bytes()
    for where in range(0, len(content), 7):
        put(manifest, flip(content, where))
        assert not is_whole(layer, folder), content[max(where - 20, 0) : where + 20]
    for other in (b"{}", b"[]", b"null", b'{"format":2}', b"\xff"):
        put(manifest, other)
        assert not is_whole(layer, folder)


def damaged(town: Town, change: Callable[[bytes], bytes], names: str = "*") -> None:
    for path in place(town).glob(names):
        put(path, change(path.read_bytes()))


def refresh(town: Town, **how: Any) -> None:
    """As the indexer does."""
    with open_store(town.settings.store) as store:
        indexer.refresh(town.layers["reports"], store, town.settings, **how)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    town = Town(tmp_path / "town")
    town.publish("reports", rows(0))
    return town


def test_every_damaged_file_is_answered_with_503_until_it_is_built_anew_the_same(town: Town) -> None:
    before = {path.name: path.read_bytes() for path in place(town).iterdir()}
    layer, revision = town.layers["reports"], place(town).name
    for name, content in before.items():
        put(place(town) / name, content[:-1])
        with pytest.raises(Unavailable, match="being prepared"):
            Live(town.layers, Revisions(town.settings.snapshots)).snapshot(layer)
        refresh(town, check="look")
        assert place(town).name == revision
        assert {path.name: path.read_bytes() for path in place(town).iterdir()} == before


@pytest.mark.parametrize("names", ["manifest.json", "x", "leaves.bounds", "field.*", "rendered.*", "*"])
def test_a_worker_answers_503_while_a_snapshot_is_damaged_and_the_tile_as_soon_as_it_is_built(town: Town, names: str) -> None:
    with town.client() as client:
        tile = client.get(TILE)
    damaged(town, lambda content: content[:-1], names)
    with town.client() as client:
        others = ("/count/reports", "/layers/reports", "/tiles/reports.json", "/downloads/reports.csv")
        for path in (TILE, f"{TILE}?kind=FIRE", *others):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2"), path
            assert "being prepared" in answer.json()["detail"]
        refresh(town, check="look")
        again = client.get(TILE)
        assert again.status_code == tile.status_code == 200
        assert again.content == tile.content
        assert again.headers["etag"] == tile.headers["etag"]


def test_a_worker_that_has_read_a_rotten_byte_reads_again_what_is_built_anew(town: Town) -> None:
    with town.client() as client:
        tile = client.get(TILE).content
    damaged(town, lambda content: flip(content, 403), "x")
    with town.client() as client:
        assert client.get(TILE).content != tile  # nobody has read the whole file yet
        refresh(town, reread=True)
        wait_until(lambda: client.get(TILE).content == tile, seconds=5)


def test_a_worker_keeps_what_it_has_open_while_the_files_are_gone(town: Town) -> None:
    with town.client() as client:
        tile = client.get(TILE)
        shutil.rmtree(place(town))
        filtered = client.get(f"{TILE}?kind=FIRE")
        assert filtered.status_code == 200
        refresh(town, check="look")
        assert client.get(TILE).content == tile.content
        assert client.get(f"{TILE}?kind=FIRE").content == filtered.content


def test_a_damaged_note_of_what_is_live_is_no_error_of_the_server(town: Town) -> None:
    current = town.settings.snapshots / "reports" / "current.json"
    content = current.read_bytes()
    for damage in (b"", content[:-1], b"{}", b"[]", b"1", b"\xff", content.replace(b'"revision":"', b'"revision":"../')):
        put(current, damage)
        with town.client() as client:
            assert client.get(TILE).status_code == 503, damage


INDEXER = """
import os, sys
from pathlib import Path
from typing import Any
from tileserver import indexer, settings
indexer.LOOK_EVERY, indexer.CHECK_EVERY = 0.05, 0.1
store, layers, snapshots = map(Path, sys.argv[1:])
indexer.run(settings.load(store=str(store), layers=layers, snapshots=snapshots), os.getppid())
"""


def test_the_indexer_mends_what_is_damaged_before_it_starts_and_while_it_runs(town: Town) -> None:
    layer, revision = town.layers["reports"], place(town).name
    places = [str(folder) for folder in (town.settings.store, town.settings.layers, town.settings.snapshots)]
    damaged(town, lambda content: flip(content, 403), "x")
    assert is_whole(layer, place(town))
    process = subprocess.Popen([sys.executable, "-c", INDEXER, *places], stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: is_sound(layer, place(town)), 30)
        for change in ("a file is gone", "files are longer", "all is gone"):
            match change:
                case "a file is gone":
                    (place(town) / "y").unlink()
                case "files are longer":
                    damaged(town, DAMAGE["longer"])
                case _:
                    shutil.rmtree(place(town))
            assert not is_whole(layer, place(town))
            wait_until(lambda: is_sound(layer, place(town)), 30)
        assert place(town).name == revision
        assert process.poll() is None
    finally:
        process.terminate()
        _, said = process.communicate(timeout=20)
    assert said.count("building it anew") == 4


def test_a_snapshot_of_another_layer_is_not_taken_for_its_own(town: Town) -> None:
    other = town.layers["reports"].model_copy(update={"id": "calls"})
    assert is_whole(town.layers["reports"], place(town))
    assert not is_whole(other, place(town))


def test_a_layer_whose_folder_is_in_the_way_is_being_prepared_and_others_are_served(tmp_path: Path) -> None:
    town = Town(tmp_path / "town").settle()
    with town.client() as client:
        shutil.rmtree(town.settings.snapshots / "reports")
        (town.settings.snapshots / "reports").write_text("in the way")
        assert client.get("/count/reports").status_code == 503
        assert client.get("/count/schools").status_code == 200
        assert "reports" not in [layer["id"] for layer in client.get("/layers").json()["layers"]]

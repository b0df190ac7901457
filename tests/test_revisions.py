"""What is live changes at once, for every process, and never by half."""

import threading
import time
from pathlib import Path

import pytest

from tileserver import revisions
from tileserver.errors import SnapshotError
from tileserver.revisions import Current, Revisions


def current(revision: str) -> Current:
    return Current(revision, "definition", 1, 0)


def test_a_layer_without_a_snapshot_has_no_revision(tmp_path: Path) -> None:
    assert Revisions(tmp_path).current("trees") is None
    assert revisions.read(tmp_path, "trees") is None


def test_a_new_revision_is_seen_at_once(tmp_path: Path) -> None:
    revisions.move(tmp_path, "trees", current("a"))
    seen = Revisions(tmp_path)
    assert seen.current("trees") == current("a")
    revisions.move(tmp_path, "trees", current("b"))
    assert seen.current("trees") == current("b")


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    def keep_moving() -> None:
        for number in range(200):
            revisions.move(tmp_path, "trees", current(str(number) * 50))

    moving = threading.Thread(target=keep_moving)
    revisions.move(tmp_path, "trees", current("a"))
    moving.start()
    while moving.is_alive():
        found = revisions.read(tmp_path, "trees")
        assert found is not None
        assert len(set(found.revision)) <= 3
    moving.join()


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    revisions.replace(tmp_path / "trees" / "current.json", b"{")
    with pytest.raises(SnapshotError, match="damaged"):
        revisions.read(tmp_path, "trees")


def test_one_process_builds_at_a_time(tmp_path: Path) -> None:
    held = threading.Event()
    order: list[str] = []

    def second() -> None:
        held.wait()
        with revisions.one_builder(tmp_path, "trees"):
            order.append("second")

    other = threading.Thread(target=second)
    other.start()
    with revisions.one_builder(tmp_path, "trees"):
        held.set()
        time.sleep(0.05)
        order.append("first")
    other.join()
    assert order == ["first", "second"]

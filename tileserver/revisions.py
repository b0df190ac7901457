"""The live revision of each layer: a small file beside its snapshots, replaced by rename, that every process looks at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fcntl import LOCK_EX, LOCK_UN, flock
from pathlib import Path

import orjson

from tileserver.errors import SnapshotError


@dataclass(frozen=True, slots=True)
class Current:
    """What is live of a layer."""

    revision: str
    """Names the snapshot's folder; a function of the rows shown and of the layer's definition."""
    definition: str
    """The layer file that it was built for."""
    store_revision: int
    """The store's count that it was built from; 0 for a table that others fill."""
    published_at: int
    """When its rows were last published or read, in microseconds since 1970 UTC."""


class Revisions:
    """The live revisions below one folder. Every look is one `stat`, so all processes see a move at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[str, tuple[tuple[int, int], Current | None]] = {}

    def current(self, id: str) -> Current | None:
        """None as long as the layer has no snapshot."""
        try:
            status = current_file(self.folder, id).stat()
        except FileNotFoundError:
            return None
        stamp = status.st_mtime_ns, status.st_ino
        seen = self._seen.get(id)
        if seen is None or seen[0] != stamp:
            seen = self._seen[id] = stamp, read(self.folder, id)
        return seen[1]


def current_file(folder: Path, id: str) -> Path:
    return folder / id / "current.json"


def read(folder: Path, id: str) -> Current | None:
    """Raises SnapshotError if the file is not one of ours."""
    path = current_file(folder, id)
    try:
        return Current(**orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (orjson.JSONDecodeError, TypeError) as error:
        raise SnapshotError(f"{path}: damaged; delete the folder {path.parent} and the snapshot is built anew") from error


def move(folder: Path, id: str, current: Current) -> None:
    """Make a revision the live one, at once for every process."""
    replace(current_file(folder, id), orjson.dumps(asdict(current)))


def replace(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file so that readers see the old content or the new, never half, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.chmod(mode)
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def one_builder(folder: Path, id: str) -> Iterator[None]:
    """Holds the layer's lock: of several processes that would build its snapshot, one does, the others wait."""
    path = folder / id / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        flock(lock, LOCK_EX)
        try:
            yield
        finally:
            flock(lock, LOCK_UN)

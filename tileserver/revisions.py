"""The live revision of each layer: a small file beside its snapshots, replaced by rename, that every process looks at."""

from __future__ import annotations

import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path

import orjson

from tileserver.errors import SnapshotError

REJECTS = "rejects.csv"
LEDGER = "ledger.json"
FEED = "feed"
"""What an ingest leaves in a layer's own folder, beside its snapshots."""

TROUBLE = "trouble"
"""A file there that the indexer keeps as long as it cannot make the layer's snapshot; only its log says why."""


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
        """None as long as the layer has no snapshot, or the file is damaged and the indexer has not yet written it anew."""
        try:
            status = current_file(self.folder, id).stat()
        except OSError:  # none yet, or something is in its way, which the indexer tells of
            return None
        stamp = status.st_mtime_ns, status.st_ino
        seen = self._seen.get(id)
        if seen is None or seen[0] != stamp:
            seen = self._seen[id] = stamp, None
            with suppress(SnapshotError):
                seen = self._seen[id] = stamp, read(self.folder, id)
        return seen[1]


def home(folder: Path, id: str) -> Path:
    """The folder of one layer's snapshots and of what its ingests leave, which only its owner may look into; made if missing."""
    path = folder / id
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path


def current_file(folder: Path, id: str) -> Path:
    return folder / id / "current.json"


def is_troubled(folder: Path, id: str) -> bool:
    return (folder / id / TROUBLE).exists()


def read(folder: Path, id: str) -> Current | None:
    """Raises SnapshotError if the file is not one of ours."""
    path = current_file(folder, id)
    try:
        return Current(**orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (orjson.JSONDecodeError, TypeError) as error:
        raise SnapshotError(f"{path}: damaged") from error


def move(folder: Path, id: str, current: Current) -> None:
    """Make a revision the live one, at once for every process."""
    replace(current_file(folder, id), orjson.dumps(asdict(current)))


def replace(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file so that readers see the old content or the new, never half, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh, descriptor = draft(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(mode)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def draft(path: Path) -> tuple[Path, int]:
    """A new file beside `path`, which is to replace it, and its descriptor; nobody else may open it, from its first moment on.

    It is locked as long as it is open. So what a process that was killed has left can be told, and is deleted here.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.new"):
        with suppress(FileNotFoundError, BlockingIOError), left.open("rb") as file:
            flock(file, LOCK_EX | LOCK_NB)
            left.unlink()
    while True:
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with suppress(BlockingIOError):
            flock(descriptor, LOCK_EX | LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return fresh, descriptor
        os.close(descriptor)  # taken for one that was left, in the moment before it was locked


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
    path = home(folder, id) / ".lock"
    with path.open("w") as lock:
        flock(lock, LOCK_EX)
        try:
            yield
        finally:
            flock(lock, LOCK_UN)

"""What has been fetched of one address so far, on disk, so that a run that was killed or failed goes on where it stopped.

<folder>/journal.json   what is fetched, and how far: moved only after the bytes are safe
<folder>/<name>         the bytes
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from shutil import rmtree
from typing import IO, Any

import orjson

from tileserver import revisions

KEPT = 24 * 3600
"""Seconds after which what an earlier run left is too old to be continued."""

Mark = Mapping[str, Any]
"""Plain values that tell the state of a source."""


class Spool:
    """The pages of one source, one after the other in one file. `cursor` says where the next begins; None is the begin."""

    def __init__(self, folder: Path, name: str, mark: Mark) -> None:
        """Goes on with what an earlier run has left of the same source in the same state `mark`; else begins anew."""
        self.path = folder / name
        self._folder = folder
        left = read_journal(folder)
        if left.get("mark") != mark or not self.path.exists() or self.path.stat().st_size < left["size"]:
            left = {"mark": mark, "begun": time.time(), "cursor": None, "rows": 0, "size": 0}
            empty(folder)
        self._journal: dict[str, Any] = left
        with private(self.path, "ab") as body:
            body.truncate(left["size"])

    @property
    def cursor(self) -> Any:
        return self._journal["cursor"]

    @property
    def rows(self) -> int:
        return int(self._journal["rows"])

    @property
    def size(self) -> int:
        return int(self._journal["size"])

    def add(self, page: bytes, rows: int, cursor: Any) -> None:
        """A page's bytes; afterwards the next page is that of `cursor`, also for the next run."""
        with private(self.path, "ab") as body:
            body.write(page)
            body.flush()
            os.fsync(body.fileno())
        self._journal |= {"cursor": cursor, "rows": self.rows + rows, "size": self.size + len(page)}
        write_journal(self._folder, self._journal)

    def discard(self) -> None:
        """What is here is of no use: the next run begins anew."""
        empty(self._folder)


def lines(features: Iterable[Any]) -> bytes:
    """Features as they stand in a file, one a line."""
    return b"".join(orjson.dumps(feature, option=orjson.OPT_APPEND_NEWLINE) for feature in features)


def read_journal(folder: Path) -> dict[str, Any]:
    """Empty if there is none, or an old one."""
    try:
        journal: dict[str, Any] = orjson.loads((folder / "journal.json").read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return journal if 0 <= time.time() - journal["begun"] < KEPT else {}


def write_journal(folder: Path, journal: dict[str, Any]) -> None:
    revisions.replace(folder / "journal.json", orjson.dumps(journal), mode=0o600)


def private(path: Path, mode: str) -> IO[bytes]:
    """The open file, which nobody else may read from its first moment on."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))


def empty(folder: Path) -> None:
    """Make the folder, without anything in it."""
    if folder.exists():
        rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)

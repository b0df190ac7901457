"""The list of rows that could not be published: file, line and reason, for its owner's eyes only."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tileserver import revisions
from tileserver.errors import IngestError


class Rejects:
    """The file `path`, written beside it and put in its place by `keep`; until then, and without it, the old one stands."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        with self._writing():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._new, descriptor = revisions.draft(self._path)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(["file", "line", "reason"])
        return self

    def write(self, source: str, rejected: Iterable[tuple[int, str]]) -> None:
        """Add (line, reason) of rows of one file."""
        with self._writing():
            self._rows.writerows((source, line, reason) for line, reason in rejected)

    def keep(self) -> None:
        with self._writing():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._new.replace(self._path)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._writing():
            self._file.close()
            self._new.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise IngestError(f"{self._path}: the list of rejects cannot be written there: {error.strerror}") from error

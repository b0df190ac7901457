"""Our SQL: whole statements from the `.sql` files beside this one, and names as PostgreSQL is to read them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tileserver.errors import StoreError

LONGEST_NAME = 63
"""Bytes of a name that PostgreSQL keeps; it cuts longer ones silently."""


def statements(file: str) -> dict[str, str]:
    """The statements of one `.sql` file by the name that a line `-- name: …` gives to what follows it.

    Values are bound as `$1`, `$2`; `{words}` stand for quoted names and lists of columns, filled in by `str.format`.
    """
    parts = re.split(r"^-- name: (\w+)\n", (Path(__file__).parent / file).read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip().rstrip(";") for part in parts[2::2]), strict=True))


def quoted(*path: str) -> str:
    """A name, or a path of names such as schema and table, that PostgreSQL reads as exactly this.

    Raises:
        StoreError: PostgreSQL cannot hold such a name.
    """
    for name in path:
        if not name or "\0" in name or len(name.encode()) > LONGEST_NAME:
            raise StoreError(f"{name!r}: a name in PostgreSQL has 1 to {LONGEST_NAME} bytes; shorten it in the layer file")
    return ".".join('"' + name.replace('"', '""') + '"' for name in path)


def listed(names: Iterable[str], of: str = "") -> str:
    """Columns, of a table's alias where one is given, as in a SELECT list."""
    return ", ".join((of and of + ".") + quoted(name) for name in names)

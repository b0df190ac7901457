"""A look at a table that nobody has described yet: its columns, what is written about them, and some of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tileserver.stores.sql import quoted, statements
from tileserver.stores.table import Column, Table, geometry_of

_SQL = statements("look.sql")


@dataclass(frozen=True, slots=True)
class Look:
    """At n rows of a table."""

    table: Table
    description: str
    comments: Mapping[str, str]
    """Column → what was written about it; columns without a comment are absent."""
    geometry: Column | None
    texts: Mapping[str, pa.Array[Any]]
    """Column → shape (n,): its values as PostgreSQL writes them. The readable ones, without geometries and bytes."""
    wkb: pa.Array[Any]
    """Shape (n,): geometries in two dimensions, here in their own reference systems; `PostgisStore.look` gives degrees."""
    srids: pa.Array[Any]
    """Shape (n,)."""
    is_whole: bool
    """Whether these are all rows."""


async def look(connection: Any, table: Table, geometry: Column | None, most: int) -> Look:
    """At the first `most` rows of a table, in a transaction that only reads."""
    columns = [column for column in table.columns.values() if column.is_readable and column.base not in NO_TEXT]
    selected = [f"{quoted(column.name)}::text" for column in columns] + list(geometry_of(geometry))
    query = _SQL["some_rows"].format(columns=", ".join(selected), table=quoted(*table.name), most=most + 1)
    rows = await connection.fetch(query)
    comments = {
        row["name"]: row["comment"] for row in await connection.fetch(_SQL["comments"], quoted(*table.name)) if row["comment"]
    }
    *texts, wkb, srids = zip(*(tuple(row) for row in rows[:most]), strict=True) if rows else [()] * len(selected)
    return Look(
        table=table,
        description=comments.pop(None, ""),
        comments=comments,
        geometry=geometry,
        texts={column.name: pa.array(text, pa.string()) for column, text in zip(columns, texts, strict=True)},
        wkb=pa.array(wkb, pa.binary()),
        srids=pa.array(srids, pa.int32()),
        is_whole=len(rows) <= most,
    )


NO_TEXT = ("geometry", "geography", "raster", "bytea")

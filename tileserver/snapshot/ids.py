"""A row by its id."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tileserver.snapshot import Snapshot
from tileserver.snapshot.columns import IntegerColumn, Rows, TextColumn

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")


def rows_of(snapshot: Snapshot, id: str) -> Rows:
    """The row of an id, shape (1,), or none, shape (0,)."""
    column = snapshot.columns[snapshot.layer.id_name]
    found = -1
    if isinstance(column, TextColumn) and id:
        found = pc.index(column.array, pa.scalar(id, pa.large_string())).as_py()
    elif isinstance(column, IntegerColumn) and _INTEGER.fullmatch(id) and -(2**63) < int(id) < 2**63:
        return np.flatnonzero(column.values == int(id))
    return np.array([found] if found >= 0 else [], np.int64)

"""Rows as a file holds them: what readers give and `clean` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

BATCH = 50_000
"""Rows that are in memory at a time, of a file that can be read in parts."""

Texts: TypeAlias = "pa.Array[Any]"
"""A column as written: pa.string(), null where the file has no value. Files with types may give it in its field's own type."""


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows of one file."""

    source: str
    """What the ledger and the rejects call the file."""
    lines: NDArray[np.int64]
    """Shape (n,): where each row begins, counted from 1: its line in a text file or a sheet, its number among records elsewhere."""
    fields: Mapping[str, Texts]
    """Field → column, shape (n,) each. A field that the file does not have is absent."""
    position: XY | Shapes | Keys | None
    """None: the file has no positions."""
    faults: tuple[tuple[int, str], ...]
    """(line, reason) of records that are no rows; they are not among the n."""
    end: int
    """How far into the file these rows reach, in bytes."""


@dataclass(frozen=True, slots=True)
class XY:
    """Positions in two columns."""

    x: Texts
    y: Texts
    """As text or as numbers."""
    crs: str | None
    """None: nobody says; degrees, if they look like it."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Positions as geometries."""

    shapes: NDArray[np.object_]
    """Shape (n,): shapely geometries; None where there is none, or where it cannot be read."""
    unreadable: NDArray[np.bool_]
    """Shape (n,): where something stands that cannot be read as a geometry."""
    crs: str | None
    """As of `XY`."""
    pairs: NDArray[np.bool_] | None = None
    """Shape (n,): which were written as two numbers, of which the first is taken as the latitude; None where none is."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Positions that rows of another layer give."""

    texts: Texts
    """Shape (n,): which row of it, by a key or an address."""

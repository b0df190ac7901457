"""Rows as GeoJSON (RFC 7946): one FeatureCollection, a feature a line; or each line a document of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tileserver.filters import Filter
from tileserver.snapshot import Snapshot
from tileserver.snapshot.columns import Rows
from tileserver.snapshot.features import features


def write(path: Path, snapshot: Snapshot, filter: Filter, parts: Iterator[Rows]) -> None:
    with path.open("wb") as file:
        file.write(b'{"type":"FeatureCollection","features":[')
        comma = b"\n"
        for rows in parts:
            file.write(comma + b",\n".join(features(snapshot, filter, rows)))
            comma = b",\n"
        file.write(b"\n]}\n")


def write_lines(path: Path, snapshot: Snapshot, filter: Filter, parts: Iterator[Rows]) -> None:
    """Features without what holds them together: what reads it need not hold it whole."""
    with path.open("wb") as file:
        for rows in parts:
            file.write(b"\n".join(features(snapshot, filter, rows)) + b"\n")

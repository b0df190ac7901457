"""The embedded store: a folder of GeoParquet files, one a layer and revision. It needs no database.

<path>/<layer>/<revision>.parquet   rows in the order of their ids, GeoParquet 1.1
<path>/<layer>/current.json         which of the files counts; replaced in one step by a publish
<path>/<layer>/lock                 held by whoever publishes
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tileserver.catalog import GEOMETRY, Layer
from tileserver.errors import StoreError
from tileserver.stores import geometry
from tileserver.stores.rows import clean
from tileserver.stores.store import Id, Published, State

LOCK_WAIT = 10.0
"""Seconds that a publish waits for another one of the same layer."""


@dataclass(frozen=True, slots=True)
class Current:
    """What `current.json` says."""

    revision: int
    published_at: datetime
    rows: int
    file: str

    @property
    def state(self) -> State:
        return State(self.revision, self.published_at)


@dataclass(frozen=True, slots=True)
class Merge:
    """The rows after a publish, and how they came about."""

    rows: pa.Table
    published: int
    unchanged: int
    superseded: int
    removed: int

    @property
    def changed(self) -> bool:
        return self.published + self.removed > 0


class FolderStore:
    """The store in the folder `path`, made by the first publish."""

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_dir():
            raise StoreError(f"{path}: not a folder; a store is a folder or postgresql://…")
        self._path = path

    def __repr__(self) -> str:
        return f"FolderStore({str(self._path)!r})"

    @property
    def exists(self) -> bool:
        """Whether anything was ever published into it."""
        return self._path.is_dir()

    def publish(self, layer: Layer, batches: Iterable[pa.RecordBatch], *, replace: bool = False) -> Published:
        folder = self._path / layer.id
        _refuse_query(layer)
        with _lock(layer, folder):
            current = _current(folder)
            schema = _schema(folder / current.file) if current else layer.schema
            held = _held(layer, folder / current.file, anew=replace) if current else layer.schema.empty_table()
            merge = _merge(layer, held, _given(layer, batches), stored=current.rows if current else 0, replace=replace)
            moved = current is None or merge.changed
            revision = (current.revision if current else 0) + moved
            new = Current(revision, datetime.now(UTC), len(merge.rows), f"{revision}.parquet")
            with _writing(folder):
                # A column that the layer no longer declares goes, and one of another type too, also where no row has changed.
                if moved or not schema.equals(layer.schema):
                    _replace(folder / new.file, lambda file: _write_rows(merge.rows, file))
                _replace(folder / "current.json", lambda file: file.write(orjson.dumps(new)))
                _tidy(folder, {f"{revision}.parquet", f"{revision - 1}.parquet"})
        return Published(merge.published, merge.unchanged, merge.superseded, merge.removed, new.state)

    def read(self, layer: Layer) -> Iterator[pa.RecordBatch]:
        folder = self._path / layer.id
        _refuse_query(layer)
        with _open(layer, folder) as file, _reading(folder):
            names = [name for name in layer.schema.names if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=names):
                yield from _declared(layer, pa.Table.from_batches([batch]), folder).to_batches()

    def columns(self, layer: Layer) -> frozenset[str]:
        current = _current(self._path / layer.id)
        return frozenset(_schema(self._path / layer.id / current.file).names if current else ())

    def forget(self, layer: Layer, ids: Sequence[Id]) -> set[Id]:
        folder = self._path / layer.id
        _refuse_query(layer)
        if not folder.is_dir():
            return set()
        with _lock(layer, folder):
            current = _current(folder)
            if current is None:
                return set()
            held = _rows(layer, folder / current.file)
            key = held[layer.id_name]
            gone = pc.is_in(key, value_set=pa.array(ids, key.type))
            rows = held.filter(pc.invert(gone))
            revision = current.revision + (len(rows) < len(held))
            new = Current(revision, current.published_at, len(rows), f"{revision}.parquet")
            with _writing(folder):
                if new != current:
                    _replace(folder / new.file, lambda file: _write_rows(rows, file))
                    _replace(folder / "current.json", lambda file: file.write(orjson.dumps(new)))
                _tidy(folder, {new.file})
        return set(key.filter(gone).to_pylist())

    def expire(self, layer: Layer, before: datetime) -> None:
        folder = self._path / layer.id
        current = _current(folder)
        with _writing(folder), suppress(FileNotFoundError):
            if current and (folder / current.file).stat().st_mtime < before.timestamp():
                (folder / f"{current.revision - 1}.parquet").unlink()  # replaced when the current one was written

    def state(self, layer: Layer) -> State | None:
        _refuse_query(layer)
        current = _current(self._path / layer.id)
        return current.state if current else None

    def close(self) -> None:
        """Nothing is held open between calls."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _refuse_query(layer: Layer) -> None:
    if layer.sql:
        raise StoreError(
            f"layer {layer.id}: a query is asked of a database; the store is a folder. Give one with --store postgresql://…"
        )


def _merge(layer: Layer, held: pa.Table, given: pa.Table, *, stored: int, replace: bool) -> Merge:
    """Upsert `given` into `held`, whose ids are unique and sorted, or replace it: that is, what fits the layer of `stored` rows."""
    key = layer.id_name
    latest = _latest(given, key)
    place = pc.index_in(latest[key], value_set=held[key])
    same = _same(latest, held.take(place))
    changed = latest.filter(pc.invert(same))
    if replace:
        rows = latest
    else:
        kept = held.filter(pc.invert(pc.is_in(held[key], value_set=changed[key])))
        rows = pa.concat_tables([kept, changed]).sort_by(key) if len(changed) else held
    return Merge(
        rows=rows,
        published=len(changed),
        unchanged=len(latest) - len(changed),
        superseded=len(given) - len(latest),
        removed=stored - pc.count(place).as_py() if replace else 0,
    )


def _latest(rows: pa.Table, key: str) -> pa.Table:
    """The last row of each id, sorted by id."""
    rows = rows.take(pc.sort_indices(rows, [(key, "ascending")]))  # a stable sort
    following = pa.chunked_array([*rows[key].slice(1).chunks, pa.nulls(min(len(rows), 1), rows[key].type)])
    return rows.filter(pc.fill_null(pc.not_equal(rows[key], following), True))


def _same(left: pa.Table, right: pa.Table) -> pa.ChunkedArray:
    """Whether the rows at the same place are equal, null equal to null; shape (n,)."""
    same = pa.chunked_array([pa.repeat(pa.scalar(True), len(left))])
    for one, other in zip(left.columns, right.columns, strict=True):
        equal = pc.fill_null(pc.equal(one, other), False)
        same = pc.and_(same, pc.or_(equal, pc.and_(pc.is_null(one), pc.is_null(other))))
    return same


def _given(layer: Layer, batches: Iterable[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches((clean(layer, batch) for batch in batches), layer.schema)


def _held(layer: Layer, path: Path, *, anew: bool) -> pa.Table:
    """The rows that a publish meets. What does not fit the layer is refused or, where all come `anew`, as if it were not there."""
    with _reading(path):
        rows = pq.read_table(path, partitioning=None)
    if anew:
        fitting = [field.name for field in layer.schema if field in rows.schema]
        rows = rows.select(fitting) if layer.id_name in fitting else layer.schema.empty_table()
    held = _declared(layer, rows, path.parent)
    if not anew and pc.count_distinct(held[layer.id_name]).as_py() < len(held):  # stored when another field was the id, or none
        raise StoreError(
            f'layer {layer.id}: several rows of {path.parent} have the same "{layer.id_name}", which tells rows apart by the layer '
            f"file; correct the layer file, or bring all rows in anew: tileserver ingest {layer.id} --replace"
        )
    return held


def _declared(layer: Layer, rows: pa.Table, source: Path) -> pa.Table:
    """The layer's columns of a file; null where the layer has declared a field since the file was written."""
    if layer.id_name not in rows.column_names:
        raise StoreError(
            f'layer {layer.id}: {source} has no column "{layer.id_name}", which tells rows apart by the layer file; '
            f"correct the layer file, or bring all rows in anew: tileserver ingest {layer.id} --replace"
        )
    columns = []
    for field in layer.schema:
        if field.name not in rows.column_names:
            columns.append(pa.chunked_array([pa.nulls(len(rows), field.type)]))
        elif rows.schema.field(field.name).type == field.type:
            columns.append(rows[field.name])
        else:
            raise StoreError(
                f'layer {layer.id}: the column "{field.name}" of {source} is of type {rows.schema.field(field.name).type}, '
                f"the layer declares {field.type}; correct the layer file, or bring all rows in anew: "
                f"tileserver ingest {layer.id} --replace"
            )
    return pa.Table.from_arrays(columns, schema=layer.schema)


def _schema(path: Path) -> pa.Schema:
    with _reading(path):
        return pq.read_schema(path)


def _rows(layer: Layer, path: Path) -> pa.Table:
    with _reading(path):
        rows = pq.read_table(path, partitioning=None)
    return _declared(layer, rows, path.parent)


def _open(layer: Layer, folder: Path) -> pq.ParquetFile:
    """The current file. Once open it may be deleted; a publish that deletes it before that has put a new one in its place."""
    for _ in range(3):
        current = _current(folder)
        if current is None:
            raise StoreError(f"layer {layer.id}: nothing is published in {folder}; bring rows in with tileserver ingest {layer.id}")
        with _reading(folder / current.file), suppress(FileNotFoundError):
            return pq.ParquetFile(folder / current.file)
    raise StoreError(f"{folder}: current.json names a file that is missing; move the folder away and ingest the layer anew")


def _current(folder: Path) -> Current | None:
    path = folder / "current.json"
    try:
        said: dict[str, Any] = orjson.loads(path.read_bytes())
        return Current(said["revision"], datetime.fromisoformat(said["published_at"]), said["rows"], said["file"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: damaged; move {folder} away and ingest the layer anew") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error


def _write_rows(rows: pa.Table, file: IO[bytes]) -> None:
    """GeoParquet 1.1; without `crs` a column is in longitude and latitude (OGC:CRS84)."""
    kinds, bounds = geometry.extent(rows[GEOMETRY])
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": kinds} | ({"bbox": bounds} if bounds else {})
    geo = {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
    pq.write_table(rows.replace_schema_metadata({"geo": orjson.dumps(geo)}), file, compression="zstd")


def _replace(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file that is seen whole or not at all, also after a power cut."""
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _tidy(folder: Path, kept: set[str]) -> None:
    """Delete all revisions but those to keep, and what a dead publish left."""
    for path in [*folder.glob("*.parquet"), *folder.glob("*.new")]:
        if path.name not in kept:
            path.unlink()


@contextmanager
def _lock(layer: Layer, folder: Path) -> Iterator[None]:
    """The layer's publish lock, which the system lets go when the process ends, however it ends."""
    with _writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / "lock").open("wb")
    with lock:
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreError(f"layer {layer.id} is being published by another process; try again later") from None
                time.sleep(0.05)
        yield


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise StoreError(f"{path}: damaged; move it away and ingest the layer anew") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or 'damaged'}") from error


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}") from error

"""Rows of a store → one snapshot: admit → order → write → render. Only batch processes build, never a web worker.

Memory is bounded: rows wait in a file, `spool.py`, and are ordered part of the city after part of the city.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tqdm import tqdm

from tileserver import privacy, revisions
from tileserver.catalog import GEOMETRY, Layer
from tileserver.errors import SnapshotError
from tileserver.forgotten import Forgotten
from tileserver.snapshot import DRAFT, FORMAT, KEY, Snapshot, columns, definition, order, outlines, prerender, revision_of
from tileserver.snapshot.columns import ArrayFile, ColumnFiles, Entry
from tileserver.snapshot.detail import Fullness
from tileserver.snapshot.order import Squares
from tileserver.snapshot.spool import CODE, SIDES, Spool, X, Y
from tileserver.times import NO_TIME

SNAPSHOT = re.compile(rf"[0-9a-f]{{16}}|{re.escape(DRAFT)}.*")
"""The names of the folders of snapshots, finished or not. Others beside them belong to the layer's ingests."""

FEATURE_ID_LIMIT = 2**53
"""MVT feature ids stay below this, where JavaScript's numbers are exact."""


def build(layer: Layer, batches: Iterable[pa.RecordBatch], folder: Path, *, progress: bool = False) -> str:
    """Write the snapshot of a layer below `folder` and return its revision; nothing is live until `revisions.move`.

    The same rows under the same definition give the same revision and the same bytes, in whatever order they come.
    """
    home = revisions.home(folder, layer.id)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=home))
    try:
        with Spool(layer, draft) as spool:
            for batch in _admitted(layer, batches, home, progress=progress):
                spool.append(batch)
            manifest = _write(layer, spool, draft, progress=progress) | {"definition": definition(layer), "format": FORMAT}
        shutil.rmtree(draft / "spool")
        _put_manifest(manifest, draft)
        if not layer.is_points:
            manifest["outlines"] = _outlines(Snapshot(layer, draft), draft)
            _put_manifest(manifest, draft)
        manifest["rendered"] = prerender.write(Snapshot(layer, draft), draft, progress=progress)
        _put_manifest(manifest, draft)
        revision = _name(layer, draft)
        draft.chmod(0o755)
        if not is_sound(layer, home / revision):
            _put(draft, home / revision)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return revision


def _outlines(snapshot: Snapshot, draft: Path) -> dict[str, Entry]:
    """Of the whole layer, after its parts: whether a vertex may go depends on all shapes that have it."""
    boxes = np.stack([snapshot.west, snapshot.north, snapshot.east, snapshot.south], axis=1)
    tiles = snapshot.layer.tiles
    return outlines.write(draft, snapshot.wkb, boxes, range(tiles.minzoom, tiles.maxzoom + 1))


def _put_manifest(manifest: dict[str, Any], draft: Path) -> None:
    revisions.replace(draft / "manifest.json", orjson.dumps(manifest))


def _name(layer: Layer, draft: Path) -> str:
    """The revision of a finished draft."""
    home = draft.parent
    if not layer.shows_rows and not (home / KEY).exists():
        revisions.replace(home / KEY, secrets.token_bytes(32), mode=0o600)
    return revision_of(layer, (draft / "manifest.json").read_bytes(), home)


def is_whole(layer: Layer, folder: Path) -> bool:
    """Whether a snapshot can be served: every file is there, and was written for it whole."""
    try:
        Snapshot(layer, folder)
    except SnapshotError:
        return False
    return True


def is_sound(layer: Layer, folder: Path) -> bool:
    """As `is_whole`, and what is in the files is what was written; reads them all."""
    try:
        for entry in Snapshot(layer, folder).files():
            columns.verify(folder, entry)
    except SnapshotError:
        return False
    return True


def _put(draft: Path, place: Path) -> None:
    """Move a finished snapshot to its place, where a damaged one may be in the way."""
    with tempfile.TemporaryDirectory(prefix=DRAFT, dir=place.parent) as aside:
        if place.exists():
            place.replace(Path(aside) / place.name)
        draft.replace(place)
    revisions.sync_folder(place.parent)


def sweep(folder: Path, layer: Layer, keep: set[str]) -> None:
    """Delete a layer's snapshots but those to keep, and drafts that a killed build left. Mapped files stay readable."""
    for old in (folder / layer.id).iterdir():
        if SNAPSHOT.fullmatch(old.name) and old.name not in keep:
            shutil.rmtree(old, ignore_errors=True)


def _admitted(layer: Layer, batches: Iterable[pa.RecordBatch], home: Path, *, progress: bool) -> Iterator[pa.RecordBatch]:
    """The rows that privacy lets through. How many it holds back is not told: the revision, a hash of the files, would tell it."""
    forgotten = Forgotten.read(home)
    with tqdm(desc=f"{layer.id}: reading", unit=" rows", unit_scale=True, disable=not progress) as bar:
        for batch in _ahead(batches):
            yield forgotten.hold_back(layer, privacy.admit(layer, batch).batch)
            bar.update(batch.num_rows)


T = TypeVar("T")


def _ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, each made on a thread while the one before it is worked on: a database and we have a core each."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, iterator, None)
        while (item := coming.result()) is not None:
            coming = maker.submit(next, iterator, None)
            yield item


def _write(layer: Layer, spool: Spool, draft: Path, *, progress: bool) -> dict[str, Any]:
    """Write every file of a snapshot but the manifest, and return what the manifest says of them."""
    category, groups = _grouping(layer, spool)
    most = order.most_rows(spool.positioned)
    fullness = Fullness(range(layer.tiles.minzoom, layer.tiles.maxzoom + 1), *spool.cells)
    files = _Files(layer, spool, draft)
    leaves = _LeafFiles(draft, groups, most, spool.leaves(most)[:2])
    with tqdm(total=spool.rows, desc=f"{layer.id}: ordering", unit=" rows", unit_scale=True, disable=not progress) as bar:
        for part in _ahead(_sorted(layer, spool.parts(most))):
            rows = part.rows
            if part.placed:
                fullness.add(part.codes)
                square = leaves.append(part.codes, part.by_code, _groups(part.table, category, groups, spool))
                rows = _grouped(rows, square)
            files.append(part.table, rows, part.placed)
            bar.update(len(rows))
    return {
        "layer": layer.id,
        "rows": spool.rows,
        "positioned": spool.positioned,
        "extent": spool.extent and [round(degree, 7) for degree in spool.extent],
        "members_shown": fullness.members_shown(),
        "category": category,
        "groups": groups,
        "leaves": leaves.finish(),
        **files.finish(),
    }


def _grouping(layer: Layer, spool: Spool) -> tuple[str | None, int]:
    """The category that orders a leaf's rows, and how many of its values have a run of their own in each leaf.

    The first of the layer file whose most frequent values cover half of the rows: it has the runs that a filter needs.
    """
    if layer.is_points:
        for field in layer.categories:
            counts = list(spool.categories[field.name].counts().values())
            if len(counts) > 1 and sum(counts[: order.GROUPS]) * 2 >= spool.rows:
                return field.name, min(len(counts), order.GROUPS)
    return None, 0


def _groups(part: pa.Table, category: str | None, groups: int, spool: Spool) -> NDArray[np.int64]:
    """The group of each row, shape (n,): the code of its category if that has one of its own, else the last."""
    if category is None:
        return np.zeros(part.num_rows, np.int64)
    ranks = spool.categories[category].ranks()
    ranks[(ranks < 0) | (ranks > groups)] = groups
    found: NDArray[np.int32] = ranks.take(part[category].to_numpy())
    return found.astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of a part of the world, and the orders that they are in before leaves are known, shape (n,) each."""

    table: pa.Table
    placed: bool
    """Whether they have positions; without there are no codes."""
    codes: NDArray[np.uint64]
    """Morton codes, ascending."""
    by_code: NDArray[np.int64]
    """Which row each code is of."""
    rows: NDArray[np.int64]
    """The rows in the order of a group of a leaf: by time, or by place without one, then by id."""


def _sorted(layer: Layer, parts: Iterable[tuple[pa.Table, bool]]) -> Iterator[_Part]:
    for table, placed in parts:
        ids = table[layer.id_name]
        if pa.types.is_integer(ids.type):
            rows = order.sorted_rows(ids.to_numpy())
        else:
            rows = pc.sort_indices(ids).to_numpy().astype(np.int64)
        nothing = np.zeros(0, np.int64)
        if not placed:
            yield _Part(table, placed, nothing.view(np.uint64), nothing, rows)
            continue
        codes = table[CODE].to_numpy()
        by_code = order.sorted_rows(codes)
        keys = codes
        if layer.is_points and layer.time_field:
            keys = pc.fill_null(table[layer.time_field.name].cast(pa.int64()), NO_TIME).to_numpy()
        yield _Part(table, placed, codes.take(by_code), by_code, order.sorted_rows(keys, rows))


def _grouped(rows: NDArray[np.int64], square: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of a part as they are kept, shape (n,): by leaf and group, in each as they come.

    A radix sort where 16 bits hold the numbers of leaves and groups.
    """
    if len(square) and square.max() < 2**16:
        square = square.astype(np.uint16)
    return rows.take(np.argsort(square.take(rows), kind="stable"))


class _LeafFiles:
    """The leaves and the rows of their groups, part by part."""

    def __init__(self, folder: Path, groups: int, most: int, squares: Squares) -> None:
        """`squares`: the leaves down to level 16. A part of the rows alone does not tell them, since it knows nothing of the rows
        beside it."""
        self._groups, self._most, self._squares = groups + 1, most, squares
        self._rows = 0
        self._codes = ArrayFile(folder, "leaves.codes", np.dtype(np.uint64))
        self._levels = ArrayFile(folder, "leaves.levels", np.dtype(np.uint8))
        self._bounds = ArrayFile(folder, "leaves.bounds", np.dtype(np.int64))

    def append(self, codes: NDArray[np.uint64], by_code: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the leaves of a part.

        Args:
            codes: the Morton codes of its rows, ascending, shape (n,).
            by_code: which row each of them is of, shape (n,).
            groups: of each row, shape (n,).

        Returns:
            Of each row the number of its leaf and group, in their order, shape (n,).
        """
        lowest, levels, held = order.split(codes, np.arange(len(codes) + 1), self._most, squares=self._squares)
        square = np.empty(len(codes), np.int64)
        square[by_code] = np.repeat(np.arange(len(lowest)) * self._groups, held)
        square += groups
        counts = np.bincount(square, minlength=len(lowest) * self._groups)
        ends = np.cumsum(counts).reshape(-1, self._groups) + self._rows
        self._codes.append(lowest)
        self._levels.append(levels)
        self._bounds.append(np.concatenate([ends[:, :1] - counts.reshape(-1, self._groups)[:, :1], ends], axis=1).ravel())
        self._rows += len(codes)
        return square

    def finish(self) -> dict[str, Entry]:
        return {"codes": self._codes.finish(), "levels": self._levels.finish(), "bounds": self._bounds.finish()}


class _Files:
    """Every column of a snapshot, and the prefix sums of positions and measures: how much all rows before each one sum up to."""

    def __init__(self, layer: Layer, spool: Spool, folder: Path) -> None:
        self._layer = layer
        self._ranks = {name: category.ranks() for name, category in spool.categories.items()}
        axes = [X, Y] if layer.is_points else [X, Y, *SIDES]
        self._axes = {name: ArrayFile(folder, name[1:], np.dtype(np.uint32)) for name in axes}
        values = {name: category.counts() for name, category in spool.categories.items()}
        self._columns = {
            name: ColumnFiles(folder, f"field.{name}", columns.kind(field), values.get(name))
            for name, field in layer.fields.items()
        }
        if layer.id_field is None:
            self._columns["id"] = ColumnFiles(folder, "field.id", "integer")
        self._geometry = None if layer.is_points else ColumnFiles(folder, "geometry", "bytes")
        self._ids = None if spool.ids_are_natural else ArrayFile(folder, "feature_ids", np.dtype(np.uint64))
        self._sums = {name: _Sums(folder, f"sums{name}", np.dtype(np.uint64)) for name in (X, Y) if layer.is_points}
        for name, magnitude in spool.magnitudes.items():
            unit = 1 if layer.fields[name].type == "integer" else order.FIXED_POINT
            if magnitude * unit < 2.0**62:  # half of what int64 holds, since a magnitude is only nearly exact
                self._sums[name] = _Sums(folder, f"sums.field.{name}", np.dtype(np.int64))

    def append(self, table: pa.Table, rows: NDArray[np.int64], placed: bool) -> None:
        """Take rows of a part in their order; those without position come after all that have one; two columns at a time."""
        order = pa.array(rows)
        names = [*self._columns, *([GEOMETRY] if self._geometry else []), *(self._axes if placed else [])]

        def write(name: str) -> None:
            self._append(name, _one(table[name]).take(order), placed)

        with ThreadPoolExecutor(2) as writers:
            for _ in writers.map(write, names):
                pass

    def _append(self, name: str, column: pa.Array, placed: bool) -> None:
        """Take rows of one column into all files that are made of it."""
        if name in self._ranks:
            column = pa.array(self._ranks[name].take(column.to_numpy()))
        if name in self._axes:
            self._axes[name].append(column.to_numpy())
        elif self._geometry and name == GEOMETRY:
            self._geometry.append(column)
        else:
            self._columns[name].append(column)
        if self._ids and name == self._layer.id_name:
            self._ids.append(feature_ids(column))
        if placed and name in self._sums:
            self._sums[name].append(column.to_numpy() if name in self._axes else fixed(column))

    def finish(self) -> dict[str, Any]:
        arrays = {name[1:]: axis.finish() for name, axis in self._axes.items()}
        if self._ids:
            arrays["feature_ids"] = self._ids.finish()
        manifest: dict[str, Any] = {
            "arrays": arrays,
            "sums": {name: sums.finish() for name, sums in self._sums.items()},
            "columns": {name: column.finish() for name, column in self._columns.items()},
        }
        if self._geometry:
            manifest["geometry"] = self._geometry.finish()
        return manifest


class _Sums:
    """Prefix sums on their way into a file, shape (n + 1,): the first is 0, the last the sum of all."""

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any]) -> None:
        self._file = ArrayFile(folder, name, dtype)
        self._total = np.zeros(1, dtype)
        self._file.append(self._total)

    def append(self, values: NDArray[Any]) -> None:
        if len(values):
            sums = np.cumsum(values, dtype=self._total.dtype) + self._total
            self._file.append(sums)
            self._total = sums[-1:]

    def finish(self) -> Entry:
        return self._file.finish()


def fixed(column: pa.Array) -> NDArray[np.int64]:
    """The values of a measure as its sums take them, shape (n,): integers as they are, numbers in whole ten-thousandths."""
    values: NDArray[Any] = pc.fill_null(column, 0).to_numpy()
    return values.astype(np.int64) if pa.types.is_integer(column.type) else np.rint(values * order.FIXED_POINT).astype(np.int64)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def feature_ids(ids: pa.Array) -> NDArray[np.uint64]:
    """The MVT feature id of each row, shape (n,): a hash of its id to 53 bits."""
    hashed = (hashlib.blake2b(str(id).encode(), digest_size=8).digest() for id in ids.to_pylist())
    return np.frombuffer(b"".join(hashed), "<u8") % FEATURE_ID_LIMIT

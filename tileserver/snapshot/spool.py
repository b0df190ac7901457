"""The rows of a snapshot that is being built, waiting in a file until all have come, and then told part by part of the world.

So a build holds one part in memory, not the layer. Positions are world units from here on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from tileserver import privacy
from tileserver.catalog import GEOMETRY, Layer
from tileserver.snapshot import order
from tileserver.snapshot.columns import NO_CODE
from tileserver.snapshot.mercator import quantize, quantize_sides
from tileserver.snapshot.morton import morton

CODE, X, Y = ".code", ".x", ".y"
"""Columns beside the layer's own, which never begin with a dot: where a row is, and the Morton code of that."""
SIDES = (".west", ".north", ".east", ".south")
"""Of the box of a shape."""

PART = 2**20
"""Rows that are ordered at once; more only where so many stand within 600 m."""


class Category:
    """The values of a category, each with a number in the order in which they come: rows wait with numbers, not with texts."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._counts = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, column: pa.StringArray) -> NDArray[np.int32]:
        """Of each row the number of its value, -1 for none, which an empty text is; shape (n,)."""
        encoded = column.dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        own = [self._numbers.setdefault(text, len(self._numbers)) if text else NO_CODE for text in texts]
        rows: NDArray[np.int32] = np.array([*own, NO_CODE], np.int32).take(encoded.indices.fill_null(len(texts)).to_numpy())
        counts = np.bincount(rows + 1, minlength=len(self) + 1)[1:]
        counts[: len(self._counts)] += self._counts
        self._counts = counts
        return rows

    def counts(self) -> dict[str, int]:
        """The values with their counts, the most frequent first, equally frequent ones in the order of their text."""
        counted = zip(self._numbers, self._counts.tolist(), strict=True)
        return dict(sorted(counted, key=lambda item: (-item[1], item[0])))

    def ranks(self) -> NDArray[np.int32]:
        """Of each number the place of its value in `counts`, and at the end, where -1 finds it, -1; shape (v + 1,)."""
        ranks = np.full(len(self) + 1, NO_CODE, np.int32)
        ranks[[self._numbers[value] for value in self.counts()]] = np.arange(len(self))
        return ranks


class Spool:
    """Rows in the order they come; `parts` tells them again, ordered by place as far as parts go."""

    def __init__(self, layer: Layer, folder: Path) -> None:
        self._layer = layer
        self._folder = folder / "spool"
        self._folder.mkdir()
        kinds = {field.name: field.type for field in layer.schema} | {field.name: pa.int32() for field in layer.categories}
        kinds |= {CODE: pa.uint64(), X: pa.uint32(), Y: pa.uint32()}
        if layer.is_points:
            del kinds[GEOMETRY]
        else:
            kinds |= {GEOMETRY: pa.large_binary()} | dict.fromkeys(SIDES, pa.uint32())
        self._schema = pa.schema(kinds)
        self._file = self._folder / "rows.arrow"
        self._out = pa.ipc.new_stream(str(self._file), self._schema)
        self._extents: list[tuple[float, float, float, float]] = []
        self._cells = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        self._recent: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []
        self._placed: list[int] = []
        """How many rows of each batch in the file have a position."""
        self.rows = 0
        self.positioned = 0
        self.categories = {field.name: Category() for field in layer.categories}
        self.magnitudes: dict[str, float] = dict.fromkeys((field.name for field in layer.measures), 0.0)
        """The sum of what each measure's values are without their signs."""
        self.ids_are_natural = pa.types.is_integer(layer.schema.field(layer.id_name).type)
        """Every id is a natural number that JavaScript tells exactly."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._out.close()

    @property
    def extent(self) -> tuple[float, float, float, float] | None:
        """West, south, east, north of all positions in degrees."""
        if not self._extents:
            return None
        west, south, east, north = zip(*self._extents, strict=True)
        return min(west), min(south), max(east), max(north)

    @property
    def cells(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """The squares of level 16 that hold positions, as their lowest Morton codes, ascending, and how many each holds."""
        if self._recent:
            codes, counts = (np.concatenate(parts) for parts in zip(self._cells, *self._recent, strict=True))
            cells, where = np.unique(codes, return_inverse=True)
            total = np.zeros(len(cells), np.int64)
            np.add.at(total, where, counts)
            self._cells, self._recent = (cells, total), []
        return self._cells

    def append(self, batch: pa.RecordBatch) -> None:
        """Take rows of `layer.schema`."""
        if not batch.num_rows:
            return
        layer = self._layer
        known, place = self._points(batch) if layer.is_points else self._shapes(batch)
        codes = morton(place[X], place[Y])
        cells = codes >> _BELOW_CELL
        by_cell = order.sorted_rows(cells)
        self._count(cells.take(by_cell))
        # In the file the rows of a square stand together, and so those of a part do; rows without position are at the end.
        placed = np.flatnonzero(known)
        rows = pa.array(np.concatenate([placed.take(by_cell), np.flatnonzero(~known)]))
        for name in self.magnitudes:
            values = pc.fill_null(batch.column(name), 0).to_numpy(zero_copy_only=False).astype(np.float64)
            with np.errstate(over="ignore"):  # what is beyond floats is infinite, which is large enough
                self.magnitudes[name] += float(np.abs(values).sum())
        ids = batch.column(layer.id_name)
        self.ids_are_natural = self.ids_are_natural and 0 <= pc.min(ids).as_py() <= pc.max(ids).as_py() < 2**53
        self.rows += batch.num_rows
        self.positioned += len(codes)
        self._placed.append(len(codes))
        columns = {name: batch.column(name) for name in batch.schema.names if name in self._schema.names}
        if GEOMETRY in columns:
            columns[GEOMETRY] = columns[GEOMETRY].cast(pa.large_binary())
        columns |= {name: pa.array(category.numbers(columns[name])) for name, category in self.categories.items()}
        columns = {name: column.take(rows) for name, column in columns.items()}
        unplaced = np.zeros(len(known) - len(placed), np.uint64)
        where: dict[str, NDArray[np.uint64] | NDArray[np.uint32]] = {CODE: codes, **place}
        for name, values in where.items():
            columns[name] = pa.array(np.concatenate([values.take(by_cell), unplaced.astype(values.dtype)]))
        self._out.write_batch(pa.record_batch([columns[name] for name in self._schema.names], self._schema))

    def parts(self, most: int) -> Iterator[tuple[pa.Table, bool]]:
        """All rows, a part of the world after the other in Morton order, and whether they have positions; at last those without.

        Parts end where leaves end, if a leaf holds at most `most` rows.
        """
        self._out.close()
        starts = self._starts(most) >> _BELOW_CELL
        with pa.memory_map(str(self._file)) as source:
            batches = list(pa.ipc.open_stream(source))
            cuts = [_cuts(batch, placed, starts) for batch, placed in zip(batches, self._placed, strict=True)]
            for part in range(len(starts) + 1):
                slices = [batch.slice(cut[part], cut[part + 1] - cut[part]) for batch, cut in zip(batches, cuts, strict=True)]
                yield pa.Table.from_batches(slices, self._schema), part < len(starts)

    def leaves(self, most: int) -> tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.int64]]:
        """As `order.split` finds them, down to level 16: those there are not finer."""
        cells, counts = self.cells
        return order.split(cells, np.concatenate([[0], np.cumsum(counts)]), most, order.CELL_LEVEL)

    def _starts(self, most: int) -> NDArray[np.uint64]:
        """The lowest Morton code of each part, shape (parts,)."""
        leaves, _, held = self.leaves(most)
        starts, rows = [0], 0
        for code, count in zip(leaves.tolist(), held.tolist(), strict=True):
            if rows and rows + count > PART:
                starts.append(code)
                rows = 0
            rows += count
        return np.array(starts, np.uint64)

    def _count(self, cells: NDArray[np.uint64]) -> None:
        """Take note of the squares of rows, ascending."""
        starts = np.flatnonzero(np.diff(cells, prepend=~cells[:1]))
        self._recent.append((cells[starts] << _BELOW_CELL, np.diff(starts, append=len(cells))))
        if len(self._recent) >= 64:
            _ = self.cells

    def _points(self, batch: pa.RecordBatch) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.uint32]]]:
        """Which rows have a position, shape (n,), and the columns of where these are."""
        longitude, latitude = privacy.points(batch.column(GEOMETRY))
        odd = np.flatnonzero(np.isnan(longitude) & batch.column(GEOMETRY).is_valid().to_numpy(zero_copy_only=False))
        if len(odd):
            shapes = shapely.from_wkb(batch.column(GEOMETRY).take(pa.array(odd)).to_numpy(zero_copy_only=False))
            longitude[odd], latitude[odd] = shapely.bounds(shapes).T[:2]
        known = ~np.isnan(longitude)
        self._extend(longitude[known], latitude[known], longitude[known], latitude[known])
        x, y = quantize(longitude[known], latitude[known])
        return known, {X: x, Y: y}

    def _shapes(self, batch: pa.RecordBatch) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.uint32]]]:
        """As `_points`, with the boxes of shapes."""
        shapes = shapely.from_wkb(batch.column(GEOMETRY).to_numpy(zero_copy_only=False))
        known = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
        west, south, east, north = shapely.bounds(shapes[known]).T.reshape(4, -1)
        self._extend(west, south, east, north)
        sides = dict(zip(SIDES, (*quantize_sides(west, north), *quantize_sides(east, south)), strict=True))
        x, y = _anchors(self._layer, shapes[known], sides)
        return known, {X: x, Y: y, **sides}

    def _extend(
        self, west: NDArray[np.float64], south: NDArray[np.float64], east: NDArray[np.float64], north: NDArray[np.float64]
    ) -> None:
        if len(west):
            self._extents.append((float(west.min()), float(south.min()), float(east.max()), float(north.max())))


_BELOW_CELL = np.uint64(2 * (order.WORLD_BITS - order.CELL_LEVEL))


def _anchors(
    layer: Layer, shapes: NDArray[np.object_], sides: dict[str, NDArray[np.uint32]]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The point that stands for a shape: inside an area, so that a label fits there; the middle of its box for others."""
    if layer.kind == "areas":
        inside = shapely.point_on_surface(shapes)
        return quantize(shapely.get_x(inside), shapely.get_y(inside))
    west, north, east, south = (sides[side].astype(np.uint64) for side in SIDES)
    return ((west + east) // 2).astype(np.uint32), ((north + south) // 2).astype(np.uint32)


def _cuts(batch: pa.RecordBatch, placed: int, starts: NDArray[np.uint64]) -> list[int]:
    """Where the rows of each part begin in a batch of the file, and where the last one ends, shape (parts + 2,).

    Args:
        placed: how many of its rows have a position.
        starts: the first square of each part.
    """
    cells = batch.column(CODE).to_numpy()[:placed] >> _BELOW_CELL
    return [*np.searchsorted(cells, starts).tolist(), placed, len(batch)]

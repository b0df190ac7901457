"""The rows of a snapshot that is being built, waiting in a file until all have come, and then told part by part of the world.

So a build holds one part in memory, not the layer. Positions are world units from here on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from tileserver import privacy
from tileserver.catalog import GEOMETRY, Layer
from tileserver.snapshot import order
from tileserver.snapshot.mercator import quantize, quantize_sides
from tileserver.snapshot.morton import morton

PLACED, X, Y = ".placed", ".x", ".y"
"""Columns beside the layer's own, which never begin with a dot: whether a row has a position, and where."""
SIDES = (".west", ".north", ".east", ".south")
"""Of the box of a shape."""

PART = 2**20
"""Rows that are ordered at once; more only where so many stand within 600 m."""


class Spool:
    """Rows in the order they come; `parts` tells them again, ordered by place as far as parts go."""

    def __init__(self, layer: Layer, folder: Path) -> None:
        self._layer = layer
        self._folder = folder / "spool"
        self._folder.mkdir()
        extra = [(PLACED, pa.bool_()), (X, pa.uint32()), (Y, pa.uint32())]
        if layer.is_points:
            own = layer.schema.remove(layer.schema.get_field_index(GEOMETRY))
        else:
            own = layer.schema.set(layer.schema.get_field_index(GEOMETRY), pa.field(GEOMETRY, pa.large_binary()))
            extra += [(side, pa.uint32()) for side in SIDES]
        self._schema = pa.schema([*own, *(pa.field(name, kind) for name, kind in extra)])
        self._file = self._folder / "rows.arrow"
        self._out = pa.ipc.new_stream(str(self._file), self._schema)
        self._extents: list[tuple[float, float, float, float]] = []
        self._cells = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        self._recent: list[NDArray[np.uint64]] = []
        self.rows = 0
        self.positioned = 0
        self.categories: dict[str, Counter[str]] = {field.name: Counter() for field in layer.categories}
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
            codes, counts = np.unique(np.concatenate(self._recent), return_counts=True)
            both = np.concatenate([self._cells[0], codes])
            cells, where = np.unique(both, return_inverse=True)
            total = np.zeros(len(cells), np.int64)
            np.add.at(total, where, np.concatenate([self._cells[1], counts]))
            self._cells, self._recent = (cells, total), []
        return self._cells

    def append(self, batch: pa.RecordBatch) -> None:
        """Take rows of `layer.schema`."""
        if not batch.num_rows:
            return
        layer = self._layer
        place = self._points(batch) if layer.is_points else self._shapes(batch)
        known = place[PLACED]
        codes = morton(place[X][known], place[Y][known])
        self._recent.append(codes >> _BELOW_CELL << _BELOW_CELL)
        if len(self._recent) >= 64:
            _ = self.cells
        for name, counter in self.categories.items():
            counted = pc.value_counts(_given(batch.column(name)).drop_null())
            counter.update(dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)))
        for name in self.magnitudes:
            values = pc.fill_null(batch.column(name), 0).to_numpy(zero_copy_only=False).astype(np.float64)
            with np.errstate(over="ignore"):  # what is beyond floats is infinite, which is large enough
                self.magnitudes[name] += float(np.abs(values).sum())
        ids = batch.column(layer.id_name)
        self.ids_are_natural = self.ids_are_natural and 0 <= pc.min(ids).as_py() <= pc.max(ids).as_py() < 2**53
        self.rows += batch.num_rows
        self.positioned += len(codes)
        columns = {name: batch.column(name) for name in batch.schema.names if name in self._schema.names}
        columns |= {name: pa.array(values) for name, values in place.items()}
        if GEOMETRY in columns:
            columns[GEOMETRY] = columns[GEOMETRY].cast(pa.large_binary())
        for name in self.categories:
            columns[name] = _given(columns[name])
        self._out.write_batch(pa.record_batch([columns[name] for name in self._schema.names], self._schema))

    def parts(self, most: int) -> Iterator[tuple[pa.Table, bool]]:
        """All rows, a part of the world after the other in Morton order, and whether they have positions; at last those without.

        Parts end where leaves end, if a leaf holds at most `most` rows.
        """
        self._out.close()
        starts = self._starts(most)
        if len(starts) == 1 and self.positioned == self.rows:
            yield _read(self._file), True
            return
        files = [self._folder / f"part{number}.arrow" for number in range(len(starts) + 1)]
        self._share_out(starts, files)
        self._file.unlink()
        for file in files:
            yield _read(file), file is not files[-1]
            file.unlink()

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

    def _share_out(self, starts: NDArray[np.uint64], files: list[Path]) -> None:
        outs = [pa.ipc.new_stream(str(file), self._schema) for file in files]
        with pa.memory_map(str(self._file)) as source:
            for batch in pa.ipc.open_stream(source):
                codes = morton(*(batch.column(axis).to_numpy() for axis in (X, Y)))
                placed = batch.column(PLACED).to_numpy(zero_copy_only=False)
                part = np.where(placed, np.searchsorted(starts, codes, side="right") - 1, len(starts)).astype(np.uint16)
                rows = np.argsort(part, kind="stable")
                ends = np.cumsum(np.bincount(part, minlength=len(files)))
                sorted_batch = batch.take(pa.array(rows))
                for out, begin, end in zip(outs, np.r_[0, ends[:-1]].tolist(), ends.tolist(), strict=True):
                    if begin < end:
                        out.write_batch(sorted_batch.slice(begin, end - begin))
        for out in outs:
            out.close()

    def _points(self, batch: pa.RecordBatch) -> dict[str, NDArray[Any]]:
        longitude, latitude = privacy.points(batch.column(GEOMETRY))
        odd = np.flatnonzero(np.isnan(longitude) & batch.column(GEOMETRY).is_valid().to_numpy(zero_copy_only=False))
        if len(odd):
            shapes = shapely.from_wkb(batch.column(GEOMETRY).take(pa.array(odd)).to_numpy(zero_copy_only=False))
            longitude[odd], latitude[odd] = shapely.bounds(shapes).T[:2]
        known = ~np.isnan(longitude)
        self._extend(longitude[known], latitude[known], longitude[known], latitude[known])
        x, y = quantize(longitude[known], latitude[known])
        return {PLACED: known, X: _spread(known, x), Y: _spread(known, y)}

    def _shapes(self, batch: pa.RecordBatch) -> dict[str, NDArray[Any]]:
        shapes = shapely.from_wkb(batch.column(GEOMETRY).to_numpy(zero_copy_only=False))
        known = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
        west, south, east, north = shapely.bounds(shapes[known]).T.reshape(4, -1)
        self._extend(west, south, east, north)
        sides = dict(zip(SIDES, (*quantize_sides(west, north), *quantize_sides(east, south)), strict=True))
        x, y = _anchors(self._layer, shapes[known], sides)
        return {PLACED: known} | {name: _spread(known, values) for name, values in {X: x, Y: y, **sides}.items()}

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


def _given(column: pa.Array) -> pa.Array:
    """A category's values; an empty one is none."""
    return pc.if_else(pc.equal(column, ""), None, column)


def _spread(known: NDArray[np.bool_], values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    full = np.zeros(len(known), np.uint32)
    full[known] = values
    return full


def _read(file: Path) -> pa.Table:
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_stream(source).read_all().combine_chunks()

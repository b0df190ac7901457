"""Squares of the aggregation grid: which rows a cell shows as they are, and what it says of the others.

A cell is a square of the world at a zoom and a grid, whatever tile it is in, and decides by its members alone: tiles that meet
never disagree, and a point is in exactly one cell and one tile. A cell is either a union of leaves, whose runs prefix sums tell,
or lies inside of one, whose rows are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tileserver.snapshot import Snapshot
from tileserver.snapshot.columns import Codes, Rows
from tileserver.snapshot.order import FIXED_POINT

LONG = 48
"""From this mean length on, runs are copied as slices, which is quicker then than a look-up for each row."""

TABLE = 2**22
"""Numbers that a table of cells and categories may have."""


_TRUE = np.ones(1, np.bool_)


@dataclass(frozen=True, slots=True)
class Runs:
    """Rows that stand together, [starts, stops), of one group of one leaf each, in the order of leaves. Shape (r,) each."""

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    leaves: NDArray[np.int64]
    groups: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def of(self, which: NDArray[np.bool_]) -> Runs:
        return Runs(self.starts[which], self.stops[which], self.leaves[which], self.groups[which])

    def take(self, column: NDArray[Any]) -> NDArray[Any]:
        """What a column holds in their rows, run after run, shape (k,)."""
        starts, stops = self.spans()
        if int((stops - starts).sum()) < LONG * len(starts) or not len(starts):
            return column[self.rows()]
        return np.concatenate([column[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)])

    def spans(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows that they fill, those of runs that touch as one: where each span starts and stops, shape (s,) each."""
        if not len(self):
            return self.starts, self.stops
        apart = self.starts[1:] != self.stops[:-1]
        return self.starts[np.concatenate([_TRUE, apart])], self.stops[np.concatenate([apart, _TRUE])]

    def rows(self) -> Rows:
        """The numbers of their rows, run after run, shape (k,)."""
        if not len(self):
            return np.zeros(0, np.int64)
        lengths = self.stops - self.starts
        ends = np.cumsum(lengths)
        rows: NDArray[np.int64] = np.arange(ends[-1]) + np.repeat(self.starts - ends + lengths, lengths)
        return rows


def no_runs() -> Runs:
    return Runs(*np.zeros((4, 0), np.int64))


@dataclass(frozen=True, slots=True)
class Cells:
    """Matching rows by cell: runs, each whole in a cell, and single rows, ascending. Cells are numbered from 0 to `size`."""

    runs: Runs
    cell_of_run: NDArray[np.int64]
    """Shape (r,)."""
    rows: Rows
    """Shape (k,)."""
    cell_of_row: NDArray[np.int64]
    """Shape (k,)."""
    counts: NDArray[np.int64]
    """Members of each cell, shape (size,)."""

    @classmethod
    def of(cls, runs: Runs, cell_of_run: NDArray[np.int64], rows: Rows, cell_of_row: NDArray[np.int64], size: int) -> Cells:
        counts = np.bincount(cell_of_row, minlength=size)
        np.add.at(counts, cell_of_run, runs.stops - runs.starts)
        return cls(runs, cell_of_run, rows, cell_of_row, counts)

    def decide(self, snapshot: Snapshot, most: int) -> tuple[Rows, Groups]:
        """The rows of cells with up to `most` members, ascending, and the other cells as groups, in their order."""
        crowded = self.counts > most
        if not crowded.any():
            return np.sort(np.concatenate([self.runs.rows(), self.rows])), Groups.none(snapshot)
        number = np.cumsum(crowded) - 1
        single_runs, single_rows = ~crowded[self.cell_of_run], ~crowded[self.cell_of_row]
        members = np.concatenate([self.runs.of(single_runs).rows(), self.rows[single_rows]])
        members.sort()
        runs, of_run, rows, of_row = self.runs, self.cell_of_run, self.rows, self.cell_of_row
        if single_runs.any():
            runs, of_run = runs.of(~single_runs), of_run[~single_runs]
        if single_rows.any():
            rows, of_row = rows[~single_rows], of_row[~single_rows]
        groups = Groups(snapshot, np.flatnonzero(crowded), self.counts[crowded], runs, number[of_run], rows, number[of_row])
        return members, groups


@dataclass(frozen=True, slots=True)
class Groups:
    """Cells that are drawn as one feature each, numbered from 0 to g, and the rows they stand for."""

    snapshot: Snapshot
    cells: NDArray[np.int64]
    """The number of each one's cell, shape (g,)."""
    counts: NDArray[np.int64]
    """Shape (g,)."""
    runs: Runs
    of_run: NDArray[np.int64]
    """The group of each run, shape (r,)."""
    rows: Rows
    of_row: NDArray[np.int64]
    """The group of each single row, shape (k,)."""

    @classmethod
    def none(cls, snapshot: Snapshot) -> Groups:
        nothing = np.zeros(0, np.int64)
        return cls(snapshot, nothing, nothing, no_runs(), nothing, nothing, nothing)

    def __len__(self) -> int:
        return len(self.counts)

    def of(self, which: NDArray[np.bool_]) -> Groups:
        """Those of a mask, shape (g,), in their order."""
        number = np.cumsum(which) - 1
        kept_runs, kept_rows = which[self.of_run], which[self.of_row]
        return Groups(
            self.snapshot,
            self.cells[which],
            self.counts[which],
            self.runs.of(kept_runs),
            number[self.of_run[kept_runs]],
            self.rows[kept_rows],
            number[self.of_row[kept_rows]],
        )

    def first_rows(self) -> Rows:
        """The lowest row of each group, shape (g,)."""
        lowest = np.full(len(self), self.snapshot.rows, np.int64)
        lowest[self.of_row[::-1]] = self.rows[::-1]  # of several assignments the last one stands, and rows ascend
        np.minimum.at(lowest, self.of_run, self.runs.starts)
        return lowest

    def means(self, axis: str) -> NDArray[np.int64]:
        """The mean position of each group along an axis, `x` or `y`, floored to whole world units, shape (g,)."""
        positions: NDArray[np.uint32] = getattr(self.snapshot, axis)
        totals = self._totals(positions[self.rows], np.uint64)
        before = self.snapshot.sums[f".{axis}"]
        np.add.at(totals, self.of_run, before[self.runs.stops] - before[self.runs.starts])
        means: NDArray[np.uint64] = totals // self.counts.astype(np.uint64)
        return means.astype(np.int64)

    def sums(self, name: str) -> pa.Array:
        """The sum of a measure over each group, shape (g,): exact for integers, in whole ten-thousandths for numbers."""
        before = self.snapshot.sums.get(name)
        if before is None:  # beyond what int64 holds: as near as floats come
            return self._float_sums(name)
        totals = self._totals(before[self.rows + 1] - before[self.rows], np.int64)
        np.add.at(totals, self.of_run, before[self.runs.stops] - before[self.runs.starts])
        whole = self.snapshot.layer.fields[name].type == "integer"
        return pa.array(totals if whole else totals / FIXED_POINT)

    def leading(self, name: str) -> NDArray[np.int64]:
        """The most frequent code of a category in each group, shape (g,); of equally frequent ones the lowest; -1 without any."""
        if not len(self):
            return np.zeros(0, np.int64)
        category = self.snapshot.category(name)
        best, most = np.full(len(self), -1, np.int64), np.zeros(len(self), np.int64)
        runs, of_run, lowest = self.runs, self.of_run, 0
        if name == self.snapshot.leading:
            # Runs of one value are counted as they are; the others only where they hold more rows than any of these.
            lowest = self.snapshot.groups
            own = runs.groups < lowest
            table = np.zeros((len(self), lowest + 1), np.int64)
            np.add.at(table, (of_run[own], runs.groups[own] + 1), (runs.stops - runs.starts)[own])
            codes = category.codes[self.rows]
            told = codes < lowest
            table += _table(self.of_row[told], codes[told], len(self), lowest)
            most, best = table[:, 1:].max(axis=1), table[:, 1:].argmax(axis=1)
            best[most == 0] = -1
            beaten = self.counts - table.sum(axis=1) > most
            needed = ~own & beaten[of_run]
            runs, of_run = runs.of(needed), of_run[needed]
        group = np.concatenate([self.of_row, np.repeat(of_run, runs.stops - runs.starts)]) if len(runs) else self.of_row
        codes = np.concatenate([category.codes[self.rows], runs.take(category.codes)]) if len(runs) else category.codes[self.rows]
        if lowest:
            group, codes = group[codes >= lowest], codes[codes >= lowest]
        owners, winners, counts = _most_frequent(group, codes, len(self), len(category.values))
        wins = counts > most[owners]
        best[owners[wins]] = winners[wins]
        return best

    def _totals(self, values: NDArray[Any], dtype: type[np.int64 | np.uint64]) -> NDArray[Any]:
        """The sum over the single rows of each group, shape (g,), exact.

        Rows ascend, and those of a leaf stand together: many of one group follow each other, and are summed up as one.
        """
        totals = np.zeros(len(self), dtype)
        if len(values):
            starts = np.flatnonzero(np.r_[True, self.of_row[1:] != self.of_row[:-1]])
            np.add.at(totals, self.of_row[starts], np.add.reduceat(values, starts, dtype=dtype))
        return totals

    def _float_sums(self, name: str) -> pa.Array:
        rows = np.concatenate([self.rows, self.runs.rows()])
        group = np.concatenate([self.of_row, np.repeat(self.of_run, self.runs.stops - self.runs.starts)])
        order = np.argsort(rows, kind="stable")
        values = pc.fill_null(self.snapshot.columns[name].arrow(rows[order]).cast(pa.float64(), safe=False), 0)
        return pa.array(np.bincount(group[order], weights=values.to_numpy(), minlength=len(self)))


def _table(group: NDArray[np.int64], codes: Codes, groups: int, kinds: int) -> NDArray[np.int64]:
    """How many rows of each group have no value, and how many each code, shape (groups, kinds + 1)."""
    pairs = group * (kinds + 1)
    pairs += codes
    pairs += 1
    table: NDArray[np.int64] = np.bincount(pairs, minlength=groups * (kinds + 1)).reshape(groups, kinds + 1)
    return table


def _most_frequent(
    group: NDArray[np.int64], codes: Codes, groups: int, kinds: int
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]:
    """Of each group that has values its most frequent code, the lowest of equally frequent ones, and how often it is there.

    Args:
        group: of each row, shape (k,).
        codes: of each row, -1 without a value, shape (k,).
    """
    if groups * kinds <= TABLE:
        table = _table(group, codes, groups, kinds)[:, 1:]
        most = table.max(axis=1, initial=0)
        owners = np.flatnonzero(most)
        return owners, table[owners].argmax(axis=1) if kinds else owners, most[owners]
    group, codes = group[codes >= 0], codes[codes >= 0]
    pairs, frequency = np.unique(group * kinds + codes, return_counts=True)
    order = np.lexsort((pairs, -frequency, pairs // kinds))
    owner = (pairs // kinds)[order]
    first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]]) if len(owner) else np.zeros(0, np.int64)
    return owner[first], (pairs % kinds)[order][first], frequency[order][first]

"""The order of a snapshot's rows: the leaves, what stands in them, and that it is the same however the rows came and were cut."""

from __future__ import annotations

import tempfile
from bisect import bisect_left, bisect_right
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import shapely
from crowds import KIND, layer, rows, snapshot_of
from hypothesis import given, settings
from hypothesis import strategies as st
from town import batch

from tileserver.catalog import GEOMETRY, Layer
from tileserver.snapshot import Snapshot, order, prerender, select, spool
from tileserver.snapshot.columns import TimeColumn
from tileserver.snapshot.order import DEEPEST, Leaves, split

CODES = 2**64
NO_TIME = -(2**63)

Leaf = tuple[int, int, int]
"""The lowest code, the level, and how many rows."""


def size(level: int) -> int:
    """How many codes a square of a level holds."""
    return 1 << 2 * (32 - level)


def slow_split(codes: list[int], most: int, deepest: int, first: int = 0, level: int = 0) -> list[Leaf]:
    """Square by square; each row has its code in the list."""
    held = [code for code in codes if first <= code < first + size(level)]
    if not held:
        return []
    if len(held) <= most or level == deepest:
        return [(first, level, len(held))]
    quarters = (first + number * size(level + 1) for number in range(4))
    return [leaf for quarter in quarters for leaf in slow_split(held, most, deepest, quarter, level + 1)]


def as_leaves(found: tuple[Any, Any, Any]) -> list[Leaf]:
    return list(zip(*(each.tolist() for each in found), strict=True))


spots = st.sampled_from([0, CODES - 1, 2**63, 2**62 + 1, 0x9ABC_DEF0_1234_5678])
near = st.builds(lambda spot, bits, noise: spot ^ (noise & ((1 << bits) - 1)), spots, st.integers(0, 64), st.integers(0, CODES - 1))
codes = st.lists(near, max_size=60).map(sorted)


@settings(max_examples=200)
@given(codes=codes, most=st.integers(1, 12), deepest=st.sampled_from([0, 3, order.CELL_LEVEL, DEEPEST]))
def test_a_square_is_quartered_until_it_holds_few_rows(codes: list[int], most: int, deepest: int) -> None:
    each_row = as_leaves(split(np.array(codes, np.uint64), np.arange(len(codes) + 1), most, deepest))
    counts = Counter(codes)
    before = np.cumsum([0, *counts.values()])
    assert each_row == as_leaves(split(np.array([*counts], np.uint64), before, most, deepest)) == slow_split(codes, most, deepest)
    assert sum(held for _, _, held in each_row) == len(codes)
    assert all(held <= most or level == deepest for _, level, held in each_row)
    assert all(first + size(level) <= following for (first, level, _), (following, _, _) in pairwise(each_row))


@settings(max_examples=100)
@given(codes=codes, most=st.integers(1, 12))
def test_leaves_split_further_are_those_of_the_whole(codes: list[int], most: int) -> None:
    each, before = np.array(codes, np.uint64), np.arange(len(codes) + 1)
    coarse = split(each, before, most, order.CELL_LEVEL)
    whole = as_leaves(split(each, before, most))
    assert as_leaves(split(each, before, most, squares=coarse[:2])) == whole
    for place in (code for code, _, _ in as_leaves(coarse)):  # as parts of a build, each with rows of its own
        halves = [[code for code in codes if code < place], [code for code in codes if code >= place]]
        parts = [split(np.array(half, np.uint64), np.arange(len(half) + 1), most, squares=coarse[:2]) for half in halves]
        assert [leaf for part in parts for leaf in as_leaves(part)] == whole


@settings(max_examples=200)
@given(codes=codes, most=st.integers(1, 12), ends=st.tuples(near, near), level=st.none() | st.integers(0, 32))
def test_the_leaves_of_a_square_are_all_that_share_codes_with_it(
    codes: list[int], most: int, ends: tuple[int, int], level: int | None
) -> None:
    found = split(np.array(codes, np.uint64), np.arange(len(codes) + 1), most)
    leaves = Leaves(found[0], found[1], np.zeros((len(found[0]), 2), np.int64))
    first, last = sorted(ends)
    if level is not None:
        first = first // size(level) * size(level)
        last = first + size(level) - 1
    shared = [number for number, (code, level, _) in enumerate(as_leaves(found)) if code <= last and first < code + size(level)]
    assert [*range(len(leaves))[leaves.of(first, last)]] == shared


instants = st.integers(-5, 5) | st.sampled_from([NO_TIME, NO_TIME + 1, 2**63 - 1])


@settings(max_examples=200)
@given(runs=st.lists(st.lists(instants, max_size=9).map(sorted), max_size=6), wanted=instants)
def test_many_runs_are_searched_at_once_as_one_by_one(runs: list[list[int]], wanted: int) -> None:
    values = np.array([value for run in runs for value in run], np.int64)
    stops = np.cumsum([len(run) for run in runs], dtype=np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), stops])[: len(stops)]
    expected = [start + bisect_left(run, wanted) for start, run in zip(starts.tolist(), runs, strict=True)]
    for looped in (0, 100):  # all at once alone, one after the other alone
        with patch.object(select, "LOOPED", looped):
            assert select._bisect(values, starts, stops, wanted).tolist() == expected


PARCELS = Layer.model_validate(
    {
        "id": "parcels",
        "title": "Parcels",
        "kind": "shapes",
        "position": "optional",
        "fields": {"number": {"role": "id"}, "use": {"role": "category"}, "acres": {"type": "number", "measure": True}},
    }
)
LAYERS = {id: layer(id) for id in KIND} | {"parcels": PARCELS}


def rows_of(id: str, count: int) -> list[dict[str, Any]]:
    if id != "parcels":
        return rows(id, count)
    chance = np.random.default_rng(count)
    corners = chance.normal((-92.3, 34.7), 0.05, (count, 2)).round(chance.integers(1, 6))
    shapes = [
        shapely.box(x, y, x + side, y + side) for (x, y), side in zip(corners, 10 ** chance.uniform(-6, 0, count), strict=True)
    ]
    return [
        {
            "number": f"P{n * 7919 % 10_007}",
            "use": (None, "", "home", "shop")[n % 4],
            "acres": n / 3,
            GEOMETRY: shape if n % 9 else None,
        }
        for n, shape in enumerate(shapes)
    ]


@settings(max_examples=6)
@given(data=st.data(), count=st.integers(0, 400), small=st.sampled_from([4, order.SMALL_LEAF]))
@pytest.mark.parametrize("id", LAYERS)
def test_a_build_in_parts_writes_the_bytes_of_one_in_one_part(id: str, data: st.DataObject, count: int, small: int) -> None:
    made, schema = rows_of(id, count), LAYERS[id]
    part = data.draw(st.sampled_from([1, 7, 50, 200]))
    shuffled = (
        data.draw(st.permutations(made))
        if count < 40
        else data.draw(st.sampled_from([made[::-1], made[count // 3 :] + made[: count // 3]]))
    )
    ends = sorted([0, count, *data.draw(st.lists(st.integers(0, count), max_size=80))])
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "SMALL_LEAF", small)
        patch.setattr(prerender, "MANY", 100)
        one = snapshot_of(schema, Path(place, "one"), batch(schema, made))
        patch.setattr(spool, "PART", part)
        cut = [batch(schema, shuffled[start:stop]) for start, stop in pairwise(ends)]
        other = snapshot_of(schema, Path(place, "other"), *cut)
        assert other.revision == one.revision
        assert content(Path(place, "other")) == content(Path(place, "one"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("id", LAYERS)
@pytest.mark.parametrize(("part", "small"), [(spool.PART, order.SMALL_LEAF), (spool.PART, 8), (60, 8)])
def test_rows_stand_by_leaf_then_group_then_time_then_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, id: str, part: int, small: int
) -> None:
    monkeypatch.setattr(order, "SMALL_LEAF", small)
    monkeypatch.setattr(spool, "PART", part)
    snapshot = snapshot_of(LAYERS[id], tmp_path, batch(LAYERS[id], rows_of(id, 700)))
    placed = slow_codes(snapshot)
    leaves = slow_split(sorted(placed), max(len(placed) // order.LEAVES, small), DEEPEST)
    assert as_leaves((snapshot.leaves.codes, snapshot.leaves.levels, np.diff(snapshot.leaves.bounds[:, [0, -1]])[:, 0])) == leaves

    firsts = [first for first, _, _ in leaves]
    ids = snapshot.columns[snapshot.layer.id_name].arrow(np.arange(snapshot.rows)).to_pylist()
    of_leaf = [bisect_right(firsts, code) - 1 for code in placed]
    keys = [*zip(of_leaf, slow_groups(snapshot), times_or(snapshot, placed), ids, strict=False)]
    assert len(keys) == len(placed) == snapshot.positioned
    assert keys == sorted(keys)
    without = ids[len(placed) :]
    assert without == sorted(without)
    groups = [(leaf, group) for leaf, group, _, _ in keys]
    bounds = snapshot.leaves.bounds
    assert bounds.shape == (len(leaves), snapshot.groups + 2)
    assert [
        (leaf, group) for leaf, row in enumerate(np.diff(bounds)) for group, held in enumerate(row) for _ in range(held)
    ] == groups
    assert len(leaves) > 100 or small > 8
    assert len(without) > 10


def slow_groups(snapshot: Snapshot) -> list[int]:
    """Of each row with a position the number of its category among those that have a group of their own, or the number of these."""
    if snapshot.leading is None:
        return [0] * snapshot.positioned
    values = snapshot.columns[snapshot.leading].arrow(np.arange(snapshot.positioned)).to_pylist()
    own = [value for value, _ in snapshot.values(snapshot.leading)][: snapshot.groups]
    return [own.index(value) if value in own else len(own) for value in values]


def times_or(snapshot: Snapshot, codes: list[int]) -> list[int]:
    """What orders the rows of a group: their times, or their codes where the layer has no time."""
    field = snapshot.layer.time_field
    column = snapshot.columns[field.name] if field else None
    return column.values[: len(codes)].tolist() if isinstance(column, TimeColumn) else codes


def slow_codes(snapshot: Snapshot) -> list[int]:
    """The Morton codes of the rows with a position, in their order, bit by bit."""
    positions = zip(snapshot.x.tolist(), snapshot.y.tolist(), strict=True)
    return [sum((x >> bit & 1) << 2 * bit | (y >> bit & 1) << 2 * bit + 1 for bit in range(32)) for x, y in positions]

"""What a tile costs as the rows grow, and as the categories do."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks import reports
from benchmarks.asked import CASES, Asked, Make, both, nothing, period, tile
from benchmarks.points import LOW, drawn
from benchmarks.reports import LAYER, OFFENSES
from benchmarks.tables import Aim, Measured
from tileserver.snapshot import Snapshot
from tileserver.snapshot.build import build

ROUNDS = 20
"""Samples of each case, zoom and snapshot."""

CATEGORIES = (1, 10, 100, 1_000)


@dataclass(frozen=True, slots=True)
class Built:
    snapshot: Snapshot
    seconds: float
    """That it took."""
    bytes: int


def measure(rows: int) -> Measured:
    """A tenth of the rows, all and ten times as many, straight from Arrow; then a third of them under more and more categories."""
    with tempfile.TemporaryDirectory(prefix="tileserver-bench-") as name:
        sizes = {f"{count:,} rows": _built(Path(name), count) for count in (rows // 10, rows, rows * 10)}
        cases = {case: CASES[case] for case in ("time and category", "time", "none")}
        by_size = {case: _sample({size: (built, make) for size, built in sizes.items()}) for case, make in cases.items()}
    with tempfile.TemporaryDirectory(prefix="tileserver-bench-") as name:
        numbers = {f"{number:,}": _built(Path(name), rows // 3, _names(number)) for number in CATEGORIES}
        of_number = {number: both(period, _one_of(_names(int(number.replace(",", ""))))) for number in numbers}
        by_number = {
            "time and category": _sample({number: (built, of_number[number]) for number, built in numbers.items()}),
            "time": _sample({number: (built, period) for number, built in numbers.items()}),
            "none": _sample({number: (built, nothing) for number, built in numbers.items()}),
        }
    tables = {f"Growth, milliseconds a tile: {case}": _by_zoom(found) for case, found in by_size.items()}
    tables["Growth: what is built"] = [_line("rows", size, built) for size, built in sizes.items()]
    tables[f"Categories of {rows // 3:,} rows, z0–z11, milliseconds a tile"] = [
        _line("categories", number, built) | {case: _median(by_number[case][number]) for case in by_number}
        for number, built in numbers.items()
    ]
    _, middle, large = (_median(found) for found in by_size["time and category"].values())
    return Measured(tables, [Aim("ten times the rows, time and category, z0–z11: median", large / middle, 3, at_most=True)])


def _built(folder: Path, rows: int, offenses: Sequence[str] = OFFENSES) -> Built:
    begin = time.perf_counter()
    place = folder / LAYER.id / build(LAYER, reports.batches(rows, offenses), folder)
    seconds = time.perf_counter() - begin
    return Built(Snapshot(LAYER, place), seconds, sum(path.stat().st_size for path in place.rglob("*") if path.is_file()))


Found = dict[int, list[float]]
"""Seconds by zoom."""


def _sample(snapshots: Mapping[str, tuple[Built, Make]]) -> dict[str, Found]:
    """The snapshots in turn: each zoom of each, each time under another filter."""
    found: dict[str, Found] = {name: {zoom: [] for zoom in LOW} for name in snapshots}
    random = np.random.default_rng(4)
    for round in tqdm(range(ROUNDS + 1), desc="tiles as rows and categories grow", leave=False):
        for zoom in LOW:
            for name, (built, make) in snapshots.items():
                _, seconds = drawn(built.snapshot, tile(built.snapshot, zoom, random), make(random))
                if round:  # the first one warms up
                    found[name][zoom].append(seconds)
    return found


def _names(number: int) -> list[str]:
    return [f"OFFENSE {at:04}" for at in range(number)]


def _one_of(names: Sequence[str]) -> Make:
    share = 1 / np.arange(1, len(names) + 1)

    def make(random: np.random.Generator) -> Asked:
        return Asked((("offense", names[int(random.choice(len(names), p=share / share.sum()))]),))

    return make


def _by_zoom(found: Mapping[str, Found]) -> list[dict[str, Any]]:
    """Medians of each zoom and of all, and the last beside the one before it."""
    lines = [(f"z{zoom}", {name: _milliseconds(of[zoom]) for name, of in found.items()}) for zoom in LOW]
    lines.append(("all", {name: _median(of) for name, of in found.items()}))
    return [{"zoom": zoom, **medians, "ratio": list(medians.values())[-1] / list(medians.values())[-2]} for zoom, medians in lines]


def _line(what: str, value: str, built: Built) -> dict[str, Any]:
    return {
        what: value,
        "made up and built, s": built.seconds,
        "bytes a row with text": built.bytes / built.snapshot.rows,
    }


def _median(found: Found) -> float:
    return _milliseconds([seconds for of in found.values() for seconds in of])


def _milliseconds(seconds: Sequence[float]) -> float:
    return float(np.median(seconds)) * 1e3

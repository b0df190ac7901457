"""Tiles of points beside PostGIS, in one process and without HTTP: every zoom, any filter, each request another one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mapbox_vector_tile.Mapbox import vector_tile_pb2  # type: ignore[import-untyped]
from numpy.typing import NDArray
from postgres import run_sql
from tqdm import tqdm

from benchmarks.asked import CASES, Asked, Make, tile
from benchmarks.tables import Aim, Measured
from benchmarks.tiles_of_postgis import CELLS, ROWS, Postgis
from tileserver.snapshot import Snapshot
from tileserver.snapshot.columns import BooleanColumn, CategoryColumn, Column, IntegerColumn, NumberColumn, TimeColumn
from tileserver.snapshot.tile import Address, Drawn, Options, draw

LOW, HIGH = range(12), range(12, 17)
"""Zooms."""

ROUNDS = {"time and category": 12, "time": 8, "none": 3, "any other": 8}
"""How often each zoom has its turn: without filter PostGIS takes a second a tile."""
OURS = 24
"""Our samples of each case and zoom, spread over the rounds: with the filter that PostGIS gets too, and with others."""

ROWS_ZOOMS = {"none": (9, 11, 13, 16), "time and category": (5, 9, 11, 13, 16)}
"""Where the rows themselves are drawn by PostGIS, once: without filter a tile of low zooms is one of 160 MB."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The same tile under the same filter: seconds and bytes of both."""

    postgis: float
    ours: float
    postgis_bytes: int
    our_bytes: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """One case at one zoom."""

    pairs: list[Pair]
    ours: list[float]
    """Seconds of all of ours, those of the pairs among them."""


INDEXES = {
    "with an index of time in PostGIS": ("CREATE INDEX extra ON city.reports (occurred_at)", ("time and category", "time")),
    "with an index in PostGIS made for it": ("CREATE INDEX extra ON city.reports (offense, occurred_at)", ("time and category",)),
}
"""More than an ingest makes, and for which cases; what they change is told beside."""


def measure(address: str, snapshot: Snapshot) -> Measured:
    with Postgis(address) as postgis:
        _warm(postgis, snapshot)
        found = _sample(postgis, snapshot, CASES)
        rows = [row for case, zooms in ROWS_ZOOMS.items() for row in _rows(postgis, snapshot, case, zooms)]
        each = dict(found)
        for title, (index, cases) in INDEXES.items():
            run_sql(address, index)
            sampled = _sample(postgis, snapshot, {case: CASES[case] for case in cases})
            run_sql(address, "DROP INDEX city.extra")
            each |= {f"{case}, {title}": zooms for case, zooms in sampled.items()}
    title = f"{snapshot.rows:,} rows, milliseconds a tile: ST_AsMVT over the same GROUP BY, and ours"
    tables = {f"{title}: {case}": _lines(zooms) for case, zooms in each.items()}
    return Measured({**tables, "ST_AsMVT of the rows, and ours: milliseconds, kilobytes": rows}, list(_aims(found)))


def drawn(snapshot: Snapshot, address: Address, asked: Asked) -> tuple[Drawn, float]:
    """Our tile, and the seconds from the parameters of an address to its bytes."""
    begin = time.perf_counter()
    tile = draw(snapshot, asked.parse(), address, Options())
    return tile, time.perf_counter() - begin


def _warm(postgis: Postgis, snapshot: Snapshot) -> None:
    """Both sides have their pages in memory and their code ready: PostgreSQL's are prewarmed, ours are touched."""
    for array in (snapshot.x, snapshot.y, *snapshot.sums.values(), *(_values(column) for column in snapshot.columns.values())):
        array.max(initial=0)
    random = np.random.default_rng(1)
    for case in CASES.values():
        for zoom in (8, 14):
            address, asked = tile(snapshot, zoom, random), case(random)
            postgis.tile(CELLS, address, asked)
            drawn(snapshot, address, asked)


def _values(column: Column) -> NDArray[Any]:
    """The array of a column that holds a number for each row; nothing of texts."""
    match column:
        case CategoryColumn(_, codes):
            return codes
        case IntegerColumn(values) | TimeColumn(values) | NumberColumn(values) | BooleanColumn(values):
            return values
        case _:
            return np.zeros(0)


def _sample(postgis: Postgis, snapshot: Snapshot, cases: Mapping[str, Make]) -> dict[str, dict[int, Sampled]]:
    """Case by case, zoom by zoom, the two sides in turn. Raises AssertionError where their answers differ."""
    found: dict[str, dict[int, Sampled]] = {}
    with tqdm(total=sum(ROUNDS[case] for case in cases) * 17, desc="tiles beside PostGIS", leave=False) as bar:
        for case, make in cases.items():
            random = np.random.default_rng(2)
            found[case] = {zoom: Sampled([], []) for zoom in (*LOW, *HIGH)}
            for round in range(ROUNDS[case]):
                for zoom, sampled in found[case].items():
                    address, asked = tile(snapshot, zoom, random), make(random)
                    pair = _pair(postgis, snapshot, address, asked, ours_first=round % 2 == 0)
                    more = OURS // ROUNDS[case] - 1
                    others = [drawn(snapshot, tile(snapshot, zoom, random), make(random))[1] for _ in range(more)]
                    sampled.pairs.append(pair)
                    sampled.ours.extend([pair.ours, *others])
                    bar.update()
    return found


def _pair(postgis: Postgis, snapshot: Snapshot, address: Address, asked: Asked, *, ours_first: bool) -> Pair:
    if ours_first:
        our, our_seconds = drawn(snapshot, address, asked)
    theirs, seconds = postgis.tile(CELLS, address, asked)
    if not ours_first:
        our, our_seconds = drawn(snapshot, address, asked)
    compare(theirs, our, f"{address} {asked}")
    return Pair(seconds, our_seconds, len(theirs), len(our.data))


def compare(theirs: bytes, ours: Drawn, where: str) -> None:
    """Both tiles stand for the same rows, and their measures add up to the same. A benchmark whose answers differ says nothing."""
    rows, loss = content(theirs)
    shown, our_loss = content(ours.data)
    assert ours.total == rows, f"{where}: {ours.total} rows, and {rows} in PostGIS"
    assert shown == ours.shown, f"{where}: features stand for {shown} rows, and not for {ours.shown}"
    if not ours.dropped:
        assert abs(loss - our_loss) < 1e-6 * max(abs(loss), 1), f"{where}: a loss of {our_loss}, and {loss} in PostGIS"


def content(data: bytes) -> tuple[int, float]:
    """How many rows the features of a tile stand for, and the sum of their losses."""
    rows, loss = 0, 0.0
    for layer in vector_tile_pb2.tile.FromString(data).layers:
        keys = list(layer.keys)
        count = keys.index("point_count") if "point_count" in keys else -1
        sums = {at for at, key in enumerate(keys) if key in ("loss", "sum_loss")}
        values = [_number(value) for value in layer.values]
        for feature in layer.features:
            tags = feature.tags
            members = 1
            for key, value in zip(tags[::2], tags[1::2], strict=True):
                if key == count:
                    members = int(values[value])
                elif key in sums:
                    loss += values[value]
            rows += members
    return rows, loss


def _number(value: Any) -> float:
    """Of one MVT value; 0 of a text."""
    return float(value.int_value or value.uint_value or value.sint_value or value.double_value or value.float_value)


def _rows(postgis: Postgis, snapshot: Snapshot, case: str, zooms: Iterable[int]) -> Iterable[dict[str, Any]]:
    random = np.random.default_rng(3)
    for zoom in tqdm(zooms, desc=f"ST_AsMVT of the rows: {case}", leave=False):
        address, asked = tile(snapshot, zoom, random), CASES[case](random)
        data, seconds = postgis.tile(ROWS, address, asked)
        ours, our_seconds = drawn(snapshot, address, asked)
        yield {
            "case": f"{case}, z{zoom}",
            "PostGIS ms": seconds * 1e3,
            "ours ms": our_seconds * 1e3,
            "ratio": seconds / our_seconds,
            "PostGIS kB": len(data) / 1e3,
            "ours kB": len(ours.data) / 1e3,
        }


def _lines(zooms: dict[int, Sampled]) -> list[dict[str, Any]]:
    """Zoom by zoom, and the two spans."""
    spans = {"z0–z11": _over(zooms, LOW), "z12–z16": _over(zooms, HIGH)}
    return [*(_line(f"z{zoom}", sampled) for zoom, sampled in zooms.items()), *(_line(*span) for span in spans.items())]


def _line(zoom: str, sampled: Sampled) -> dict[str, Any]:
    theirs, ours = _milliseconds(pair.postgis for pair in sampled.pairs), _milliseconds(sampled.ours)
    return {
        "zoom": zoom,
        "PostGIS median": float(np.median(theirs)),
        "ours median": float(np.median(ours)),
        "ratio": float(np.median(theirs) / np.median(ours)),
        "PostGIS p99": float(np.percentile(theirs, 99)),
        "ours p99": float(np.percentile(ours, 99)),
        "samples": f"{len(theirs)} · {len(ours)}",
        "PostGIS kB": float(np.median([pair.postgis_bytes for pair in sampled.pairs])) / 1e3,
        "ours kB": float(np.median([pair.our_bytes for pair in sampled.pairs])) / 1e3,
    }


def _aims(found: dict[str, dict[int, Sampled]]) -> Iterable[Aim]:
    """The ratios of the medians over all samples of a span of zooms. For the slowest of ours their 99th percentile is held
    against that of PostGIS, and against its median, which asks for more."""
    low = {case: _over(zooms, LOW) for case, zooms in found.items()}
    for case, bound in (("time and category", 50), ("time", 25), ("none", 100)):
        yield Aim(f"{case}, z0–z11: median", _ratio(low[case]), bound)
    slow, ours = _milliseconds(pair.postgis for pair in low["time and category"].pairs), low["time and category"].ours
    at = float(np.percentile(_milliseconds(ours), 99))
    yield Aim("time and category, z0–z11: median of PostGIS to our p99", float(np.median(slow)) / at, 25)
    yield Aim("time and category, z0–z11: p99 to p99", float(np.percentile(slow, 99)) / at, 25)
    others = [pair for pair in _over(found["any other"], (*LOW, *HIGH)).pairs if pair.postgis > 0.020]
    yield Aim("any other filter, where PostGIS takes over 20 ms: median", _ratio_of(others), 15)
    close = [pair for zooms in found.values() for pair in _over(zooms, HIGH).pairs]
    least = min(_ratio(zooms[zoom]) for zooms in found.values() for zoom in HIGH)
    yield Aim("z12–z16, any filter: the least median of a case and zoom", least, 1)
    yield Aim(
        "z12–z16, any filter: tiles that are faster",
        100 * float(np.mean([pair.ours < pair.postgis for pair in close])),
        100,
        unit="%",
    )
    crowded = [pair for pair in close if pair.postgis > 0.100]
    if crowded:
        yield Aim("z12–z16, any filter, where PostGIS takes over 100 ms: median", _ratio_of(crowded), 20)


def _over(zooms: dict[int, Sampled], span: Iterable[int]) -> Sampled:
    """All samples of some zooms."""
    some = [zooms[zoom] for zoom in span]
    return Sampled([pair for each in some for pair in each.pairs], [seconds for each in some for seconds in each.ours])


def _ratio(sampled: Sampled) -> float:
    return float(np.median([pair.postgis for pair in sampled.pairs]) / np.median(sampled.ours))


def _ratio_of(pairs: Sequence[Pair]) -> float:
    return float(np.median([pair.postgis for pair in pairs]) / np.median([pair.ours for pair in pairs])) if pairs else float("nan")


def _milliseconds(seconds: Iterable[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(list(seconds)) * 1e3

"""A snapshot is a function of its rows: which bytes, what they sum up to, what there is without any."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from crowds import KIND, layer, rows, snapshot_of
from town import batch
from twin import Row, decoded

from tileserver.catalog import GEOMETRY
from tileserver.filters import Filter
from tileserver.snapshot import order, prerender, select, spool
from tileserver.snapshot.tile import Address, Options, draw

WORLD = Address(0, 0, 0)
INCIDENTS = layer("incidents")


def incident(number: int, **given: Any) -> Row:
    return {**dict.fromkeys(INCIDENTS.schema.names), "id": number, GEOMETRY: shapely.Point(-92.3, 34.7)} | given


def content(folder: Path) -> dict[str, bytes]:
    """Of every file of a layer's folder but the lock of who builds."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("id", KIND)
@pytest.mark.parametrize("part", [spool.PART, 200])
def test_the_same_rows_in_any_order_and_any_batches_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, id: str, part: int
) -> None:
    monkeypatch.setattr(order, "SMALL_LEAF", 8)
    monkeypatch.setattr(prerender, "MANY", 10)
    made = rows(id, 1_000)
    first = snapshot_of(layer(id), tmp_path / "first", batch(layer(id), made))
    written = content(tmp_path / "first")
    again = snapshot_of(layer(id), tmp_path / "first", batch(layer(id), made))
    assert again.revision == first.revision
    assert content(tmp_path / "first") == written

    monkeypatch.setattr(spool, "PART", part)
    shuffled = [made[number] for number in np.random.default_rng(0).permutation(len(made))]
    ends = [0, 0, 1, 2, 300, 300, 999, 1_000]
    batches = [batch(layer(id), shuffled[start:stop]) for start, stop in pairwise(ends)]
    snapshot_of(layer(id), tmp_path / "other", *batches)
    assert content(tmp_path / "other") == written
    assert snapshot_of(layer(id), tmp_path / "less", batch(layer(id), made[1:])).revision != first.revision


def test_a_layer_without_rows_is_a_layer(tmp_path: Path) -> None:
    snapshot = snapshot_of(INCIDENTS, tmp_path)
    assert snapshot.rows == 0
    assert snapshot.extent is None
    assert snapshot.time_range is None
    assert draw(snapshot, Filter(), WORLD, Options()).data == b""
    assert select.count(snapshot, Filter(interval=(0, 1))) == select.Count(0, 0)


def test_a_layer_without_any_position_is_a_layer(tmp_path: Path) -> None:
    made = [incident(number, ward="North", at=number, **{GEOMETRY: None}) for number in range(9)]
    snapshot = snapshot_of(INCIDENTS, tmp_path, batch(INCIDENTS, made))
    assert (snapshot.rows, snapshot.positioned, snapshot.extent) == (9, 0, None)
    for filter in (Filter(), Filter(categories=(("ward", ("North",)),)), Filter(interval=(0, 9)), Filter(interval=(None, 9))):
        assert draw(snapshot, filter, WORLD, Options()).data == b""
        assert select.count(snapshot, filter) == select.Count(9, 9)
        assert not select.exceeds(snapshot, filter, 0)


def test_a_box_at_180_degrees_holds_what_lies_there(tmp_path: Path) -> None:
    places = [(-92.3, 34.7), (180.0, 1.0), (-180.0, 2.0), (179.9, 3.0)]
    made = [incident(number, **{GEOMETRY: shapely.Point(place)}) for number, place in enumerate(places)]
    snapshot = snapshot_of(INCIDENTS, tmp_path, batch(INCIDENTS, made))
    boxes = [(-180, -90, 179.99999999, 90), (180, -90, 180, 90), (180, -90, -170, 90), (170, -90, 180, 90), (170, -90, -170, 90)]
    assert [select.count(snapshot, Filter(bbox=box)).count for box in boxes] == [4, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("units", "loss"),
    [
        ([2**61, 3, -5], [1.0, 0.00004, 0.00006]),  # ten-thousandths of these are beyond int64, these are not
        ([2**60] * 60 + [1], [2e14] * 60 + [0.1]),
        ([-(2**62)] * 5, [float("inf"), 1.0]),
        ([2**63 - 1, None, 2**63 - 1], [1.7e308, 1.7e308, None]),
    ],
)
def test_sums_are_exact_as_far_as_integers_go_and_stay_near_beyond(
    tmp_path: Path, units: list[int | None], loss: list[float | None]
) -> None:
    count = max(len(units), len(loss), 3)
    made = [
        incident(number, units=units[number] if number < len(units) else None, loss=loss[number] if number < len(loss) else None)
        for number in range(count)
    ]
    snapshot = snapshot_of(INCIDENTS, tmp_path, batch(INCIDENTS, made))
    [feature] = decoded(draw(snapshot, Filter(), WORLD, Options(aggregate="always")).data, "incidents")
    whole, number = sum(value or 0 for value in units), sum(value or 0 for value in loss)
    assert feature.properties["sum_units"] == (whole if abs(whole) < 2**62 else pytest.approx(whole))
    assert feature.properties["sum_loss"] == pytest.approx(number)


def test_the_leading_value_may_be_one_without_a_run_of_its_own(tmp_path: Path) -> None:
    """Of 20 offenses the last 5 share a run; at one place one of them leads, at another it ties with a more frequent one."""
    everywhere = [f"O{number:02}" for number in range(20) for _ in range(40 - number)]
    here, there = ["O19"] * 9 + ["O18"] * 8 + ["O00"] * 8, ["O19"] * 9 + ["O03"] * 9 + [None] * 30
    places = [shapely.Point(0, 0)] * len(everywhere) + [shapely.Point(90, 0)] * len(here) + [shapely.Point(-90, 0)] * len(there)
    values = everywhere + here + there
    made = [
        incident(number, offense=values[number], ward=values[-number], **{GEOMETRY: place}) for number, place in enumerate(places)
    ]
    snapshot = snapshot_of(INCIDENTS, tmp_path, batch(INCIDENTS, made))
    assert (snapshot.leading, snapshot.groups) == ("offense", order.GROUPS)
    for filter, led in [
        (Filter(), ["O03", "O00", "O19"]),
        (Filter(categories=(("offense", ("O18", "O19")),)), ["O19", "O18", "O19"]),
        (Filter(categories=(("offense", ("", "O19")),)), ["O19", "O19", "O19"]),
        (Filter(categories=(("offense", ("",)),)), [None]),
    ]:
        found = decoded(draw(snapshot, filter, WORLD, Options(aggregate="always")).data, "incidents")
        by_place = sorted(found, key=lambda feature: feature.place)
        assert [feature.properties.get("offense") for feature in by_place] == led
    assert draw(snapshot, Filter(categories=(("offense", ("none of them",)),)), WORLD, Options()).data == b""


@pytest.mark.parametrize("count", [INCIDENTS.tiles.budget, INCIDENTS.tiles.budget + 1])
def test_as_many_rows_as_the_budget_are_drawn_as_they_are(tmp_path: Path, count: int) -> None:
    snapshot = snapshot_of(INCIDENTS, tmp_path, batch(INCIDENTS, [incident(number) for number in range(count)]))
    found = decoded(draw(snapshot, Filter(), WORLD, Options()).data, "incidents")
    assert len(found) == (count if count == INCIDENTS.tiles.budget else 1)
    assert sum(feature.properties.get("point_count", 1) for feature in found) == count

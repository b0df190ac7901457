"""Positions as two numbers in one column: read in one order for the whole file, whatever format brings them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from test_ingest import held, layer_of, rejects

from tileserver.ingest import Ledger, ingest
from tileserver.ingest.geometry_column import shapes_of
from tileserver.ingest.rows import BATCH
from tileserver.stores import FolderStore

WORLD: dict[str, Any] = {"kind": "places", "fields": {"tag": {"role": "id"}}, "ingest": {"geometry": "Where"}}
TULSA = WORLD | {"bounds": (-96.2, 35.9, -95.7, 36.3)}
HAMBURG = WORLD | {"bounds": (9.7, 53.3, 10.4, 53.8)}


def bring(folder: Path, places: list[str], layer: dict[str, Any]) -> Ledger:
    table = pa.table({"tag": [str(row) for row in range(len(places))], "Where": places})
    pq.write_table(table, folder / "rows.parquet")
    return ingest(layer_of(layer), FolderStore(folder / "store"), ["rows.parquet"], folder=folder, home=folder)


def points(folder: Path, layer: dict[str, Any]) -> list[str]:
    return [row["geometry"] for row in held(folder, layer_of(layer))]


@pytest.mark.parametrize(
    "text",
    [
        *("(36.1, -95.9)", "36.1, -95.9", " (36.10,-95.90) ", "36.1;-95.9", "36.1 -95.9", "(+36.1, -95.9)"),
        *("100 MAIN ST\nTULSA, OK\n(36.1, -95.9)", "100 MAIN ST\r\n(36.1, -95.9)\n", "POINT (-95.9 36.1)"),
    ],
)
def test_a_pair_is_a_point_however_it_is_written(text: str) -> None:
    assert shapely.to_wkt(shapes_of(pa.array([text]), None).shapes[0], rounding_precision=6) == "POINT (-95.9 36.1)"


@pytest.mark.parametrize(
    "text", ["36.1", "36,1", "1,234.5", "(36.1, -95.9", "36.1, -95.9, 7.0", "POINT (-95.9, 36.1)", "5 (36.1, -95.9)", "(a, b)"]
)
def test_what_is_no_pair_is_unreadable(text: str) -> None:
    found = shapes_of(pa.array([text, None]), None)
    assert found.unreadable.tolist() == [True, False]
    assert shapely.is_missing(found.shapes).all()


@pytest.mark.parametrize("place", ["36.1, -95.9", "-95.9, 36.1"])
def test_values_beyond_ninety_tell_which_number_is_the_longitude(place: str, tmp_path: Path) -> None:
    assert bring(tmp_path, [place], WORLD).published == 1
    assert points(tmp_path, WORLD) == ["POINT (-95.9 36.1)"]


def test_a_longitude_that_is_no_latitude_where_people_live_is_told_too(tmp_path: Path) -> None:
    bring(tmp_path, ["-77.03, 38.9"], WORLD)
    assert points(tmp_path, WORLD) == ["POINT (-77.03 38.9)"]


@pytest.mark.parametrize(("layer", "point"), [(HAMBURG, "POINT (9.99 53.55)"), (WORLD, "POINT (53.55 9.99)")])
def test_bounds_tell_the_order_of_numbers_that_could_be_either_and_else_the_latitude_is_first(
    layer: dict[str, Any], point: str, tmp_path: Path
) -> None:
    bring(tmp_path, ["9.99, 53.55"], layer)
    assert points(tmp_path, layer) == [point]


def test_a_single_row_in_the_other_order_is_rejected_and_not_turned(tmp_path: Path) -> None:
    ledger = bring(tmp_path, ["36.1, -95.9", "36.2, -95.8", "-95.9, 36.1"], TULSA)
    assert (ledger.published, ledger.rejected) == (2, 1)
    assert rejects(tmp_path) == [("rows.parquet", 3, "outside the bounds")]


def test_the_order_is_that_of_the_whole_file_and_not_of_its_first_part(tmp_path: Path) -> None:
    ledger = bring(tmp_path, ["-95.9, 36.1"] * BATCH + ["36.1, -95.9"] * (BATCH + 1), TULSA)
    assert (ledger.published, ledger.rejected) == (BATCH + 1, BATCH)


def test_pairs_of_zeros_and_wkt_beside_pairs_are_what_they_are(tmp_path: Path) -> None:
    places = ["(0.0, 0.0)", "(0, 0)", "POINT (-95.9 36.1)", "(-95.8, 36.2)", ""]
    ledger = bring(tmp_path, places, TULSA)
    assert dict(ledger.reasons) == {"position 0,0": 2, "no position": 1}
    assert points(tmp_path, TULSA) == ["POINT (-95.9 36.1)", "POINT (-95.8 36.2)"]


def test_socrata_s_three_lines_are_read_from_csv_with_their_line_numbers(tmp_path: Path) -> None:
    rows = ['1,"100 MAIN ST\nTULSA, OK\n(36.1, -95.9)"', '2,"TULSA, OK\n(0.1, -95.9)"', '3,"TULSA, OK"']
    (tmp_path / "rows.csv").write_text("\n".join(["tag,Where", *rows]) + "\n")
    ledger = ingest(layer_of(TULSA), FolderStore(tmp_path / "store"), ["rows.csv"], folder=tmp_path, home=tmp_path)
    assert ledger.published == 1
    assert rejects(tmp_path) == [("rows.csv", 5, "outside the bounds"), ("rows.csv", 7, "a position that cannot be read")]
    assert np.allclose(shapely.get_coordinates(shapely.from_wkt(points(tmp_path, TULSA))), [[-95.9, 36.1]])

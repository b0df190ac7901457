"""The program of the benchmarks runs, over few rows; what it measures is not asked."""

from pathlib import Path

import orjson
import pytest
import shapely
from benchmarks import parcels, points, shapes
from benchmarks.__main__ import run
from mapbox_vector_tile import encode

FEW = {
    points: {"ROUNDS": dict.fromkeys(points.ROUNDS, 1), "OURS": 1, "ROWS_ZOOMS": {"none": (9,)}},
    shapes: {"LOW_ROUNDS": 1, "HIGH_ROUNDS": 1, "TEN_ROUNDS": 1, "TEN_ZOOMS": (10, 16), "PEER_ZOOMS": (12,)},
}
"""Samples, by the modules that take them."""


def test_points_and_shapes_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not any(Path("/usr/lib/postgresql").glob("*/bin")):
        pytest.skip("The benchmarks start a PostgreSQL of their own, and it is not installed here.")
    monkeypatch.chdir(tmp_path)
    for module, settings in FEW.items():
        for name, value in settings.items():
            monkeypatch.setattr(module, name, value)
    run(["points", "shapes"], rows=3_000)
    found = orjson.loads(Path("bench.json").read_bytes())
    for part, tables, aims in (("points", 8, 8), ("shapes", 8, 18)):
        assert len(found[part]["tables"]) == tables
        assert all(found[part]["tables"].values())
        assert len(found[part]["aims"]) >= aims  # some are told only where PostGIS takes long


def test_made_up_parcels_share_their_borders() -> None:
    _, made = parcels.parcels(2_000)
    rings = shapely.get_num_coordinates(shapely.get_exterior_ring(shapely.get_parts(made))) - 1
    assert shapely.is_valid(made).all()
    assert shapely.coverage_is_valid(made)
    assert (rings.min(), rings.max()) == (4, 12)


@pytest.mark.parametrize("spoiled", ["an id", "an attribute", "the outline"])
def test_tiles_that_differ_stop_the_benchmark(spoiled: str) -> None:
    def tile(id: int, use: str, side: int) -> bytes:
        feature = {"id": id, "geometry": shapely.box(100, 100, 100 + side, 100 + side), "properties": {"use": use}}
        encoded: bytes = encode({"name": "parcels", "features": [feature]}, default_options={"y_coord_down": True})
        return encoded

    theirs = tile(1, "VACANT", 300)
    shapes.compare(theirs, tile(1, "VACANT", 301), "parcels", "here")
    ours = (
        tile(2, "VACANT", 300)
        if spoiled == "an id"
        else tile(1, "PARK", 300)
        if spoiled == "an attribute"
        else tile(1, "VACANT", 303)
    )
    with pytest.raises(AssertionError, match="here"):
        shapes.compare(theirs, ours, "parcels", "here")

import math

import mercantile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tileserver.snapshot.mercator import MAX_LATITUDE, WORLD, degrees, geographic, mercator, quantize

SEVENTH = 10**7
"""Steps of the seventh decimal in a degree."""


def array(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(values, np.float64)


@given(
    st.lists(
        st.tuples(st.integers(-180 * SEVENTH, 180 * SEVENTH - 1), st.integers(-85 * SEVENTH + 1, 85 * SEVENTH - 1)), min_size=1
    )
)
def test_degrees_of_seven_decimals_survive_in_whole_world_units(steps: list[tuple[int, int]]) -> None:
    lon = array(*(lon / SEVENTH for lon, _ in steps))
    lat = array(*(lat / SEVENTH for _, lat in steps))
    x, y = quantize(lon, lat)
    again = degrees(x, y)
    assert x.dtype == y.dtype == np.uint32
    assert again[0].tolist() == lon.tolist()
    assert again[1].tolist() == lat.tolist()


@given(st.floats(-180, 179.999), st.floats(-85, 85), st.integers(0, 22))
def test_a_position_lies_in_the_tile_that_mercantile_says(lon: float, lat: float, zoom: int) -> None:
    x, y = mercator(array(lon), array(lat))
    side = WORLD / 2**zoom
    bounds = mercantile.bounds(int(x[0] // side), int(y[0] // side), zoom)
    slack = 1e-9
    assert bounds.west - slack <= lon <= bounds.east + slack
    assert bounds.south - slack <= lat <= bounds.north + slack


@given(st.floats(-180, 180), st.floats(-85, 85))
def test_geographic_undoes_mercator(lon: float, lat: float) -> None:
    again = geographic(*mercator(array(lon), array(lat)))
    assert again[0][0] == pytest.approx(lon, abs=1e-10)
    assert again[1][0] == pytest.approx(lat, abs=1e-10)


def test_longitude_180_is_minus_180_and_others_wrap_too() -> None:
    x, _ = quantize(array(-180, 180, 190, -190, 179.99999999), array(0, 0, 0, 0, 0))
    assert x[0] == x[1] == x[4] == 0
    assert degrees(x, np.zeros(5, np.uint32))[0].tolist() == [-180, -180, -170, 170, -180]


def test_latitudes_beyond_the_square_are_moved_to_its_edge() -> None:
    _, y = quantize(array(0, 0, 0, 0, 0, 0), array(90, 86, MAX_LATITUDE, -MAX_LATITUDE, -86, -90))
    assert y.tolist() == [0, 0, 0, WORLD - 1, WORLD - 1, WORLD - 1]
    assert math.degrees(math.atan(math.sinh(math.pi))) == pytest.approx(MAX_LATITUDE, abs=1e-13)


def test_the_middle_of_the_world_is_where_the_axes_cross() -> None:
    x, y = quantize(array(0), array(0))
    assert (x[0], y[0]) == (2**31, 2**31)
    assert [axis.tolist() for axis in degrees(x, y)] == [[0], [0]]

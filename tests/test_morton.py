import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tileserver.snapshot.morton import morton, morton_one, unmorton, unmorton_one

words = st.integers(0, 2**32 - 1)


def slow_morton(x: int, y: int) -> int:
    """Bit by bit."""
    return sum((x >> bit & 1) << 2 * bit | (y >> bit & 1) << 2 * bit + 1 for bit in range(32))


@given(st.lists(st.tuples(words, words), max_size=20))
def test_the_code_interleaves_the_bits_of_x_and_y_and_is_undone(positions: list[tuple[int, int]]) -> None:
    x, y = (np.array(axis, np.uint32) for axis in ([x for x, _ in positions], [y for _, y in positions]))
    codes = morton(x, y)
    assert codes.dtype == np.uint64
    assert codes.tolist() == [slow_morton(*position) for position in positions]
    again = unmorton(codes)
    assert again[0].dtype == again[1].dtype == np.uint32
    assert list(zip(again[0].tolist(), again[1].tolist(), strict=True)) == positions


@given(words, words)
def test_a_single_position_has_the_same_code_as_in_an_array(x: int, y: int) -> None:
    assert morton_one(x, y) == slow_morton(x, y)
    assert unmorton_one(slow_morton(x, y)) == (x, y)


@given(words, words, st.integers(0, 31))
def test_the_codes_of_a_tile_are_one_interval(x: int, y: int, zoom: int) -> None:
    code = int(morton(np.array([x], np.uint32), np.array([y], np.uint32))[0])
    side = 2 ** (32 - zoom)
    corner = int(morton(np.array([x // side * side], np.uint32), np.array([y // side * side], np.uint32))[0])
    assert corner <= code < corner + side * side
    assert corner % (side * side) == 0

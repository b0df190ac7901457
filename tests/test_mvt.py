"""Tiles are compared byte for byte with a slow, obvious writer, and read back by two decoders that are not ours."""

from __future__ import annotations

import dataclasses
import importlib
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mapbox_vector_tile
import mercantile
import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely.geometry import shape

from tileserver import mvt
from tileserver.mvt import varint

Point = tuple[int, int]
Path_ = list[Point]
"""A line or a ring."""

properties = settings(deadline=None, max_examples=100)


# The slow twin: Protocol Buffers and the geometry of section 4.3, one number at a time.


def slow_varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def slow_zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def slow_number(field: int, value: int) -> bytes:
    return slow_varint(field * 8) + slow_varint(value)


def slow_message(field: int, data: bytes) -> bytes:
    return slow_varint(field * 8 + 2) + slow_varint(len(data)) + data


def slow_value(value: str | bool | int | float) -> bytes:
    if isinstance(value, str):
        return slow_message(1, value.encode())
    if isinstance(value, bool):
        return slow_number(7, int(value))
    if isinstance(value, float):
        return slow_varint(3 * 8 + 1) + struct.pack("<d", value)
    return slow_number(5, value) if value >= 0 else slow_number(6, slow_zigzag(value))


def slow_codes(column: mvt.Column) -> tuple[list[int], list[Any]]:
    """Of each feature the place of its value, -1 without, and the values; its own in the order in which they come."""
    own = column.values.to_pylist()
    if column.codes is not None:
        return column.codes.tolist(), own
    values: list[Any] = []
    for value in own:
        if value is not None and not any(slow_value(value) == slow_value(known) for known in values):  # 0.0 is not -0.0
            values.append(value)
    messages = [slow_value(value) for value in values]
    return [-1 if value is None else messages.index(slow_value(value)) for value in own], values


def slow_layer(name: str, geometry: mvt.Geometry, columns: list[mvt.Column], ids: list[int] | None) -> bytes:
    keys: list[str] = []
    values: list[Any] = []
    place: dict[tuple[int, int], int] = {}
    coded = [(column.name, *slow_codes(column)) for column in columns]
    coded = [each for each in coded if max(each[1]) >= 0]
    for key, codes, all_values in coded:
        keys.append(key)
        for code in sorted({code for code in codes if code >= 0}):
            place[len(keys) - 1, code] = len(values)
            values.append(all_values[code])
    out = slow_message(1, name.encode())
    for i in range(len(geometry)):
        pairs = [(key, codes[i]) for key, (_, codes, _) in enumerate(coded) if codes[i] >= 0]
        tags = b"".join(slow_varint(key) + slow_varint(place[key, code]) for key, code in pairs)
        commands = geometry.commands[geometry.starts[i] : geometry.starts[i + 1]].tolist()
        feature = b"" if ids is None else slow_number(1, ids[i])
        feature += slow_message(2, tags) if tags else b""
        feature += slow_number(3, int(geometry.types[i]))
        feature += slow_message(4, b"".join(slow_varint(command) for command in commands))
        out += slow_message(2, feature)
    out += b"".join(slow_message(3, key.encode()) for key in keys)
    out += b"".join(slow_message(4, slow_value(value)) for value in values)
    return slow_message(3, out + slow_number(5, 4096) + slow_number(15, 2))


class SlowPen:
    """Writes the command integers of one feature."""

    def __init__(self) -> None:
        self.at = (0, 0)
        self.commands: list[int] = []

    def to(self, point: Point) -> None:
        self.commands += [slow_zigzag(point[0] - self.at[0]), slow_zigzag(point[1] - self.at[1])]
        self.at = point

    def path(self, points: Path_, *, closed: bool) -> None:
        self.commands.append(1 | 1 << 3)
        self.to(points[0])
        self.commands.append(2 | (len(points) - 1) << 3)
        for point in points[1:]:
            self.to(point)
        self.commands += [7 | 1 << 3] if closed else []


def slow_area(ring: Path_) -> int:
    """Twice the area, by the surveyor's formula."""
    return sum(ring[i - 1][0] * ring[i][1] - ring[i][0] * ring[i - 1][1] for i in range(len(ring)))


def slow_lines(feature: list[Path_]) -> list[int]:
    pen = SlowPen()
    for line in feature:
        points = [point for i, point in enumerate(line) if i == 0 or point != line[i - 1]]
        if len(points) >= 2:
            pen.path(points, closed=False)
    return pen.commands


def slow_polygons(feature: list[list[Path_]]) -> list[int]:
    pen = SlowPen()
    for polygon in feature:
        for i, ring in enumerate(polygon):
            points = [point for j, point in enumerate(ring) if point != ring[(j + 1) % len(ring)]]
            area = slow_area(points)
            if i == 0 and area == 0:
                break
            if area != 0:
                pen.path(points if (area > 0) == (i == 0) else points[::-1], closed=True)
    return pen.commands


# What is written, as arrays.


def offsets(lists: list[Any]) -> NDArray[np.int64]:
    return np.cumsum([0, *map(len, lists)])


def flat(lists: list[list[Any]]) -> list[Any]:
    return [item for items in lists for item in items]


def coordinates(points: Path_) -> NDArray[np.int64]:
    return np.array(points, np.int64).reshape(-1, 2)


def lines(features: list[list[Path_]]) -> tuple[mvt.Geometry, NDArray[np.bool_]]:
    return mvt.lines(coordinates(flat(flat(features))), offsets(flat(features)), offsets(features))


def polygons(features: list[list[list[Path_]]]) -> tuple[mvt.Geometry, NDArray[np.bool_]]:
    rings = flat(flat(features))
    xy, ring_starts, polygon_starts, feature_starts = mvt.rings(
        coordinates(flat(rings)), offsets(rings), offsets(flat(features)), offsets(features)
    )
    return mvt.polygons(xy, ring_starts, polygon_starts[feature_starts])


def each(geometry: mvt.Geometry) -> list[list[int]]:
    return [part.tolist() for part in np.split(geometry.commands, geometry.starts[1:-1])] if len(geometry) else []


def decoded(data: bytes) -> Any:
    return mapbox_vector_tile.decode(data, default_options={"y_coord_down": True})


# What is tried.

small = st.integers(0, 3)
small_points = st.lists(st.tuples(small, small), max_size=7)
names = st.text(max_size=5)
scalars: list[tuple[pa.DataType[Any], st.SearchStrategy[Any]]] = [
    (pa.string(), st.text(max_size=200)),
    (pa.large_string(), st.text(max_size=5)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.bool_(), st.booleans()),
]


@st.composite
def a_column(draw: Callable[..., Any], name: str, n: int) -> mvt.Column:
    kind, scalar = draw(st.sampled_from(scalars))
    if draw(st.booleans()):
        return mvt.Column(name, pa.array(draw(st.lists(st.none() | scalar, min_size=n, max_size=n)), kind))
    values = draw(st.lists(scalar, unique=True, max_size=40))
    codes = draw(st.lists(st.integers(-1, len(values) - 1), min_size=n, max_size=n))
    return mvt.Column(name, pa.array(values, kind), np.array(codes, np.int32))


@st.composite
def a_layer(draw: Callable[..., Any]) -> tuple[mvt.Geometry, list[mvt.Column], list[int] | None]:
    """Points, squares, both, or lines of different lengths."""
    places = draw(st.lists(st.tuples(st.integers(-(2**29), 2**29), st.integers(-(2**29), 2**29)), min_size=1, max_size=9))
    x, y = coordinates(places).T
    geometry = draw(
        st.sampled_from(
            [
                mvt.points(x, y),
                mvt.squares(x, y, 64),
                mvt.concatenate([mvt.points(x, y), mvt.squares(x, y, 1)]),
                lines([[[(0, 0), *places, (1, 1)]], [[(3, 4), (5, 6)]] * 3])[0],
            ]
        )
    )
    n = len(geometry)
    columns = [draw(a_column(name, n)) for name in draw(st.lists(names, unique=True, max_size=4))]
    ids = draw(st.none() | st.lists(st.integers(0, 2**64 - 1), min_size=n, max_size=n))
    return geometry, columns, ids


@properties
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300)))
def test_varints_are_those_of_the_twin(values: list[int]) -> None:
    encoded = varint.encode(np.array(values, np.uint64))
    written = [encoded.data[a:b].tobytes() for a, b in zip(encoded.starts[:-1], encoded.starts[1:], strict=True)]
    assert written == [slow_varint(value) for value in values]
    assert [varint.one(value) for value in values] == written


@properties
@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_zigzag_is_that_of_the_twin(values: list[int]) -> None:
    assert varint.zigzag(np.array(values, np.int64)).tolist() == [slow_zigzag(value) for value in values]


@properties
@given(a_layer(), names)
def test_a_layer_is_written_like_the_twin_does_byte_for_byte(
    layer: tuple[mvt.Geometry, list[mvt.Column], list[int] | None], name: str
) -> None:
    geometry, columns, ids = layer
    expected = slow_layer(name, geometry, columns, ids)
    for few in (0, 10_000):  # by arrays alone, by loops alone
        with patch.object(importlib.import_module("tileserver.mvt.layer"), "FEW", few):
            data = mvt.layer(name, geometry, columns, None if ids is None else np.array(ids, np.uint64))
        assert data == expected


@properties
@given(a_layer())
def test_attributes_and_ids_survive_a_foreign_decoder(layer: tuple[mvt.Geometry, list[mvt.Column], list[int] | None]) -> None:
    geometry, columns, ids = layer
    data = mvt.layer("layer", geometry, columns, None if ids is None else np.array(ids, np.uint64))
    features = decoded(data)["layer"]["features"]
    coded = [(column.name, *slow_codes(column)) for column in columns]
    assert [feature["properties"] for feature in features] == [
        {name: values[codes[i]] for name, codes, values in coded if codes[i] >= 0} for i in range(len(geometry))
    ]
    assert [feature.get("id", 0) for feature in features] == (ids or [0] * len(geometry))


@properties
@given(st.lists(st.tuples(st.integers(-100, 5000), st.integers(-100, 5000)), min_size=1))
def test_points_survive_a_foreign_decoder(places: list[Point]) -> None:
    x, y = coordinates(places).T
    layer = decoded(mvt.layer("layer", mvt.points(x, y), extent=8192))["layer"]
    assert [tuple(feature["geometry"]["coordinates"]) for feature in layer["features"]] == places
    assert layer["extent"] == 8192
    assert layer["version"] == 2


@properties
@given(st.lists(small_points))
def test_points_together_in_a_feature_are_one_multipoint(features: list[Path_]) -> None:
    geometry, kept = mvt.multipoints(coordinates(flat(features)), offsets(features))
    assert kept.tolist() == [len(points) > 0 for points in features]
    assert len(geometry) == kept.sum()
    read = decoded(mvt.layer("layer", geometry))["layer"]["features"] if len(geometry) else []
    parts = [feature["geometry"]["coordinates"] for feature in read]
    found = [[tuple(part)] if isinstance(part[0], int) else [tuple(point) for point in part] for part in parts]
    assert found == [points for points in features if points]


@properties
@given(st.lists(st.lists(small_points, max_size=4), max_size=4))
def test_lines_are_those_of_the_twin(features: list[list[Path_]]) -> None:
    geometry, kept = lines(features)
    expected = [slow_lines(feature) for feature in features]
    assert kept.tolist() == [len(commands) > 0 for commands in expected]
    assert each(geometry) == [commands for commands in expected if commands]
    assert (geometry.types == mvt.LINE).all()


@properties
@given(st.lists(st.lists(st.lists(small_points, max_size=3), max_size=3), max_size=3))
def test_polygons_are_those_of_the_twin(features: list[list[list[Path_]]]) -> None:
    geometry, kept = polygons(features)
    expected = [slow_polygons(feature) for feature in features]
    assert kept.tolist() == [len(commands) > 0 for commands in expected]
    assert each(geometry) == [commands for commands in expected if commands]
    assert (geometry.types == mvt.POLYGON).all()


@st.composite
def a_polygon(draw: Callable[..., Any], place: int) -> shapely.Polygon:
    """A valid polygon of whole coordinates with up to two holes, each ring wound either way, apart from other places."""

    def ring(center: tuple[int, int], nearest: int, farthest: int) -> Path_:
        radii = draw(st.lists(st.integers(nearest, farthest), min_size=3, max_size=9))
        angles = np.arange(len(radii)) * 2 * np.pi / len(radii)
        points = np.rint(np.array(center) + np.array(radii)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))
        wound = points[:: draw(st.sampled_from([1, -1]))].astype(int).tolist()
        return [(x, y) for x, y in wound]

    holes = [ring((place * 500 + side, 0), 3, 20) for side in draw(st.sampled_from([(), (-25,), (-25, 25)]))]
    polygon = shapely.Polygon(ring((place * 500, 0), 110, 200), holes)
    assume(polygon.is_valid)
    return polygon


@properties
@given(st.integers(1, 3).flatmap(lambda count: st.tuples(*(a_polygon(place) for place in range(count)))))
def test_polygons_with_holes_keep_their_area_and_are_wound_as_the_specification_says(parts: tuple[shapely.Polygon, ...]) -> None:
    rings = [[[(int(x), int(y)) for x, y in ring.coords] for ring in (part.exterior, *part.interiors)] for part in parts]
    geometry, _ = polygons([rings])
    areas = [slow_area(ring) for ring in rings_of(geometry.commands.tolist())]
    assert [area > 0 for area in areas] == [inner == 0 for polygon in rings for inner in range(len(polygon))]
    assert sum(areas) / 2 == sum(part.area for part in parts)
    read = shape(decoded(mvt.layer("layer", geometry))["layer"]["features"][0]["geometry"])
    assert read.equals(shapely.MultiPolygon(parts))


def rings_of(commands: list[int]) -> list[Path_]:
    """The rings that a feature's command integers draw."""
    rings: list[Path_] = []
    at, i = (0, 0), 0
    while i < len(commands):
        name, count = commands[i] & 7, commands[i] >> 3
        i += 1
        if name == 7:
            continue
        rings += [[]] if name == 1 else []
        for _ in range(count):
            step = [number // 2 if number % 2 == 0 else -(number + 1) // 2 for number in commands[i : i + 2]]
            at = (at[0] + step[0], at[1] + step[1])
            rings[-1].append(at)
            i += 2
    return rings


def test_squares_are_the_polygons_that_they_stand_for() -> None:
    x, y = np.array([0, 64, 128]), np.array([0, 4032, 64])
    rings = [[[[(a, b), (a + 64, b), (a + 64, b + 64), (a, b + 64)]]] for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    squares, (same, kept) = mvt.squares(x, y, 64), polygons(rings)
    assert kept.all()
    assert squares.commands.tolist() == same.commands.tolist()
    assert squares.starts.tolist() == same.starts.tolist()


def test_features_of_several_types_stand_in_one_layer_in_the_order_asked_for() -> None:
    line, _ = lines([[[(0, 0), (9, 9)]]])
    both = mvt.concatenate([mvt.points(np.array([1, 2]), np.array([3, 4])), line, mvt.squares(np.array([5]), np.array([6]), 7)])
    mixed = both.take(np.array([3, 1, 2, 0]))
    features = decoded(mvt.layer("layer", mixed))["layer"]["features"]
    assert [feature["geometry"]["type"] for feature in features] == ["Polygon", "Point", "LineString", "Point"]
    assert features[3]["geometry"]["coordinates"] == [1, 3]
    assert features[2]["geometry"]["coordinates"] == [[0, 0], [9, 9]]


def test_a_layer_without_features_is_nothing_and_a_tile_is_its_layers_joined() -> None:
    nothing = mvt.points(np.zeros(0, np.int64), np.zeros(0, np.int64))
    one = mvt.points(np.array([1]), np.array([1]))
    assert mvt.layer("empty", nothing, [mvt.Column("a", pa.array([], pa.string()))]) == b""
    assert mvt.layer("empty", mvt.concatenate([nothing, lines([[[(1, 1)]]])[0]])) == b""
    assert list(decoded(mvt.layer("a", one) + mvt.layer("b", one))) == ["a", "b"]


def test_few_features_may_share_a_large_dictionary() -> None:
    words = pa.array([str(number) for number in range(5000)])
    column = mvt.Column("word", words, np.array([4999, -1, 7, 4999], np.int32))
    data = mvt.layer("layer", mvt.points(np.arange(4), np.arange(4)), [column])
    assert [feature["properties"] for feature in decoded(data)["layer"]["features"]] == [
        {"word": "4999"},
        {},
        {"word": "7"},
        {"word": "4999"},
    ]
    assert data.count(b"4999") == data.count(b"word") == 1


def test_slices_of_arrow_arrays_are_read_from_where_they_begin() -> None:
    texts = pa.array(["no", "grün", "", "東京"])[1:]
    truths = pa.array([False, False, True, True])[1:]
    columns = [mvt.Column("text", texts, np.array([2, 0, 1], np.int32)), mvt.Column("truth", truths, np.array([0, 1, 2], np.int32))]
    read = decoded(mvt.layer("layer", mvt.points(np.arange(3), np.arange(3)), columns))["layer"]["features"]
    assert [feature["properties"]["text"] for feature in read] == ["東京", "grün", ""]
    assert [feature["properties"]["truth"] for feature in read] == [False, True, True]


def test_a_value_that_several_features_have_is_written_once() -> None:
    column = mvt.Column("word", pa.array(["ward", None, "park", "ward"]))
    data = mvt.layer("layer", mvt.points(np.arange(4), np.arange(4)), [column])
    properties = [feature["properties"] for feature in decoded(data)["layer"]["features"]]
    assert properties == [{"word": "ward"}, {}, {"word": "park"}, {"word": "ward"}]
    assert data.count(b"ward") == 1


def test_equal_arrays_give_equal_bytes() -> None:
    def write() -> bytes:
        columns = [mvt.Column("a", pa.array(["x", "y", None])), mvt.Column("b", pa.array([1.5, None, 2.5]))]
        return mvt.layer("layer", mvt.points(np.arange(3), np.arange(3)), columns, np.arange(3, dtype=np.uint64))

    assert write() == write()


def test_what_does_not_fit_together_is_refused() -> None:
    points = mvt.points(np.arange(3), np.arange(3))
    with pytest.raises(ValueError, match="column a is of 2 features; the geometry has 3"):
        mvt.layer("layer", points, [mvt.Column("a", pa.array(["x", "y"]))])
    with pytest.raises(ValueError, match="2 ids; the geometry has 3"):
        mvt.layer("layer", points, ids=np.arange(2, dtype=np.uint64))
    with pytest.raises(ValueError, match="no values of type date32"):
        mvt.layer("layer", points, [mvt.Column("a", pa.array([0, 1, 2], pa.date32()), np.arange(3, dtype=np.int32))])


def test_tippecanoe_reads_what_was_written(tmp_path: Path) -> None:
    z, x, y = 14, 4094, 6477
    ring = [(0, 0), (0, 4096), (4096, 4096), (4096, 0)]
    hole = [(1024, 1024), (1024, 2048), (2048, 2048), (2048, 1024)]
    areas, _ = polygons([[[ring, hole]]])
    geometry = mvt.concatenate([mvt.points(np.array([2048, 0]), np.array([1024, 0])), areas])
    columns = [
        mvt.Column("offense", pa.array(["Théft \u2013 东", None, "a\"b'c"])),
        mvt.Column("number", pa.array([-5, 2**53, None])),
        mvt.Column("value", pa.array([0.1, None, -1e300])),
        mvt.Column("open", pa.array([True, False, None])),
    ]
    file = tmp_path / "tile.mvt"
    file.write_bytes(mvt.layer("events", geometry, columns, np.array([7, 8, 2**53 - 1], np.uint64)))
    decoder = Path(sys.executable).with_name("tippecanoe-decode")
    run = subprocess.run([decoder, file, str(z), str(x), str(y)], capture_output=True, check=True, text=True)
    (layer,) = json.loads(run.stdout)["features"]
    features = layer["features"]
    assert run.stderr == ""
    assert [feature["id"] for feature in features] == [7, 8, 2**53 - 1]
    assert [feature["properties"] for feature in features] == [
        {"offense": "Théft \u2013 东", "number": -5, "value": 0.1, "open": True},
        {"number": 2**53, "open": False},
        {"offense": "a\"b'c", "value": -1e300},
    ]
    bounds = mercantile.bounds(x, y, z)
    assert features[1]["geometry"]["coordinates"] == pytest.approx([bounds.west, bounds.north], abs=1e-6)
    area = shape(features[2]["geometry"])
    assert area.bounds == pytest.approx(bounds, abs=1e-6)
    assert area.area == pytest.approx(shapely.box(*bounds).area * 15 / 16, rel=1e-3)


def test_one_attribute_under_two_names_holds_its_values_once() -> None:
    geometry = mvt.points(np.arange(100), np.arange(100))
    ids = mvt.Column("id", pa.array([f"PI-2024-{number:06d}" for number in range(100)]))
    once = mvt.layer("a", geometry, [ids])
    twice = mvt.layer("a", geometry, [ids, dataclasses.replace(ids, name="number")])
    properties = [feature["properties"] for feature in mapbox_vector_tile.decode(twice)["a"]["features"]]
    assert all(each["id"] == each["number"] for each in properties)
    assert len(twice) - len(once) < 100 * 5

"""Filters in CQL2 over a small city, against a slow evaluator in three values that reads what was asked, not what became of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from tileserver import filters, times
from tileserver.catalog import GEOMETRY, Layer
from tileserver.filters import Area, Filter, bind, cql2
from tileserver.snapshot import Snapshot, conditions, select
from tileserver.snapshot.build import build

FIELDS = {
    "kind": {"role": "category"},
    "status": {"role": "category"},
    "at": {"role": "time"},
    "closed": {"type": "datetime"},
    "units": {"type": "integer"},
    "cost": {"type": "number"},
    "urgent": {"type": "boolean"},
    "note": {},
}
REPORTS = Layer.model_validate(
    {"id": "reports", "title": "R", "kind": "events", "timezone": "America/Chicago", "position": "optional", "fields": FIELDS}
)
PARCELS = Layer.model_validate({"id": "parcels", "title": "P", "kind": "shapes", "position": "optional", "fields": FIELDS})

# Few values of each kind, so that conditions meet: quotes, wildcards and letters beyond ASCII among them.
TEXTS = ["A", "AB", "a", "B%", "x'y", "x''y", "it’s", "_", "\\", "Ünï", "", "line\nbreak", "ZZ"]
INTEGERS = [-(2**62), -3, 0, 1, 2, 5, 2**53 + 1]
NUMBERS = [-1.5, 0.0, 0.1, 1.0, 2.5, 1e300]
WEST, SOUTH, STEP = -92.31, 34.7, 0.001
INSTANTS = [datetime(2024, 3, 9, 12, tzinfo=UTC) + timedelta(hours=hours) for hours in (0, 6, 17, 18, 30, 40, 41, 42, 100)]
DAYS = [date(2024, 3, day) for day in (8, 9, 10, 11, 13)]  # the clocks change on the 10th


@dataclass(frozen=True)
class Row:
    values: dict[str, Any]
    geometry: BaseGeometry | None


def rows_of(layer: Layer, count: int) -> list[Row]:
    """Any mixture of values, some of them missing."""
    chance = np.random.default_rng(7)

    def some(values: Sequence[Any]) -> Any:
        return None if chance.random() < 0.2 else values[int(chance.integers(0, len(values)))]

    rows = []
    for _ in range(count):
        x, y = (int(step) for step in chance.integers(0, 8, 2))
        lon, lat = round(WEST + x * STEP, 7), round(SOUTH + y * STEP, 7)
        shape = (
            shapely.Point(lon, lat) if layer.is_points else shapely.box(lon, lat, lon + STEP * chance.integers(1, 4), lat + STEP)
        )
        values = {
            "kind": some(TEXTS),
            "status": some(TEXTS[:3]),
            "at": some(INSTANTS),
            "closed": some(INSTANTS),
            "units": some(INTEGERS),
            "cost": some(NUMBERS),
            "urgent": some([True, False]),
            "note": some(TEXTS),
        }
        rows.append(Row({name: None if value == "" else value for name, value in values.items()}, some([shape, shape])))
    return rows


def city(layer: Layer, folder: Path, count: int = 120) -> tuple[Snapshot, list[Row]]:
    """A snapshot and its rows, in its order."""
    rows = rows_of(layer, count)
    columns = {name: [row.values[name] for row in rows] for name in FIELDS}
    shapes = [None if row.geometry is None else shapely.to_wkb(row.geometry) for row in rows]
    columns |= {"id": list(range(count)), GEOMETRY: shapes}
    batch = pa.record_batch([pa.array(columns[field.name], field.type) for field in layer.schema], schema=layer.schema)
    snapshot = Snapshot(layer, folder / layer.id / build(layer, [batch], folder))
    ids = snapshot.columns["id"].arrow(np.arange(snapshot.rows)).to_pylist()
    return snapshot, [rows[id] for id in ids]


# What is asked, as nested tuples: written as text and as JSON, and answered row by row

Tree = Any
Literal = Any
TEMPORAL = ["AFTER", "BEFORE", "DISJOINT", "EQUALS", "INTERSECTS", "DURING", "STARTS", "FINISHES"]
NEVER = ["CONTAINS", "STARTEDBY", "FINISHEDBY", "MEETS", "METBY", "OVERLAPS", "OVERLAPPEDBY"]
COMPARISONS = ["=", "<>", "<", "<=", ">", ">="]
EDGE = (WEST, SOUTH, round(WEST + 4 * STEP, 7), round(SOUTH + 4 * STEP, 7))
GEOMETRIES = [
    shapely.box(*EDGE),
    shapely.box(*EDGE).difference(shapely.box(WEST + STEP, SOUTH + STEP, WEST + 2 * STEP, SOUTH + 2 * STEP)),
    shapely.Polygon([(WEST, SOUTH), (WEST + 6 * STEP, SOUTH + 2 * STEP), (WEST + STEP / 2, SOUTH + 7 * STEP)]),
    shapely.MultiPolygon([shapely.box(*EDGE), shapely.box(WEST + 5 * STEP, SOUTH, WEST + 9 * STEP, SOUTH + STEP / 2)]),
    shapely.Point(EDGE[2:]),
    shapely.MultiPoint([EDGE[:2], EDGE[2:]]),
    shapely.LineString([EDGE[:2], (EDGE[2], EDGE[1])]),
    shapely.MultiLineString([[EDGE[:2], (EDGE[0], EDGE[3])], [(EDGE[2], EDGE[1]), EDGE[2:]]]),
]


def as_text(tree: Tree) -> str:
    match tree:
        case bool():
            return str(tree).upper()
        case ("not", ("null", field)):
            return f"{field} IS NOT NULL"
        case ("not", (("between" | "in" | "like") as op, field, *rest)):
            return as_text((op, f"{field} NOT", *rest))
        case ("not", part):
            return f"NOT ({as_text(part)})"
        case (("and" | "or") as op, parts):
            return f" {op.upper()} ".join(
                f"({as_text(part)})" if isinstance(part, tuple) and part[0] in ("and", "or") else as_text(part) for part in parts
            )
        case ("null", field):
            return f"{field} IS NULL"
        case ("between", field, low, high):
            return f"{field} BETWEEN {written(low)} AND {written(high)}"
        case ("in", field, values):
            return f"{field} IN ({', '.join(map(written, values))})"
        case ("like", field, pattern):
            return f"{field} LIKE {written(pattern)}"
        case ("spatial", op, geometry, flipped):
            sides = ["geometry", geometry.wkt]
            return f"S_{op.upper()}({', '.join(reversed(sides) if flipped else sides)})"
        case ("temporal", op, field, literal):
            return f"T_{op}({field}, {written(literal)})"
        case (op, field, literal):
            return f"{field} {op} {written(literal)}"
    raise AssertionError(tree)


def written(literal: Literal) -> str:
    match literal:
        case bool():
            return str(literal).upper()
        case str():
            return "'" + literal.replace("'", "''") + "'"
        case (kind, *texts):
            return f"{kind.upper()}({', '.join(map(written, texts))})"
    return repr(literal)


def as_json(tree: Tree) -> Any:
    match tree:
        case bool():
            return tree
        case (("and" | "or") as op, parts):
            return {"op": op, "args": [as_json(part) for part in parts]}
        case ("not", part):
            return {"op": "not", "args": [as_json(part)]}
        case ("null", field):
            return {"op": "isNull", "args": [{"property": field}]}
        case ("in", field, values):
            return {"op": "in", "args": [{"property": field}, [told(value) for value in values]]}
        case ("spatial", op, geometry, flipped):
            sides = [{"property": "geometry"}, json.loads(shapely.to_geojson(geometry))]
            return {"op": f"s_{op}", "args": sides[::-1] if flipped else sides}
        case ("temporal", op, field, literal):
            return {"op": f"t_{op.lower()}", "args": [{"property": field}, told(literal)]}
        case (op, field, *literals):
            return {"op": op, "args": [{"property": field}, *map(told, literals)]}
    raise AssertionError(tree)


def told(literal: Literal) -> Any:
    match literal:
        case ("interval", *ends):
            return {"interval": list(ends)}
        case (kind, text):
            return {kind: text}
    return literal


def truth(tree: Tree, row: Row) -> bool | None:
    """SQL's three values; None is unknown."""
    match tree:
        case bool():
            return tree
        case ("not", part):
            value = truth(part, row)
            return None if value is None else not value
        case ("and", parts):
            values = [truth(part, row) for part in parts]
            return False if False in values else None if None in values else True
        case ("or", parts):
            values = [truth(part, row) for part in parts]
            return True if True in values else None if None in values else False
        case ("null", field):
            return row.values[field] is None
        case ("spatial", op, geometry, flipped):
            sides = [row.geometry, geometry]
            return None if row.geometry is None else bool(getattr(shapely, op)(*(sides[::-1] if flipped else sides)))
        case ("temporal", op, field, literal):
            return None if row.values[field] is None else related(op, row.values[field], literal)
        case (op, field, *literals):
            return None if row.values[field] is None else compared(op, row.values[field], *literals)
    raise AssertionError(tree)


def compared(op: str, value: Any, literal: Literal, *more: Literal) -> bool:
    match op:
        case "=":
            return order(value, literal) == 0
        case "<>":
            return order(value, literal) != 0
        case "<":
            return order(value, literal) < 0
        case "<=":
            return order(value, literal) <= 0
        case ">":
            return order(value, literal) > 0
        case ">=":
            return order(value, literal) >= 0
        case "between":
            return order(value, literal) >= 0 and order(value, more[0]) <= 0
        case "in":
            return any(order(value, each) == 0 for each in literal)
        case "like":
            return re.fullmatch(expression(literal), value, re.DOTALL) is not None
    raise AssertionError(op)


def order(value: Any, literal: Literal) -> int:
    """-1, 0 or 1; a date is compared with the day on the layer's clock."""
    if isinstance(literal, tuple):
        kind, text = literal
        literal = date.fromisoformat(text) if kind == "date" else datetime.fromisoformat(text)
        if kind == "date":
            value = value.astimezone(REPORTS.zone).date()
    return int(value > literal) - int(value < literal)


def expression(pattern: str) -> str:
    """A pattern of LIKE as a regular expression."""
    parts = re.findall(r"\\.|[%_]|[^%_\\]", pattern, re.DOTALL)
    return "".join({"%": ".*", "_": "."}.get(part) or re.escape(part[-1]) for part in parts)


def related(op: str, value: datetime, literal: Literal) -> bool:
    begin, end = end_of(literal, 1), end_of(literal, -1)
    after_begin = begin is None or order(value, begin) > 0 or (begin[0] == "date" and order(value, begin) == 0)
    before_end = end is None or order(value, end) < 0 or (end[0] == "date" and order(value, end) == 0)
    before = begin is not None and order(value, begin) < 0
    after = end is not None and order(value, end) > 0
    at_begin, at_end = (each is not None and order(value, each) == 0 for each in (begin, end))
    return {
        "BEFORE": before,
        "AFTER": after,
        "DISJOINT": before or after,
        "INTERSECTS": not before and not after,
        "EQUALS": begin == end and at_begin,
        "STARTS": begin != end and at_begin,
        "FINISHES": begin != end and at_end,
        "DURING": after_begin and before_end,
    }.get(op, False)


def end_of(literal: Literal, place: int) -> Literal:
    if literal[0] != "interval":
        return literal
    text = literal[place]
    return None if text == ".." else ("date" if len(text) == 10 else "timestamp", text)


# Anything that may be asked

instants = st.sampled_from([*INSTANTS, INSTANTS[0] + timedelta(microseconds=1)]).map(lambda at: at.isoformat())
days = st.sampled_from(DAYS).map(str)
moments = st.one_of(st.tuples(st.just("date"), days), st.tuples(st.just("timestamp"), instants))


@st.composite
def intervals(draw: st.DrawFn) -> Literal:
    """None ends before it begins, on the layer's clock."""
    ends = [draw(st.one_of(days, instants)) for _ in range(2)]
    begin, end = sorted(ends, key=lambda text: (day_of(text), "" if text in map(str, DAYS) else text))
    return ("interval", draw(st.sampled_from([begin, begin, ".."])), draw(st.sampled_from([end, end, ".."])))


def day_of(text: str) -> str:
    return text if len(text) == 10 else str(datetime.fromisoformat(text).astimezone(REPORTS.zone).date())


LITERALS: dict[str, st.SearchStrategy[Literal]] = {
    "kind": st.sampled_from([*TEXTS, "nothing"]),
    "status": st.sampled_from(TEXTS[:4]),
    "note": st.one_of(st.sampled_from(TEXTS), st.text(max_size=3)),
    "units": st.one_of(st.sampled_from([*INTEGERS, 10**20, -(10**20)]), st.sampled_from([0.5, 2.0, 1e19, -3.5])),
    "cost": st.one_of(st.sampled_from([*NUMBERS, -0.0]), st.integers(-2, 3)),
    "at": moments,
    "closed": moments,
}
ordered = st.sampled_from(sorted(LITERALS))
patterns = st.lists(st.sampled_from(["%", "_", "a", "A", "B", "'", "\\%", "\\_", "\\\\", "\\x", "x", "’", "Ü"]), max_size=4).map(
    "".join
)


@st.composite
def leaves(draw: st.DrawFn) -> Tree:
    match draw(
        st.sampled_from(["compare", "compare", "between", "in", "like", "null", "spatial", "temporal", "boolean", "constant"])
    ):
        case "compare":
            field = draw(ordered)
            return (draw(st.sampled_from(COMPARISONS)), field, draw(LITERALS[field]))
        case "between":
            field = draw(ordered)
            return ("between", field, draw(LITERALS[field]), draw(LITERALS[field]))
        case "in":
            field = draw(ordered)
            return ("in", field, draw(st.lists(LITERALS[field], min_size=1, max_size=4)))
        case "like":
            return ("like", draw(st.sampled_from(["kind", "note"])), draw(patterns))
        case "null":
            return ("null", draw(st.sampled_from(sorted(FIELDS))))
        case "spatial":
            op = draw(st.sampled_from(["intersects", "within"]))
            return ("spatial", op, draw(st.sampled_from(GEOMETRIES)), draw(st.booleans()))
        case "temporal":
            op = draw(st.sampled_from([*TEMPORAL, *TEMPORAL, *NEVER]))
            return ("temporal", op, draw(st.sampled_from(["at", "closed"])), draw(st.one_of(moments, intervals())))
        case "boolean":
            return (draw(st.sampled_from(["=", "<>"])), "urgent", draw(st.booleans()))
    return draw(st.booleans())


def several(parts: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    many = st.lists(parts, min_size=2, max_size=4)
    return st.one_of(st.tuples(st.just("and"), many), st.tuples(st.just("or"), many), st.tuples(st.just("not"), parts))


trees = st.recursive(leaves(), several, max_leaves=8)


# The tests


class City:
    """No dataclass, since Hypothesis would print all of it."""

    def __init__(self, layer: Layer, folder: Path) -> None:
        self.layer = layer
        self.snapshot, self.rows = city(layer, folder)


@pytest.fixture(scope="module", params=[REPORTS, PARCELS], ids=["points", "shapes"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> City:
    layer = request.param.model_copy(update={"timezone": REPORTS.timezone})
    return City(layer, tmp_path_factory.mktemp(layer.id))


def no_area(layer: str, id: str) -> Area:
    raise AssertionError((layer, id))


def parsed(layer: Layer, *items: tuple[str, str]) -> Filter:
    return filters.parse([layer], items, lambda _: 0, no_area)[layer.id]


@settings(max_examples=250)
@given(trees)
def test_any_mixture_of_conditions_lets_through_what_a_naive_evaluator_does(place: City, tree: Tree) -> None:
    expected = [truth(tree, row) is True for row in place.rows]
    text, tree_json = as_text(tree), json.dumps(as_json(tree))
    asked = parsed(place.layer, ("filter", text))
    assert asked == parsed(place.layer, ("filter", tree_json), ("filter-lang", "cql2-json"))
    assert asked.text == parsed(place.layer, ("filter", tree_json), ("filter-lang", "cql2-json")).text
    np.testing.assert_array_equal(select.mask(place.snapshot, asked, slice(0, place.snapshot.rows)), expected)


@settings(max_examples=100)
@given(trees, st.integers(0, 2**32))
def test_single_rows_and_slices_answer_alike(place: City, tree: Tree, seed: int) -> None:
    condition = bind.bind(cql2.tree(as_text(tree), "cql2-text"), place.layer)
    whole = conditions.matches(place.snapshot, condition, slice(0, place.snapshot.rows))
    chosen = np.sort(np.random.default_rng(seed).choice(place.snapshot.rows, 40, replace=False))
    np.testing.assert_array_equal(conditions.matches(place.snapshot, condition, chosen), whole[chosen])
    np.testing.assert_array_equal(conditions.matches(place.snapshot, condition, slice(30, 80)), whole[30:80])


@settings(max_examples=100)
@given(st.lists(leaves(), min_size=2, max_size=4), st.randoms())
def test_order_repetition_and_parentheses_make_no_other_filter(place: City, parts: list[Tree], random: Any) -> None:
    texts = [as_text(part) for part in parts]
    for op in (" AND ", " OR "):
        shuffled = [*texts, texts[0]]
        random.shuffle(shuffled)
        one, other = (
            parsed(place.layer, ("filter", op.join(texts))),
            parsed(place.layer, ("filter", op.join(f"(({t}))" for t in shuffled))),
        )
        assert one == other
        assert one.text == other.text


def count(place: City, text: str) -> int:
    return int(select.mask(place.snapshot, parsed(place.layer, ("filter", text)), slice(0, place.snapshot.rows)).sum())


@pytest.mark.parametrize("value", [r"x\'' OR 1=1 --", "x'y", "x''y", "it’s", "B%", "_", "; DROP TABLE reports", "' OR ''='"])
def test_what_looks_like_sql_is_text(place: City, value: str) -> None:
    expected = sum(row.values["note"] == value for row in place.rows)
    assert count(place, f"note = {written(value)}") == expected
    assert count(place, f"note <> {written(value)}") == sum(row.values["note"] not in (None, value) for row in place.rows)


def test_a_category_keeps_its_rows_without_value_apart(place: City) -> None:
    missing = sum(row.values["kind"] is None for row in place.rows)
    assert missing
    assert count(place, "kind IS NULL") == missing
    assert count(place, "kind = 'A' OR NOT kind = 'A'") == len(place.rows) - missing
    assert count(place, "kind = ''") == 0


def test_before_in_and_after_a_day_are_all_there_is(place: City) -> None:
    known = sum(row.values["at"] is not None for row in place.rows)
    counts = [count(place, f"at {op} DATE('2024-03-10')") for op in ("<", "=", ">")]
    assert sum(counts) == known
    assert all(counts)
    assert count(place, "at <= DATE('2024-03-10')") == counts[0] + counts[1]
    assert count(place, "at <> DATE('2024-03-10')") == counts[0] + counts[2]


def test_a_date_in_a_filter_is_the_day_that_datetime_means(place: City) -> None:
    asked = parsed(place.layer, ("filter", "at BETWEEN DATE('2024-03-09') AND DATE('2024-03-10')"))
    assert asked == parsed(place.layer, ("datetime", "2024-03-09/2024-03-10"))
    assert asked == parsed(place.layer, ("filter", "T_DURING(at, INTERVAL('2024-03-09', '2024-03-10'))"))
    assert asked.interval is not None
    start, stop = asked.interval
    assert start is not None
    assert stop is not None
    assert stop - start == 47 * times.HOUR

"""A CQL2 tree → the condition that it is on one layer: names and types are checked, NOT is pushed down.

| literal | on a field of type | means |
|---|---|---|
| `'text'` | text | itself; texts are ordered by code points, and an empty one is a missing value |
| `5`, `1.5` | integer, number | itself |
| `TRUE` | boolean | itself |
| `TIMESTAMP('2024-05-01T08:00:00-05:00')` | datetime | one microsecond |
| `DATE('2024-05-01')` | datetime | the whole day on the layer's clock, as with `datetime` |

Each literal is a span of values, from its first one to the first one after it. A field equals a literal when it lies in its
span, is less when it lies before, greater when after: `at <= DATE(d)` lets the whole day through, `at < DATE(d)` none of it.

The T_ operators compare an instant with an instant or with an interval (Vilain's relations between points and intervals): it lies
before it, starts it, lies during it, finishes it, or lies after it. Only two intervals can meet or overlap; those are never true.
Dates at an interval's ends are whole days that belong to it: T_DURING lets both days through, but not an instant that is an end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import shapely

from tileserver.catalog import GEOMETRY, Field, Layer
from tileserver.errors import BadRequest
from tileserver.filters import conditions, geometry, periods
from tileserver.filters.conditions import (
    NEVER,
    Condition,
    Constant,
    Like,
    Relation,
    Spatial,
    Value,
    among,
    conjunction,
    disjunction,
)
from tileserver.filters.cql2 import MOST_NESTED, Tree
from tileserver.filters.periods import Interval, Span

MOST_CONDITIONS = 100
"""Comparisons in one filter."""

Values = tuple[Any, Any]
"""The span of a literal: its first value, and the first after it."""


class UnknownField(BadRequest):
    """The same words for a field that is not declared and for one that does not exist."""

    def __init__(self) -> None:
        super().__init__("filter names a field that is not declared; /layers lists those of each layer.")


def bind(tree: Tree, layer: Layer) -> Condition:
    """The condition that a tree is on a layer, in its one form.

    Raises:
        UnknownField: it names a field that the layer does not declare.
        BadRequest: it is no CQL2, holds what is not taken here, or compares a field with a value of another type.
    """
    return _Binding(layer).condition(tree, negated=False, depth=0)


class _Binding:
    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._left = MOST_CONDITIONS

    def condition(self, tree: Tree, *, negated: bool, depth: int) -> Condition:
        """What is true where the tree is true, or, negated, where it is false: never where it is unknown."""
        if isinstance(tree, bool):
            return Constant(tree != negated)
        op, args = _operation(tree)
        if depth > MOST_NESTED:
            raise BadRequest(f"filter is nested too deeply: it takes {MOST_NESTED} levels.")
        match op, args:
            case "not", [part]:
                return self.condition(part, negated=not negated, depth=depth + 1)
            case (("and" | "or"), [_, *_]):
                join = conjunction if (op == "and") != negated else disjunction
                return join([self.condition(part, negated=negated, depth=depth + 1) for part in args])
        self._left -= 1
        if self._left < 0:
            raise BadRequest(f"filter takes at most {MOST_CONDITIONS} comparisons; IN compares with many values at once.")
        return self._comparison(op, args, negated)

    def _comparison(self, op: str, args: Sequence[Tree], negated: bool) -> Condition:
        match op, args:
            case (("=" | "<>" | "<" | "<=" | ">" | ">="), [left, right]):
                if _is_field(left) and _is_field(right):
                    raise BadRequest(
                        "filter compares a field with a value, not with a field. A text stands in quotes: status = 'OPEN'."
                    )
                if _is_field(right):
                    op, left, right = _FLIPPED.get(op, op), right, left
                field = self._field(left)
                return _compared(field, op, self._span(field, right), negated)
            case "between", [left, low, high]:
                field = self._field(left)
                join = disjunction if negated else conjunction
                ends = ((">=", low), ("<=", high))
                return join([_compared(field, op, self._span(field, literal), negated) for op, literal in ends])
            case "in", [left, [_, *_] as literals]:
                field = self._field(left)
                return _among(field, [self._span(field, literal) for literal in literals], negated)
            case "like", [left, str(pattern)]:
                return _like(self._field(left), pattern, negated)
            case "isnull", [left]:
                return among(self._field(left).name, (None,), negated=negated)
            case (("s_intersects" | "s_within"), [left, right]):
                return _lies(op, left, right, negated)
        if op in _TEMPORAL and len(args) == 2:
            return self._timed(op, args, negated)
        raise _not_taken()

    def _field(self, tree: Tree) -> Field:
        if not _is_field(tree):
            raise BadRequest("filter compares one field with values; each comparison names a field.")
        name, layer = tree["property"], self._layer
        if name == layer.id_name and layer.id_field is None:
            return Field(name=name, type="integer")
        if name not in layer.fields:
            raise UnknownField
        return layer.fields[name]

    def _span(self, field: Field, literal: Tree) -> Values:
        """The values that a literal stands for, in the field's own type."""
        match field.type, literal:
            case _, None:
                raise BadRequest("filter compares with NULL, which equals nothing. IS NULL finds missing values.")
            case "text", str():
                return literal, literal + "\0"
            case "boolean", bool():
                return literal, None
            case _, bool():
                raise _other_type()
            case "integer", int() | float() if _finite(literal):
                return math.ceil(literal), math.floor(literal) + 1
            case "number", int() | float() if _finite(literal):
                number = float(literal) + 0.0  # + 0.0 makes -0.0 the same as 0.0
                return number, math.nextafter(number, math.inf)
            case "datetime", {"date": str(text)} if span := periods.day(text, self._layer):
                return span
            case "datetime", {"timestamp": str(text)} if span := periods.instant(text):
                return span
            case "datetime", {"date": _} | {"timestamp": _}:
                raise _no_time()
        if _is_field(literal):
            raise BadRequest("filter compares a field with a field. It takes one field and values a comparison.")
        raise _other_type()

    def _timed(self, op: str, args: Sequence[Tree], negated: bool) -> Condition:
        left, right = args
        if _is_field(right):
            op, left, right = _INVERSE.get(op, op), right, left
        field = self._field(left)
        if field.type != "datetime":
            raise BadRequest("filter has a T_ operator on a field that holds no times.")
        found = _TEMPORAL[op](*self._ends(field, right))
        return _complement(field, found) if negated else _ranges(field, found)

    def _ends(self, field: Field, literal: Tree) -> tuple[Span | None, Span | None]:
        """The spans that an instant or an interval begins and ends with; None where it is open."""
        match literal:
            case {"interval": [str(begin), str(end)]}:
                first, last = (self._end(text) for text in (begin, end))
                if first and last and first[0] >= last[1]:
                    raise BadRequest("filter has an INTERVAL that ends before it begins.")
                return first, last
            case {"interval": _}:
                raise _no_time()
        span = self._span(field, literal)
        return span, span

    def _end(self, text: str) -> Span | None:
        if text == "..":
            return None
        if found := periods.day(text, self._layer) or periods.instant(text):
            return found
        raise _no_time()


# Single comparisons


def _operation(tree: Tree) -> tuple[str, list[Tree]]:
    match tree:
        case {"op": str(op), "args": list(args), **rest} if not rest:
            return op.lower(), args
    raise _not_taken()


def _is_field(tree: Tree) -> bool:
    match tree:
        case {"property": str(), **rest} if not rest:
            return True
    return False


_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _compared(field: Field, op: str, span: Values, negated: bool) -> Condition:
    """A comparison, or its opposite; false either way for a missing value."""
    first, after = span
    if op in ("=", "<>"):
        return _among(field, [span], negated != (op == "<>"))
    if field.type == "boolean":
        raise BadRequest("filter orders a field of TRUE and FALSE; it takes = and <> there.")
    op = _OPPOSITE[op] if negated else op
    return _ranges(field, [{"<": (None, first), "<=": (None, after), ">": (after, None), ">=": (first, None)}[op]])


_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def _among(field: Field, spans: Sequence[Values], negated: bool) -> Condition:
    if field.type == "datetime":
        return _complement(field, spans) if negated else _ranges(field, spans)
    # A fraction is no value of a field of integers, nor is an empty text one of a field of texts.
    values: list[Value | None] = [first for first, after in spans if first not in ("", after) and _holds(field, first)]
    return among(field.name, [None, *values] if negated else values, negated=negated)


def _holds(field: Field, value: Value) -> bool:
    return field.type != "integer" or _LIMITS["integer"][0] <= value < _LIMITS["integer"][1]


def _complement(field: Field, spans: Sequence[Interval]) -> Condition:
    """Where a field has a value that lies in none of the spans."""
    beside = [[side for side in ((None, start), (stop, None)) if side != (None, None)] for start, stop in spans]
    return conjunction([_ranges(field, sides) for sides in beside]) if spans else conditions.known(field.name)


def _ranges(field: Field, spans: Sequence[Values]) -> Condition:
    return disjunction([conditions.span(field.name, *_clamped(field, *span)) for span in spans])


def _clamped(field: Field, start: Any, stop: Any) -> Values:
    """Ends beyond all values that a field can hold are open, or leave nothing."""
    least, beyond = _LIMITS.get(field.type, (None, None))
    nothing = (start is not None and beyond is not None and start >= beyond) or (
        stop is not None and least is not None and stop <= least
    )
    if nothing:
        return least, least
    start = None if start is not None and least is not None and start <= least else start
    stop = None if stop is not None and beyond is not None and stop >= beyond else stop
    return start, stop


_LIMITS: Mapping[str, Values] = {"integer": (-(2**63) + 1, 2**63), "text": ("\0", None)}
"""The least value, and what is beyond all: the value before the least one stands for a missing one."""


def _like(field: Field, pattern: str, negated: bool) -> Condition:
    if field.type != "text":
        raise BadRequest("filter has LIKE on a field that holds no text.")
    parts = list(_parts(pattern))
    if "%" not in parts and "_" not in parts:
        literal = "".join(part[-1] for part in parts)
        return _among(field, [(literal, None)], negated)
    if parts == ["%"]:
        return NEVER if negated else conditions.known(field.name)
    return Like(field.name, "".join(parts), negated)


def _parts(pattern: str) -> Iterator[str]:
    """The pattern's wildcards and characters, these quoted only where they have to be; a run of wildcards in one order."""
    characters = iter(pattern)
    run = ""
    for character in characters:
        if character in "%_":
            run += character
            continue
        yield from _run(run)
        run = ""
        if character == "\\":
            literal = next(characters, "")
            if not literal:
                raise BadRequest("filter has a LIKE pattern that ends with a backslash; two of them stand for one.")
            yield f"\\{literal}" if literal in "%_\\" else literal
        else:
            yield character
    yield from _run(run)


def _run(wildcards: str) -> Iterator[str]:
    yield from "_" * wildcards.count("_")
    if "%" in wildcards:
        yield "%"


def _lies(op: str, left: Tree, right: Tree, negated: bool) -> Condition:
    relation: Relation = "intersects" if op == "s_intersects" else "within"
    if _is_field(right):
        left, right = right, left
        relation = "intersects" if op == "s_intersects" else "contains"
    if not _is_field(left) or not isinstance(right, dict) or _is_field(right):
        raise BadRequest(f"filter compares geometries otherwise than {GEOMETRY}, a row's own, with a literal one.")
    if left["property"] != GEOMETRY:
        raise UnknownField
    return Spatial(relation, shapely.to_wkb(geometry.shape(right)), negated)


# Operators on times: which spans of an instant are meant, from those that the other side begins and ends with


def _before(begin: Span | None, _: Span | None) -> list[Interval]:
    return [(None, begin[0])] if begin else []


def _after(_: Span | None, end: Span | None) -> list[Interval]:
    return [(end[1], None)] if end else []


def _intersects(begin: Span | None, end: Span | None) -> list[Interval]:
    return [(begin and begin[0], end and end[1])]


def _disjoint(begin: Span | None, end: Span | None) -> list[Interval]:
    return [*_before(begin, end), *_after(begin, end)]


def _equals(begin: Span | None, end: Span | None) -> list[Interval]:
    return [begin] if begin and begin == end else []


def _starts(begin: Span | None, end: Span | None) -> list[Interval]:
    return [begin] if begin and begin != end else []


def _finishes(begin: Span | None, end: Span | None) -> list[Interval]:
    return [end] if end and begin != end else []


def _during(begin: Span | None, end: Span | None) -> list[Interval]:
    """Between the ends: a day belongs to the interval, an instant bounds it."""
    start = begin and (begin[0] if _is_day(begin) else begin[1])
    stop = end and (end[1] if _is_day(end) else end[0])
    return [(start, stop)] if start is None or stop is None or start < stop else []


def _never(_: Span | None, __: Span | None) -> list[Interval]:
    return []


def _is_day(span: Span) -> bool:
    return span[1] - span[0] > 1


_TEMPORAL: Mapping[str, Callable[[Span | None, Span | None], list[Interval]]] = {
    "t_before": _before,
    "t_after": _after,
    "t_intersects": _intersects,
    "t_disjoint": _disjoint,
    "t_equals": _equals,
    "t_starts": _starts,
    "t_finishes": _finishes,
    "t_during": _during,
    **dict.fromkeys(
        ("t_contains", "t_startedby", "t_finishedby", "t_meets", "t_metby", "t_overlaps", "t_overlappedby"),
        _never,
    ),
}
_INVERSE = {
    "t_before": "t_after",
    "t_after": "t_before",
    "t_contains": "t_during",
    "t_during": "t_contains",
    "t_startedby": "t_starts",
    "t_starts": "t_startedby",
    "t_finishedby": "t_finishes",
    "t_finishes": "t_finishedby",
}


# What is refused


def _finite(number: float) -> bool:
    try:
        return math.isfinite(float(number))
    except OverflowError:
        return False


def _not_taken() -> BadRequest:
    return BadRequest(
        "filter holds what is not taken here. It takes = <> < > <= >=, in, between, like, isNull, and, or, not, "
        "s_intersects, s_within and t_ operators, each on one field and values; no functions or arithmetic."
    )


def _other_type() -> BadRequest:
    return BadRequest(
        "filter compares a field with a value of another type. Texts are written 'so', numbers bare and finite, TRUE and FALSE so, "
        "times as DATE('2024-05-01') or TIMESTAMP('2024-05-01T08:00:00Z'); /layers lists the type of each field."
    )


def _no_time() -> BadRequest:
    return BadRequest(
        "filter has a time that is none. DATE takes a day (2024-05-01), TIMESTAMP an instant with its offset "
        "(2024-05-01T08:00:00-05:00), INTERVAL two of either, where '..' leaves an end open."
    )

"""What a row must be like, as a tree that has one form for all spellings.

A row matches where the whole condition is true; SQL's third value, unknown, only decides what NOT makes of a missing value. So NOT
is pushed down to the single fields while a filter is read (`bind.py`), where it is exact in three values, and what is left
here has two: each node holds for a row or does not, and sets of values may be united and cut as sets are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

import orjson

Value = str | int | float | bool
"""What a field holds. Instants are microseconds since 1970 UTC."""

Relation = Literal["intersects", "within", "contains"]


@dataclass(frozen=True, slots=True)
class Constant:
    holds: bool


@dataclass(frozen=True, slots=True)
class Among:
    """The field is one of the values, or none of them. None stands for a missing value."""

    field: str
    values: tuple[Value | None, ...]
    """Sorted, None first, each once."""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """start ≤ the field < stop, and it is not missing. One of the ends may be open."""

    field: str
    start: Any
    stop: Any


@dataclass(frozen=True, slots=True)
class Like:
    """The text matches a pattern, or does not and is not missing: % stands for any text, _ for one character, \\ quotes them."""

    field: str
    pattern: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Spatial:
    """How a row's geometry lies to another one; false without position, negated or not."""

    relation: Relation
    wkb: bytes = field(repr=False)
    """Longitude and latitude."""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Condition, ...]


Condition = Constant | Among | Range | Like | Spatial | And | Or

ALWAYS, NEVER = Constant(True), Constant(False)


def text(condition: Condition) -> str:
    """The same for all spellings of a condition."""
    return orjson.dumps(_told(condition)).decode()


def among(name: str, values: Iterable[Value | None], *, negated: bool = False) -> Condition:
    """`Among` in its one form."""
    ordered = tuple(sorted(set(values), key=lambda value: (value is not None, value)))
    return Among(name, ordered, negated) if ordered else Constant(negated)


def known(name: str) -> Condition:
    return Among(name, (None,), negated=True)


def span(name: str, start: Any, stop: Any) -> Condition:
    """`Range` in its one form; None leaves an end open."""
    if start is None and stop is None:
        return known(name)
    if start is not None and stop is not None and start >= stop:
        return NEVER
    return Range(name, start, stop)


def conjunction(parts: Iterable[Condition]) -> Condition:
    """All of the parts, in the one form: conditions on the values of a field become one."""
    return _combined(parts, And, _all_of_field)


def disjunction(parts: Iterable[Condition]) -> Condition:
    """At least one of the parts, in the one form."""
    return _combined(parts, Or, _any_of_field)


def _combined(parts: Iterable[Condition], kind: type[And] | type[Or], merge: Any) -> Condition:
    neutral, absorbing = (ALWAYS, NEVER) if kind is And else (NEVER, ALWAYS)
    by_field: dict[str, list[Among | Range]] = defaultdict(list)
    kept: set[Condition] = set()
    for part in _flat(parts, kind):
        if isinstance(part, Among | Range):
            by_field[part.field].append(part)
        else:
            kept.add(part)
    for name, given in by_field.items():
        kept.update(_flat(merge(name, given), kind))
    kept.discard(neutral)
    if absorbing in kept:
        return absorbing
    ordered = tuple(sorted(kept, key=text))
    return kind(ordered) if len(ordered) > 1 else ordered[0] if ordered else neutral


def _flat(parts: Iterable[Condition], kind: type[And] | type[Or]) -> Iterator[Condition]:
    for part in parts:
        if isinstance(part, kind):
            yield from _flat(part.parts, kind)
        else:
            yield part


def _all_of_field(name: str, given: list[Among | Range]) -> Iterator[Condition]:
    """What all of the conditions on one field's values leave."""
    ranges = [part for part in given if isinstance(part, Range)]
    start = max((part.start for part in ranges if part.start is not None), default=None)
    stop = min((part.stop for part in ranges if part.stop is not None), default=None)
    excluded = {value for part in given if isinstance(part, Among) and part.negated for value in part.values}
    if ranges:
        excluded = {value for value in excluded if _lies(value, start, stop)}
    allowed = [set(part.values) for part in given if isinstance(part, Among) and not part.negated]
    if allowed:
        left = set.intersection(*allowed) - excluded
        yield among(name, (value for value in left if not ranges or _lies(value, start, stop)))
        return
    if ranges:
        yield span(name, start, stop)
    yield among(name, excluded, negated=True)


def _any_of_field(name: str, given: list[Among | Range]) -> Iterator[Condition]:
    """What any of the conditions on one field's values lets through."""
    yield from (part for part in given if isinstance(part, Range))
    sets = [part for part in given if isinstance(part, Among)]
    allowed = {value for part in sets if not part.negated for value in part.values}
    excluded = [set(part.values) for part in sets if part.negated]
    if excluded:
        yield among(name, set.intersection(*excluded) - allowed, negated=True)
    else:
        yield among(name, allowed)


def _lies(value: Any, start: Any, stop: Any) -> bool:
    return value is not None and (start is None or value >= start) and (stop is None or value < stop)


def _told(condition: Condition) -> Any:
    match condition:
        case Constant(holds):
            return holds
        case Among(name, values, negated):
            return ["not in" if negated else "in", name, [_number(value) for value in values]]
        case Range(name, start, stop):
            return ["range", name, _number(start), _number(stop)]
        case Like(name, pattern, negated):
            return ["not like" if negated else "like", name, pattern]
        case Spatial(relation, wkb, negated):
            return [f"not {relation}" if negated else relation, blake2b(wkb, digest_size=16).hexdigest()]
        case And(parts):
            return ["and", *(_told(part) for part in parts)]
        case Or(parts):
            return ["or", *(_told(part) for part in parts)]


def _number(value: Any) -> Any:
    """JSON has no infinity, which is the stop of the range that ends with the largest number."""
    return str(value) if isinstance(value, float) and math.isinf(value) else value

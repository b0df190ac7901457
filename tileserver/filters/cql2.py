"""CQL2 text or JSON → the tree of its JSON form, bounded before any parser sees it. What the tree means, `bind.py` tells.

Text goes through a LALR(1) parser of Lark, which has no recursion to exhaust and knows no functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson
from lark import Lark, Transformer, UnexpectedInput, v_args

from tileserver.errors import BadRequest

Tree = Any
"""Of the JSON form: dictionaries, lists, texts, numbers, booleans."""

MOST_CHARACTERS = 4_096
"""As many as the query of an address may have."""
MOST_NESTED = 32
"""Levels of parentheses, of JSON's brackets, and of operators in operators."""
MOST_NEGATIONS = 32


@lru_cache(maxsize=256)
def tree(text: str, language: str) -> Tree:
    """The tree of a filter in one of `LANGUAGES`; not to be changed, since it is remembered.

    Raises:
        BadRequest: it is too long or too deep, or cannot be read.
    """
    if len(text) > MOST_CHARACTERS:
        raise BadRequest(f"filter takes at most {MOST_CHARACTERS} characters.")
    return LANGUAGES[language](text)


def _from_text(text: str) -> Tree:
    marks = _MARKS.findall(text)
    if sum(mark.upper() == "NOT" for mark in marks) > MOST_NEGATIONS or _depth(marks, "(", ")") > MOST_NESTED:
        raise _too_deep()
    try:
        return _PARSER.parse(text)
    except UnexpectedInput as error:
        place = (
            "at its end"
            if error.pos_in_stream is None or error.pos_in_stream < 0
            else f"from character {error.pos_in_stream + 1} on"
        )
        raise BadRequest(
            f"filter cannot be read {place}. It takes CQL2 text such as status = 'OPEN' AND cost > 100: one field against values, "
            "with = <> < > <= >=, IN, BETWEEN, LIKE, IS NULL, AND, OR, NOT, S_INTERSECTS, S_WITHIN and T_ operators; no functions "
            "or arithmetic."
        ) from None


def _from_json(text: str) -> Tree:
    if _depth(_BRACKETS.findall(text), "[{", "]}") > MOST_NESTED * 2:  # an operator in an operator is two levels of brackets
        raise _too_deep()
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadRequest('filter is no JSON. cql2-json looks like {"op": "=", "args": [{"property": "status"}, "OPEN"]}.') from None


LANGUAGES: Mapping[str, Callable[[str], Tree]] = {"cql2-text": _from_text, "cql2-json": _from_json}

# Quoted texts are found too, so that nothing in them counts.
_MARKS = re.compile(r"""'[^']*'|"[^"]*"|[()]|\bNOT\b""", re.IGNORECASE)
_BRACKETS = re.compile(r'"(?:\\.|[^"\\])*"|[][{}]', re.DOTALL)


def _depth(marks: list[str], opening: str, closing: str) -> int:
    depth = most = 0
    for mark in marks:
        depth += (mark in opening) - (mark in closing)
        most = max(most, depth)
    return most


def _too_deep() -> BadRequest:
    return BadRequest(f"filter is nested too deeply: it takes {MOST_NESTED} levels and {MOST_NEGATIONS} times NOT.")


@v_args(inline=True)
class _ToJson(Transformer[Any, Tree]):
    """The JSON form of what the parser has found, from the leaves up."""

    def disjunction(self, *parts: Tree) -> Tree:
        return _op("or", *parts)

    def conjunction(self, *parts: Tree) -> Tree:
        return _op("and", *parts)

    def negation(self, part: Tree) -> Tree:
        return _op("not", part)

    def comparison(self, left: Tree, operator: str, right: Tree) -> Tree:
        return _op(str(operator), left, right)

    def between(self, field: Tree, low: Tree, high: Tree) -> Tree:
        return _op("between", field, low, high)

    def not_between(self, field: Tree, low: Tree, high: Tree) -> Tree:
        return _op("not", self.between(field, low, high))

    def among(self, field: Tree, *values: Tree) -> Tree:
        return _op("in", field, list(values))

    def not_among(self, field: Tree, *values: Tree) -> Tree:
        return _op("not", self.among(field, *values))

    def like(self, field: Tree, pattern: Tree) -> Tree:
        return _op("like", field, pattern)

    def not_like(self, field: Tree, pattern: Tree) -> Tree:
        return _op("not", self.like(field, pattern))

    def missing(self, field: Tree) -> Tree:
        return _op("isNull", field)

    def known(self, field: Tree) -> Tree:
        return _op("not", self.missing(field))

    def function(self, name: str, left: Tree, right: Tree) -> Tree:
        return _op(name.lower(), left, right)

    def field(self, name: str) -> Tree:
        return {"property": name[1:-1].replace('""', '"') if name.startswith('"') else str(name)}

    def text(self, quoted: str) -> str:
        return quoted[1:-1].replace("''", "'")

    def number(self, digits: str) -> int | float:
        return int(digits) if digits.lstrip("+-").isdigit() else float(digits)

    def boolean(self, word: str) -> bool:
        return word.upper() == "TRUE"

    def null(self) -> None:
        return None

    def date(self, text: str) -> Tree:
        return {"date": text}

    def timestamp(self, text: str) -> Tree:
        return {"timestamp": text}

    def interval(self, begin: str, end: str) -> Tree:
        return {"interval": [begin, end]}

    def bbox(self, *sides: float) -> Tree:
        return {"bbox": list(sides)}

    def position(self, x: float, y: float) -> Tree:
        return [x, y]

    def coordinates(self, *items: Tree) -> Tree:
        return list(items)

    def geometry(self, kind: str, coordinates: Tree) -> Tree:
        if kind.upper() == "POINT":
            coordinates = coordinates[0]
        elif kind.upper() == "MULTIPOINT":  # each of its points may stand in parentheses of its own
            coordinates = [point[0] if isinstance(point[0], list) else point for point in coordinates]
        return {"type": _KINDS[kind.upper()], "coordinates": coordinates}


_KINDS = {kind.upper(): kind for kind in ("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon")}


def _op(name: str, *args: Tree) -> Tree:
    return {"op": name, "args": list(args)}


_PARSER = Lark.open("cql2.lark", rel_to=__file__, parser="lalr", transformer=_ToJson())

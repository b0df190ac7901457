"""Query parameters → one `Filter` a layer, in canonical form: two spellings of one filter are equal and share one text.

Everything here is decided from the address alone, before any snapshot or cache is touched; only an area is looked up.

`periods.py` reads times, `cql2.py` reads `filter`, `bind.py` checks it against a layer, `conditions.py` gives it its one form.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from tileserver import times
from tileserver.catalog import Layer
from tileserver.errors import BadRequest, ConfigError
from tileserver.filters import bind, conditions, cql2, periods
from tileserver.filters.conditions import NEVER, Among, And, Condition, Range
from tileserver.filters.periods import Interval, interval_text

__all__ = [
    "ITEM_PARAMETERS",
    "PARAMETERS",
    "TILE_PARAMETERS",
    "Area",
    "AreaOf",
    "Bbox",
    "CompleteThrough",
    "Filter",
    "Interval",
    "Region",
    "check_default",
    "default_items",
    "interval_text",
    "parse",
    "takes",
]

PARAMETERS = ("datetime", "last", "bbox", "area", "filter", "filter-lang", "properties")
"""Parameters that take one value and mean the same on every layer. Category fields come beside them."""

TILE_PARAMETERS = ("grid", "aggregate", "rev")
"""What tiles take beside them; a category of such a name is no parameter."""
ITEM_PARAMETERS = ("limit", "cursor", "f")
"""What pages of items take beside them."""

Bbox = tuple[float, float, float, float]
CompleteThrough = Callable[[Layer], int]
"""Tells up to which instant a layer's data are complete; `last` ends there."""

# ASCII digits only: Python's \d and float() would also take others, signs, underscores and "nan".
# Clients write doubles with up to 18 digits, small ones with an exponent.
_NUMBER = re.compile(r"-?[0-9]{1,3}(\.[0-9]{0,40})?([eE]-[0-9]{1,2})?")


class Region(Protocol):
    """Positions in a polygon; `tileserver.snapshot.inside` has the one there is."""

    def contains(self, x: NDArray[np.uint32], y: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Which positions lie in it or on its border, world units, shape (n,)."""

    def cover(self, west: NDArray[Any], north: NDArray[Any], east: NDArray[Any], south: NDArray[Any]) -> NDArray[np.int8]:
        """Boxes in world units, all sides included, shape (k,): 1 inside, -1 outside, 0 where positions have to be asked."""


@dataclass(frozen=True)
class Area:
    """One row of a layer of areas, at the revision that was live when it was asked for."""

    layer: str
    id: str
    revision: str
    region: Region = field(compare=False, repr=False)


AreaOf = Callable[[str, str], Area]
"""Finds an area by the ids of its layer and of itself. Raises BadRequest where there is none."""


@dataclass(frozen=True)
class Filter:
    """Which rows of one layer, and which of their fields."""

    interval: Interval | None = None
    """[start, stop) in microseconds since 1970 UTC; None on a side is open."""
    bbox: Bbox | None = None
    """west, south, east, north in degrees; west > east crosses the antimeridian."""
    categories: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(field, values), both sorted; the empty value stands for rows without one."""
    where: Condition | None = None
    """What the filter says beside interval and categories."""
    area: Area | None = None
    """Where the row's position lies; that of a shape is its anchor point."""
    properties: tuple[str, ...] | None = None
    """The fields to send, in the layer's order; None is all of them."""
    relative: bool = field(default=False, compare=False)
    """The interval was asked for with `last` and moves with the data."""

    @cached_property
    def text(self) -> str:
        """The canonical text of the conditions and the fields; empty for the filter that lets all through."""
        return _text(self._conditions | {"properties": self.properties})

    @cached_property
    def conditions(self) -> str:
        """The canonical text of the conditions alone, without the fields to send."""
        return _text(self._conditions)

    @property
    def moves(self) -> bool:
        """Whether what it lets through moves with more than the layer's own revision: with time, or with a layer of areas."""
        return self.relative or self.area is not None

    @property
    def _conditions(self) -> dict[str, Any]:
        return {
            "interval": self.interval,
            "bbox": self.bbox,
            "categories": self.categories or None,
            "where": self.where and conditions.text(self.where),
            "area": self.area and (self.area.layer, self.area.id, self.area.revision),
        }

    @cached_property
    def is_open(self) -> bool:
        """No condition at all: every row matches."""
        return not self.conditions


def _text(parts: Mapping[str, Any]) -> str:
    given = {name: value for name, value in parts.items() if value is not None}
    return orjson.dumps(given).decode() if given else ""


def parse(
    layers: Sequence[Layer], items: Sequence[tuple[str, str]], complete_through: CompleteThrough, area_of: AreaOf
) -> dict[str, Filter]:
    """The filter of each layer, by id. `{layer}.{parameter}` is for that layer alone and goes before the same without prefix.

    Raises:
        BadRequest: an unknown parameter, a second value for one that takes one, or a value that is none.
    """
    by_id = {layer.id: layer for layer in layers}
    common: dict[str, list[str]] = defaultdict(list)
    own: dict[str, dict[str, list[str]]] = {id: defaultdict(list) for id in by_id}
    for key, value in items:
        prefix, dot, name = key.rpartition(".")
        if not dot:
            common[key].append(value)
        elif prefix in by_id and takes(by_id[prefix], name):
            own[prefix][name].append(value)
        else:
            raise _unknown(layers)
    for name in common:
        if not any(takes(layer, name) for layer in layers):
            raise _unknown(layers)
    _refuse_unknown_properties(layers, common.get("properties", []))
    for given in own.values():
        if "last" in given or "datetime" in given:  # the two say the same, so a layer's own takes the place of either
            given |= {name: [] for name in ("last", "datetime") if name not in given}
    asked = {layer.id: {name: given for name, given in common.items() if takes(layer, name)} | own[layer.id] for layer in layers}
    wheres = _wheres(layers, asked, own)
    return {layer.id: _filter(layer, asked[layer.id], wheres.get(layer.id), complete_through, area_of) for layer in layers}


def check_default(layer: Layer) -> None:
    """Whether the layer's `default_filter` is a filter of it.

    Raises:
        ConfigError: names layer and key.
    """
    items = default_items(layer)
    try:
        for name, value in items:
            if name == "area":
                _area_name(value)  # whether there is such an area, only snapshots know
        parse([layer], [(name, value) for name, value in items if name != "area"], lambda _: 0, _no_area)
    except BadRequest as error:
        raise ConfigError(f"{layer.id}.toml: default_filter: {error}") from error


def default_items(layer: Layer) -> list[tuple[str, str]]:
    """The layer's `default_filter` as the query of an address."""
    given = layer.default_filter.items()
    return [(name, value) for name, values in given for value in ([values] if isinstance(values, str) else values)]


def takes(layer: Layer, parameter: str) -> bool:
    """Whether a parameter means something to a layer."""
    if parameter in ("datetime", "last"):
        return layer.time_field is not None
    if parameter in TILE_PARAMETERS + ITEM_PARAMETERS:
        return False
    return parameter in PARAMETERS or any(field.name == parameter for field in layer.categories)


def _unknown(layers: Sequence[Layer]) -> BadRequest:
    # The same words for a field that is not declared and for one that does not exist.
    known = [name for name in PARAMETERS if any(takes(layer, name) for layer in layers)]
    known += sorted({field.name for layer in layers for field in layer.categories} - set(PARAMETERS))
    return BadRequest(
        f"Unknown parameter. Filters are: {', '.join(known)}; for one layer of several, {{layer}}.{{parameter}}. "
        f"Tiles also take {', '.join(TILE_PARAMETERS)}, pages of items {', '.join(ITEM_PARAMETERS)}."
    )


Given = Mapping[str, Sequence[str]]


def _wheres(layers: Sequence[Layer], asked: Mapping[str, Given], own: Mapping[str, Given]) -> dict[str, Condition]:
    """What `filter` says of each layer. Without prefix it goes to the layers that declare its fields, as a category does."""
    wheres: dict[str, Condition] = {}
    unknown: bind.UnknownField | None = None
    for layer in layers:
        given = asked[layer.id]
        language = _single("filter-lang", given["filter-lang"]) if "filter-lang" in given else "cql2-text"
        if language not in cql2.LANGUAGES:
            raise BadRequest(f"filter-lang takes {' or '.join(cql2.LANGUAGES)}.")
        if "filter" not in given:
            continue
        if not layer.shows_rows:
            raise _halving("filter", "counts of what few rows have")
        tree = cql2.tree(_single("filter", given["filter"]), language)
        try:
            wheres[layer.id] = bind.bind(tree, layer)
        except bind.UnknownField as error:
            if "filter" in own[layer.id]:
                raise
            unknown = error
    if unknown and not any("filter" not in own[id] for id in wheres):
        raise unknown
    return wheres


def _filter(layer: Layer, given: Given, where: Condition | None, complete_through: CompleteThrough, area_of: AreaOf) -> Filter:
    one = {name: _single(name, given[name]) for name in PARAMETERS if given.get(name)}
    if "datetime" in one and "last" in one:
        raise BadRequest("datetime and last exclude each other: give one of them.")
    interval = None
    if "datetime" in one:
        interval = periods.interval(one["datetime"], layer)
    elif "last" in one:
        interval = periods.last(one["last"], layer, complete_through(layer))
    categories = {name: values for name, values in given.items() if name not in PARAMETERS}
    filter = Filter(
        **_canonical(layer, interval, categories, where),
        bbox=_bbox(one["bbox"]) if "bbox" in one else None,
        area=_area(layer, one["area"], area_of) if "area" in one else None,
        properties=_properties(one["properties"], layer) if "properties" in one else None,
        relative="last" in one,
    )
    if not layer.shows_rows:
        _refuse_halving(layer, filter)
    return filter


def _canonical(layer: Layer, interval: Interval | None, categories: Given, where: Condition | None) -> dict[str, Any]:
    """Interval, categories and the rest, whichever parameter said what: what the order of rows serves stands for itself."""
    time = layer.time_field.name if layer.time_field else ""
    parts = [conditions.among(name, (value or None for value in values)) for name, values in categories.items()]
    parts += [conditions.span(time, *interval)] if interval else []
    parts += [where] if where else []
    whole = conditions.conjunction(parts)
    if whole == NEVER:
        return {"interval": interval, "where": NEVER}  # the interval is told in answers
    kinds = {field.name for field in layer.categories}
    served: dict[str, tuple[str, ...]] = {}
    asked, rest = None, []
    for part in whole.parts if isinstance(whole, And) else [whole]:
        if isinstance(part, Among) and part.field in kinds and not part.negated:
            served[part.field] = tuple(str(value or "") for value in part.values)
        elif isinstance(part, Range) and part.field == time:
            asked = (part.start, part.stop)
        else:
            rest.append(part)
    left = conditions.conjunction(rest)
    return {
        "interval": asked,
        "categories": tuple(sorted(served.items())),
        "where": None if left == conditions.ALWAYS else left,
    }


def _area(layer: Layer, text: str, area_of: AreaOf) -> Area:
    if not layer.shows_rows:
        raise _halving("area", "those of areas that overlap")
    return area_of(*_area_name(text))


def _area_name(text: str) -> tuple[str, str]:
    """The ids of a layer of areas and of one of its rows."""
    layer, colon, id = text.partition(":")
    if not (layer and colon and id):
        raise BadRequest("area takes the id of a layer of areas, a colon, and the id of one of them, such as wards:3.")
    return layer, id


def _no_area(layer: str, id: str) -> Area:
    raise BadRequest("area is not taken here.")


def _refuse_halving(layer: Layer, filter: Filter) -> None:
    """Counts of ever smaller boxes and spans of time would tell where and when each row of a layer of counts is."""
    if filter.bbox is not None:
        raise _halving("bbox", "those of small boxes")
    for instant in filter.interval or ():
        if instant is not None and instant != times.day_begin(instant, layer.zone):
            raise BadRequest(
                "Only counts of whole days of this layer are published: datetime takes dates, such as 2024-05-01/2024-05-31, "
                "and last takes days, weeks, months or years."
            )


def _halving(parameter: str, those: str) -> BadRequest:
    return BadRequest(f"{parameter} is not taken here: only counts are published of this layer, and {those} tell places.")


def _single(name: str, values: Sequence[str]) -> str:
    if len(values) != 1:
        raise BadRequest(f"{name} takes one value, and came {len(values)} times.")
    return values[0]


def _refuse_unknown_properties(layers: Sequence[Layer], given: Sequence[str]) -> None:
    declared = {name for layer in layers for name in (*layer.fields, layer.id_name)}
    if any(name not in declared for text in given for name in text.split(",") if name):
        raise BadRequest(_PROPERTIES)


_PROPERTIES = "properties takes declared fields, separated by commas; /layers lists them."


def _properties(text: str, layer: Layer) -> tuple[str, ...] | None:
    asked = {name for name in text.split(",") if name}
    known = asked & {*layer.fields, layer.id_name}
    if asked and not known:
        return None  # meant for another layer of the same address
    chosen = tuple(name for name in layer.fields if name in known)
    return None if len(chosen) == len(layer.fields) else chosen


def _bbox(text: str) -> Bbox:
    parts = text.split(",")
    if len(parts) != 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise BadRequest("bbox takes four numbers in degrees: west,south,east,north.")
    west, south, east, north = (float(part) + 0.0 for part in parts)  # + 0.0 makes -0.0 the same as 0.0
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise BadRequest("bbox is outside the world, or its south is above its north. Its order is west,south,east,north.")
    return west, south, east, north

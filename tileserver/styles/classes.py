"""What colors and icons mean: a layer's rows sorted into classes, each with its look, and the legend that says so.

The look of a class is constant wherever QGIS 3.22 reads no expression for it: then each class is a style layer of its own, with a
filter. It reads `match` for the colors of lines and polygons, but neither `step` nor `case`, it misreads `match` for icons, and
drops it for circles; hence the flat style, in which no color depends on an attribute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from tileserver.catalog import Field, Layer
from tileserver.styles import sprites
from tileserver.styles.palette import COLORS, NONE, OTHER, RAMP, ramp
from tileserver.styles.wording import Wording

Expression = list[Any]
Paint = str | Expression

_NAMES = list(sprites.PAINTS)


@dataclass(frozen=True)
class Drawn:
    """A layer to draw, and what its data say of its categories."""

    layer: Layer
    values: Mapping[str, Sequence[str]]
    """Per category field its values, most frequent first; the empty one for rows without a value."""
    start: int = 0
    """The first of its colors."""
    language: str = ""
    is_flat: bool = False
    """Whether each class is to be a style layer of its own even where one expression could color all."""

    @cached_property
    def wording(self) -> Wording:
        return Wording(self.layer, self.language)

    @cached_property
    def category(self) -> Field | None:
        """The field that colors stand for: the first category, if it has a value to tell apart."""
        found = next(iter(self.layer.categories), None)
        return found if found and self.shown else None

    @cached_property
    def shown(self) -> list[str]:
        """The values of the first category that have a color: in the order of its labels, then the most frequent."""
        found = next(iter(self.layer.categories), None)
        if found is None:
            return []
        values = dict.fromkeys([*found.labels, *self.values.get(found.name, ())])
        return [value for value in values if value][: len(COLORS)]

    @cached_property
    def numeric(self) -> Field | None:
        """The field whose class breaks colors stand for, where no category does."""
        if self.category:
            return None
        return next((field for field in self.layer.fields.values() if field.breaks), None)

    @cached_property
    def lacks_some(self) -> bool:
        """Whether rows without a value of the category are to be told apart."""
        return self.category is not None and "" in self.values.get(self.category.name, ())

    @cached_property
    def shape(self) -> str:
        """The layer's own shape: with the color, no other layer of its kind has it."""
        return sprites.SHAPES[2 * self.start % len(sprites.SHAPES)]

    @cached_property
    def color(self) -> str:
        """The layer's own color."""
        return COLORS[self.start % len(COLORS)]


@dataclass(frozen=True)
class Part:
    """Rows that look alike, or by one expression: a style layer of their own."""

    suffix: str
    """Of the style layer's name; empty for the first."""
    conditions: tuple[Expression, ...]
    """Filters that all hold for these rows and no others."""
    paint: Paint
    """A color, or the name of an icon."""


@dataclass(frozen=True)
class Class:
    """An entry of the legend: a value, an interval, or what has none."""

    conditions: tuple[Expression, ...]
    label: str
    color: str
    icon: str
    told: dict[str, Any] = field(default_factory=dict)
    """What else the entry says."""

    def entry(self, *, with_icon: bool) -> dict[str, Any]:
        drawn = {"icon": self.icon, "path": sprites.path(self.icon.partition("-")[0])} if with_icon else {}
        return {**self.told, "label": self.label, "color": self.color, **drawn}


def colored(drawn: Drawn) -> list[Part]:
    """The rows by their color: one part where `match` can say it, else one for each class."""
    if drawn.category is None or drawn.is_flat:
        return [Part(_suffix(number), each.conditions, each.color) for number, each in enumerate(classes(drawn))]
    name = drawn.category.name
    branches = (part for each in _values(drawn, drawn.category) for part in ([each.told["value"]], each.color))
    match = ["match", ["get", name], *branches, OTHER]
    if not drawn.lacks_some:
        return [Part("", (), match)]
    return [Part("", (["has", name],), match), Part("-none", (["!has", name],), NONE)]


def together(drawn: Drawn) -> list[Part]:
    """The colors of several rows that are drawn as one: by their leading value, which no number has."""
    return [Part("", (), OTHER)] if drawn.numeric else colored(drawn)


def filled(drawn: Drawn) -> list[Part]:
    """The rows by their color, and where that tells a number the squares that stand for several."""
    cells = [Part("-cell", (["has", "cluster"],), OTHER)] if drawn.numeric else []
    return [*colored(drawn), *cells]


def marked(drawn: Drawn) -> list[Part]:
    """The rows by their icon."""
    return [Part(_suffix(number), each.conditions, each.icon) for number, each in enumerate(classes(drawn))]


def _suffix(number: int) -> str:
    return f"-class{number}" if number else ""


def legend(drawn: Drawn, shape: str) -> dict[str, Any]:
    """What shapes and colors mean, for whoever draws a legend.

    An entry has `value`, or `from` and `to` of an interval without its end; a value null stands for all others, an empty one for
    none. With icons it has the icon's name, and its shape as the path of an SVG with the viewBox 0 0 16 16.
    """
    entries = [each.entry(with_icon=shape == "icon") for each in classes(drawn)]
    told: dict[str, Any] = {"tileserver:shape": shape, "tileserver:legend": entries}
    if drawn.numeric and drawn.layer.kind != "areas":
        entries.append({"several": True, "label": drawn.wording.word("several"), "color": OTHER})
    if (shown := drawn.category or drawn.numeric) is not None:
        told |= {"tileserver:field": shown.name, "tileserver:title": drawn.wording.field_title(shown)}
        told |= {"tileserver:unit": unit} if (unit := drawn.wording.unit(shown)) else {}
    return told


def classes(drawn: Drawn) -> list[Class]:
    """Every row is in exactly one."""
    if drawn.category:
        return [*_values(drawn, drawn.category), *_rest(drawn, drawn.category)]
    if drawn.numeric:
        return list(_intervals(drawn, drawn.numeric))
    icon = f"{drawn.shape}-{_NAMES[drawn.start % len(COLORS)]}"
    return [Class((), drawn.wording.title, drawn.color, icon, {"value": None})]


def _values(drawn: Drawn, category: Field) -> list[Class]:
    """A color and a shape for each value: who cannot tell two colors apart can tell the shapes."""
    found = []
    for number, value in enumerate(drawn.shown):
        color = (drawn.start + number) % len(COLORS)
        shape = sprites.SHAPES[(2 * drawn.start + number) % len(sprites.SHAPES)]
        told = {"value": value}
        if description := drawn.wording.description(category, value):
            told["description"] = description
        conditions = (["==", category.name, value],)
        label = drawn.wording.label(category, value)
        found.append(Class(conditions, label, COLORS[color], f"{shape}-{_NAMES[color]}", told))
    return found


def _rest(drawn: Drawn, category: Field) -> Iterator[Class]:
    name, wording = category.name, drawn.wording
    if drawn.lacks_some:
        yield Class((["!has", name],), wording.word("none"), NONE, f"{drawn.shape}-none", {"value": ""})
    yield Class((["has", name], ["!in", name, *drawn.shown]), wording.word("other"), OTHER, f"{drawn.shape}-other", {"value": None})


def _intervals(drawn: Drawn, field: Field) -> Iterator[Class]:
    """A class from each break to the next, the upper one left out, and one for rows without a value."""
    bounds = [None, *(field.breaks or ()), None]
    for (low, high), number in zip(pairwise(bounds), ramp(len(bounds) - 1), strict=True):
        above = () if low is None else ([">=", field.name, low],)
        below = () if high is None else (["<", field.name, high],)
        told = {"from": low, "to": high}
        yield Class((*above, *below), drawn.wording.span(low, high), RAMP[number], f"{drawn.shape}-ramp{number + 1}", told)
    missing = (["!has", field.name], ["!has", "cluster"])
    yield Class(missing, drawn.wording.word("none"), NONE, f"{drawn.shape}-none", {"value": ""})

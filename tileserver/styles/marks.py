"""A layer → its style layers, bottom first: what is drawn where, and how large.

Only what QGIS, ArcGIS and MapLibre all read is written: filters in the older form (`$type`, `!has`), `match` with its labels in
lists, `interpolate` over the zoom. QGIS 3.22 reads no size that depends on an attribute, so an aggregate's size is a style
layer of its own for each step of `point_count`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tileserver.styles import glyphs
from tileserver.styles.classes import Drawn, Expression, Part, colored, filled, legend, marked, together
from tileserver.styles.palette import INK, PAPER

StyleLayer = dict[str, Any]

STEPS = ((2, 3.0), (5, 4.0), (20, 5.0), (100, 6.5), (500, 8.5), (2_500, 11.0))
"""From this `point_count` on, an aggregate's radius is so many pixels at zoom 12. Cells are 8 pixels wide at the least: areas in
proportion to counts from 1 to 1,000 would hide each other, so the legend tells the steps."""
NUMBERED = ((5, 16), (100, 15), (500, 14))
"""From this `point_count` and this zoom on, the number stands on an aggregate, whose circle is then wide enough."""
COUNT: Expression = ["get", "point_count"]

_POLYGON, _LINE, _POINT = (["==", "$type", kind] for kind in ("Polygon", "LineString", "Point"))
_AGGREGATE, _ROW = ["has", "cluster"], ["!has", "cluster"]


def generated(drawn: Drawn) -> list[StyleLayer]:
    """The style layers of a layer that has no style of its own."""
    match drawn.layer.kind:
        case "events":
            made = [*_aggregates(drawn), *_dots(drawn), *_numbers(drawn)]
        case "places":
            made = [*_aggregates(drawn), *_icons(drawn), *_numbers(drawn)]
        case "areas":
            made = list(_areas(drawn))
        case "shapes":
            made = list(_shapes(drawn))
    return [*made, *_labels(drawn)]


def _aggregates(drawn: Drawn) -> Iterator[StyleLayer]:
    """A style layer per step of size, the largest at the bottom, so that the small ones stay in sight."""
    for (least, radius), (above, _) in reversed(list(zip(STEPS, [*STEPS[1:], (0, 0.0)], strict=True))):
        for part in together(drawn):
            yield _circles(drawn, f"-{least}", part, _from(least, above), radius) | {"metadata": {"tileserver:from": least}}


def _numbers(drawn: Drawn) -> Iterator[StyleLayer]:
    """How many a crowded spot stands for, which no zoom takes apart. Where there is no room for all, the top layer goes first."""
    layout = {"text-field": COUNT, "text-font": [glyphs.BOLD], "text-size": 11}
    paint = {"text-color": INK, "text-halo-color": PAPER, "text-halo-width": 1.5}
    for (least, minzoom), (above, _) in zip(NUMBERED, [*NUMBERED[1:], (0, 0)], strict=True):
        conditions = _from(least, above)
        made = _layer(drawn, f"-count-{least}", Part("", (), ""), "symbol", conditions, paint=paint, layout=layout)
        yield made | {"minzoom": minzoom}


def _dots(drawn: Drawn) -> Iterator[StyleLayer]:
    for part in colored(drawn):
        yield _told(drawn, part, "circle", _circles(drawn, "", part, [_ROW], 3.0))


def _icons(drawn: Drawn) -> Iterator[StyleLayer]:
    """None gives way to another, so that every place is seen."""
    for part in marked(drawn):
        layout = {
            "icon-image": part.paint,
            "icon-size": _by_zoom((8, 0.6), (12, 0.8), (17, 1.3)),
            "icon-allow-overlap": True,
            "icon-ignore-placement": True,
        }
        yield _told(drawn, part, "icon", _layer(drawn, "", part, "symbol", [_ROW], layout=layout))


def _areas(drawn: Drawn) -> Iterator[StyleLayer]:
    """Areas leave in sight what lies below, unless their color tells a number."""
    opacity = 0.7 if drawn.numeric else 0.06
    for part in filled(drawn):
        fill = {"fill-color": part.paint, "fill-opacity": opacity}
        yield _told(drawn, part, "square" if drawn.numeric else "outline", _layer(drawn, "", part, "fill", [_POLYGON], paint=fill))
    for part in [Part("", (), PAPER)] if drawn.numeric else colored(drawn):
        outline = {"line-color": part.paint, "line-width": _by_zoom((8, 0.75), (12, 1.5), (17, 3)), "line-opacity": 0.8}
        yield _layer(drawn, "-outline", part, "line", [_POLYGON], paint=outline)


def _shapes(drawn: Drawn) -> Iterator[StyleLayer]:
    """The squares of cells, polygons, then lines, then points.

    Squares lie side by side: their sides, drawn or smoothed, would be seen as a grid.
    """
    parts = colored(drawn)
    opacity = 0.7 if drawn.numeric else 0.45
    bare = {"fill-antialias": False, "fill-outline-color": "rgba(0, 0, 0, 0)"}  # QGIS reads the second only
    for part in together(drawn):
        fill = {"fill-color": part.paint, "fill-opacity": opacity, **bare}
        yield _layer(drawn, "-cell", part, "fill", [_POLYGON, _AGGREGATE], paint=fill)
    for part in parts:
        fill = {"fill-color": part.paint, "fill-opacity": opacity}
        yield _told(drawn, part, "square", _layer(drawn, "", part, "fill", [_POLYGON, _ROW], paint=fill))
    for part in parts:
        outline = {"line-color": part.paint, "line-width": _by_zoom((13, 0.25), (17, 1.5))}
        yield _layer(drawn, "-outline", part, "line", [_POLYGON, _ROW], paint=outline) | {"minzoom": 13}
    for part in parts:
        line = {"line-color": part.paint, "line-width": _by_zoom((8, 0.75), (12, 1.5), (17, 4))}
        rounded = {"line-cap": "round", "line-join": "round"}
        yield _layer(drawn, "-line", part, "line", [_LINE], paint=line, layout=rounded)
    for part in parts:
        yield _circles(drawn, "-point", part, [_POINT], 3.0)


def _labels(drawn: Drawn) -> Iterator[StyleLayer]:
    """What places and areas are called; areas have a tile layer of points for it."""
    name = drawn.layer.name_field
    if name is None or drawn.layer.basemap or drawn.layer.kind not in ("places", "areas"):
        return
    is_area = drawn.layer.kind == "areas"
    below = {"text-anchor": "top", "text-offset": [0, 0.8]}
    layout = {
        "text-field": ["get", name.name],
        "text-font": [glyphs.BOLD if is_area else glyphs.REGULAR],
        "text-size": _by_zoom((8, 10), (12, 12), (17, 15)),
        "text-max-width": 8,
        **({} if is_area else below),
    }
    paint = {"text-color": INK, "text-halo-color": PAPER, "text-halo-width": 1.5}
    made = _layer(drawn, "-label", Part("", (), ""), "symbol", [_ROW, ["has", name.name]], paint=paint, layout=layout)
    yield made | {"source-layer": f"{drawn.layer.id}_labels"} if is_area else made | {"minzoom": 12}


def _from(least: int, above: int) -> list[Expression]:
    """Filters that all hold for aggregates of so many; `above` is 0 where there is no upper bound."""
    return [_AGGREGATE, [">=", "point_count", least], *([["<", "point_count", above]] if above else [])]


def _circles(drawn: Drawn, suffix: str, part: Part, conditions: Sequence[Expression], radius: float) -> StyleLayer:
    paint = {
        "circle-color": part.paint,
        "circle-radius": _by_zoom((8, radius * 0.7), (12, radius), (17, radius * 2)),
        "circle-opacity": 0.85,
        "circle-stroke-color": PAPER,
        "circle-stroke-width": _by_zoom((8, 0.25), (12, 0.5), (17, 1.5)),
    }
    return _layer(drawn, suffix, part, "circle", conditions, paint=paint)


def _told(drawn: Drawn, part: Part, shape: str, made: StyleLayer) -> StyleLayer:
    """The first part carries the legend of all, and up to how many rows none are drawn together."""
    return made if part.suffix else made | {"metadata": legend(drawn, shape) | {"tileserver:budget": drawn.layer.tiles.budget}}


def _layer(
    drawn: Drawn, suffix: str, part: Part, type: str, conditions: Sequence[Expression], **painted: dict[str, Any]
) -> StyleLayer:
    name = drawn.layer.id
    filters = [*conditions, *(each for each in part.conditions if each not in conditions)]
    return {
        "id": name + suffix + part.suffix,
        "type": type,
        "source": name,
        "source-layer": name,
        "filter": filters[0] if len(filters) == 1 else ["all", *filters],
        **painted,
    }


def _by_zoom(*stops: tuple[float, float]) -> Expression:
    return ["interpolate", ["linear"], ["zoom"], *(round(number, 2) for stop in stops for number in stop)]

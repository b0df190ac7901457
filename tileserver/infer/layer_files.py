"""The layer files of a folder: what the others say, and a new one beside them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tileserver.catalog import Layer, load_layer
from tileserver.catalog.load import LAYER_ID
from tileserver.errors import ConfigError
from tileserver.infer.draft import Draft, coloring
from tileserver.infer.place import Place
from tileserver.infer.systems import CONTERMINOUS_US, Box, contains

SCHEMA = "layer.schema.json"
MOST_OF_A_CITY = 10.0
"""Degrees: wider bounds tell nothing about where a city is."""


@dataclass(frozen=True, slots=True)
class Made:
    """A layer file that was written."""

    path: Path
    told: tuple[str, ...]
    """What was decided, and what to check: a sentence each."""
    next_step: str
    """The next command; with what has to be done before it, if it needs an edit."""


def free(id: str, layers: Path) -> Path:
    path = layers / f"{id}.toml"
    if not LAYER_ID.fullmatch(id):
        raise ConfigError(f"{id!r}: a layer's id is of small letters, digits and _, and begins with a letter, such as street_trees")
    if not layers.is_dir():
        raise ConfigError(
            f"{layers}: there is no such folder of layer files; make one with tileserver init, or name it with --layers"
        )
    if path.exists():
        raise ConfigError(f"{path}: is there already, and is not changed; remove it first, or choose another id")
    return path


def schema(layers: Path) -> str | None:
    return SCHEMA if (layers / SCHEMA).is_file() else None


def others(layers: Path) -> Iterator[dict[str, Any]]:
    """The other layer files, as far as they are TOML; what is wrong with them is no matter here."""
    for path in sorted(layers.glob("*.toml")):
        try:
            yield tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError):
            continue


def hints(others: Sequence[Mapping[str, Any]]) -> list[Box]:
    found = []
    for other in others:
        match other.get("bounds"):
            case [int() | float() as west, int() | float() as south, int() | float() as east, int() | float() as north]:
                found.append((float(west), float(south), float(east), float(north)))
    return [box for box in found if box[2] - box[0] < MOST_OF_A_CITY and box[3] - box[1] < MOST_OF_A_CITY]


CLOCK = "the clock of dates without offset, of days and hours"
UNKNOWN = f"nothing here tells the city's: {CLOCK}. Check, and write it, such as America/Chicago"


def timezone(others: Sequence[Mapping[str, Any]], place: Place) -> tuple[str, str]:
    """(time zone, why)."""
    zones = {zone for other in others if isinstance(zone := other.get("timezone"), str) and zone != "UTC"}
    if len(zones) == 1:
        return zones.pop(), "as the other layers here"
    clock = CLOCK
    if place.bounds and (guess := _american(place.bounds)):
        return guess, f"a guess from the position, check: {clock}"
    return "UTC", UNKNOWN


_CLOCKS = ((-114, "America/Los_Angeles"), (-101, "America/Denver"), (-85.5, "America/Chicago"), (0, "America/New_York"))
"""(Longitude, the time zone west of it)."""
_ARIZONA: Box = (-114.8, 31.3, -109.05, 37.0)


def _american(bounds: Box) -> str:
    """A time zone of the conterminous United States; empty for a place elsewhere."""
    longitude, latitude = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    if not contains(CONTERMINOUS_US, longitude, latitude) or latitude < _border(longitude):
        return ""
    if contains(_ARIZONA, longitude, latitude):
        return "America/Phoenix"
    return next(name for limit, name in _CLOCKS if longitude < limit)


def _border(longitude: float) -> float:
    """About the latitude of the border with Mexico."""
    if longitude < -106.5:
        return 32.5 if longitude < -114.8 else 31.3
    return 31.4 - 0.634 * (longitude + 106.5) if longitude < -97 else 24.4


def write(path: Path, text: str) -> Layer:
    """The layer of a new file; a file that does not load does not stay."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        return load_layer(path)
    except ConfigError:
        path.unlink()
        raise


def told(draft: Draft) -> Iterator[str]:
    yield f"kind: {draft.kind} ({draft.kind_note})"
    for role, each in draft.with_role.items():
        if role in ("id", "time", "name"):
            yield f"{role}: {each.name}"
    for role, what in (
        ("category", "categories"),
        ("address", "addresses, shown by block"),
    ):
        if names := [each.name for each in draft.declared if each.role == role]:
            yield f"{what}: {', '.join(names)}"
    yield from _colors(draft)
    yield from _unpublished(draft)
    yield from _place(draft.place)
    for each in draft.declared:
        for note in each.notes:
            if "check" in note or "no date" in note:
                yield f"{each.name}: {note}"


def _colors(draft: Draft) -> Iterator[str]:
    if first := draft.coloring:
        yield (
            f"colours: by {first.name}, the first category; {coloring(first.facts)}. "
            "To colour by another field, put it before this one in the layer file, with role = category"
        )
    elif draft.kind in ("events", "places"):
        yield "colours: one for all, since no column tells kinds of rows apart; a field with role = category gives more"


def _unpublished(draft: Draft) -> Iterator[str]:
    for each in draft.fields:
        if each.withheld.startswith("seems to hold"):
            yield f"not published: {each.facts.name}, which {each.withheld}"
    for name in draft.doubled:
        why = f"{name}, since several columns are called so" if name else "columns without a name"
        yield f"not published: {why}; to publish them, give each a name of its own in the file"


def _place(place: Place) -> Iterator[str]:
    if place.shape == "none":
        yield "there are no positions that ingest can read: rows are counted and downloaded, not drawn"
    elif place.lacking:
        have = "1 row has" if place.lacking == 1 else f"{place.lacking:,} rows have"
        yield f"{have} no position, or 0,0: counted and downloaded, not drawn"
    for note in place.notes:
        yield f"position: {note}"

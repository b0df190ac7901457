"""Which column of a file is which field of a layer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.geometry_column import shapes_of
from tileserver.ingest.rows import XY, Keys, Shapes, Texts
from tileserver.ingest.shown import listed, shown

LONGITUDE = ("lon", "lng", "long", "longitude", "x")
LATITUDE = ("lat", "latitude", "y")
LONLAT = "OGC:CRS84"
DEGREES = (LONLAT, "EPSG:4326", "WGS84")
"""How layer files call longitude and latitude on WGS 84, in any case."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rows of a file have their positions."""

    kind: Literal["xy", "geometry", "keys", "own", "none"]
    """In two columns; in one as WKT or WKB; by a key of another layer; in the way of the file's format; nowhere."""
    columns: tuple[int, ...] = ()
    """Indices of x and y, of the geometry, or of the key."""

    def position(self, column: Callable[[int], Texts], own: Shapes | None, crs: str | None) -> XY | Shapes | Keys | None:
        """The positions of rows whose columns `column` gives by index; `own` are those of the file's format."""
        match self.kind:
            case "xy":
                return XY(column(self.columns[0]), column(self.columns[1]), crs)
            case "geometry":
                return shapes_of(column(self.columns[0]), crs)
            case "keys":
                return Keys(column(self.columns[0]))
            case "own":
                return own
        return None


class NoColumn(IngestError):
    """A file lacks the column of a layer's id or time."""

    def __init__(self, message: str, names: Sequence[str]) -> None:
        super().__init__(message)
        self.names = tuple(names)
        """The columns that the file has, without spaces around."""


def fields_of(layer: Layer, names: Sequence[str], source: str) -> dict[str, int]:
    """Field → index of its column, of a file whose columns bear `names`.

    `rename` counts first, then the same name, then the same letters and digits: "Zip Code" is zip_code. A field whose column
    is missing is absent here, and null in every row.

    Raises:
        IngestError: no column for the id or the time, or two columns for one field.
    """
    names = [name.strip() for name in names]
    renamed = {index: field for index, name in enumerate(names) if (field := layer.ingest.rename.get(name))}
    free = [index for index in range(len(names)) if index not in renamed]
    found: dict[str, int] = {}
    for field in layer.fields:
        columns = [index for index, name in renamed.items() if name == field]
        columns = columns or [index for index in free if names[index] == field]
        columns = columns or [index for index in free if letters(names[index]) == letters(field)]
        if columns:
            found[field] = _only(columns, names, field, source)
    for needed in (layer.id_field, layer.time_field):
        if needed and needed.name not in found:
            raise NoColumn(f"{source}: no column for {needed.name}, the layer's {needed.role}. {_there_are(names)}", names)
    return found


def place_of(layer: Layer, names: Sequence[str], source: str, *, own: bool = False) -> Place:
    """Where positions are: as the layer file says, else in the way of the file's format (`own`), else in columns of usual names.

    Raises:
        IngestError: a column that the layer file names is missing; or there are none where each row needs a position.
    """
    names = [name.strip() for name in names]
    if join := layer.ingest.join:
        return Place("keys", (_named(join.by, names, source, "the key of its position"),))
    if layer.ingest.x and layer.ingest.y:
        return Place("xy", (_named(layer.ingest.x, names, source), _named(layer.ingest.y, names, source)))
    if layer.ingest.geometry and not (own and layer.ingest.geometry not in names):
        return Place("geometry", (_named(layer.ingest.geometry, names, source),))
    if own:
        return Place("own")
    if not layer.is_points:
        return Place("none")
    guess = (layer.ingest.crs or LONLAT).upper() in DEGREES
    x, y = (_guessed(usual, names) if guess else None for usual in (LONGITUDE, LATITUDE))
    if x is not None and y is not None:
        return Place("xy", (x, y))
    if layer.position == "required":
        raise IngestError(
            f"{source}: no columns of a position; name them in the layer file under [ingest] x and y, or geometry. "
            f"{_there_are(names)}"
        )
    return Place("none")


def _named(name: str, names: Sequence[str], source: str, what: str = "a position") -> int:
    columns = [index for index, each in enumerate(names) if each == name]
    columns = columns or [index for index, each in enumerate(names) if letters(each) == letters(name)]
    if not columns:
        raise IngestError(f"{source}: no column {name}, which the layer file names as {what}. {_there_are(names)}")
    return _only(columns, names, name, source)


def _guessed(usual: Iterable[str], names: Sequence[str]) -> int | None:
    lowered = [name.lower() for name in names]
    return next((lowered.index(name) for name in usual if name in lowered), None)


def _only(columns: Sequence[int], names: Sequence[str], wanted: str, source: str) -> int:
    if len(columns) > 1:
        both = " and ".join(shown(names[index]) for index in columns[:2])
        raise IngestError(f"{source}: more than one column for {wanted}: {both}. Say which under [ingest] rename in the layer file")
    return columns[0]


def letters(name: str) -> str:
    """What names are compared by."""
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()


def _there_are(names: Sequence[str]) -> str:
    return f"Its columns are {listed(names)}" if names else "It has no columns"

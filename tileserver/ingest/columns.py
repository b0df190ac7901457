"""Which column of a file is which field of a layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tileserver.catalog import Layer
from tileserver.errors import IngestError

LONGITUDE = ("lon", "lng", "long", "longitude", "x")
LATITUDE = ("lat", "latitude", "y")
DEGREES = ("OGC:CRS84", "EPSG:4326", "WGS84")
"""How layer files call longitude and latitude on WGS 84, in any case."""


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
        columns = columns or [index for index in free if _letters(names[index]) == _letters(field)]
        if columns:
            found[field] = _only(columns, names, field, source)
    for needed in (layer.id_field, layer.time_field):
        if needed and needed.name not in found:
            raise IngestError(f"{source}: no column for {needed.name}, the layer's {needed.role}. {_there_are(names)}")
    return found


def xy_of(layer: Layer, names: Sequence[str], source: str) -> tuple[int, int] | None:
    """The indices of the columns of x and y: as the layer file says, else by their usual names; None if there are none.

    Raises:
        IngestError: a column that the layer file names is missing; or there are none where each row needs a position.
    """
    names = [name.strip() for name in names]
    if layer.ingest.x and layer.ingest.y:
        return _named(layer.ingest.x, names, source), _named(layer.ingest.y, names, source)
    if not layer.is_points:
        return None
    guess = layer.ingest.crs.upper() in DEGREES
    x, y = (_guessed(usual, names) if guess else None for usual in (LONGITUDE, LATITUDE))
    if x is not None and y is not None:
        return x, y
    if layer.position == "required":
        raise IngestError(
            f"{source}: no columns of a position; name them in the layer file under [ingest] x and y. {_there_are(names)}"
        )
    return None


def _named(name: str, names: Sequence[str], source: str) -> int:
    columns = [index for index, each in enumerate(names) if each == name]
    columns = columns or [index for index, each in enumerate(names) if _letters(each) == _letters(name)]
    if not columns:
        raise IngestError(f"{source}: no column {name}, which the layer file names as a position. {_there_are(names)}")
    return _only(columns, names, name, source)


def _guessed(usual: Iterable[str], names: Sequence[str]) -> int | None:
    lowered = [name.lower() for name in names]
    return next((lowered.index(name) for name in usual if name in lowered), None)


def _only(columns: Sequence[int], names: Sequence[str], wanted: str, source: str) -> int:
    if len(columns) > 1:
        both = " and ".join(names[index] for index in columns)
        raise IngestError(f"{source}: more than one column for {wanted}: {both}. Say which under [ingest] rename in the layer file")
    return columns[0]


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()


def _there_are(names: Sequence[str]) -> str:
    return f"Its columns are {', '.join(names)}" if names else "It has no columns"

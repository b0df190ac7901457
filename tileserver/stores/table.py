"""A table or view of a city's database: what its columns are, what to select from it, and what it lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from tileserver.catalog import GEOMETRY, Layer
from tileserver.errors import StoreError
from tileserver.stores.sql import quoted

_TYPES: Mapping[pa.DataType, str] = {
    pa.string(): "text",
    pa.int64(): "bigint",
    pa.float64(): "double precision",
    pa.bool_(): "boolean",
    pa.timestamp("us", tz="UTC"): "timestamp with time zone",
}
"""The types of the tables that we make."""

_INTEGERS = ("int2", "int4", "int8")
_FRACTIONS = ("numeric", "float4", "float8")


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    """As PostgreSQL writes it: `character varying(20)`, `geometry(Point,26915)`."""
    base: str
    """The bare name of the type, of a domain that of what it is made of: `varchar`, `geometry`."""
    is_readable: bool
    is_primary: bool
    """Is alone the primary key."""
    is_key: bool
    """Has a unique index of its own, so that rows can be upserted by it."""


@dataclass(frozen=True, slots=True)
class Table:
    name: tuple[str, str]
    """(schema, name); of a query ("", the name of its file)."""
    is_table: bool
    """False for views, foreign tables and queries."""
    columns: Mapping[str, Column]

    def __str__(self) -> str:
        return ".".join(filter(None, self.name))


def definitions(layer: Layer) -> dict[str, str]:
    """The columns of the layer's own table, each with its type."""
    shape = "Point" if layer.is_points else "Geometry"
    types = {field.name: _TYPES[field.type] for field in layer.schema if field.name != GEOMETRY}
    return {**types, GEOMETRY: f"geometry({shape},4326)"}


def outdated(layer: Layer, table: Table) -> list[str]:
    """The columns, but for that of the ids, that hold another type than the layer declares."""
    return [
        name
        for name, declared in definitions(layer).items()
        if name not in (layer.id_name, GEOMETRY) and name in table.columns and table.columns[name].type != declared
    ]


def missing(layer: Layer, table: Table, renewed: Collection[str] = ()) -> list[str]:
    """The columns of `definitions` that have to be added before rows can be upserted; those `renewed` are dropped first.

    Raises:
        StoreError: the table cannot be upserted into; names the column and the types.
    """
    if not table.is_table:
        raise StoreError(f"layer {layer.id}: {table} is a view or a foreign table; rows can be published into a table only")
    key = table.columns.get(layer.id_name)
    if key is None or not key.is_key:
        raise StoreError(
            f'layer {layer.id}: the table {table} has no primary key or unique index on "{layer.id_name}" alone, so rows cannot be '
            "brought up to date by it; make one, or name another table in the layer file"
        )
    for name, declared in definitions(layer).items():
        held = None if name in renewed else table.columns.get(name)
        if held and held.type != declared and (name, held.type) != (GEOMETRY, "geometry(Geometry,4326)"):
            raise StoreError(
                f'layer {layer.id}: the column "{name}" of {table} is of type {held.type}, the layer declares {declared}; '
                "correct the layer file, or change the column, which tileserver ingest --replace does in a table that it has made"
            )
    return [name for name in definitions(layer) if name in renewed or name not in table.columns]


def selection(layer: Layer, table: Table) -> str:
    """The SELECT list that gives the layer's columns in its order, the geometry as WKB, and last its SRID.

    A time without zone arrives as it is; a geometry too, in its own reference system, but in two dimensions and without curves.

    Raises:
        StoreError: a declared column is missing, unreadable, or cannot become the declared type (named).
    """
    absent = [name for name in layer.fields if name not in table.columns]
    if absent:
        raise StoreError(
            f"layer {layer.id}: {table} lacks columns that the layer declares: {', '.join(absent)}; "
            f"correct the layer file{'' if layer.sql else ', or ingest the layer anew'}"
        )
    columns = {name: table.columns[name] for name in layer.fields}
    if layer.id_field is None:
        columns[layer.id_name] = _row_number(layer, table)
    geometry = geometry_column(layer, table)
    hidden = [column.name for column in (*columns.values(), geometry) if column and not column.is_readable]
    if hidden:
        raise StoreError(f"layer {layer.id}: this role may not read of {table}: {', '.join(hidden)}; grant it SELECT on them")
    plain = [_expression(layer, table, columns[field.name], field.type) for field in layer.schema if field.name != GEOMETRY]
    return ",\n       ".join([*plain, *geometry_of(geometry)])


def _row_number(layer: Layer, table: Table) -> Column:
    """The column that tells rows apart where the layer declares none: the one that our publish made is of this kind."""
    for column in table.columns.values():
        if column.is_primary and column.base in _INTEGERS:
            return column
    raise StoreError(
        f"layer {layer.id}: {table} has no primary key of one whole number; "
        'declare the field that tells its rows apart with role = "id"'
    )


def geometry_column(layer: Layer, table: Table) -> Column | None:
    """Raises StoreError where there are several, and no name says which."""
    found = {column.name: column for column in table.columns.values() if column.base in ("geometry", "geography")}
    for name in (GEOMETRY, "geom"):
        if name in found:
            return found[name]
    if len(found) > 1:
        raise StoreError(
            f"layer {layer.id}: {table} has several geometry columns: {', '.join(found)}; "
            f'name one of them "{GEOMETRY}", or make a view that has only one'
        )
    return next(iter(found.values()), None)


def geometry_of(column: Column | None) -> Iterator[str]:
    """The expressions of a geometry column: WKB, and its SRID."""
    if column is None:
        yield from ("NULL::bytea", "NULL::int4")
        return
    name = quoted(column.name) + ("::geometry" if column.base == "geography" else "")
    is_plain = column.type.startswith(("geometry(Point,", "geography(Point,"))
    yield f"ST_AsBinary({name if is_plain else f'ST_Force2D(ST_CurveToLine({name}))'}, 'NDR')"
    yield f"ST_SRID({name})"


def _expression(layer: Layer, table: Table, column: Column, type: pa.DataType) -> str:
    """What gives a column as an Arrow type; null for a value that the type cannot express."""
    name = quoted(column.name)
    numbers = (*_INTEGERS, *_FRACTIONS)
    if pa.types.is_string(type):
        return f"{name}::text"
    if pa.types.is_int64(type) and column.base in numbers:
        within = f"CASE WHEN {name} > -9.2e18 AND {name} < 9.2e18 THEN {name}::int8 END"
        return within if column.base in _FRACTIONS else f"{name}::int8"
    if pa.types.is_float64(type) and column.base in numbers:
        return f"{name}::float8"
    if pa.types.is_boolean(type) and column.base == "bool":
        return f"{name}::bool"
    if pa.types.is_timestamp(type) and column.base in ("timestamp", "timestamptz", "date"):
        kind = "timestamptz" if column.base == "timestamptz" else "timestamp"
        return f"CASE WHEN {name} >= '0001-01-01' AND {name} < '10000-01-01' THEN {name}::{kind} END"
    raise StoreError(
        f'layer {layer.id}: the column "{column.name}" of {table} is of type {column.type}, which cannot be read as the declared '
        f"{_TYPES[type]}; correct the layer file"
    )

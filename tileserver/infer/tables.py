"""A layer file from a table or view of a city's PostGIS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import shapely

from tileserver.catalog import Layer
from tileserver.catalog.field import Type
from tileserver.catalog.load import FIELD_NAME, RESERVED
from tileserver.errors import StoreError
from tileserver.infer.draft import Draft, Drafted, draft_of
from tileserver.infer.facts import Facts, facts_of
from tileserver.infer.layer_files import Made, free, others, schema, timezone, told, write
from tileserver.infer.place import Place, place_of
from tileserver.infer.sample import Column, Sample
from tileserver.infer.text import Head, text_of
from tileserver.ingest.columns import LONLAT
from tileserver.ingest.values import trimmed
from tileserver.stores import PostgisStore
from tileserver.stores.look import Look

MOST = 10_000
"""Rows that are looked at."""

_TYPES: dict[str, Type] = {
    **dict.fromkeys(("int2", "int4", "int8"), "integer"),
    **dict.fromkeys(("numeric", "float4", "float8"), "number"),
    **dict.fromkeys(("timestamp", "timestamptz", "date"), "datetime"),
    "bool": "boolean",
}


def new_from_table(id: str, table: str, store: PostgisStore, layers: Path) -> Made:
    """Write `<layers>/<id>.toml` for `schema.table`, which stays as it is.

    Raises:
        ConfigError: there is such a layer file already, or the id is none; nothing is written.
        StoreError: there is no such table, or its rows are not for every reader.
    """
    path = free(id, layers)
    layer = Layer(id=id, title=id, kind="shapes", table=table)
    seen = store.look(layer, MOST)
    if seen is None:
        raise StoreError(f"there is no table or view {'.'.join(layer.table_name)} in the store, and no file {table} here")
    rows = _sample(seen)
    facts = [_facts(column, seen) for column in rows.columns]
    place = replace(place_of(rows, facts, []), ingest={}, notes=(), bounds=None, outside=0)
    draft = _draft(facts, place, seen)
    how_many = f"{rows.rows:,} rows, {'all of them' if rows.is_whole else 'the first ones of more,'} looked at"
    zone = timezone(list(others(layers)), place)
    head = Head(id, f"the table {table}: {how_many}.", schema(layers), *zone, seen.description, {"table": table})
    write(path, text_of(head, draft, ()))
    return Made(path, (*told(draft), f"timezone: {', '.join(zone)}", *_lacks(draft)), next_step="tileserver serve")


def _sample(seen: Look) -> Sample:
    columns = tuple(Column(name, trimmed(texts)) for name, texts in seen.texts.items())
    shapes = None if seen.geometry is None else shapely.from_wkb(seen.wkb.to_numpy(zero_copy_only=False))
    return Sample(columns, (), len(seen.wkb), seen.is_whole, shapes, LONLAT, "table")


def _facts(column: Column, seen: Look) -> Facts:
    return replace(facts_of(column, "table"), declared=_TYPES.get(seen.table.columns[column.name].base, "text"))


def _draft(facts: list[Facts], place: Place, seen: Look) -> Draft:
    columns = seen.table.columns.values()
    keys = [column.name for column in columns if column.is_primary] or [column.name for column in columns if column.is_key]
    key = next((name for name in keys if name in seen.texts), None)
    draft = draft_of(facts, place, keep_names=True, key=key)
    return replace(draft, fields=tuple(_described(each, seen) for each in draft.fields))


def _described(drafted: Drafted, seen: Look) -> Drafted:
    name = drafted.name
    if comment := seen.comments.get(name):
        drafted = replace(drafted, keys={**drafted.keys, "description": comment})
    taken = name in RESERVED or name.startswith("sum_") or (name == "id" and drafted.role != "id")
    if taken or not FIELD_NAME.fullmatch(name):
        why = "is called by a name that tiles keep for themselves" if taken else "is called by a name that no field can have"
        return replace(drafted, withheld=f"{why}; a view can give it another one")
    return drafted


def _lacks(draft: Draft) -> Iterator[str]:
    """What has to be said before the layer can be served."""
    if "id" not in draft.with_role:
        yield "no column is known to tell rows apart: give one role = id, or the table a primary key"

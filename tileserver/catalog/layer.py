"""What one can put on a map: a layer, as its file declares it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
from pydantic import Field as Key
from pydantic import model_validator

from tileserver.catalog.field import Field, Role
from tileserver.catalog.values import (
    INTERNAL,
    Bounds,
    DateFormat,
    Encoding,
    FileName,
    NotYet,
    Period,
    Table,
    Zone,
    length,
    not_yet,
)

Kind = Literal["events", "places", "areas", "shapes"]

GEOMETRY = "geometry"
"""The column that holds a row's geometry on its way in: WKB, longitude and latitude on WGS 84; null without position."""


class Tiles(Table):
    minzoom: int = Key(default=0, ge=0, le=22, description="the first zoom that has tiles")
    maxzoom: int = Key(default=16, ge=0, le=22, description="the last zoom that has tiles; clients magnify it for closer views")
    budget: int = Key(default=2_000, ge=0, le=20_000, description="up to so many matching rows, every tile holds them as they are")

    @model_validator(mode="after")
    def _ordered(self) -> Tiles:
        if self.minzoom > self.maxzoom:
            raise ValueError("minzoom is above maxzoom")
        return self


class Privacy(Table):
    """What a row may show; see `tileserver.privacy`."""

    snap_meters: float | None = Key(
        default=None, strict=True, ge=1, le=100_000, description="points move to the middle of a square of this size"
    )
    include: Mapping[str, tuple[str, ...]] = Key(
        default_factory=dict, description="a category field = the values that may be shown; rows with any other are withheld"
    )
    address: Literal["block"] | None = Key(default=None, description="house numbers become their block")
    time: Literal["hour", "day"] | None = Key(default=None, description="times are cut to it")
    retention: Period = Key(default="30d", description="how long rejects and replaced revisions are kept")


class Join(Table):
    """Positions that another layer's rows give."""

    layer: str = Key(description="whose rows have the positions")
    by: str = Key(description="the column of the file that names one of them")
    to: str | None = Key(default=None, description="the field of that layer that it names; without it the id")
    match: Literal["key", "address"] = Key(default="key", description="compared letter by letter, or as street addresses")


class Ingest(Table):
    """How `tileserver ingest` reads files into the layer."""

    from_: tuple[str, ...] = Key(default=(), alias="from", description="files, globs and addresses on the web")
    x: str | None = Key(default=None, description="the column of the position's x")
    y: str | None = Key(default=None, description="the column of the position's y")
    geometry: str | None = Key(default=None, description="the column that holds the position as WKT, WKB or a pair of numbers")
    crs: str | None = Key(default=None, description="what positions are in; without it what the file says, else degrees")
    part: str | None = Key(
        default=None,
        description="the sheet of a workbook, the layer of a GeoPackage, or the file of an archive; without it the only one",
    )
    encoding: Encoding | None = Key(default=None, description="of text files; without it UTF-8, and cp1252 for a file that is not")
    rename: Mapping[str, str] = Key(default_factory=dict, description="a column of the file = the field it becomes")
    dates: tuple[DateFormat, ...] = Key(default=(), description="formats as of strptime, tried in order; ISO 8601 without any")
    join: Join | None = Key(default=None, description="positions of a file without any, from another layer's rows")


class FieldTranslation(Table):
    """What readers see of a field, in another language."""

    title: str | None = Key(default=None, description="how readers see the field")
    description: str | None = Key(default=None, description="what the field means")
    unit: str | None = Key(default=None, description="what its numbers count or measure")
    labels: Mapping[str, str] = Key(default_factory=dict, description="a category's value = what to show for it")
    descriptions: Mapping[str, str] = Key(default_factory=dict, description="a category's value = what it means")


class Translation(Table):
    """What readers see of a layer, in another language."""

    title: str | None = Key(default=None, description="what the layer is called")
    description: str | None = Key(default=None, description="what the layer shows")
    fields: Mapping[str, FieldTranslation] = Key(default_factory=dict, description="a field = what readers see of it")


class Layer(Table):
    """Rows that one can put on a map: events, places, areas or shapes."""

    id: str = Key(json_schema_extra=INTERNAL)
    title: str = Key(description="what readers see the layer called")
    description: str = Key(default="", description="what it shows, where it comes from, what is missing: a sentence or two")
    attribution: str = Key(default="", description="whose data it is")
    license: str = Key(default="", description="under which terms, such as CC0-1.0")
    kind: Kind = Key(
        description="events: points with a time · places: points · areas: polygons to break down by · shapes: any other geometry"
    )
    basemap: bool = Key(default=False, description="drawn quietly under the others, and not listed as an indicator")
    table: str | None = Key(default=None, description="the layer's table in PostGIS; without it city.<id>")
    query: FileName | None = Key(default=None, description="a file with one SELECT, beside the layer file, instead of a table")
    sql: str = Key(default="", description="the text of `query`", json_schema_extra=INTERNAL)
    function: NotYet = Key(default=None, json_schema_extra=INTERNAL)
    timezone: Zone = Key(default="UTC", description="the clock of dates without offset, of days in filters, of times in answers")
    bounds: Bounds = Key(default=(-180, -90, 180, 90), description="west, south, east, north; what lies outside is rejected")
    position: Literal["required", "optional"] = Key(
        default="required", description="optional: rows without one are counted and downloaded, not drawn"
    )
    publish: Literal["rows", "counts"] = Key(default="rows", description="counts: no rows, points or downloads leave, only counts")
    min_count: int | None = Key(default=None, ge=2, description="counts below it are withheld; with publish = counts")
    access: Annotated[str, not_yet("public")] = Key(
        default="public", description="who may see it", json_schema_extra={"enum": ["public"]}
    )
    follow: Annotated[Literal["none", "trigger", "poll"], not_yet("none")] = Key(
        default="none", description="how changes made by others are noticed", json_schema_extra={"enum": ["none"]}
    )
    lag: Period = Key(default="0h", description="how far behind the feed runs: `last` and comparisons end at what is complete")
    max_age: Period | None = Key(default=None, description="how long copies outside may be kept unasked; without it a year")
    default_filter: Mapping[str, str | tuple[str, ...]] = Key(
        default_factory=dict, description="a parameter = its value or values: what the viewer begins with"
    )
    fields: Mapping[str, Field] = Key(default_factory=dict, description="a column = how it is published; no other ever is")
    tiles: Tiles = Key(default=Tiles(), description="how the layer is cut into tiles")
    privacy: Privacy = Key(default=Privacy(), description="what a row may show, applied before anything is served")
    ingest: Ingest = Key(default=Ingest(), description="how `tileserver ingest` reads files into the layer")
    translations: Mapping[str, Translation] = Key(
        default_factory=dict, description="a language, such as es = what readers of it see"
    )

    @model_validator(mode="before")
    @classmethod
    def _name_fields(cls, raw: Any) -> Any:
        """A field's name is its key; a time's type goes without saying."""
        if isinstance(raw, dict) and isinstance(fields := raw.get("fields"), dict):
            named = {}
            for name, field in fields.items():
                implied = {"type": "datetime"} if isinstance(field, dict) and field.get("role") == "time" else {}
                named[name] = {**implied, **field, "name": name} if isinstance(field, dict) else field
            raw = {**raw, "fields": named}
        return raw

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @cached_property
    def table_name(self) -> tuple[str, str]:
        """(schema, table) in PostGIS."""
        schema, _, name = (self.table or f"city.{self.id}").rpartition(".")
        return schema or "public", name

    @cached_property
    def id_field(self) -> Field | None:
        return self._with_role("id")

    @cached_property
    def id_name(self) -> str:
        """The column that tells rows apart: the id field, or `id`, a number made from the row's content."""
        return self.id_field.name if self.id_field else "id"

    @cached_property
    def time_field(self) -> Field | None:
        return self._with_role("time")

    @cached_property
    def name_field(self) -> Field | None:
        """What a place or an area is called."""
        return self._with_role("name")

    @cached_property
    def categories(self) -> tuple[Field, ...]:
        return tuple(field for field in self.fields.values() if field.role == "category")

    @cached_property
    def addresses(self) -> tuple[Field, ...]:
        """The text fields that hold street addresses: by their role, or because their name says so."""
        return tuple(
            field
            for field in self.fields.values()
            if field.role == "address" or (field.type == "text" and field.name.lower() == "address")
        )

    @cached_property
    def measures(self) -> tuple[Field, ...]:
        return tuple(field for field in self.fields.values() if field.measure)

    @cached_property
    def is_points(self) -> bool:
        return self.kind in ("events", "places")

    @cached_property
    def shows_rows(self) -> bool:
        """False where only counts leave."""
        return self.publish == "rows"

    @cached_property
    def lag_period(self) -> timedelta:
        return length(self.lag)

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of a batch of this layer: the id, the declared fields, the geometry."""
        columns = [] if self.id_field else [pa.field("id", pa.int64())]
        columns += [pa.field(field.name, field.arrow_type) for field in self.fields.values()]
        return pa.schema([*columns, pa.field(GEOMETRY, pa.binary())])

    def _with_role(self, role: Role) -> Field | None:
        return next((field for field in self.fields.values() if field.role == role), None)

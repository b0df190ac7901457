"""The layers of the city: `layers/*.toml` read into frozen, typed objects. Errors name file and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator
from pydantic import Field as Key

from tileserver.errors import ConfigError

LAYER_ID = re.compile(r"[a-z][a-z0-9_]*")
FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Kind = Literal["events", "places", "areas", "shapes"]
Role = Literal["id", "time", "category", "address", "attribute"]
Type = Literal["text", "integer", "number", "boolean", "datetime"]

ARROW_TYPES: Mapping[Type, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("us", tz="UTC"),
}
GEOMETRY = "geometry"
"""The column that holds a row's geometry on its way in: WKB, longitude and latitude on WGS 84; null without position."""

RESERVED = {GEOMETRY, "cluster", "point_count"}


def _not_yet(*able: str) -> AfterValidator:
    """A value of the contract that nothing acts on so far is refused, so that nobody relies on it."""

    def check(value: str) -> str:
        if value not in able:
            raise ValueError(f'"{value}" cannot act yet in this version; use {" or ".join(map(repr, able))}, or leave the key out')
        return value

    return AfterValidator(check)


def _absent(value: Any) -> Any:
    if value is not None:
        raise ValueError("this key cannot act yet in this version; leave it out")
    return value


NotYet = Annotated[str | None, AfterValidator(_absent)]


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f'"{name}" is not a time zone; use a name such as "America/Chicago"')
    return name


def _period(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,4}[hdw]", text):
        raise ValueError('must be a number of hours, days or weeks, such as "36h" or "2d"')
    return text


def _bounds(value: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    west, south, east, north = value
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise ValueError("must be [west, south, east, north] in degrees, west < east and south < north")
    return value


class Table(BaseModel):
    """One table of a layer file: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Field(Table):
    """A declared column. What is not declared is never published."""

    name: str = ""
    role: Role = "attribute"
    type: Type = "text"
    title: str = ""
    labels: Mapping[str, str] = Key(default_factory=dict, description="what to show for a value of a category")
    measure: bool = Key(default=False, description="aggregates carry the sum of this field")
    unit: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Field:
        if self.role == "time" and self.type != "datetime":
            raise ValueError('a field with role = "time" has type = "datetime"; leave the type out')
        if self.role == "id" and self.type not in ("text", "integer"):
            raise ValueError('a field with role = "id" has type = "text" or "integer"')
        if self.role in ("category", "address") and self.type != "text":
            raise ValueError(f'a field with role = "{self.role}" has type = "text"; leave the type out')
        if self.measure and self.type not in ("integer", "number"):
            raise ValueError('a field with measure = true has type = "integer" or "number"')
        return self

    @property
    def arrow_type(self) -> pa.DataType:
        """The column's type in every batch of rows."""
        return ARROW_TYPES[self.type]


class Tiles(Table):
    minzoom: int = Key(default=0, ge=0, le=22)
    maxzoom: int = Key(default=16, ge=0, le=22)

    @model_validator(mode="after")
    def _ordered(self) -> Tiles:
        if self.minzoom > self.maxzoom:
            raise ValueError("minzoom is above maxzoom")
        return self


class Privacy(Table):
    """What a row may show; see `tileserver.privacy`."""

    snap_meters: float | None = Key(default=None, ge=1, le=100_000)
    include: Mapping[str, tuple[str, ...]] = Key(default_factory=dict)
    address: Literal["block"] | None = None
    time: Literal["hour", "day"] | None = None


def _date_format(text: str) -> str:
    try:
        if "%" not in text:
            raise ValueError(text)
        datetime.strptime(datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC).strftime(text), text)
    except (ValueError, re.error):
        raise ValueError(f'"{text}" is not a format of dates; write one such as "%m/%d/%Y %H:%M"') from None
    return text


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError(f'"{name}" is not a known encoding of text; use a name such as "cp1252"') from None
    return name


class Ingest(Table):
    """How `tileserver ingest` reads files into the layer."""

    from_: tuple[str, ...] = Key(default=(), alias="from")
    x: str | None = None
    y: str | None = None
    crs: str = "OGC:CRS84"
    encoding: Annotated[str, AfterValidator(_encoding)] | None = Key(
        default=None, description="of text files; without it UTF-8, and cp1252 for a file that is not"
    )
    rename: Mapping[str, str] = Key(default_factory=dict, description="a column of the file = the field it becomes")
    dates: tuple[Annotated[str, AfterValidator(_date_format)], ...] = Key(
        default=(), description="formats as of strptime, tried in order; ISO 8601 without any"
    )


class Translation(Table):
    title: str | None = None
    description: str | None = None


class Layer(Table):
    """What one can put on a map."""

    id: str
    title: str
    description: str = ""
    attribution: str = ""
    license: str = ""
    kind: Kind
    basemap: bool = Key(default=False, description="drawn quietly under the others, and not listed as an indicator")
    table: str | None = Key(default=None, description="the layer's table in PostGIS; without it city.<id>")
    query: NotYet = None
    function: NotYet = None
    raster: NotYet = None
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    bounds: Annotated[tuple[float, float, float, float], AfterValidator(_bounds)] = (-180, -90, 180, 90)
    position: Literal["required", "optional"] = "required"
    publish: Annotated[Literal["rows", "counts"], _not_yet("rows")] = "rows"
    access: Annotated[str, _not_yet("public")] = "public"
    follow: Annotated[Literal["none", "trigger", "poll"], _not_yet("none")] = "none"
    lag: Annotated[str, AfterValidator(_period)] = "0h"
    fields: Mapping[str, Field] = Key(default_factory=dict)
    tiles: Tiles = Tiles()
    privacy: Privacy = Privacy()
    ingest: Ingest = Ingest()
    translations: Mapping[str, Translation] = Key(default_factory=dict)

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
    def lag_period(self) -> timedelta:
        unit = {"h": "hours", "d": "days", "w": "weeks"}[self.lag[-1]]
        return timedelta(**{unit: int(self.lag[:-1])})

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of a batch of this layer: the id, the declared fields, the geometry."""
        columns = [] if self.id_field else [pa.field("id", pa.int64())]
        columns += [pa.field(field.name, field.arrow_type) for field in self.fields.values()]
        return pa.schema([*columns, pa.field(GEOMETRY, pa.binary())])

    def _with_role(self, role: Role) -> Field | None:
        return next((field for field in self.fields.values() if field.role == role), None)


class Catalog(Mapping[str, Layer]):
    """All layers by id, in the order of their ids."""

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self._layers = dict(sorted(layers.items()))

    def __getitem__(self, id: str) -> Layer:
        return self._layers[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def load(folder: Path) -> Catalog:
    """Every `*.toml` of a folder.

    Raises:
        ConfigError: naming each file and key that is wrong, one a line.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder of layer files; name one with --layers")
    layers: dict[str, Layer] = {}
    wrong: list[str] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            layers[path.stem] = load_layer(path)
        except ConfigError as error:
            wrong.append(str(error))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return Catalog(layers)


def load_layer(path: Path) -> Layer:
    """The layer of one file; its id is the file's name.

    Raises:
        ConfigError: naming the file and each key that is wrong.
    """
    if not LAYER_ID.fullmatch(path.stem):
        raise ConfigError(f"{path}: a layer's id is its file's name, of small letters, digits and _, beginning with a letter")
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    if "id" in raw:
        raise ConfigError(f"{path}: id: unknown key; a layer's id is its file's name")
    try:
        layer = Layer.model_validate({**raw, "id": path.stem})
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {_key(each['loc'])}: {_sentence(each)}" for each in error.errors())) from error
    problems = list(_problems(layer))
    if problems:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))
    return layer


def _problems(layer: Layer) -> Iterator[str]:
    """What is wrong between keys, each as `key: sentence`."""
    yield from _field_problems(layer)
    if layer.table is not None and not re.fullmatch(r"[^.\s]+(\.[^.\s]+)?", layer.table):
        yield "table: must be a table's name, with its schema before it, such as city.permits"
    if layer.privacy.snap_meters and not layer.is_points:
        yield "privacy.snap_meters: only points can be snapped"
    if layer.privacy.time and layer.time_field is None:
        yield "privacy.time: the layer has no time"
    for name in layer.privacy.include:
        if name not in layer.fields or layer.fields[name].role != "category":
            yield f"privacy.include.{name}: not a category field of this layer"
    for column, name in layer.ingest.rename.items():
        if name not in layer.fields:
            yield f"ingest.rename.{column}: {name} is not a field of this layer"
    if (layer.ingest.x is None) != (layer.ingest.y is None):
        yield "ingest: x and y are given together"


def _field_problems(layer: Layer) -> Iterator[str]:
    for role in ("id", "time"):
        names = [field.name for field in layer.fields.values() if field.role == role]
        if len(names) > 1:
            yield f'fields.{names[1]}: a layer has one field with role = "{role}", and {names[0]} is one already'
    for field in layer.fields.values():
        if not FIELD_NAME.fullmatch(field.name):
            yield f"fields.{field.name}: a field's name is of letters, digits and _; rename the column under [ingest] rename"
        if field.name in RESERVED or field.name.startswith("sum_") or (field.name == "id" and field.role != "id"):
            yield f"fields.{field.name}: this name is taken by what tiles carry; rename the column under [ingest] rename"
    if layer.kind == "events" and layer.time_field is None:
        yield 'fields: a layer of kind "events" has a field with role = "time"; without one its kind is "places"'


def _key(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "the file"


def _sentence(error: Any) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            return "this key is needed"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")

"""What a layer file may say, as JSON Schema (draft 2020-12), for editors and for programs that write layer files."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from tileserver.catalog.field import NUMERIC
from tileserver.catalog.layer import Layer
from tileserver.catalog.load import FIELD_NAME, RESERVED
from tileserver.catalog.raster import Raster

Schema = dict[str, Any]

FORMS: dict[str, type[BaseModel]] = {"Layer": Layer, "Raster": Raster}
"""The two forms of a layer file: rows, and a raster, which is told by its key `raster`."""


def schema() -> Schema:
    """The schema of a layer file as TOML's data model has it. What stands in it holds for every file that loads; what only
    several keys together tell (that `rename` leads to a field, that events have a time) is for `tileserver check`."""
    definitions: Schema = {}
    for name, form in FORMS.items():
        written = form.model_json_schema(by_alias=True)
        definitions |= written.pop("$defs", {})
        definitions[name] = written
    definitions = {name: _as_toml(definition) for name, definition in definitions.items()}
    definitions["Layer"]["properties"]["fields"]["propertyNames"] = _FIELD_NAMES
    definitions["Field"]["allOf"] = _FIELD_RULES
    definitions["Ingest"] |= _INGEST_RULES
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A layer file of tileserver",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in FORMS],
        "$defs": dict(sorted(definitions.items())),
    }


def _as_toml(value: Any) -> Any:
    """Without what no file says: internal keys, null (TOML has none), and titles that repeat the key."""
    if isinstance(value, list):
        return [_as_toml(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {key: each for key, each in value.items() if not _is_internal(each) and not _is_noise(key, each)}
    several = kept.pop("anyOf", None)
    if several is not None:
        given = [each for each in several if each != {"type": "null"}]
        kept = {**given[0], **kept} if len(given) == 1 else {**kept, "anyOf": given}
    if "required" in kept:
        kept["required"] = [name for name in kept["required"] if not _is_internal(kept["properties"][name])]
    return {key: _as_toml(each) for key, each in kept.items()}


def _is_internal(value: Any) -> bool:
    return isinstance(value, dict) and value.get("readOnly") is True


def _is_noise(key: str, value: Any) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "default" and value in (None, "", [], {}))


_FIELD_NAMES: Schema = {
    "pattern": f"^{FIELD_NAME.pattern}$",
    "not": {"anyOf": [{"enum": sorted(RESERVED)}, {"pattern": "^sum_"}]},
}


def _if(key: str, value: Schema, then: Schema) -> Schema:
    return {"if": {"properties": {key: value}, "required": [key]}, "then": then}


def _type(*allowed: str, needed: bool = False) -> Schema:
    rule: Schema = {"properties": {"type": {"enum": list(allowed)}}}
    return {**rule, "required": ["type"]} if needed else rule


_NUMBERS = _type(*NUMERIC, needed=True)
_CATEGORY: Schema = {"properties": {"role": {"const": "category"}}, "required": ["role"]}
_FIELD_RULES: list[Schema] = [
    _if("role", {"const": "time"}, _type("datetime")),
    _if("role", {"const": "id"}, _type("text", "integer")),
    _if("role", {"enum": ["category", "address", "name"]}, _type("text")),
    _if("measure", {"const": True}, _NUMBERS),
    _if("breaks", {}, _NUMBERS),
    _if("per", {}, _NUMBERS),
    _if("labels", {"minProperties": 1}, _CATEGORY),
    _if("descriptions", {"minProperties": 1}, _CATEGORY),
]
_INGEST_RULES: Schema = {
    "dependentRequired": {"x": ["y"], "y": ["x"]},
    "not": {"anyOf": [{"required": pair} for pair in (["x", "geometry"], ["x", "join"], ["geometry", "join"])]},
}

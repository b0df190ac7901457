"""A declared column of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa
from pydantic import Field as Key
from pydantic import model_validator

from tileserver.catalog.values import INTERNAL, Breaks, Table

Role = Literal["id", "time", "category", "address", "name", "attribute"]
Type = Literal["text", "integer", "number", "boolean", "datetime"]

ARROW_TYPES: Mapping[Type, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("us", tz="UTC"),
}
NUMERIC = ("integer", "number")


class Field(Table):
    """A declared column. What is not declared is never published."""

    name: str = Key(default="", json_schema_extra=INTERNAL)
    role: Role = Key(
        default="attribute",
        description="id: tells rows apart · time: when it happened · category: filters and colours · address: a street address · "
        "name: what a place or an area is called",
    )
    type: Type = Key(default="text", description="what its values are; with role = time it is datetime without saying")
    title: str = Key(default="", description="how readers see the field")
    description: str = Key(default="", description="what the field means, for the data dictionary")
    labels: Mapping[str, str] = Key(default_factory=dict, description="a category's value = what to show for it")
    descriptions: Mapping[str, str] = Key(default_factory=dict, description="a category's value = what it means")
    measure: bool = Key(default=False, description="aggregates carry the sum of this field")
    unit: str = Key(default="", description="what its numbers count or measure, such as USD")
    breaks: Breaks | None = Key(
        default=None, description="where one class of values ends and the next begins, fixed for every view"
    )
    per: int | None = Key(default=None, ge=1, description="a denominator of areas: rates are told per so many of it")

    @model_validator(mode="after")
    def _fits(self) -> Field:
        if self.role == "time" and self.type != "datetime":
            raise ValueError('a field with role = "time" has type = "datetime"; leave the type out')
        if self.role == "id" and self.type not in ("text", "integer"):
            raise ValueError('a field with role = "id" has type = "text" or "integer"')
        if self.role in ("category", "address", "name") and self.type != "text":
            raise ValueError(f'a field with role = "{self.role}" has type = "text"; leave the type out')
        for key in ("measure", "breaks", "per"):
            if getattr(self, key) and self.type not in NUMERIC:
                raise ValueError(f'a field with {key} has type = "integer" or "number"')
        if (self.labels or self.descriptions) and self.role != "category":
            raise ValueError('labels and descriptions of values are for a field with role = "category"')
        return self

    @property
    def arrow_type(self) -> pa.DataType:
        """The column's type in every batch of rows."""
        return ARROW_TYPES[self.type]

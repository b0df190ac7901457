"""What a layer calls things, in the language that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from tileserver.catalog import Field, Layer, Translation
from tileserver.catalog.layer import FieldTranslation

_WORDS = MappingProxyType(
    {
        "en": {
            "other": "Other",
            "none": "No value",
            "several": "Several together",
            "below": "under {to}",
            "between": "{from_} to {to}",
            "above": "{from_} and more",
        },
        "es": {
            "other": "Otros",
            "none": "Sin dato",
            "several": "Varios juntos",
            "below": "menos de {to}",
            "between": "de {from_} a {to}",
            "above": "{from_} o más",
        },
    }
)


@dataclass(frozen=True)
class Wording:
    layer: Layer
    language: str = ""
    """Such as `es`; where nothing is told in it, the layer file's own words stand."""

    @property
    def title(self) -> str:
        return self._told.title or self.layer.title

    def word(self, name: str) -> str:
        """One of ours: other, none, several."""
        return _WORDS.get(self.language, _WORDS["en"])[name]

    def field_title(self, field: Field) -> str:
        return self._field(field).title or field.title or field.name

    def unit(self, field: Field) -> str:
        return self._field(field).unit or field.unit

    def label(self, field: Field, value: str) -> str:
        return self._field(field).labels.get(value) or field.labels.get(value, value)

    def description(self, field: Field, value: str) -> str:
        return self._field(field).descriptions.get(value) or field.descriptions.get(value, "")

    def span(self, low: float | None, high: float | None) -> str:
        """A class of values: "under 100", "100 to 500", "500 and more"."""
        form = "below" if low is None else "above" if high is None else "between"
        return self.word(form).format(from_=_number(low), to=_number(high))

    @property
    def _told(self) -> Translation:
        return self.layer.translations.get(self.language, Translation())

    def _field(self, field: Field) -> FieldTranslation:
        return self._told.fields.get(field.name, FieldTranslation())


def _number(value: float | None) -> str:
    """With commas and as many digits as it has."""
    return "" if value is None else f"{value:,.0f}" if value == int(value) else f"{value:,}"

"""What one column holds: how many values, which, and of what type they can be."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tileserver.catalog.field import Type
from tileserver.infer.dates import Formats, formats_of
from tileserver.infer.sample import Column
from tileserver.ingest.values import booleans, integers, numbers

ENOUGH = 0.98
"""So many of a column's values are of a type before it is given; the others are told."""
LARGEST_ID = 2**53
"""From here on not every program can tell whole numbers apart."""

_MILLISECONDS = (100_000_000_000, 4_100_000_000_000)
"""The years 1973 to 2099, in milliseconds since 1970."""
_COUNTED = {
    "seconds since 1970": (100_000_000, 4_100_000_000),
    "milliseconds since 1970": _MILLISECONDS,
    "days as spreadsheets count them": (20_000, 75_000),
}
"""(Least, most): the years 1973 to 2099, for days 1954 to 2105."""
_DATED = re.compile(r"date|time|(?:^|[^a-z])(?:at|on)$|created|updated|edited|modified|opened|closed", re.IGNORECASE)


@dataclass(frozen=True)
class Facts:
    """Of a column of n rows."""

    name: str
    rows: int
    values: pa.Array[Any]
    """Shape (distinct,): its different values, the most frequent first."""
    counts: NDArray[np.int64]
    """Shape (distinct,)."""
    format: str
    """Of the file."""
    declared: Type | None = None
    """As a database says."""

    @cached_property
    def known(self) -> int:
        """Rows that have a value."""
        return int(self.counts.sum())

    @cached_property
    def distinct(self) -> int:
        return len(self.values)

    @cached_property
    def is_unique(self) -> bool:
        """Every row has a value that no other has."""
        return self.distinct == self.rows > 0

    @cached_property
    def type(self) -> Type:
        if self.declared or not self.known:
            return self.declared or "text"
        if self.milliseconds or self.dates.is_date:
            return "datetime"
        if not self.has_leading_zeros:
            if self.share(integers(self.values)) >= ENOUGH:
                return "integer"
            if self.share(numbers(self.values)) >= ENOUGH:
                return "number"
        if self.share(booleans(self.values)) == 1:
            return "boolean"
        return "text"

    @cached_property
    def dates(self) -> Formats:
        return formats_of(self.name, self.values, self.counts)

    @cached_property
    def milliseconds(self) -> bool:
        """Whether they are times as ArcGIS writes them into GeoJSON."""
        if not self.format.startswith("geojson") or not _DATED.search(self.name):
            return False
        found = integers(self.values)
        least, most = _MILLISECONDS
        return self.share(found) == 1 and pc.min(found).as_py() >= least and pc.max(found).as_py() <= most

    @cached_property
    def since(self) -> str:
        """What a column of numbers counts that seem to be times, which `ingest` does not read so; empty for others."""
        if self.type not in ("integer", "number") or not _DATED.search(self.name):
            return ""
        known = self.numbers[np.isfinite(self.numbers)]
        return next((unit for unit, (least, most) in _COUNTED.items() if ((known >= least) & (known <= most)).all()), "")

    @cached_property
    def has_leading_zeros(self) -> bool:
        """Such as ZIP codes: numbers that lose something as numbers."""
        return bool(pc.any(pc.match_substring_regex(self.values, r"^[+-]?0[0-9]")).as_py())

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """Shape (distinct,): NaN for what is none."""
        found: NDArray[np.float64] = numbers(self.values).fill_null(np.nan).to_numpy(zero_copy_only=False)
        return found

    @cached_property
    def longest(self) -> int:
        return int(pc.max(pc.utf8_length(self.values)).as_py() or 0)

    @cached_property
    def mean_length(self) -> float:
        lengths = pc.utf8_length(self.values).to_numpy(zero_copy_only=False)
        return float((lengths * self.counts).sum() / max(self.known, 1))

    @cached_property
    def mean_words(self) -> float:
        found = pc.count_substring_regex(self.values, r"\S+").to_numpy(zero_copy_only=False)
        return float((found * self.counts).sum() / max(self.known, 1))

    @cached_property
    def has_decimal_commas(self) -> bool:
        """Whether they are numbers as in 34,7: `ingest` takes commas for thousands, and cannot read them."""
        numbered = self.matching(r"^[+-]?([0-9]+|[0-9]{1,3}([. ][0-9]{3})+)(,[0-9]+)?$")
        return self.type == "text" and numbered >= ENOUGH and self.matching(",") > 0

    def share(self, read: pa.Array[Any]) -> float:
        """Which part of the rows with a value has one that is not null in `read`, of shape (distinct,)."""
        return float(self.counts[read.is_valid().to_numpy(zero_copy_only=False)].sum() / max(self.known, 1))

    def matching(self, pattern: str) -> float:
        """Which part of the rows with a value matches a regular expression (RE2)."""
        return float(self.counts[pc.match_substring_regex(self.values, pattern).to_numpy(zero_copy_only=False)].sum()) / max(
            self.known, 1
        )


def facts_of(column: Column, format: str) -> Facts:
    found = pc.value_counts(column.texts.drop_null())
    counts = found.field("counts").to_numpy(zero_copy_only=False)
    values = found.field("values")
    order = np.lexsort((np.arange(len(counts)), -counts))
    return Facts(column.name, len(column.texts), values.take(pa.array(order)), counts[order], format)


def words(name: str) -> list[str]:
    """The words of a column's name in small letters: "DateOccured", "DATE_OCCURED" and "date occured" have the same."""
    return [word.lower() for word in spelled(name)]


def spelled(name: str) -> list[str]:
    """The words of a column's name as they are written."""
    name = unicodedata.normalize("NFC", name)
    signs = "".join(map(_sign, name))
    return [name[found.start() : found.end()] for found in re.finditer("A+(?!a)|A?a+|0+", signs)]


def _sign(letter: str) -> str:
    """A for a capital, a for another letter or its accent, 0 for a digit, a space for what is between words."""
    if letter.isdecimal():
        return "0"
    if letter.isupper():
        return "A"
    return "a" if letter.isalpha() or unicodedata.combining(letter) else " "


def folded(name: str) -> str:
    """Without accents: "Dirección" is "Direccion"."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))


def squeezed(name: str) -> str:
    """The letters and digits of a name, small and without accents."""
    return re.sub(r"[\W_]+", "", folded(name)).lower()

"""Text → typed columns. A value that is not of its type becomes null, and is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tileserver.catalog import Field, Layer
from tileserver.ingest.dates import instants
from tileserver.ingest.rows import Texts

MISSING = ("", "NA", "NULL", "null", "None")
"""What stands for no value, in any column, after spaces around it have gone."""

_PLAIN_INTEGER = r"^-?[0-9]{1,18}$"
_PLAIN_NUMBER = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$"
_INTEGER = r"^[+-]?[0-9]{1,18}(\.0*)?$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_THOUSANDS = r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?$"
_TRUTHS = {
    "yes": True,
    "y": True,
    "true": True,
    "t": True,
    "1": True,
    "no": False,
    "n": False,
    "false": False,
    "f": False,
    "0": False,
}


@dataclass(frozen=True, slots=True)
class Values:
    column: pa.Array[Any]
    """Shape (n,), of the field's type; null where there is no value."""
    unreadable: NDArray[np.bool_]
    """Shape (n,): where something stands that is not of the type."""


def values_of(layer: Layer, field: Field, texts: Texts) -> Values:
    """A column of text, or of the field's own type, as values of a field, in `field.arrow_type`."""
    if texts.type == field.arrow_type and field.type != "text":
        return Values(texts, np.zeros(len(texts), np.bool_))
    texts = trimmed(texts)
    match field.type:
        case "text":
            column = texts
        case "integer":
            column = integers(texts)
        case "number":
            column = numbers(texts)
        case "boolean":
            column = booleans(texts)
        case "datetime":
            column = instants(texts, layer.ingest.dates, layer.zone)
    unreadable = texts.is_valid().to_numpy(zero_copy_only=False) & column.is_null().to_numpy(zero_copy_only=False)
    return Values(column.cast(field.arrow_type), unreadable)


def trimmed(texts: Texts) -> Texts:
    """Without spaces around, and null for what stands for no value."""
    texts = pc.utf8_trim_whitespace(texts)
    return _where(pc.invert(pc.is_in(texts, value_set=pa.array(MISSING))), texts)


def integers(texts: Texts) -> pa.Array[Any]:
    """int64, of "5", "+5", "5.0", "1,234"."""
    return _mostly(texts, _PLAIN_INTEGER, pa.int64(), any_integers)


def any_integers(texts: Texts) -> pa.Array[Any]:
    """`integers`, without the short way."""
    plain = _without_thousands(texts)
    plain = _where(pc.match_substring_regex(plain, _INTEGER), plain)
    return pc.replace_substring_regex(plain, r"^\+|\.0*$", "").cast(pa.int64())


def numbers(texts: Texts) -> pa.Array[Any]:
    """float64, finite, of "5", "-.5", "1e3", "1,234.5", "$4,737.50"."""
    # Adding 0 makes the negative zero a zero.
    return pc.add(_mostly(texts, _PLAIN_NUMBER, pa.float64(), any_numbers), 0.0)


def any_numbers(texts: Texts) -> pa.Array[Any]:
    """`numbers`, without the short way."""
    plain = _without_thousands(pc.replace_substring_regex(texts, r"^([-+]?)\$ ?", r"\1"))
    plain = _where(pc.match_substring_regex(plain, _NUMBER), plain)
    values = pc.replace_substring_regex(plain, r"^\+", "").cast(pa.float64())
    return _where(pc.is_finite(values), values)


def _mostly(texts: Texts, plain: str, type: pa.DataType, others: Callable[[Texts], pa.Array[Any]]) -> pa.Array[Any]:
    """Texts that match `plain` cast as they are, which is fast; all others as `others` reads them."""
    is_plain = pc.match_substring_regex(texts, plain)
    values = _where(is_plain, texts).cast(type)
    other = pc.fill_null(pc.invert(is_plain), False)
    return pc.replace_with_mask(values, other, others(texts.filter(other))) if pc.any(other).as_py() else values


def booleans(texts: Texts) -> pa.Array[Any]:
    places = pc.index_in(pc.utf8_lower(texts), value_set=pa.array(list(_TRUTHS)))
    return pa.array(list(_TRUTHS.values())).take(places)


def _without_thousands(texts: Texts) -> Texts:
    return pc.if_else(pc.match_substring_regex(texts, _THOUSANDS), pc.replace_substring(texts, ",", ""), texts)


def _where(wanted: pa.Array[Any], column: pa.Array[Any]) -> pa.Array[Any]:
    """The column, null where not wanted."""
    return pc.if_else(wanted, column, pa.scalar(None, column.type))

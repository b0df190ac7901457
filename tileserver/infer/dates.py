"""Which formats the dates of a column are in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tileserver.ingest.dates import instants
from tileserver.times import UTC_ZONE

ENOUGH = 0.9
"""So many of a column's values are dates before it is one; the others are told."""
MOST = 5_000
"""Different values that formats are tried on, the most frequent ones."""

_DAYS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%Y/%m/%d", "%Y-%m-%d", "%m-%d-%Y", "%d-%m-%Y", "%m-%d-%y", "%d-%m-%y"),
    *("%d.%m.%Y", "%d.%m.%y", "%Y.%m.%d", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
    *("%a %b %d %Y", "%A, %B %d, %Y"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S.%f", "T%H:%M", "T%H:%M:%S", "T%H:%M:%S.%f")
_DIGITS_ONLY = ("%Y%m%d", "%Y%m%d%H%M%S")
FORMATS = (*(day + clock for day, clock in product(_DAYS, _CLOCKS)), *_DIGITS_ONLY)

ISO_FORMATS = tuple(each for each in FORMATS if each.startswith("%Y-%m-%d") or each in _DIGITS_ONLY)

_LIKE_A_DATE = (
    r"^\D{0,12}[0-9]{1,4}[-/. ,][0-9A-Za-z]{1,9}[-/. ,]+[0-9]{1,4}(?:\D|$)|^[A-Za-z]{3,9},? [A-Za-z]{0,9} ?[0-9]{1,2},? [0-9]{4}"
)
_DATE_OF_DIGITS = r"^(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])([0-9]{6})?$"
_SURE = 20
"""Different numbers that all could be dates are dates, whatever their column is called."""
_DATED = re.compile(r"date|time|day|datum|fecha", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """Dates whose day and month could be the other way round."""

    chosen: str
    other: str
    only_chosen: int
    """Rows that only the chosen format reads: their day is above 12."""
    only_other: int
    both: int


@dataclass(frozen=True, slots=True)
class Formats:
    """How the dates of a column are written."""

    is_date: bool
    is_iso: bool
    """Every date that `formats` reads is also ISO 8601: none has to be named."""
    formats: tuple[str, ...]
    """Of strptime, the one that reads the most first; those with an offset need none."""
    unread: int
    """Rows that have a value and no date."""
    ambiguities: tuple[Ambiguity, ...]
    has_offset: bool


NO_DATES = Formats(is_date=False, is_iso=False, formats=(), unread=0, ambiguities=(), has_offset=False)


def formats_of(name: str, values: pa.Array[Any], counts: NDArray[np.int64]) -> Formats:
    """The formats of a column whose different values are `values`, each `counts` times, the most frequent first."""
    values, counts = values.slice(0, MOST), counts[:MOST]
    if not _may_be_dates(name, values):
        return NO_DATES
    total = int(counts.sum())
    offset = _read(values, ("%Y",)) & ~_plain_years(values)
    iso = _read(values, ())
    candidates = ISO_FORMATS if (iso | offset).all() else FORMATS
    chosen = _chosen(values, counts, ~offset, candidates)
    found = _read(values, chosen) if chosen else offset
    if counts[iso].sum() >= counts[found | offset].sum():
        read, is_iso = iso, True
    else:
        read, is_iso = found | offset, False
    if counts[read].sum() < ENOUGH * total:
        return NO_DATES
    unread = int(counts[~read].sum())
    return Formats(True, is_iso, chosen, unread, tuple(_ambiguities(values, counts, chosen)), bool(offset.any()))


def _may_be_dates(name: str, values: pa.Array[Any]) -> bool:
    first = values.slice(0, 200)
    if not len(first):
        return False
    like = pc.mean(pc.match_substring_regex(first, _LIKE_A_DATE).cast(pa.float64())).as_py()
    digits = pc.all(pc.match_substring_regex(first, _DATE_OF_DIGITS)).as_py()
    return bool(like > 0.5 or (digits and (_DATED.search(name) or len(first) >= _SURE)))


def _read(values: pa.Array[Any], formats: Sequence[str]) -> NDArray[np.bool_]:
    """Shape (n,): which are read by `ingest` with these formats."""
    found: NDArray[np.bool_] = instants(values, formats, UTC_ZONE).is_valid().to_numpy(zero_copy_only=False)
    return found


def _plain_years(values: pa.Array[Any]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.match_substring_regex(values, "^[0-9]{4}$").to_numpy(zero_copy_only=False)
    return found


def _chosen(
    values: pa.Array[Any], counts: NDArray[np.int64], left: NDArray[np.bool_], candidates: Sequence[str]
) -> tuple[str, ...]:
    """Formats that together read as much as all of them do: each time the one that reads the most of what is left."""
    if not left.any():
        return ()
    probe = values.filter(pa.array(left)).slice(0, 300)
    likely = [each for each in candidates if _read(probe, (each,)).any()]
    reads = {each: _read(values, (each,)) for each in likely}
    chosen: list[str] = []
    while reads and (best := max(reads, key=lambda each: int(counts[reads[each] & left].sum()))):
        if not counts[reads[best] & left].sum():
            break
        chosen.append(best)
        left = left & ~reads.pop(best)
    return tuple(chosen)


def _turned(format: str) -> str | None:
    """The same format with day and month the other way round."""
    if "%m" not in format or "%d" not in format or format.startswith("%Y"):
        return None
    return format.replace("%m", "\0").replace("%d", "%m").replace("\0", "%d")


def _ambiguities(values: pa.Array[Any], counts: NDArray[np.int64], chosen: Sequence[str]) -> list[Ambiguity]:
    told: list[Ambiguity] = []
    for each in chosen:
        other = _turned(each)
        if other is None or any(before.chosen == other for before in told):
            continue
        mine, turned = _read(values, (each,)), _read(values, (other,))
        sums = [int(counts[part].sum()) for part in (mine & ~turned, turned & ~mine, mine & turned)]
        told.append(Ambiguity(each, other, *sums))
    return told

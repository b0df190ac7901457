"""A block of plainly written CSV → columns of text, for all its records at once.

The block is looked at as an array of bytes: where its lines, its records and its columns end. Arrow then reads the values. What
is not written plainly is left to the csv module, which `csv_file.py` asks record by record; the two read the same.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv
from numpy.typing import NDArray

from tileserver.ingest.rows import Texts

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]
"""Offsets of bytes in a block, ascending."""

QUOTE, FEED, RETURN = b'"\n\r'
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

FEWER = "fewer columns than the header has"
MORE = "more columns than the header has"
MORE_LINES = "more columns than the header has, over several lines: a quote may be missing"


@dataclass(frozen=True, slots=True)
class Part:
    """n records of a text, and the faulty ones among them."""

    lines: Places
    """Shape (n,): the line where each record begins, counted from 1 at the begin of the text."""
    columns: Mapping[int, Texts]
    """Index of a column → its values, shape (n,)."""
    faults: tuple[tuple[int, str], ...]
    """(line, reason) of records of another width."""


@dataclass(frozen=True, slots=True)
class Form:
    """How the records of a text are written."""

    delimiter: str
    width: int
    wanted: tuple[int, ...]
    """The indices of the columns to read."""


@dataclass(frozen=True, slots=True)
class Taken:
    part: Part
    length: int
    """Bytes that the part takes of the block."""
    lines: int
    """Lines that it takes."""


def take(block: bytes, form: Form, *, line: int, ended: bool, most: int) -> Taken | None:
    """The records that begin a block, `most` at the most, up to the first that is not written plainly; None if there is none.

    Plain is: lines end in a line feed, also after a carriage return; a quote opens a value at its begin and closes it at its
    end, or is one of two; no value is longer than the csv module takes.

    Args:
        block: UTF-8, whole lines; it begins with a record.
        line: the number of its first line.
        ended: the text ends with the block.
    """
    data = np.frombuffer(block, np.uint8)
    if b"\0" in block or block.startswith(BYTE_ORDER_MARK) or _has_lone_returns(block):
        return None
    feeds = np.flatnonzero(data == FEED)
    if ended and len(data) and data[-1] != FEED:
        feeds = np.append(feeds, len(data))
    quoted, sound = _quotes(data, form.delimiter)
    last_feeds = _record_ends(feeds, quoted, sound)
    begins = np.append(0, feeds[last_feeds] + 1)
    records = _not_empty(data, begins)
    if len(records) > most:
        last_feeds = last_feeds[: records[most]]
        begins, records = begins[: records[most] + 1], records[:most]
    length = min(int(begins[-1]), len(data))
    if not length or np.diff(begins).max() > csv.field_size_limit():
        return None
    is_delimiter = data[:length] == ord(form.delimiter)
    if quoted is not None:
        is_delimiter &= ~quoted[:length]
    widths = np.diff(np.searchsorted(np.flatnonzero(is_delimiter), begins))[records] + 1
    columns = _values(block[:length], form, int(np.count_nonzero(widths == form.width)))
    if columns is None:
        return None
    lines = np.append(0, last_feeds + 1) + line
    at, lengths = lines[records], (lines[records + 1] - lines[records])
    faults = _faults(at, widths - form.width, lengths)
    return Taken(Part(at[widths == form.width], columns, faults), length, int(last_feeds[-1]) + 1)


def _has_lone_returns(block: bytes) -> bool:
    return b"\r" in block and block.count(b"\r") != block.count(b"\r\n")


def _quotes(data: Bytes, delimiter: str) -> tuple[NDArray[np.bool_] | None, int]:
    """(which bytes stand between quotes, shape (n,), None if there is no quote; where the first misplaced quote is)."""
    is_quote = data == QUOTE
    places = np.flatnonzero(is_quote)
    if not len(places):
        return None, len(data) + 1
    quoted = (np.cumsum(is_quote, dtype=np.uint8) & 1).astype(np.bool_)
    beside = np.frombuffer(delimiter.encode() + b'\n"', np.uint8)
    opening, closing = places[::2], places[1::2]
    well = np.ones(len(places), np.bool_)
    well[::2] = np.isin(data[opening - 1], beside) | (opening == 0)
    well[1::2] = np.isin(data[(closing + 1) % len(data)], np.append(beside, RETURN)) | (closing == len(data) - 1)
    return quoted, int(places[np.argmin(well)]) if not well.all() else len(data) + 1


def _record_ends(feeds: Places, quoted: NDArray[np.bool_] | None, sound: int) -> Places:
    """Which of the line feeds before `sound` end a record, as indices into `feeds`."""
    if quoted is None:
        return np.arange(len(feeds))
    # A text that ends without a line feed ends behind its last byte, which closes a value or does not.
    ends = ~quoted[np.minimum(feeds, len(quoted) - 1)] & (feeds < sound)
    return np.flatnonzero(ends)


def _not_empty(data: Bytes, begins: Places) -> Places:
    """Which of the records, of which each ends where the next begins, are more than an empty line."""
    lengths = np.diff(begins) - 1
    empty = lengths == 0
    single = np.flatnonzero(lengths == 1)
    empty[single] = data[begins[single]] == RETURN
    return np.flatnonzero(~empty)


def _faults(lines: Places, surplus: Places, lengths: Places) -> tuple[tuple[int, str], ...]:
    """(line, reason) of the records with more or fewer columns than the header, by the number of their lines."""
    wrong = np.flatnonzero(surplus)
    reasons = np.where(surplus[wrong] < 0, FEWER, np.where(lengths[wrong] > 1, MORE_LINES, MORE))
    return tuple(zip(lines[wrong].tolist(), reasons.tolist(), strict=True))


def _values(block: bytes, form: Form, rows: int) -> dict[int, Texts] | None:
    """The wanted columns of the records that have the right width; None if Arrow finds other records than we do."""
    if not rows:
        return {index: pa.array([], pa.string()) for index in form.wanted}
    names = [str(index) for index in range(form.width)]
    wanted = [names[index] for index in form.wanted]
    try:
        table = pc_csv.read_csv(
            pa.BufferReader(block),
            pc_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1),
            pc_csv.ParseOptions(delimiter=form.delimiter, newlines_in_values=True, invalid_row_handler=_skip),
            pc_csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != rows:
        return None
    return {index: _one(table.column(name)) for index, name in zip(form.wanted, wanted, strict=True)}


def _skip(row: Any) -> str:
    return "skip"


def _one(column: pa.ChunkedArray[Any]) -> Texts:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)

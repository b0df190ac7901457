"""Delimited text → rows: CSV and its relatives, in any usual encoding, read in parts."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest import csv_block
from tileserver.ingest.columns import fields_of, place_of
from tileserver.ingest.csv_block import Form, Part
from tileserver.ingest.encoding import encoding_of
from tileserver.ingest.rows import BATCH, Rows
from tileserver.ingest.sources import Source

DELIMITERS = ",;\t|"
_FOR_EXCEL = re.compile(rb"(?i)sep=.")

BLOCK = 4 * 2**20
"""Bytes of text that are looked at together."""
SLOW = 5_000
"""Records that are read one by one before the fast way is tried again."""

# Some columns hold the outline of an area as text. The module's own limit is 128 kB a value.
MOST_SIGNS = 64 * 2**20
csv.field_size_limit(MOST_SIGNS)


def read_csv(layer: Layer, source: Source) -> Iterator[Rows]:
    """The rows of a file, at most `BATCH` at a time. Empty lines count for nothing.

    Raises:
        IngestError: the file cannot be read, lacks a column that the layer needs, or has a quoted text that never ends.
    """
    encoding = encoding_of(source.path, layer.ingest.encoding)
    try:
        with source.path.open("rb") as raw:
            text = Text(raw, encoding)
            header, delimiter = header_of(text, source.name)
            fields, place = fields_of(layer, header, source.name), place_of(layer, header, source.name)
            form = Form(delimiter, len(header), tuple(sorted({*fields.values(), *place.columns})))
            for part in parts(text, form, source.name):
                position = place.position(part.columns.__getitem__, None, layer.ingest.crs)
                named = {field: part.columns[index] for field, index in fields.items()}
                yield Rows(source.name, part.lines, named, position, part.faults, raw.tell())
    except OSError as error:
        raise IngestError(f"{source.path}: {error.strerror}") from error


def header_of(text: Text, name: str) -> tuple[list[str], str]:
    """(the names of the columns, the delimiter): of the first line that is not blank and does not tell Excel the delimiter."""
    while (line := text.line()) and (not line.strip() or _FOR_EXCEL.fullmatch(line.strip())):
        text.pass_by(len(line), 1)
    if len(line) > MOST_SIGNS:
        raise IngestError(f"{name}: its first line is longer than 64 MiB and cannot hold the names of columns")
    delimiter = _delimiter(line.decode())
    if (record := next(_records(text, delimiter, name), None)) is None:
        raise IngestError(f"{name}: is empty")
    return record[1], delimiter


def parts(text: Text, form: Form, name: str) -> Iterator[Part]:
    """The rest of a text: all records of a block at once where they are plainly written, else some one by one."""
    while block := text.block(BLOCK):
        taken = csv_block.take(block, form, line=text.lines + 1, ended=text.ends_with(block), most=BATCH)
        if taken:
            text.pass_by(taken.length, taken.lines)
            yield taken.part
        else:
            yield slowly(text, form, name, min(SLOW, BATCH))


def slowly(text: Text, form: Form, name: str, most: int) -> Part:
    """The next records of a text, as the csv module reads them."""
    good: list[tuple[int, list[str]]] = []
    faults: list[tuple[int, str]] = []
    begin = text.length
    for line, record in _records(text, form.delimiter, name):
        if len(record) == form.width:
            good.append((line, record))
        else:
            faults.append((line, _fault(record, form.width)))
        if len(good) + len(faults) >= most or text.length - begin >= BLOCK:
            break
    columns = list(zip(*(record for _, record in good), strict=True)) or [()] * form.width
    texts = {index: pa.array(columns[index], pa.string()) for index in form.wanted}
    return Part(np.array([line for line, _ in good], np.int64), texts, tuple(faults))


def _records(text: Text, delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """(line, record) of every record from here on; an empty line is none."""
    line = text.lines + 1
    ended = False

    def lines() -> Iterator[str]:
        nonlocal ended
        yield from text
        ended = True

    try:
        for record in csv.reader(lines(), delimiter=delimiter):
            if ended:
                # The reader asked for more lines than there are, in the middle of a record.
                raise _unclosed(name, line)
            if record:
                yield line, record
            line = text.lines + 1
    except csv.Error as error:
        raise _unclosed(name, line) from error


def _unclosed(name: str, line: int) -> IngestError:
    return IngestError(f"{name}, line {line}: a quoted text in the record that begins here is never closed; mend the file")


def _fault(record: list[str], width: int) -> str:
    if len(record) < width:
        return csv_block.FEWER
    return csv_block.MORE_LINES if any("\n" in value for value in record) else csv_block.MORE


def _delimiter(header: str) -> str:
    """The one that splits the header into the most columns."""
    return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), [])))


class Text:
    """A file as UTF-8, whatever it is written in, from front to back; what its encoding cannot mean is U+FFFD."""

    def __init__(self, raw: BinaryIO, encoding: str) -> None:
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._read = b""
        self._at = 0
        self._ended = False
        self.length = 0
        """Bytes that were passed by."""
        self.lines = 0
        """Lines that were passed by."""

    def block(self, size: int) -> bytes:
        """The next lines, as many as `size` bytes hold, but at least one; nothing at the end."""
        until = size
        while (end := self._line_end(until)) is None:
            until *= 2
        return self._read[self._at : end]

    def line(self) -> bytes:
        """The next line, with its end; nothing at the end."""
        return b"".join(self.block(1).splitlines(keepends=True)[:1])

    def ends_with(self, block: bytes) -> bool:
        return self._ended and self._at + len(block) == len(self._read)

    def pass_by(self, length: int, lines: int) -> None:
        self._at += length
        self.length += length
        self.lines += lines

    def __iter__(self) -> Iterator[str]:
        """The lines, each with its end, passed by as they are given."""
        while block := self.block(2**16):
            for line in block.splitlines(keepends=True):
                self.pass_by(len(line), 1)
                yield line.decode()

    def _line_end(self, size: int) -> int | None:
        """Where the last line ends that ends within the next `size` bytes; None if none does."""
        if len(self._read) - self._at < size and not self._ended:
            self._read_on(size)
        end = self._at + size
        if self._ended and end >= len(self._read):
            return len(self._read)
        # A carriage return that comes last may be half of a line's end.
        last = max(self._read.rfind(b"\n", self._at, end), self._read.rfind(b"\r", self._at, end - 1))
        return None if last < 0 else last + 1

    def _read_on(self, size: int) -> None:
        parts = [self._read[self._at :]]
        while sum(map(len, parts)) < size and not self._ended:
            given = self._raw.read(max(size, 2**20))
            self._ended = not given
            parts.append(self._decoder.decode(given, final=self._ended).encode("utf-8", "replace"))
        self._read, self._at = b"".join(parts), 0

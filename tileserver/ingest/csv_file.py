"""Delimited text → rows: CSV and its relatives, in any usual encoding, read in parts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import chain, islice

import numpy as np
import pyarrow as pa

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.columns import fields_of, xy_of
from tileserver.ingest.encoding import encoding_of
from tileserver.ingest.rows import BATCH, XY, Rows
from tileserver.ingest.sources import Source

DELIMITERS = ",;\t|"

# Some columns hold the outline of an area as text. The module's own limit is 128 kB a value.
csv.field_size_limit(64 * 2**20)


def read_csv(layer: Layer, source: Source) -> Iterator[Rows]:
    """The rows of a file, `BATCH` at a time. Empty lines count for nothing.

    Raises:
        IngestError: the file cannot be read, lacks a column that the layer needs, or has a quoted text that never ends.
    """
    encoding = encoding_of(source.path, layer.ingest.encoding)
    try:
        with source.path.open("rb") as raw, io.TextIOWrapper(raw, encoding, errors="replace", newline="") as text:
            records = _Records(text, source.name)
            fields, xy = fields_of(layer, records.header, source.name), xy_of(layer, records.header, source.name)
            while any(part := records.take()):
                numbered, faults = part
                lines = np.array([line for line, _ in numbered], np.int64)
                columns = list(zip(*(record for _, record in numbered), strict=True)) or [()] * len(records.header)
                texts = {index: pa.array(columns[index], pa.string()) for index in {*fields.values(), *(xy or ())}}
                position = xy and XY(texts[xy[0]], texts[xy[1]], layer.ingest.crs)
                named = {field: texts[index] for field, index in fields.items()}
                yield Rows(source.name, lines, named, position, tuple(faults), raw.tell())
    except OSError as error:
        raise IngestError(f"{source.path}: {error.strerror}") from error


class _Records:
    """The records of a text, each with the line where it begins."""

    def __init__(self, text: io.TextIOWrapper, name: str) -> None:
        self._name = name
        self._ended = False
        head = [text.readline()]
        while head[-1] and not head[-1].strip():
            head.append(text.readline())
        self._reader = csv.reader(self._lines(chain(head, text)), delimiter=_delimiter(head[-1]))
        self._numbered = self._number()
        if (header := next(self._numbered, None)) is None:
            raise IngestError(f"{name}: is empty")
        self.header = header[1]

    def take(self) -> tuple[list[tuple[int, list[str]]], list[tuple[int, str]]]:
        """The next part of the file, empty at its end: (line, record), and (line, reason) of what is no record."""
        part = list(islice(self._numbered, BATCH))
        width = len(self.header)
        return [each for each in part if len(each[1]) == width], [
            (line, self._fault(record)) for line, record in part if len(record) != width
        ]

    def _number(self) -> Iterator[tuple[int, list[str]]]:
        """(line, record) of every record; an empty line is none."""
        line = 1
        try:
            for record in self._reader:
                if self._ended:
                    # The reader asked for more lines than there are, in the middle of a record.
                    raise self._unclosed(line)
                if record:
                    yield line, record
                line = self._reader.line_num + 1
        except csv.Error as error:
            raise self._unclosed(line) from error

    def _unclosed(self, line: int) -> IngestError:
        return IngestError(
            f"{self._name}, line {line}: a quoted text in the record that begins here is never closed; mend the file"
        )

    def _fault(self, record: list[str]) -> str:
        if len(record) < len(self.header):
            return "fewer columns than the header has"
        if any("\n" in value for value in record):
            return "more columns than the header has, over several lines: a quote may be missing"
        return "more columns than the header has"

    def _lines(self, text: Iterator[str]) -> Iterator[str]:
        yield from text
        self._ended = True


def _delimiter(header: str) -> str:
    """The one that splits the header into the most columns."""
    return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), [])))

"""Whether the first line of a text file holds the names of its columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from itertools import islice

from tileserver.errors import IngestError
from tileserver.ingest.csv_file import DELIMITERS, Text, header_of
from tileserver.ingest.encoding import encoding_of
from tileserver.ingest.shown import listed, shown
from tileserver.ingest.sources import Source

_LOOKED_AT = 20
"""Lines below the first one."""
_VALUE = re.compile(r"-?\d+\.\d+|-?\d{5,}|\d{4}-\d\d-\d\d.*|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}.*")


def check(source: Source) -> None:
    """Refuse a text file whose first line is anything else.

    Raises:
        IngestError: it is a title, values or a part of a web page, or the file is in an encoding that nothing tells.
    """
    if source.format != "csv":
        return
    with source.path.open("rb") as raw:
        text = Text(raw, encoding_of(source.path, None))
        names, delimiter = header_of(text, source.name)
        above, lines = text.lines, list(islice(text, _LOOKED_AT))
    # A title says nothing of the delimiter.
    below = max((_widest(lines, each) for each in (DELIMITERS if len(names) == 1 else delimiter)), key=lambda found: found[1])
    first = names[0].strip() if names else ""
    if any("\0" in name for name in names):
        raise IngestError(f"{source.name}: seems to be UTF-16 without a mark that says so; save it as UTF-8")
    if re.match(r"(?i)<(!doctype|html|\?xml)", first):
        raise IngestError(f"{source.name}: is a web page or XML, and no table; download the data themselves, as CSV or GeoJSON")
    if below[1] > max(2 * _filled(names), 2):
        raise IngestError(
            f"{source.name}: its first line, {shown(first)}, seems to be a title, and the names of the columns to stand in line "
            f"{above + below[0]}; delete the lines above it, so that the names come first"
        )
    values = sum(bool(_VALUE.fullmatch(name.strip())) for name in names)
    if values > 1 and 2 * values >= len(names):
        raise IngestError(
            f"{source.name}: its first line seems to hold values: {listed(names)}; write a line with the columns' names above it"
        )


def _widest(lines: Sequence[str], delimiter: str) -> tuple[int, int]:
    """(its place among them from 1 on, its cells that hold something) of the first record that has the most of them."""
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        return max(((reader.line_num, _filled(record)) for record in reader), key=lambda found: found[1], default=(0, 0))
    except csv.Error:  # whoever reads the file says where
        return 0, 0


def _filled(record: list[str]) -> int:
    """Cells that hold something."""
    return sum(bool(cell.strip()) for cell in record)

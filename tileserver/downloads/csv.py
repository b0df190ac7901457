"""Rows as CSV (RFC 4180, UTF-8): the declared fields, then the position."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import shapely

from tileserver import times
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot
from tileserver.snapshot.columns import CategoryColumn, Rows, TextColumn, TimeColumn

MEDIA_TYPE = "text/csv; charset=utf-8; header=present"

# A spreadsheet would run such a cell as a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = r"^([=+\-@\t\r])"


def write(snapshot: Snapshot, filter: Filter, parts: Iterator[Rows]) -> Iterator[bytes]:
    """The file in pieces, one for each part of the rows; the header comes first also when there are none."""
    options = pa.csv.WriteOptions(include_header=True, quoting_style="needed", batch_size=10_000)
    yield from _pieces(_table(snapshot, filter, np.zeros(0, np.int64)), options)
    options.include_header = False
    for rows in parts:
        yield from _pieces(_table(snapshot, filter, rows), options)


def _pieces(table: pa.Table, options: pa.csv.WriteOptions) -> Iterator[bytes]:
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(table, sink, options)
    yield sink.getvalue().to_pybytes()


def _table(snapshot: Snapshot, filter: Filter, rows: Rows) -> pa.Table:
    """Shape (k,) rows as cells; times on the layer's wall clock, positions in degrees, shapes as WKT."""
    layer = snapshot.layer
    names = dict.fromkeys([layer.id_name, *(layer.fields if filter.properties is None else filter.properties)])
    cells = {name: _cells(snapshot, name, rows) for name in names}
    placed = rows[rows < snapshot.positioned]
    missing = len(rows) - len(placed)
    if layer.is_points:
        for name, degrees in zip(("longitude", "latitude"), snapshot.degrees(placed), strict=True):
            cells[name] = pa.concat_arrays([pa.array(degrees, pa.float64()), pa.nulls(missing, pa.float64())])
    else:
        shapes = shapely.from_wkb(snapshot.wkb(placed).to_numpy(zero_copy_only=False))
        wkt = pa.array(shapely.to_wkt(shapes, rounding_precision=7), pa.string())
        cells["geometry"] = pa.concat_arrays([wkt, pa.nulls(missing, pa.string())])
    return pa.table(cells)


def _cells(snapshot: Snapshot, name: str, rows: Rows) -> pa.Array:
    column = snapshot.columns[name]
    if isinstance(column, TimeColumn):
        texts = times.to_texts(column.values[rows], snapshot.layer.zone)
        return pa.array(texts, pa.string(), mask=texts == "")
    values = column.arrow(rows)
    if isinstance(column, CategoryColumn | TextColumn):
        return pc.replace_substring_regex(values.cast(pa.large_string()), _FORMULA, r"'\1")
    return values

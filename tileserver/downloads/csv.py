"""Rows as CSV (RFC 4180, UTF-8): the declared fields, then the position."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import shapely

from tileserver.filters import Filter
from tileserver.snapshot import Snapshot, table
from tileserver.snapshot.columns import Rows

# A spreadsheet would run such a cell as a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = r"^([=+\-@\t\r])"


def write(path: Path, snapshot: Snapshot, filter: Filter, parts: Iterator[Rows]) -> None:
    """The header comes first also when there are no rows; times are on the layer's wall clock."""
    options = pa.csv.WriteOptions(quoting_style="needed", batch_size=10_000)
    nobody = _table(snapshot, filter, np.zeros(0, np.int64))
    with path.open("wb") as file, pa.csv.CSVWriter(file, nobody.schema, write_options=options) as sheet:
        for rows in parts:
            sheet.write_table(_table(snapshot, filter, rows))


def _table(snapshot: Snapshot, filter: Filter, rows: Rows) -> pa.Table:
    """Shape (k,) rows as cells; positions in degrees, shapes as WKT."""
    cells = {name: _neutral(values) for name, values in table.told(snapshot, filter, rows).items()}
    placed = rows[rows < snapshot.positioned]
    missing = len(rows) - len(placed)
    if snapshot.layer.is_points:
        for name, degrees in zip(("longitude", "latitude"), snapshot.degrees(placed), strict=True):
            cells[name] = pa.concat_arrays([pa.array(degrees, pa.float64()), pa.nulls(missing, pa.float64())])
    else:
        shapes = shapely.from_wkb(snapshot.wkb(placed).to_numpy(zero_copy_only=False))
        wkt = pa.array(shapely.to_wkt(shapes, rounding_precision=7), pa.string())
        cells["geometry"] = pa.concat_arrays([wkt, pa.nulls(missing, pa.string())])
    return pa.table(cells)


def _neutral(values: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(values, _FORMULA, r"'\1") if pa.types.is_string(values.type) else values

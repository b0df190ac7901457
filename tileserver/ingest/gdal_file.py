"""GeoPackage, FlatGeobuf, Shapefile and XLSX → rows, read in parts by GDAL, of which pyogrio is the door."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from pyogrio.raw import open_arrow

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.archives import repacked
from tileserver.ingest.record_batches import Columns
from tileserver.ingest.rows import BATCH, Rows
from tileserver.ingest.shown import listed
from tileserver.ingest.sources import Format, Source

DRIVERS: Mapping[Format, str] = {"gpkg": "GPKG", "fgb": "FlatGeobuf", "shp": "ESRI Shapefile", "xlsx": "XLSX"}
BEGINNINGS: Mapping[Format, re.Pattern[bytes]] = {
    "gpkg": re.compile(rb"SQLite format 3\0.{52}(GPKG|GP1[01])", re.DOTALL),
    "fgb": re.compile(rb"fgb\x03fgb"),
    "shp": re.compile(rb"\x00\x00\x27\x0a"),
    "xlsx": re.compile(rb"PK\x03\x04"),
}
"""What a file of the format begins with. GDAL goes by content, and is shown nothing that it may take for another format."""
OPTIONS: Mapping[Format, Mapping[str, str]] = {"xlsx": {"HEADERS": "FORCE"}}
"""The first row of a sheet holds the names of its columns, also where GDAL would doubt it."""
# The driver's own way loses its place in a batch after a row without position.
pyogrio.set_gdal_config_options({"OGR_FLATGEOBUF_STREAM_BASE_IMPL": True})
_HEADER = 72
"""Bytes in which every one of the formats says what it is."""
_FID, _GEOMETRY = "OGC_FID", "wkb_geometry"
"""What GDAL calls the number and the geometry of a row where the file has no name for them."""


def read_gdal(layer: Layer, source: Source) -> Iterator[Rows]:
    """The rows of one layer, or sheet, of a file, `BATCH` at a time; their lines are those of the sheet, elsewhere their numbers.

    Raises:
        IngestError: the file cannot be read, is damaged, has several layers of which none is named, or lacks a column that the
            layer needs.
    """
    with _explained(source), _safe(source) as path:
        part = _part(layer, source, path)
        info = pyogrio.read_info(path, layer=part, encoding=_encoding(layer, source), **OPTIONS.get(source.format, {}))
        if info["driver"] != DRIVERS[source.format]:
            raise IngestError(f"{source.name}: is not of the format that its name says")
        read = 0
        for rows in _rows(layer, source, path, info):
            read += len(rows.lines)
            yield rows
        if source.format == "fgb" and read != info["features"]:
            raise IngestError(f"{source.name}: is damaged: it says that it holds {info['features']:,} rows, but {read:,} are there")


def _rows(layer: Layer, source: Source, path: Path, info: Mapping[str, Any]) -> Iterator[Rows]:
    key = str(info["fid_column"])
    names = [*map(str, info["fields"]), *([key] if key else [])]
    columns = Columns.of(layer, source, names, own=info["geometry_type"] is not None, crs=_crs(info))
    with open_arrow(
        path,
        layer=info["layer_name"],
        encoding=_encoding(layer, source),
        columns=sorted(columns.needed - {key}),
        read_geometry=columns.own,
        return_fids=True,
        batch_size=BATCH,
        use_pyarrow=True,
        datetime_as_string=True,
        **OPTIONS.get(source.format, {}),
    ) as (meta, reader):
        done = 0
        for batch in reader:
            numbers = np.arange(done + 1, done + 1 + batch.num_rows)
            lines = batch.column(_FID).to_numpy() if source.format == "xlsx" else numbers
            done += batch.num_rows
            end = source.size * done // max(info["features"], done)
            yield columns.rows(batch, meta["geometry_name"] or _GEOMETRY, lines, end)


def _part(layer: Layer, source: Source, path: Path) -> str:
    """The name of the layer or sheet to read."""
    if source.format in ("shp", "fgb"):
        return str(pyogrio.list_layers(path)[0][0])
    parts = [str(name) for name, _ in pyogrio.list_layers(path)]
    wanted, what = layer.ingest.part, "sheets" if source.format == "xlsx" else "layers"
    if wanted is None and len(parts) == 1:
        return parts[0]
    if wanted in parts:
        return wanted
    there = listed(parts) or "none"
    if wanted is None:
        raise IngestError(f"{source.name}: holds several {what}: {there}. Say which under [ingest] part in the layer file")
    raise IngestError(f"{source.name}: holds no {wanted}, which the layer file names under [ingest] part. Its {what} are: {there}")


def _crs(info: Mapping[str, Any]) -> str | None:
    """None also for the systems that a GeoPackage calls undefined."""
    crs = info["crs"]
    return None if crs is None or "Undefined" in crs[:40] else str(crs)


def _encoding(layer: Layer, source: Source) -> str | None:
    """Only the texts of a Shapefile can be in any encoding; its .cpg file says which, if it has one."""
    return layer.ingest.encoding if source.format == "shp" else None


@contextmanager
def _safe(source: Source) -> Iterator[Path]:
    """A path that GDAL cannot take for anything but a plain file of the format."""
    path = source.path.resolve()
    if "!" in str(path) or str(path).startswith("/vsi"):
        raise IngestError(f"{source.name}: the path of the file holds a sign that means something else to GDAL; rename it")
    if not BEGINNINGS[source.format].match(_head(path)):
        raise IngestError(f"{source.name}: is not of the format that its name says, or is damaged")
    if source.format == "shp":
        _check_lengths(source, path)
    if source.format != "xlsx":
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="tileserver-ingest-") as folder:
        yield repacked(source, Path(folder) / "book.xlsx")


def _check_lengths(source: Source, path: Path) -> None:
    """What is cut off at the end of a Shapefile, GDAL takes for rows without position or without values."""
    said = [(path, 2 * int.from_bytes(_head(path)[24:28], "big"))]
    if tables := [each for each in path.parent.glob("*") if each.stem == path.stem and each.suffix.lower() == ".dbf"]:
        table = _head(tables[0])
        rows, begin, width = (int.from_bytes(table[start:end], "little") for start, end in ((4, 8), (8, 10), (10, 12)))
        said.append((tables[0], begin + rows * width))
    for file, length in said:
        if file.stat().st_size < length:
            raise IngestError(f"{source.name}: is damaged: {file.suffix} ends before the length that it says")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADER)


@contextmanager
def _explained(source: Source) -> Iterator[None]:
    try:
        yield
    except (DataSourceError, DataLayerError, pa.ArrowException, RuntimeError) as error:
        raise IngestError(f"{source.name}: cannot be read: it is damaged, or a file that belongs to it is missing") from error
    except OSError as error:
        raise IngestError(f"{source.name}: {error.strerror or 'cannot be read: it is damaged'}") from error

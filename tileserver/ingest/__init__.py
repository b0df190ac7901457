"""Bring data in: fetch → read → clean → load → publish."""

from __future__ import annotations

import csv
import lzma
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import orjson
import pyarrow as pa
from pyogrio.errors import DataLayerError, DataSourceError
from shapely.errors import ShapelyError
from tqdm import tqdm

from tileserver import privacy
from tileserver.catalog import GEOMETRY, Layer
from tileserver.errors import IngestError
from tileserver.forgotten import Forgotten
from tileserver.ingest import feeds
from tileserver.ingest.archives import Reader, read_zip
from tileserver.ingest.clean import clean
from tileserver.ingest.csv_file import read_csv
from tileserver.ingest.feeds import Web
from tileserver.ingest.gdal_file import read_gdal
from tileserver.ingest.geojson_file import read_geojson
from tileserver.ingest.geojson_lines import read_geojson_lines
from tileserver.ingest.held import Held
from tileserver.ingest.joined import Places
from tileserver.ingest.ledger import Ledger, Tally
from tileserver.ingest.pairs import in_order
from tileserver.ingest.parquet_file import read_parquet
from tileserver.ingest.rejects import Rejects
from tileserver.ingest.row_ids import RowIds, recipe
from tileserver.ingest.rows import Rows
from tileserver.ingest.sources import Format, Source, fetch
from tileserver.revisions import LEDGER, REJECTS
from tileserver.stores.store import Store

__all__ = ["REJECTS", "Ledger", "Web", "ingest"]

FILES: Mapping[Format, Reader] = {
    "csv": read_csv,
    "geojson": read_geojson,
    "geojson_lines": read_geojson_lines,
    "gpkg": read_gdal,
    "fgb": read_gdal,
    "shp": read_gdal,
    "parquet": read_parquet,
    "xlsx": read_gdal,
}
DAMAGE = (
    pa.ArrowException,
    csv.Error,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    DataSourceError,
    DataLayerError,
    ShapelyError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    EOFError,
    SystemError,
)
"""What libraries raise over the bytes of a file where its reader has no better word for it."""


def _explained(reader: Reader) -> Reader:
    def read(layer: Layer, source: Source) -> Iterator[Rows]:
        try:
            yield from reader(layer, source)
        except DAMAGE as error:
            raise IngestError(f"{source.name}: cannot be read; it is damaged or not what its name says") from error

    return read


_ALL: Mapping[Format, Reader] = {**FILES, "zip": partial(read_zip, readers=FILES)}
READERS: Mapping[Format, Reader] = {format: _explained(in_order(reader)) for format, reader in _ALL.items()}

MOST_REJECTED = 0.5
"""With `replace`, a larger share of rejected rows means a file that does not fit, and rows that are not gone at all."""


def ingest(
    layer: Layer,
    store: Store,
    sources: Sequence[str],
    *,
    folder: Path,
    home: Path,
    replace: bool = False,
    progress: bool = False,
    other: Layer | None = None,
    web: Web | None = None,
) -> Ledger:
    """Bring files into a layer, all or none, and say what became of every row.

    `sources` are addresses, which `web` asks, and names and patterns of files, the layer's own `from` if there are none; relative
    ones begin at `folder`. What cannot be published is listed in `rejects.csv` in `home`, the layer's own folder; where no address
    has changed and there are no files, nothing is read and the old list stays. With `replace`, rows that the files do not
    hold are removed; without it, a stored row keeps its values in columns that its file does not have. `other` is the layer that
    `[ingest.join]` names: its rows in the store give the positions.

    Raises:
        IngestError: a source cannot be read at all, or does not fit the layer; nothing is published.
        StoreError: the store cannot be written; nothing is published.
    """
    names = sources or layer.ingest.from_
    states = {"store": store.state(layer), "joined": store.state(other) if other else None}
    with feeds.bring(layer, names, home=home, web=web, replace=replace, progress=progress, **states) as brought:
        files = fetch(names, folder, layer, brought.sources)
        replace = replace and not brought.unchanged
        tally = Tally(files=Counter({file.name: 0 for file in files}), not_modified=brought.not_modified)
        places = _places(layer, store, other)
        held = None if replace else Held(layer, store)
        with Rejects(home / REJECTS) as rejected:
            batches = _load(
                layer,
                _read(layer, files, progress=progress),
                tally,
                rejected,
                places=places,
                held=held,
                forgotten=Forgotten.read(home),
            )
            published = store.publish(layer, brought.checked(batches, tally.files, replace=replace), replace=replace)
            before = None if replace or states["store"] is None else _ids_made_by(home)
            ledger = tally.close(published, ids_made_by=recipe(layer), before=before)
            if not brought.unchanged:
                rejected.keep()
        brought.keep(published.state)
    return ledger


def _ids_made_by(home: Path) -> str:
    """What the ledger of the last ingest says of it; empty where nobody can tell."""
    try:
        return str(orjson.loads((home / LEDGER).read_bytes()).get("ids_made_by", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _read(layer: Layer, files: Sequence[Source], *, progress: bool) -> Iterator[Rows]:
    total = sum(file.size for file in files)
    with tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1024, disable=not progress) as bar:
        for file in files:
            bar.set_description(file.path.name)
            done = 0
            for rows in READERS[file.format](layer, file):
                yield rows
                bar.update(rows.end - done)
                done = rows.end


def _places(layer: Layer, store: Store, other: Layer | None) -> Places | None:
    if (join := layer.ingest.join) is None:
        return None
    if other is None or other.id != join.layer:
        raise IngestError(f"{layer.id}: its positions come from the layer {join.layer}, which was not given")
    if store.state(other) is None:
        raise IngestError(f"{layer.id}: its positions come from the layer {join.layer}, which holds nothing yet; ingest it first")
    return Places.of(join, other, store)


def _load(
    layer: Layer,
    read: Iterator[Rows],
    tally: Tally,
    rejected: Rejects,
    *,
    places: Places | None,
    held: Held | None,
    forgotten: Forgotten,
) -> Iterator[pa.RecordBatch]:
    """`held` is None where the files replace all that is stored."""
    row_ids = RowIds()
    for found in read:
        rows, joined = places.locate(found) if places else (found, Counter[str]())
        cleaned = clean(layer, rows)
        batch, kept = held.keep(rows, cleaned.batch) if held else (cleaned.batch, 0)
        admitted = privacy.admit(layer, batch)
        tally.joined.update(joined)
        tally.kept += kept
        rejected.write(rows.source, cleaned.rejected)
        tally.add(layer, rows, cleaned, admitted)
        if admitted.batch.num_rows:
            known = admitted.batch if layer.id_field else row_ids.give(admitted.batch)
            lasting = forgotten.hold_back(layer, known)
            tally.forgotten += known.num_rows - lasting.num_rows
            tally.without_position += lasting.column(GEOMETRY).null_count
            yield lasting
    if held is None and tally.rejected > tally.read * MOST_REJECTED:
        why = ", ".join(f"{reason} ({count:,})" for reason, count in tally.reasons.most_common(3))
        raise IngestError(
            f"{layer.id}: {tally.rejected:,} of {tally.read:,} rows were rejected, so nothing is replaced: {why}. "
            "Without --replace, the good ones are added and none is removed"
        )

"""Bring data in: fetch → read → clean → load → publish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from tqdm import tqdm

from tileserver import privacy
from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.clean import clean
from tileserver.ingest.csv_file import read_csv
from tileserver.ingest.geojson_file import read_geojson
from tileserver.ingest.ledger import Ledger, Tally
from tileserver.ingest.rejects import Rejects
from tileserver.ingest.row_ids import RowIds
from tileserver.ingest.rows import Rows
from tileserver.ingest.sources import Source, fetch
from tileserver.stores.store import Store

__all__ = ["Ledger", "ingest"]

MOST_REJECTED = 0.5
"""With `replace`, a larger share of rejected rows means a file that does not fit, and rows that are not gone at all."""


def ingest(
    layer: Layer,
    store: Store,
    sources: Sequence[str],
    *,
    folder: Path,
    rejects: Path,
    replace: bool = False,
    progress: bool = False,
) -> Ledger:
    """Bring files into a layer, all or none, and say what became of every row.

    `sources` are names and patterns of files, the layer's own `from` if there are none; relative ones begin at `folder`. What
    cannot be published is listed in the file `rejects`. With `replace`, rows that the files do not hold are removed.

    Raises:
        IngestError: a source cannot be read at all, or does not fit the layer; nothing is published.
        StoreError: the store cannot be written; nothing is published.
    """
    files = fetch(sources or layer.ingest.from_, folder, layer)
    tally = Tally(files=Counter({file.name: 0 for file in files}))
    with Rejects(rejects) as rejected:
        batches = _load(layer, _read(layer, files, progress=progress), tally, rejected, replace=replace)
        ledger = tally.close(store.publish(layer, batches, replace=replace))
        rejected.keep()
    return ledger


def _read(layer: Layer, files: Sequence[Source], *, progress: bool) -> Iterator[Rows]:
    total = sum(file.size for file in files)
    with tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1024, disable=not progress) as bar:
        for file in files:
            bar.set_description(file.path.name)
            read, done = read_csv if file.format == "csv" else read_geojson, 0
            for rows in read(layer, file):
                yield rows
                bar.update(rows.end - done)
                done = rows.end


def _load(layer: Layer, read: Iterator[Rows], tally: Tally, rejected: Rejects, *, replace: bool) -> Iterator[pa.RecordBatch]:
    row_ids = RowIds()
    for rows in read:
        cleaned = clean(layer, rows)
        admitted = privacy.admit(layer, cleaned.batch)
        rejected.write(rows.source, cleaned.rejected)
        tally.add(layer, rows, cleaned, admitted)
        if admitted.batch.num_rows:
            yield admitted.batch if layer.id_field else row_ids.give(admitted.batch)
    if replace and tally.rejected > tally.read * MOST_REJECTED:
        why = ", ".join(f"{reason} ({count:,})" for reason, count in tally.reasons.most_common(3))
        raise IngestError(
            f"{layer.id}: {tally.rejected:,} of {tally.read:,} rows were rejected, so nothing is replaced: {why}. "
            "Without --replace, the good ones are added and none is removed"
        )

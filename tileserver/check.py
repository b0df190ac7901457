"""What is said of layer files that load: how they compare with the files that they name, the rows stored, and what is served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import orjson
import pyarrow as pa
from pyproj import CRS
from pyproj.exceptions import CRSError

from tileserver import ingest, revisions
from tileserver.catalog import Catalog, Layer
from tileserver.catalog.field import NUMERIC
from tileserver.errors import IngestError, SnapshotError, StoreError, Unavailable
from tileserver.filters import default_items
from tileserver.ingest.advice import advice
from tileserver.ingest.clean import clean
from tileserver.ingest.columns import letters
from tileserver.ingest.feeds.address import is_address
from tileserver.ingest.rows import Keys, Rows
from tileserver.ingest.sources import Source, fetch
from tileserver.settings import Settings
from tileserver.snapshot import Live, Snapshot
from tileserver.stores import FolderStore, open_store

Values = Mapping[str, set[str]]
"""A category field → the values that rows have."""

DEGREE = 111_320.0
"""Meters, along a meridian."""
MOST_SAMPLED = 1_000
"""Rows whose numbers are compared with their positions."""
COORDINATES = {"lat", "latitude", "lon", "lng", "long", "longitude"}


def remarks(layer: Layer, settings: Settings) -> Iterator[str]:
    """What someone should look at, a line each, beginning with the layer's id; nothing is wrong where there is none."""
    for told in _remarks(layer, settings):
        yield f"{layer.id}: {told}"


def _remarks(layer: Layer, settings: Settings) -> Iterator[str]:
    if layer.privacy.address and not layer.addresses:
        yield 'privacy.address protects nothing: no field is named address or has role = "address"'
    snapshot = _snapshot(layer, settings)
    known_crs = layer.ingest.crs is None or _is_crs(layer.ingest.crs)
    if not known_crs:
        yield f"ingest.crs: {layer.ingest.crs} is no coordinate system that PROJ knows; name one, such as EPSG:26951"
    seen = Seen()
    if known_crs:
        yield from _files(layer, settings, seen)
    yield from _stored(layer, settings)
    yield from _withheld(layer, settings)
    values = (
        {each.name: {value for value, _ in snapshot.values(each.name)} for each in layer.categories} if snapshot else seen.whole
    )
    yield from _absent(layer, values)
    yield from _alike(layer)
    yield from _revealing(layer, snapshot)


def _is_crs(text: str) -> bool:
    try:
        CRS.from_user_input(text)
    except CRSError:
        return False
    return True


def _snapshot(layer: Layer, settings: Settings) -> Snapshot | None:
    with suppress(Unavailable, SnapshotError):
        return Live(Catalog({layer.id: layer}), revisions.Revisions(settings.snapshots)).snapshot(layer)
    return None


@dataclass
class Seen:
    """The categories of the rows that were read from files."""

    values: dict[str, set[str]] = field(default_factory=dict)
    is_whole: bool = False

    @property
    def whole(self) -> Values:
        """Nothing where only some of the rows were read."""
        return self.values if self.is_whole else {}

    def add(self, layer: Layer, rows: Rows, batch: pa.RecordBatch) -> None:
        for each in layer.categories:
            if each.name in rows.fields:
                self.values.setdefault(each.name, set()).update(filter(None, batch.column(each.name).unique().to_pylist()))


def _files(layer: Layer, settings: Settings, seen: Seen) -> Iterator[str]:
    """What the first rows of each file of `[ingest] from` tell; addresses on the web are not asked."""
    names = [name for name in layer.ingest.from_ if not is_address(name)]
    seen.is_whole = len(names) == len(layer.ingest.from_) > 0
    for name in names:
        try:
            for source in fetch([name], settings.layers, layer):
                yield from _file(layer, source, seen)
        except IngestError as error:
            seen.is_whole = False
            yield f"ingest: {error}"


def _file(layer: Layer, source: Source, seen: Seen) -> Iterator[str]:
    parts = list(islice(ingest.READERS[source.format](layer, source), 2))
    seen.is_whole = seen.is_whole and len(parts) < 2
    if not parts:
        return
    rows = parts[0]
    if absent := [name for name in layer.fields if name not in rows.fields]:
        yield f"fields: no column in {source.name} for {', '.join(absent)}; correct the names, or say under [ingest] rename"
    cleaned = clean(layer, rows)
    seen.add(layer, rows, cleaned.batch)
    if cleaned.rejected and not cleaned.batch.num_rows and not isinstance(rows.position, Keys):
        count, reason = len(cleaned.rejected), cleaned.rejected[0][1]
        yield f"ingest would reject all of the first {count:,} rows of {source.name}: {reason}: {advice(layer, reason)}"


def _stored(layer: Layer, settings: Settings) -> Iterator[str]:
    """Whether the rows of a folder store fit the layer; a database is not asked, so that a check needs none."""
    if layer.sql or settings.store.startswith(("postgresql://", "postgres://")):
        return
    try:
        with open_store(settings.store) as store:
            if isinstance(store, FolderStore) and store.state(layer):
                next(iter(store.read(layer)), None)
    except StoreError as error:
        yield str(error).removeprefix(f"layer {layer.id}: ")


def _withheld(layer: Layer, settings: Settings) -> Iterator[str]:
    """The values that `[privacy] include` held back at the last ingest, for whoever decides whether they should be."""
    path = settings.snapshots / layer.id / revisions.LEDGER
    withheld = orjson.loads(path.read_bytes()).get("withheld", {}) if path.exists() else {}
    for name, counts in withheld.items():
        for value, count in counts.items():
            yield f"withheld by privacy.include: {name} = {value} ({count:,} rows)"


def _alike(layer: Layer) -> Iterator[str]:
    """Values that readers cannot tell apart."""
    for each in layer.categories:
        labelled: dict[str, list[str]] = {}
        for value, label in each.labels.items():
            labelled.setdefault(label, []).append(value)
        for label, values in labelled.items():
            if len(values) > 1:
                yield (
                    f'fields.{each.name}.labels: {" and ".join(values)} are both "{label}", in two entries of the legend; labels '
                    "do not merge values: give each its own label, or the rows one value"
                )


def _absent(layer: Layer, values: Values) -> Iterator[str]:
    """The values in the layer file that no row has: perhaps they are written in another way."""
    named = [("privacy.include", name, value) for name, given in layer.privacy.include.items() for value in given]
    named += [("default_filter", name, value) for name, value in default_items(layer)]
    for each in layer.categories:
        for key, given in (("labels", each.labels), ("descriptions", each.descriptions)):
            named += [(f"fields.{each.name}.{key}", each.name, value) for value in given]
    for language, translation in layer.translations.items():
        for name, told in translation.fields.items():
            named += [(f"translations.{language}.fields.{name}.labels", name, value) for value in told.labels]
    for key, name, value in named:
        if value and values.get(name) and value not in values[name]:
            yield f'{key}: no row has {name} = "{value}"'


def _revealing(layer: Layer, snapshot: Snapshot | None) -> Iterator[str]:
    """Published fields that tell the exact position which `snap_meters` is to hide."""
    if layer.privacy.snap_meters is None or not layer.shows_rows:
        return
    positions = {letters(name) for name in (layer.ingest.x, layer.ingest.y, layer.ingest.geometry) if name}
    sources = {field: letters(column) for column, field in layer.ingest.rename.items()}
    for each in layer.fields.values():
        column = sources.get(each.name, letters(each.name))
        by_name = column in positions or not COORDINATES.isdisjoint(column.split("_"))
        if each.role == "attribute" and each.type != "datetime" and (by_name or _is_coordinate(layer, each.name, snapshot)):
            yield (
                f"fields.{each.name}: seems to hold the exact position that privacy.snap_meters is to hide, and is published; "
                "remove the field"
            )


def _is_coordinate(layer: Layer, name: str, snapshot: Snapshot | None) -> bool:
    """Whether a number is about the longitude or the latitude of nearly all rows that have both."""
    if snapshot is None or not snapshot.positioned or layer.fields[name].type not in NUMERIC:
        return False
    rows = np.unique(np.linspace(0, snapshot.positioned - 1, MOST_SAMPLED).astype(np.int64))
    numbers = snapshot.columns[name].arrow(rows).cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    near = (layer.privacy.snap_meters or 0) / DEGREE
    has = np.isfinite(numbers)
    for degrees, stretch in zip(snapshot.degrees(rows), (2.0, 1.0), strict=True):  # a degree of longitude is the shorter one
        if has.sum() >= 10 and (np.abs(numbers - degrees)[has] <= near * stretch).mean() > 0.9:
            return True
    return False

"""The read model: the ordered, columnar, read-only copy of one layer at one revision. Every answer is made from it.

`build.py` writes it, `order.py` tells in which order, `columns.py` knows its files, `select.py` finds rows, `cells.py` groups
them, `tile.py` draws them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from tileserver import times
from tileserver.catalog import Catalog, Layer
from tileserver.errors import NotFound, SnapshotError, Unavailable
from tileserver.revisions import Current, Revisions, is_troubled
from tileserver.snapshot import columns
from tileserver.snapshot.columns import CategoryColumn, Column, Entry, IntegerColumn, Rows
from tileserver.snapshot.detail import MOST_MEMBERS
from tileserver.snapshot.mercator import WORLD, degrees
from tileserver.snapshot.morton import morton
from tileserver.snapshot.order import Leaves
from tileserver.snapshot.outlines import Outlines
from tileserver.snapshot.rendered import Rendered

FORMAT = 3
"""Moves whenever the files, or what is drawn from them, change: then old snapshots are built anew."""


KEY = ".key"
"""The file, in a layer's folder, of the key that its revisions are hashed with where its rows are not published."""

DRAFT = ".draft-"
"""How the name of a folder begins in which a snapshot is still being written."""


def definition(layer: Layer) -> str:
    """A short name for what a snapshot depends on of a layer file: not its titles and labels, nor how files are read."""
    fields = [(field.name, field.role, field.type, field.measure) for field in layer.fields.values()]
    rules = layer.privacy.model_dump(mode="json")
    parts = [
        FORMAT,
        layer.id,
        layer.kind,
        layer.position,
        layer.publish,
        layer.timezone,
        layer.sql or layer.table_name,
        fields,
        layer.tiles.model_dump(),
        rules,
    ]
    return digest(orjson.dumps(parts))


def digest(content: bytes, key: bytes = b"") -> str:
    return hashlib.blake2b(content, digest_size=8, key=key).hexdigest()


def revision_of(layer: Layer, manifest: bytes, home: Path) -> str:
    """The revision that a manifest is of. Of rows that nobody may see it is a hash with a secret, else whoever guesses the rows
    could make sure of it.

    Raises:
        OSError: there is no secret in the layer's folder.
    """
    return digest(manifest) if layer.shows_rows else digest(manifest, (home / KEY).read_bytes())


class Snapshot:
    """One layer at one revision, over mapped files. Rows with a position come first, in the order that `order.py` tells.

    Positions are in world units: uint32 over the whole Web Mercator square, x to the east, y to the south.
    """

    def __init__(self, layer: Layer, folder: Path) -> None:
        """Raises SnapshotError if a file is missing or not the one that was written, or if another server version wrote it."""
        self.layer = layer
        self.revision = folder.name
        manifest = folder / "manifest.json"
        try:
            self._manifest_file = manifest, _stamp(manifest)
            content = manifest.read_bytes()
            if not folder.name.startswith(DRAFT) and revision_of(layer, content, folder.parent) != folder.name:
                raise SnapshotError(f"{manifest}: damaged: its checksum is not the name of its folder")
            self.manifest: dict[str, Any] = orjson.loads(content)
        except (OSError, orjson.JSONDecodeError) as error:
            raise SnapshotError(f"{manifest}: missing or damaged") from error
        if self.manifest.get("format") != FORMAT:
            raise SnapshotError(f"{folder}: written by another version of the server")
        if self.manifest.get("layer") != layer.id:
            raise SnapshotError(f"{folder}: the snapshot of another layer")
        arrays = {name: columns.map_array(folder, entry) for name, entry in self.manifest["arrays"].items()}
        leaves = {name: columns.map_array(folder, entry) for name, entry in self.manifest["leaves"].items()}
        self.rows: int = self.manifest["rows"]
        self.positioned: int = self.manifest["positioned"]
        self.x: NDArray[np.uint32] = arrays["x"]
        self.y: NDArray[np.uint32] = arrays["y"]
        self.west, self.north, self.east, self.south = (arrays.get(side, arrays[axis]) for side, axis in _BOX)
        self.leaves = Leaves(leaves["codes"], leaves["levels"], leaves["bounds"].reshape(-1, self.manifest["groups"] + 2))
        self.sums: Mapping[str, NDArray[Any]] = {
            name: columns.map_array(folder, entry) for name, entry in self.manifest["sums"].items()
        }
        """Prefix sums of `.x`, `.y` and the measures, shape (positioned + 1,): those of numbers in whole ten-thousandths."""
        self.columns: Mapping[str, Column] = {
            name: columns.open_column(folder, entry) for name, entry in self.manifest["columns"].items()
        }
        self.feature_ids: NDArray[np.uint64] = arrays["feature_ids"] if "feature_ids" in arrays else self._ids_themselves()
        self._geometry = columns.open_column(folder, self.manifest["geometry"]) if "geometry" in self.manifest else None
        self.rendered = Rendered.open(folder, self.manifest["rendered"]) if "rendered" in self.manifest else None
        self.outlines = Outlines.open(folder, self.manifest["outlines"]) if "outlines" in self.manifest else None
        """Of areas and shapes."""
        self.counts: dict[object, object] = {}
        """What `select.count` has counted here."""

    def was_replaced(self) -> bool:
        """Whether its files are no longer those in its place: it was damaged, and another one was built of the same rows."""
        manifest, stamp = self._manifest_file
        try:
            return _stamp(manifest) != stamp
        except OSError:
            return False

    def _ids_themselves(self) -> NDArray[np.uint64]:
        column = self.columns[self.layer.id_name]
        if not isinstance(column, IntegerColumn):
            raise SnapshotError(f"{self.layer.id}: the snapshot has no ids of features")
        return column.values.view(np.uint64)

    def files(self) -> Iterator[Entry]:
        """What the manifest says of each file."""
        holders = [*self.manifest["columns"].values(), *([self.manifest["geometry"]] if "geometry" in self.manifest else [])]
        yield from self.manifest["arrays"].values()
        yield from self.manifest["leaves"].values()
        yield from self.manifest["sums"].values()
        yield from self.manifest.get("rendered", {}).values()
        yield from self.manifest.get("outlines", {}).values()
        for holder in holders:
            yield from holder["files"].values()

    @property
    def leading(self) -> str | None:
        """The category that the rows of a leaf are ordered by."""
        name: str | None = self.manifest["category"]
        return name

    @property
    def by_time(self) -> bool:
        """Whether the rows of each group of a leaf are in the order of their times."""
        return self.layer.is_points and self.layer.time_field is not None

    @property
    def groups(self) -> int:
        """How many of its values have a run of their own in each leaf: the codes below this."""
        groups: int = self.manifest["groups"]
        return groups

    def codes(self, rows: Rows) -> NDArray[np.uint64]:
        """The Morton codes of rows with a position, shape (k,)."""
        return morton(self.x[rows], self.y[rows])

    def members_shown(self, zoom: int) -> int:
        """k(zoom): up to how many members a cell shows as they are, at a zoom of the layer."""
        shown: int = self.manifest["members_shown"][zoom - self.layer.tiles.minzoom]
        return shown

    @property
    def detail_zoom(self) -> int:
        """From this zoom on tiles hold the rows as they are, but for crowded cells."""
        shown: list[int] = self.manifest["members_shown"]
        return self.layer.tiles.minzoom + next((step for step, most in enumerate(shown) if most == MOST_MEMBERS[0]), len(shown) - 1)

    @property
    def extent(self) -> tuple[float, float, float, float] | None:
        """West, south, east, north in degrees; None without any position."""
        extent = self.manifest["extent"]
        return tuple(extent) if extent else None

    @cached_property
    def initial_extent(self) -> tuple[float, float, float, float] | None:
        """What a first view of the layer holds: of the extent what is within the middle 98 % of the rows along each axis and a
        quarter of that width on both sides, so that a few wrong positions do not leave most of the view empty. None without any."""
        if self.extent is None:
            return None
        rows = np.linspace(0, self.positioned - 1, min(self.positioned, MOST_SAMPLED)).astype(np.int64)  # spread as all are
        x, y = _bulk(self.west[rows], self.east[rows]), _bulk(self.north[rows], self.south[rows])
        (west, east), (north, south) = (side.tolist() for side in degrees(np.array(x, np.uint32), np.array(y, np.uint32)))
        return max(self.extent[0], west), max(self.extent[1], south), min(self.extent[2], east), min(self.extent[3], north)

    @property
    def time_range(self) -> tuple[int, int] | None:
        """The first and the last instant; None without any."""
        field = self.layer.time_field
        if field is None or (entry := self.manifest["columns"][field.name])["min"] is None:
            return None
        return entry["min"], entry["max"]

    def category(self, name: str) -> CategoryColumn:
        column = self.columns[name]
        if not isinstance(column, CategoryColumn):
            raise TypeError(f"{name} is no category of {self.layer.id}")
        return column

    def values(self, name: str) -> tuple[tuple[str, int], ...]:
        """The values of a category with their counts, the most frequent first."""
        entry = self.manifest["columns"][name]
        return tuple(zip(entry["values"], entry["counts"], strict=True))

    def degrees(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitudes and latitudes of rows with a position, shape (k,) each."""
        return degrees(self.x[rows], self.y[rows])

    def wkb(self, rows: Rows) -> pa.Array:
        """The geometries of rows of a layer of areas or shapes, in degrees; empty bytes without position."""
        if self._geometry is None:
            raise TypeError(f"{self.layer.id} holds points; their positions are x and y")
        return self._geometry.arrow(rows)

    @cached_property
    def widest(self) -> NDArray[np.uint32]:
        """The longer side of each shape's box in world units, shape (positioned,)."""
        longer: NDArray[np.uint32] = np.maximum(self.east - self.west, self.south - self.north)
        return longer


def _bulk(low: NDArray[np.uint32], high: NDArray[np.uint32]) -> tuple[int, int]:
    """The middle 98 % along one axis, wider by half: of rows that reach from `low` to `high`, shape (n,) each. World units."""
    few = len(low) // 100
    first, last = int(np.partition(low, few)[few]), int(np.partition(high, -few - 1)[-few - 1])
    return max(first - (last - first) // 4, 0), min(last + (last - first) // 4, WORLD - 1)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


_BOX = (("west", "x"), ("north", "y"), ("east", "x"), ("south", "y"))
"""The sides of a row's box; those of a point are its position."""


MOST_SAMPLED = 4_096
"""Rows that tell where the bulk of them is."""

MOST_OPENED = 1_000
"""Revisions remembered by a process that has opened them."""


class Live:
    """The catalog with what is live of it: what every request works on."""

    def __init__(self, catalog: Catalog, revisions: Revisions) -> None:
        self.catalog = catalog
        self._revisions = revisions
        self._open: dict[str, Snapshot] = {}
        self._opened: dict[str, None] = {}
        self._last: dict[str, Current] = {}
        self._definitions = {id: definition(layer) for id, layer in catalog.items()}
        for id in catalog:
            self._look(id)

    @property
    def folder(self) -> Path:
        """Of the snapshots; each layer has a folder of its own in it."""
        return self._revisions.folder

    def layer(self, id: str) -> Layer:
        """Raises NotFound; the id is not told back."""
        layer = self.catalog.get(id)
        if layer is None:
            raise NotFound("There is no such layer. /layers lists those there are.")
        return layer

    def published(self, id: str) -> Layer:
        """The layer, where its rows may leave: what is drawn, listed or downloaded is asked for here.

        Raises:
            NotFound: there is no such layer, or only its counts are published.
        """
        layer = self.layer(id)
        if not layer.shows_rows:
            raise NotFound(f"Only counts of this layer are published, at /count/{layer.id}: no tiles, rows or downloads.")
        return layer

    def all_published(self) -> Iterator[Layer]:
        """The layers whose rows may leave, in the order of their ids."""
        return (layer for layer in self.catalog.values() if layer.shows_rows)

    def _look(self, id: str) -> bool:
        """Whether what is live is made for the layer file as this process has read it; then it is remembered."""
        current = self._revisions.current(id)
        fits = current is not None and current.definition == self._definitions[id]
        if current is not None and fits:
            self._last[id] = current
        return fits

    def current(self, layer: Layer) -> Current:
        """The last that was live of those made for its layer file as this process has read it: an edited one counts from the next
        start on. Raises Unavailable as long as there is none."""
        if self._look(layer.id):
            return self._last[layer.id]
        last = self._last.get(layer.id)
        if last is not None and self._is_there(layer.id, last.revision):
            return last
        if is_troubled(self.folder, layer.id):
            raise Unavailable(f"The layer {layer.id} cannot be prepared. The server's log tells its operator why.")
        raise Unavailable(f"The layer {layer.id} is being prepared. Try again in a moment.")

    def snapshot(self, layer: Layer, current: Current | None = None) -> Snapshot:
        """The layer's live snapshot, or that of the revision which the caller has begun to answer with.

        Raises:
            Unavailable: there is none, or it is damaged and the indexer has not yet built it anew.
        """
        current = current or self.current(layer)
        try:
            return self._mapped(layer, current.revision)
        except SnapshotError as error:
            raise Unavailable(f"The layer {layer.id} is being prepared. Try again in a moment.") from error

    def kept(self, layer: Layer, revision: str) -> Snapshot | None:
        """The snapshot of a revision that is live no more; None once it is gone, or if it was made for another layer file."""
        # What `forget` deleted is gone at once, though this process may have its files mapped.
        if not self._is_there(layer.id, revision):
            return None
        try:
            snapshot = self._mapped(layer, revision)
        except SnapshotError:
            return None
        return snapshot if snapshot.manifest["definition"] == self._definitions[layer.id] else None

    def _is_there(self, id: str, revision: str) -> bool:
        return (self.folder / id / revision / "manifest.json").exists()

    def _mapped(self, layer: Layer, revision: str) -> Snapshot:
        """Raises SnapshotError if it cannot be served."""
        snapshot = self._open.get(revision)
        if snapshot is None:
            snapshot = self._open[revision] = Snapshot(layer, self._revisions.folder / layer.id / revision)
            self._opened[revision] = None
        return snapshot

    def replaced(self) -> set[str]:
        """The revisions that this process has opened and that are served no more, or were built anew; it closes their snapshots."""
        for id in self.catalog:
            self._look(id)
        live = {current.revision for id, current in self._last.items() if self._is_there(id, current.revision)}
        anew = {revision for revision, snapshot in self._open.items() if snapshot.was_replaced()}
        self._open = {revision: snapshot for revision, snapshot in self._open.items() if revision in live - anew}
        self._opened = dict.fromkeys(list(self._opened)[-MOST_OPENED:])
        return (self._opened.keys() - live) | anew

    def complete_through(self, layer: Layer) -> int:
        """Up to which instant the layer's data are complete: its newest time, or the last publish less its lag, if earlier.

        Of a layer of counts the begin of that day, since the newest time is that of one row.
        """
        published = self.current(layer).published_at - int(layer.lag_period.total_seconds()) * times.SECOND
        span = self.snapshot(layer).time_range
        complete = min(span[1], published) if span else published
        return complete if layer.shows_rows else times.day_begin(complete, layer.zone)

    def waiting(self) -> Iterator[str]:
        """The layers without such a snapshot."""
        for id, wanted in self._definitions.items():
            current = self._revisions.current(id)
            if current is None or current.definition != wanted:
                yield id

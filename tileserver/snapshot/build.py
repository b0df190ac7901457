"""Rows of a store → one snapshot: admit → order → write. Only batch processes build, never a web worker."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from tqdm import tqdm

from tileserver import privacy, revisions
from tileserver.catalog import GEOMETRY, Layer
from tileserver.errors import SnapshotError
from tileserver.forgotten import Forgotten
from tileserver.snapshot import FORMAT, Snapshot, columns, definition, digest
from tileserver.snapshot.cells import members_shown
from tileserver.snapshot.mercator import quantize, quantize_sides
from tileserver.snapshot.morton import morton

KEY = ".key"
"""The file, in a layer's folder, of the key that its revisions are hashed with where its rows are not published."""

SNAPSHOT = re.compile(r"[0-9a-f]{16}|\.draft-.*")
"""The names of the folders of snapshots, finished or not. Others beside them belong to the layer's ingests."""

FEATURE_ID_LIMIT = 2**53
"""MVT feature ids stay below this, where JavaScript's numbers are exact."""


def build(layer: Layer, batches: Iterable[pa.RecordBatch], folder: Path, *, progress: bool = False) -> str:
    """Write the snapshot of a layer below `folder` and return its revision; nothing is live until `revisions.move`.

    The same rows under the same definition give the same revision and the same bytes, in whatever order they come.
    """
    home = revisions.home(folder, layer.id)
    rows = _admitted(layer, batches, home, progress=progress)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=home))
    try:
        manifest = _write(layer, rows, draft) | {"definition": definition(layer), "format": FORMAT}
        revision = _name(layer, manifest, home)
        revisions.replace(draft / "manifest.json", orjson.dumps(manifest))
        draft.chmod(0o755)
        if not is_whole(layer, home / revision):
            _put(draft, home / revision)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return revision


def _name(layer: Layer, manifest: dict[str, Any], home: Path) -> str:
    """The revision that a manifest stands for. Of rows that nobody may see it is a hash with a secret, else whoever guesses the
    rows could make sure of it."""
    content = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)
    if layer.shows_rows:
        return digest(content)
    path = home / KEY
    if not path.exists():
        revisions.replace(path, secrets.token_bytes(32), mode=0o600)
    return hashlib.blake2b(content, digest_size=8, key=path.read_bytes()).hexdigest()


def is_whole(layer: Layer, folder: Path) -> bool:
    """Whether a snapshot can be served: every file is there and of its size."""
    try:
        Snapshot(layer, folder)
    except SnapshotError:
        return False
    return True


def _put(draft: Path, place: Path) -> None:
    """Move a finished snapshot to its place, where a damaged one may be in the way."""
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=place.parent) as aside:
        if place.exists():
            place.replace(Path(aside) / place.name)
        draft.replace(place)
    revisions.sync_folder(place.parent)


def sweep(folder: Path, layer: Layer, keep: set[str]) -> None:
    """Delete a layer's snapshots but those to keep, and drafts that a killed build left. Mapped files stay readable."""
    for old in (folder / layer.id).iterdir():
        if SNAPSHOT.fullmatch(old.name) and old.name not in keep:
            shutil.rmtree(old, ignore_errors=True)


def _admitted(layer: Layer, batches: Iterable[pa.RecordBatch], home: Path, *, progress: bool) -> pa.Table:
    """The rows that privacy lets through. How many it holds back is not told: the revision, a hash of the files, would tell it."""
    kept: list[pa.RecordBatch] = []
    forgotten = Forgotten.read(home)
    with tqdm(desc=f"{layer.id}: snapshot", unit=" rows", unit_scale=True, disable=not progress) as bar:
        for batch in batches:
            kept.append(forgotten.hold_back(layer, privacy.admit(layer, batch).batch))
            bar.update(batch.num_rows)
    return pa.Table.from_batches(kept, layer.schema)


@dataclass(frozen=True, slots=True)
class Positions:
    """Where rows are, in world units (uint32 over the whole Mercator square), shape (n,); zeros where there is none."""

    known: NDArray[np.bool_]
    x: NDArray[np.uint32]
    y: NDArray[np.uint32]
    box: dict[str, NDArray[np.uint32]]
    """`west`, `north`, `east`, `south` of shapes; empty for points."""
    extent: tuple[float, float, float, float] | None
    """West, south, east, north in degrees."""


def _positions(layer: Layer, geometries: NDArray[np.object_]) -> Positions:
    known = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    west, south, east, north = shapely.bounds(geometries[known]).T.reshape(4, -1)
    if layer.is_points:
        x, y = quantize(west, south)
        box = {}
    else:
        box = dict(
            zip(("west", "north", "east", "south"), (*quantize_sides(west, north), *quantize_sides(east, south)), strict=True)
        )
        x, y = _anchors(layer, geometries[known], box)
    spread = {name: _spread(known, values) for name, values in {"x": x, "y": y, **box}.items()}
    extent = (float(west.min()), float(south.min()), float(east.max()), float(north.max())) if known.any() else None
    return Positions(known, spread.pop("x"), spread.pop("y"), spread, extent)


def _anchors(
    layer: Layer, geometries: NDArray[np.object_], box: dict[str, NDArray[np.uint32]]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The point that stands for a shape: inside an area, so that a label fits there; the middle of its box for others."""
    if layer.kind == "areas":
        inside = shapely.point_on_surface(geometries)
        return quantize(shapely.get_x(inside), shapely.get_y(inside))
    middle_x = (box["west"].astype(np.uint64) + box["east"]) // 2
    middle_y = (box["north"].astype(np.uint64) + box["south"]) // 2
    return middle_x.astype(np.uint32), middle_y.astype(np.uint32)


def _spread(known: NDArray[np.bool_], values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    full = np.zeros(len(known), np.uint32)
    full[known] = values
    return full


def _write(layer: Layer, rows: pa.Table, folder: Path) -> dict[str, Any]:
    """Write every file of a snapshot but the manifest, and return what the manifest says of them."""
    geometries = shapely.from_wkb(rows[GEOMETRY].to_numpy(zero_copy_only=False))
    place = _positions(layer, geometries)
    code = morton(place.x, place.y)
    order = _order(rows[layer.id_name], place.known, code)
    positioned = int(place.known.sum())
    drawn = order[:positioned]
    rows = rows.take(pa.array(order)).combine_chunks()

    arrays: dict[str, NDArray[Any]] = {
        "x": place.x[drawn],
        "y": place.y[drawn],
        "morton": code[drawn],
        "feature_ids": feature_ids(rows[layer.id_name]),
    }
    arrays |= {name: values[drawn] for name, values in place.box.items()}
    manifest: dict[str, Any] = {
        "layer": layer.id,
        "rows": rows.num_rows,
        "positioned": positioned,
        "extent": place.extent and [round(degree, 7) for degree in place.extent],
        "members_shown": members_shown(arrays["morton"], range(layer.tiles.minzoom, layer.tiles.maxzoom + 1)),
        "arrays": {name: columns.write_array(folder, name, values) for name, values in arrays.items()},
        "columns": {name: columns.write(folder, f"field.{name}", _one(rows[name]), layer.fields[name]) for name in layer.fields},
    }
    if layer.id_field is None:
        manifest["columns"]["id"] = {
            "kind": "integer",
            "files": {"values": columns.write_array(folder, "field.id.values", _one(rows["id"]).to_numpy())},
        }
    if not layer.is_points:
        content = pc.fill_null(_one(rows[GEOMETRY]), b"").cast(pa.large_binary())
        manifest["geometry"] = {"kind": "bytes", **columns.write_spans(folder, "geometry", content)}
    return manifest


def _order(ids: pa.ChunkedArray, known: NDArray[np.bool_], code: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows with a position first, in Morton order, equal places by id; then those without, by id. Shape (n,)."""
    by_id: NDArray[np.int64] = pc.sort_indices(ids).to_numpy().astype(np.int64)
    return by_id[np.lexsort((code[by_id], ~known[by_id]))]


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def feature_ids(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """The MVT feature id of each row, shape (n,): an id that is a natural number as it is, any other one hashed to 53 bits."""
    if pa.types.is_integer(ids.type):
        numbers: NDArray[np.int64] = ids.to_numpy()
        if not len(numbers) or (numbers.min() >= 0 and numbers.max() < FEATURE_ID_LIMIT):
            return numbers.astype(np.uint64)
    hashed = (hashlib.blake2b(str(id).encode(), digest_size=8).digest() for id in ids.to_pylist())
    return np.frombuffer(b"".join(hashed), "<u8") % FEATURE_ID_LIMIT

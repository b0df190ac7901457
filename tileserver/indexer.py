"""Keeps the snapshots as new as the store: the one process that builds while the server runs, beside the commands."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tileserver import catalog, revisions, times
from tileserver.catalog import Layer
from tileserver.catalog.values import length
from tileserver.errors import SnapshotError, TileserverError
from tileserver.revisions import Current
from tileserver.settings import Settings
from tileserver.snapshot import definition
from tileserver.snapshot.build import SNAPSHOT, build, is_sound, is_whole, sweep
from tileserver.stores import State, Store, open_store

log = logging.getLogger("tileserver.indexer")

LOOK_EVERY = 1.0
"""Seconds between two looks at the store."""

CHECK_EVERY = 10.0
"""Seconds between two looks at whether the files of a snapshot are all there, each the one that was written."""

READ_EVERY = 600.0
"""Seconds between two readings of all of a snapshot's files, which find what a disk has changed since."""

EXPIRE_EVERY = 600.0
"""Seconds between two looks at whether what is kept of a layer has grown too old."""

NO_TABLE = -1

Check = Literal["", "look", "read"]


def refresh(
    layer: Layer, store: Store, settings: Settings, *, reread: bool = False, check: Check = "", progress: bool = False
) -> Current:
    """Make the layer's snapshot match the store, if it does not, and return what is live now.

    Of a table that others fill the store cannot tell whether it changed: it is read again only with `reread`. Then, or with the
    check `read`, every file of the snapshot is read and compared with its checksum; `look` is at their sizes and their ends.

    Raises:
        StoreError: the store cannot be read; what was live stays live.
    """
    folder = settings.snapshots
    with revisions.one_builder(folder, layer.id):
        state = store.state(layer)
        if state is None and reread:
            log.warning("%s: the store has no table of it yet; ingest the layer, or correct its table", layer.id)
        current = _current(layer, folder)
        doubtful = reread and state is not None and state.published_at is None
        check = "read" if reread else check
        is_built = current is None or _outdated(layer, current, state) or doubtful or _damaged(layer, current, settings, check)
        if current is None or is_built:
            revision = build(layer, store.read(layer) if state else (), folder, progress=progress)
        elif state is None or state.published_at is None or times.to_instant(state.published_at) == current.published_at:
            return current
        else:
            revision = current.revision
        live = Current(revision, definition(layer), state.revision if state else NO_TABLE, _published_at(state))
        revisions.move(folder, layer.id, live)
        if current and current.revision != revision:
            with suppress(FileNotFoundError):
                os.utime(folder / layer.id / current.revision)  # its time of being replaced, for `expire`
        if is_built:
            sweep(folder, layer, keep={revision, current.revision if current else revision})
        return live


def expire(layer: Layer, store: Store, settings: Settings) -> None:
    """Delete what is older than the layer's retention: replaced snapshots, replaced rows of the store, the list of rejects.

    Raises:
        StoreError: the store cannot be written.
    """
    before = datetime.now(UTC) - length(layer.privacy.retention)
    with revisions.one_builder(settings.snapshots, layer.id):
        current = revisions.read(settings.snapshots, layer.id)
        live = current.revision if current else ""
        for path in revisions.home(settings.snapshots, layer.id).iterdir():
            is_replaced = path.name == revisions.REJECTS or (SNAPSHOT.fullmatch(path.name) and path.name != live)
            if is_replaced and path.stat().st_mtime < before.timestamp():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    store.expire(layer, before)


def _current(layer: Layer, folder: Path) -> Current | None:
    """What is live; None if nothing is, or nobody can tell."""
    try:
        return revisions.read(folder, layer.id)
    except SnapshotError as error:
        log.warning("%s; building the snapshot anew", error)
        return None


def _outdated(layer: Layer, current: Current, state: State | None) -> bool:
    return current.definition != definition(layer) or current.store_revision != (state.revision if state else NO_TABLE)


def _damaged(layer: Layer, current: Current, settings: Settings, check: Check) -> bool:
    folder = settings.snapshots / layer.id / current.revision
    damaged = (check == "read" and not is_sound(layer, folder)) or (check == "look" and not is_whole(layer, folder))
    if damaged:
        log.warning("%s: the snapshot %s is damaged; building it anew", layer.id, current.revision)
    return damaged


def _published_at(state: State | None) -> int:
    if state is not None and state.published_at is not None:
        return times.to_instant(state.published_at)
    return time.time_ns() // 1_000


def _due(done: dict[tuple[str, str], float], layer: Layer, work: str, every: float) -> bool:
    """Whether it is time for a layer's work; then it counts as done."""
    now = time.monotonic()
    due = now - done.get((layer.id, work), -every) >= every
    if due:
        done[layer.id, work] = now
    return due


def _mark(layer: Layer, settings: Settings, *, troubled: bool) -> None:
    """Tell the processes that answer whether the layer's snapshot can be made."""
    with suppress(OSError):  # a folder that cannot be written is the trouble that the log tells of
        mark = revisions.home(settings.snapshots, layer.id) / revisions.TROUBLE
        if troubled != mark.exists():
            mark.touch(0o600) if troubled else mark.unlink(missing_ok=True)


def _is_edited(layer: Layer, settings: Settings) -> bool:
    """Whether the layer file no longer says what this process has read."""
    try:
        return definition(catalog.load_layer(settings.layers / f"{layer.id}.toml")) != definition(layer)
    except (TileserverError, OSError):
        return True


def run(settings: Settings, parent: int) -> None:
    """Look at every layer again and again, as long as the process that started this one lives."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that what this process holds is given back
    layers = catalog.load(settings.layers)
    fresh = set(layers)
    done: dict[tuple[str, str], float] = {}
    said: dict[str, str] = {}
    store: Store | None = None
    while os.getppid() == parent:
        for layer in layers.values():
            try:
                store = store or open_store(settings.store)
                check: Check = ""
                if _due(done, layer, "look", CHECK_EVERY):
                    check = "read" if _due(done, layer, "read", READ_EVERY) else "look"
                refresh(layer, store, settings, reread=layer.id in fresh, check=check)
                fresh.discard(layer.id)
                if _due(done, layer, "expire", EXPIRE_EVERY):
                    expire(layer, store, settings)
                said.pop(layer.id, None)
                _mark(layer, settings, troubled=False)
            except (TileserverError, OSError) as error:
                if said.get(layer.id) != str(error):
                    edited = "its layer file was edited since the server was started; restart the server. As it is now: "
                    log.warning("%s: %s%s", layer.id, edited if _is_edited(layer, settings) else "", error)
                    said[layer.id] = str(error)
                _mark(layer, settings, troubled=True)
                if store is not None:
                    store.close()
                    store = None
        time.sleep(LOOK_EVERY)

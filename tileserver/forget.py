"""Expunge records: from the store, the snapshots, and whatever an ingest has left of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa

from tileserver import indexer, revisions
from tileserver.catalog import Layer
from tileserver.errors import ConfigError, ForeignRows
from tileserver.forgotten import Forgotten
from tileserver.settings import Settings
from tileserver.snapshot.build import sweep
from tileserver.stores import Store
from tileserver.stores.store import Id


@dataclass(frozen=True, slots=True)
class Outcome:
    removed: int
    """Rows of the store."""
    unknown: tuple[Id, ...]
    """Ids that no row of the store had; they are held back from now on all the same."""
    kept_by: str
    """Why the store keeps its rows, in words; empty where it does not."""

    def in_words(self, layer: Layer) -> str:
        if self.kept_by:
            return f"{layer.id}: shown no more and kept out from now on, but not gone: {self.kept_by}."
        sentences = [f"{layer.id}: {self.removed:,} {'record' if self.removed == 1 else 'records'} forgotten."]
        if self.unknown:
            # Not as a command to copy: an id may hold what a shell takes for something else.
            sentences.append(
                f"Not there, and kept out should they come: {', '.join(map(str, self.unknown))}. "
                f"If that was a slip: the same command with --undo."
            )
        return " ".join(sentences)


def ids_of(layer: Layer, texts: Iterable[str]) -> list[Id]:
    """The ids that a command was given, each once, in the type of the layer's ids.

    Raises:
        ConfigError: one of them can be no id of this layer.
    """
    unique = dict.fromkeys(texts)
    if not pa.types.is_integer(layer.schema.field(layer.id_name).type):
        return list(unique)
    if not all(re.fullmatch("-?[0-9]{1,18}", text) for text in unique):
        raise ConfigError(f"the ids of {layer.id} are whole numbers; one of those given is none")
    return [int(text) for text in unique]


def forget(layer: Layer, ids: Sequence[Id], store: Store, settings: Settings) -> Outcome:
    """Remove records for good, and keep them from coming back.

    The order matters: an ingest that begins meanwhile finds the ids listed, and a run that is killed is completed by another.

    Raises:
        StoreError, SnapshotError: what could not be done; the ids are held back from ingests and new snapshots already.
    """
    home = revisions.home(settings.snapshots, layer.id)
    with revisions.one_builder(settings.snapshots, layer.id):
        Forgotten.read(home).with_ids(ids).write(home)
    kept_by = ""
    try:
        removed = store.forget(layer, ids)
    except ForeignRows as error:
        removed, kept_by = set(ids), str(error)
    _clear(home)
    live = indexer.refresh(layer, store, settings, reread=True)
    with revisions.one_builder(settings.snapshots, layer.id):
        sweep(settings.snapshots, layer, keep={live.revision})
    return Outcome(0 if kept_by else len(removed), tuple(id for id in ids if id not in removed), kept_by)


def undo(layer: Layer, ids: Sequence[Id], settings: Settings) -> str:
    """Let records of these ids in again, and say so; what was removed comes back only with the next ingest of a file that has it.

    Raises:
        SnapshotError: the list of the forgotten is damaged.
    """
    home = revisions.home(settings.snapshots, layer.id)
    with revisions.one_builder(settings.snapshots, layer.id):
        before = Forgotten.read(home)
        after = before.without_ids(ids)
        if after != before:
            after.write(home)
    count = len(before.hashes) - len(after.hashes)
    told = f"{layer.id}: {count:,} {'id is' if count == 1 else 'ids are'} no longer kept out"
    return f"{told}; ingest a file that has the records to bring them back." if count else f"{told}: those given were not."


def _clear(home: Path) -> None:
    """What ingests have left: rejected lines, values and reasons, and what was fetched of feeds, which are read anew."""
    (home / revisions.REJECTS).unlink(missing_ok=True)
    shutil.rmtree(home / revisions.FEED, ignore_errors=True)
    path = home / revisions.LEDGER
    if path.exists():
        sums = {key: {} if isinstance(value, dict) else value for key, value in orjson.loads(path.read_bytes()).items()}
        revisions.replace(path, orjson.dumps(sums), mode=0o600)

"""Records that are to stay gone: which ids were forgotten, so that a file that still holds them does not bring them back."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from tileserver import revisions
from tileserver.catalog import Layer
from tileserver.errors import SnapshotError
from tileserver.stores.store import Id

FILE = "forgotten.json"
HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The forgotten ids of one layer, as hashes with a salt of their own: the list names nobody to who happens to read it."""

    salt: bytes
    hashes: frozenset[str]

    @classmethod
    def read(cls, home: Path) -> Forgotten:
        """What the layer's folder says; nothing is forgotten where it says nothing.

        Raises:
            SnapshotError: the list is damaged; without it a forgotten record could come back.
        """
        path = home / FILE
        try:
            told = orjson.loads(path.read_bytes())
            return cls(bytes.fromhex(told["salt"]), frozenset(told["hashes"]))
        except FileNotFoundError:
            return cls(secrets.token_bytes(HASH_BYTES), frozenset())
        except (ValueError, KeyError, TypeError) as error:
            raise SnapshotError(f"{path}: damaged; restore it from a backup, or delete it and forget its records again") from error

    def with_ids(self, ids: Iterable[Id]) -> Forgotten:
        return Forgotten(self.salt, self.hashes | {self._hash(id) for id in ids})

    def without_ids(self, ids: Iterable[Id]) -> Forgotten:
        return Forgotten(self.salt, self.hashes - {self._hash(id) for id in ids})

    def write(self, home: Path) -> None:
        told = {"salt": self.salt.hex(), "hashes": sorted(self.hashes)}
        revisions.replace(home / FILE, orjson.dumps(told), mode=0o600)

    def holds(self, ids: Sequence[Id | None]) -> NDArray[np.bool_]:
        """Which of the ids are forgotten, shape (n,)."""
        if not self.hashes:
            return np.zeros(len(ids), np.bool_)
        return np.array([self._hash(id) in self.hashes for id in ids], np.bool_)

    def hold_back(self, layer: Layer, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch of `layer.schema` that are not forgotten."""
        if not self.hashes:
            return batch
        return batch.filter(pa.array(~self.holds(batch.column(layer.id_name).to_pylist())))

    def _hash(self, id: Id | None) -> str:
        return blake2b(str(id).encode(), digest_size=HASH_BYTES, key=self.salt).hexdigest()

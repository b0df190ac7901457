"""Sources that are addresses on the web: each becomes a file in the layer's own folder, which is read like any other.

<home>/feed.json         how each address was at the last publish
<home>/feed/<address>/   what is being fetched; it stays after a failure, for the next run, and goes after a publish
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from shutil import rmtree

import pyarrow as pa
from tqdm import tqdm

from tileserver import revisions
from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.feeds import arcgis, socrata, state
from tileserver.ingest.feeds.address import Address, is_address
from tileserver.ingest.feeds.delivery import Delivery, Order, definition
from tileserver.ingest.feeds.download import download
from tileserver.ingest.feeds.spool import KEPT
from tileserver.ingest.feeds.state import Known
from tileserver.ingest.feeds.web import Patience, Web
from tileserver.ingest.sources import FORMATS, Source
from tileserver.stores.store import State

__all__ = ["Brought", "Patience", "Web", "bring", "discard"]


@dataclass
class Brought:
    """What came of the addresses among the names of an ingest."""

    sources: Mapping[str, Source | None]
    """Name as given → the file to read; None: nothing has changed since it was last published."""
    unchanged: bool
    """There is nothing to read at all: no file, and no address that has changed."""
    not_modified: Mapping[str, str]
    """Address → when what it holds was published, as of ISO 8601; of those that have not changed."""
    home: Path
    known: dict[str, Known] = field(default_factory=dict)
    """What is to be known after the publish."""

    def checked(self, batches: Iterator[pa.RecordBatch], rows: Mapping[str, int], *, replace: bool) -> Iterator[pa.RecordBatch]:
        """The batches; at their end `rows`, those read by source, must not be 0 for an address by whose rows all are replaced."""
        yield from batches
        for source in self.sources.values():
            if replace and source is not None and not rows[source.name]:
                raise IngestError(f"{source.name}: holds no rows, so nothing is replaced. Without --replace, nothing is removed")

    def keep(self, published: State) -> None:
        """The publish has succeeded: remember how the addresses are, and delete what was fetched."""
        if self.sources:
            with _writing(self.home):
                state.write(self.home, published, self.known)
                discard(self.home)


@contextmanager
def bring(
    layer: Layer,
    names: Sequence[str],
    *,
    home: Path,
    store: State | None,
    joined: State | None,
    web: Web | None,
    replace: bool,
    progress: bool,
) -> Iterator[Brought]:
    """Fetch what the addresses among `names` hold, in the order of the names.

    `home` is the layer's own folder; `store` and `joined` are the states of the layer and of that which gives it positions.

    Raises:
        IngestError: an address cannot be read. What has come of it so far stays for the next run.
    """
    addresses = {name: Address.parse(name) for name in names if is_address(name)}
    if not addresses:
        yield Brought({}, unchanged=False, not_modified={}, home=home)
        return
    with _locked(home / revisions.FEED):
        with _writing(home), web or Web() as client:
            _sweep(home, {_place(each) for each in addresses.values()})
            errand = _Errand(layer, home, client, state.read(home, store), definition(layer, joined), replace, progress)
            brought = errand.all(addresses, alone=len(addresses) == len(set(names)))
        yield brought


def discard(home: Path) -> None:
    """Delete all that was fetched and not yet read, such as what a failed run has left."""
    _sweep(home, set())


@dataclass(frozen=True, slots=True)
class _Errand:
    layer: Layer
    home: Path
    web: Web
    known: Mapping[str, Known]
    definition: str
    replace: bool
    progress: bool

    def all(self, addresses: Mapping[str, Address], *, alone: bool) -> Brought:
        """`alone`: no files are named beside them."""
        deliveries = {name: self.fetch(address, afresh=self.replace and not alone) for name, address in addresses.items()}
        if self.replace and any(each.path for each in deliveries.values()):
            # All rows are replaced, so those of an address that has not changed are needed too.
            missing = [name for name, each in deliveries.items() if each.path is None]
            deliveries |= {name: self.fetch(addresses[name], afresh=True) for name in missing}
        return self.brought(addresses, deliveries, alone=alone)

    def fetch(self, address: Address, *, afresh: bool) -> Delivery:
        known = self.known.get(address.name)
        last = known.mark if known and not afresh and known.definition == self.definition else None
        folder = self.home / revisions.FEED / _place(address)
        folder.mkdir(mode=0o700, exist_ok=True)
        with tqdm(disable=not self.progress, unit_scale=True, desc=address.name) as bar:

            def tell(done: int, total: int | None, unit: str) -> None:
                bar.unit, bar.total = f" {unit}" if unit != "B" else unit, total
                bar.update(done - bar.n)

            order = Order(address, self.layer, folder, last or None, self.replace, tell, self.definition)
            match address.protocol:
                case "socrata":
                    return socrata.fetch(self.web, order)
                case "arcgis":
                    return arcgis.fetch(self.web, order)
                case "file":
                    return download(self.web, order, FORMATS)

    def brought(self, addresses: Mapping[str, Address], deliveries: Mapping[str, Delivery], *, alone: bool) -> Brought:
        now = state.now()
        sources: dict[str, Source | None] = {}
        not_modified = {}
        known = {} if self.replace and any(each.path for each in deliveries.values()) else dict(self.known)
        for name, delivery in deliveries.items():
            address = addresses[name]
            if delivery.path is None:
                sources[name], not_modified[address.name] = None, self.known[address.name].at
                continue
            path = delivery.path
            sources[name] = Source(path, address.name, FORMATS[path.suffix], path.stat().st_size)
            known[address.name] = Known(delivery.mark, self.definition, now)
        return Brought(sources, alone and not any(sources.values()), not_modified, self.home, known)


def _place(address: Address) -> str:
    """The name of an address's folder."""
    return blake2b(address.name.encode(), digest_size=8).hexdigest()


def _sweep(home: Path, wanted: set[str]) -> None:
    """Delete what is not of these addresses, or too old to be continued."""
    folder = home / revisions.FEED
    for place in folder.iterdir() if folder.exists() else ():
        if place.is_dir() and (place.name not in wanted or time.time() - place.stat().st_mtime > KEPT):
            rmtree(place)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One run at a time fetches for a layer; the system lets the lock go when the process ends, however it ends."""
    with _writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / "lock").open("wb")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IngestError("another ingest of this layer is fetching; let it end first") from None
        yield


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IngestError(f"{folder}: what is fetched cannot be kept there: {error.strerror or error}") from error

"""How each address was when its rows were last published, in `feed.json`; it moves only after a publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from tileserver import revisions
from tileserver.errors import IngestError
from tileserver.ingest.feeds.spool import Mark
from tileserver.stores.store import State

NAME = "feed.json"


@dataclass(frozen=True, slots=True)
class Known:
    mark: Mark
    definition: str
    """Of the layer file by which the rows were read."""
    at: str
    """When they were published, as of ISO 8601."""


def read(home: Path, store: State | None) -> dict[str, Known]:
    """Address → what is known of it. Nothing, if the store is not as the last publish of a feed left it.

    What an unchanged source gave is in the store only if nobody has published, replaced or emptied it since.
    """
    path = home / NAME
    try:
        told = orjson.loads(path.read_bytes())
        known = {name: Known(**each) for name, each in told["feeds"].items()}
    except FileNotFoundError:
        return {}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise IngestError(f"{path}: damaged; delete it, and everything is read anew") from error
    return known if store is not None and told["store"] == _of(store) else {}


def write(home: Path, store: State, known: Mapping[str, Known]) -> None:
    feeds = {name: asdict(each) for name, each in known.items()}
    revisions.replace(home / NAME, orjson.dumps({"store": _of(store), "feeds": feeds}), mode=0o600)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _of(store: State) -> str:
    return store.published_at.isoformat() if store.published_at else ""

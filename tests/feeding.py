"""A layer of stops that is fed from the web, into a folder store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from tileserver.catalog import Layer
from tileserver.ingest import Ledger, ingest
from tileserver.ingest.feeds import Patience, Web
from tileserver.stores import FolderStore

STOPS = """
title = "Stops"
kind = "events"
bounds = [-93, 34, -92, 35]
position = "optional"
[fields]
number = { role = "id" }
at = { role = "time" }
outcome = { role = "category" }
"""
FIELDS = {"number": {"role": "id"}, "at": {"role": "time"}, "outcome": {"role": "category"}}
HEADER = "number,at,outcome,lon,lat\n"
QUICK = Patience(first_wait=0.001, longest_wait=0.01, retries=5)


def stops(**changes: Any) -> Layer:
    base = {"id": "stops", "title": "Stops", "kind": "events", "bounds": (-93, 34, -92, 35), "position": "optional"}
    return Layer.model_validate({**base, "fields": FIELDS, **changes})


def line(number: int, outcome: str = "WARNING") -> str:
    return f"{number},2024-01-02 03:04,{outcome},-92.3,34.7\n"


def file(*numbers: int) -> bytes:
    return (HEADER + "".join(line(number) for number in numbers)).encode()


def bring(
    folder: Path,
    *names: str,
    layer: Layer | None = None,
    replace: bool = False,
    page: int = 3,
    token: str = "",
    most: int = 2**30,
    patience: Patience = QUICK,
) -> Ledger:
    web = Web(token, patience=patience, page=page, most=most)
    store = FolderStore(folder / "store")
    return ingest(layer or stops(), store, names, folder=folder, home=folder / "home", replace=replace, web=web)


def held(folder: Path, layer: Layer | None = None) -> list[dict[str, Any]]:
    rows = [row for batch in FolderStore(folder / "store").read(layer or stops()) for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: str(row["number"]))


def numbers(folder: Path) -> list[int]:
    return sorted(int(row["number"]) for row in held(folder))


def left(folder: Path) -> list[Path]:
    """What has been fetched and is not yet published."""
    return sorted(path for path in (folder / "home" / "feed").rglob("*") if path.is_file() and path.name != "lock")


def known(folder: Path) -> dict[str, Any]:
    """The marks of `feed.json` by address."""
    told = orjson.loads((folder / "home" / "feed.json").read_bytes())
    return {name: each["mark"] for name, each in told["feeds"].items()}

"""A file at an address: asked for only if it has changed, and continued where it broke off."""

from __future__ import annotations

import gzip
import os
import re
import time
import zlib
from collections.abc import Collection
from email.message import Message
from pathlib import Path
from typing import Any

from tileserver.errors import IngestError
from tileserver.ingest.feeds.address import Address
from tileserver.ingest.feeds.delivery import Delivery, Order
from tileserver.ingest.feeds.spool import Mark, empty, private, read_journal, write_journal
from tileserver.ingest.feeds.web import Response, Trouble, Web

TYPES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "text/plain": ".txt",
    "application/geo+json": ".geojson",
    "application/vnd.geo+json": ".geojson",
    "application/json": ".geojson",
    "application/geo+json-seq": ".geojsonl",
    "application/geopackage+sqlite3": ".gpkg",
    "application/zip": ".zip",
    "application/x-zip-compressed": ".zip",
    "application/flatgeobuf": ".fgb",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}

_GZIP = b"\x1f\x8b\x08"
_PART = 2**18


def download(web: Web, order: Order, suffixes: Collection[str]) -> Delivery:
    """Raises IngestError if it cannot be had, is larger than `web.most` bytes, or is of no kind that is read."""
    part = _Part(order, web.most)
    changed = web.retrying(order.address, lambda: part.fetch(web))
    if not changed and order.last is not None:
        return Delivery(None, order.last)
    body = unpacked(order.address, part.path, web.most)
    name = re.sub(r"[^\w-]+", "_", order.address.file_name.split(".")[0])[:60] or "feed"
    path = order.folder / f"{name}{_suffix(order.address, part.told, suffixes)}"
    path.unlink(missing_ok=True)
    os.link(body, path)
    return Delivery(path, part.mark)


class _Part:
    """What is there of a file; `told` is what the server said of it."""

    def __init__(self, order: Order, most: int) -> None:
        self._order, self._most = order, most
        self.path = order.folder / "body"
        left = read_journal(order.folder)
        self.told: dict[str, Any] = left if self.path.exists() and (left.get("etag") or left.get("modified")) else {}

    @property
    def mark(self) -> Mark:
        return {name: self.told[name] for name in ("etag", "modified") if self.told.get(name)}

    def fetch(self, web: Web) -> bool:
        """Bring it, or the rest of it; False if it has not changed since `Order.last`."""
        address = self._order.address
        resumed = self._resumable()
        if resumed:
            sent = {"Range": f"bytes={self.path.stat().st_size}-", "If-Range": resumed}
        else:
            sent = _if_changed(self.mark if self.told.get("done") else self._order.last)
        with web.answer(address, address.url(), sent, accept=(200, 206, 304, 416)) as response:
            if response.status == 304 and sent and not resumed:
                return bool(self.told.get("done"))
            if response.status == 206 and resumed and self._continues(response):
                self._take(response)
            elif response.status == 200:
                self._begin(response)
                self._take(response)
            else:
                self.told = {}
                raise Trouble("does not continue where it broke off")
        return True

    def _resumable(self) -> str | None:
        """What says that the rest is of the same file; only a strong ETag or a date can."""
        if not self.told or self.told.get("done") or not self.path.stat().st_size:
            return None
        etag = self.told.get("etag")
        return etag if etag and not etag.startswith("W/") else self.told.get("modified")

    def _continues(self, response: Response) -> bool:
        return response.headers.get("Content-Range", "").startswith(f"bytes {self.path.stat().st_size}-")

    def _begin(self, response: Response) -> None:
        headers = response.headers
        empty(self._order.folder)
        self.told = {
            "begun": time.time(),
            "etag": headers.get("ETag"),
            "modified": headers.get("Last-Modified"),
            "type": headers.get("Content-Type", ""),
            "disposition": headers.get("Content-Disposition", ""),
            "size": _length(headers.get("Content-Length")),
            "done": False,
        }
        with private(self.path, "wb"):
            write_journal(self._order.folder, self.told)

    def _take(self, response: Response) -> None:
        done = self.path.stat().st_size
        with private(self.path, "ab") as body:
            while piece := response.read(_PART):
                done += len(piece)
                if done > self._most:
                    raise _too_large(self._order.address, self._most)
                body.write(piece)
                self._order.tell(done, self.told["size"], "B")
            body.flush()
            os.fsync(body.fileno())
        if self.told["size"] is not None and done != self.told["size"]:
            raise Trouble("the connection broke off")
        self.told["done"] = True
        write_journal(self._order.folder, self.told)


def _if_changed(mark: Mark | None) -> dict[str, str]:
    conditions = {"If-None-Match": "etag", "If-Modified-Since": "modified"}
    return {header: mark[name] for header, name in conditions.items() if mark and mark.get(name)}


def _length(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def unpacked(address: Address, path: Path, most: int) -> Path:
    """The file without gzip around it, whether it was put there for the way or by who made the file, or both."""
    for _ in range(2):
        with path.open("rb") as packed:
            if packed.read(len(_GZIP)) != _GZIP:
                break
        path = _gunzip(address, path, most)
    return path


def _gunzip(address: Address, path: Path, most: int) -> Path:
    target, size = path.with_name(f"{path.name}.unpacked"), 0
    try:
        with gzip.open(path) as packed, private(target, "wb") as text:
            while piece := packed.read(_PART):
                size += len(piece)
                if size > most:
                    raise _too_large(address, most)
                text.write(piece)
    except EOFError:
        raise IngestError(f"{address.name}: its gzip breaks off") from None
    except (gzip.BadGzipFile, zlib.error):
        raise IngestError(f"{address.name}: its gzip is damaged") from None
    return target


def _too_large(address: Address, most: int) -> IngestError:
    return IngestError(f"{address.name}: is larger than {most:,} bytes, as it is sent or unpacked, which is the bound")


def _suffix(address: Address, told: Mark, suffixes: Collection[str]) -> str:
    """The kind of file: by the address, else by the name that the server gives it, else by the type that it says it has."""
    type = told["type"].partition(";")[0].strip().lower()
    if type == "text/html":
        raise IngestError(f"{address.name}: answers a web page, not data; open it in a browser to see what it says")
    header = Message()
    header["Content-Disposition"] = told["disposition"]
    names = [address.file_name, header.get_filename() or ""]
    found = [Path(re.sub(r"\.gz$", "", name.lower())).suffix for name in names] + [TYPES.get(type, "")]
    for suffix in found:
        if suffix in suffixes:
            return suffix
    raise IngestError(f"{address.name}: neither its address nor its answer tells a kind of file that can be read")

"""Datasets of Socrata: read in pages by `:id`, and of a dataset that is known only what has changed, by `:updated_at`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.columns import LATITUDE, LONGITUDE
from tileserver.ingest.feeds.delivery import Delivery, Order
from tileserver.ingest.feeds.spool import Mark, Spool, lines
from tileserver.ingest.feeds.web import Refused, Trouble, Web

OURS = ("$limit", "$offset", "$order", "$query", "$group", "$having", "$search")
"""What an address cannot hold: pages and changes are told with them."""

GEOMETRIES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")


@dataclass(frozen=True, slots=True)
class Measure:
    """Of the rows that are asked for."""

    rows: int
    newest: str | None
    """The newest `:updated_at`; None if there is none."""


@dataclass(frozen=True, slots=True)
class Page:
    body: bytes
    rows: int
    last: str | None
    """`:id` of its last row."""


def fetch(web: Web, order: Order) -> Delivery:
    """Raises IngestError if the dataset cannot be had, or its rows are not as many as it says that it has."""
    dataset = _Dataset(web, order)
    last = order.last if order.last and not order.replace and order.layer.id_field else {}
    since: str | None = last.get("updated_at")
    measure = dataset.measure(since)
    if since and (measure.newest, measure.rows) == (since, last.get("ties")):
        return Delivery(None, last)
    state = {"rows": measure.rows, "newest": measure.newest, "since": since, "by": order.definition}
    mark = dataset.mark(measure)
    spool = Spool(order.folder, f"rows.{'csv' if dataset.suffix == 'csv' else 'geojsonl'}", state)
    dataset.read(spool, measure, since)
    if spool.rows != measure.rows:
        _check(order, spool, measure, dataset.measure(since), dataset.touched_since(measure))
    return Delivery(spool.path, mark)


def _check(order: Order, spool: Spool, before: Measure, after: Measure, touched: int) -> None:
    """As many rows as there are, give or take those that came and went while they were read.

    At most `touched` rows have come, since that is how many bear a newer time; the others that make the difference have gone.
    """
    if not min(before.rows, after.rows - touched) <= spool.rows <= max(before.rows + touched, after.rows):
        spool.discard()
        raise IngestError(
            f"{order.address.name}: {spool.rows:,} rows came, but it says that it has {after.rows:,}, so nothing is changed. "
            "Run it again later"
        )


class _Dataset:
    def __init__(self, web: Web, order: Order) -> None:
        self._web, self._order, self._address = web, order, order.address
        self._base, self.suffix = self._address.dataset
        given = dict(self._address.parameters)
        if wrong := [name for name in OURS if name in given]:
            raise IngestError(
                f"{self._address.name}: leave {' and '.join(wrong)} out of the address; $where is what can choose rows"
            )
        self._where = given.get("$where", "")
        self._select = given.get("$select", "*")
        self._others = [(name, value) for name, value in given.items() if name not in ("$where", "$select")]
        token = self._address.app_token or web.socrata_token
        self._headers = {"X-App-Token": token} if token else {}
        self._absent: dict[str, None] = {}

    def measure(self, since: str | None) -> Measure:
        """One request. What has no `:updated_at`, such as some views, is only counted."""
        try:
            return self._measure("count(*) as n,max(:updated_at) as newest", since)
        except Refused as error:
            if error.code != 400 or since:
                raise
            return self._measure("count(*) as n", since)

    def mark(self, measure: Measure) -> Mark:
        """Where changes begin the next time: at the newest change, since others may bear the very same time. `ties` do now."""
        if measure.newest is None:
            return {}
        return {"updated_at": measure.newest, "ties": self.measure(measure.newest).rows}

    def touched_since(self, measure: Measure) -> int:
        """How many rows are newer than all that were measured. The time of those is told to the millisecond, and may be cut."""
        if measure.newest is None:
            return 0
        try:
            begin = datetime.fromisoformat(measure.newest) + timedelta(milliseconds=1)
        except ValueError:
            return 0
        return self.measure(begin.isoformat(timespec="milliseconds").replace("+00:00", "Z")).rows

    def read(self, spool: Spool, measure: Measure, since: str | None) -> None:
        """All pages that are not in the spool yet. Each begins after the last `:id` of the one before, so that rows which come
        or go meanwhile shift nothing."""
        tell = self._order.tell
        tell(spool.rows, measure.rows, "rows")
        limit = self._web.page
        asked_after = {spool.cursor}
        if self.suffix == "json" and spool.cursor != "":
            self._absent = dict.fromkeys(self._columns())
        while spool.cursor != "":
            after = f":id > {_quoted(spool.cursor)}" if spool.cursor else ""
            asked = ("$select", f":*,{self._select}"), ("$order", ":id"), ("$limit", str(limit))
            url = self._url(self.suffix, *asked, where=[*_since(since), after])
            page = self._page(url, spool)
            if page.rows >= limit and not page.last:
                raise IngestError(f"{self._address.name}: its rows come without :id, by which pages are told apart")
            if page.rows >= limit and page.last in asked_after:
                raise IngestError(
                    f"{self._address.name}: asked for the rows after an :id, it gives the same ones again, so nothing is changed. "
                    "Run it again later, or have the server mended"
                )
            asked_after.add(page.last)
            spool.add(page.body, page.rows, page.last if page.rows >= limit else "")
            tell(spool.rows, measure.rows, "rows")

    def _columns(self) -> list[str]:
        """Of the dataset: its JSON leaves out what has no value, so that a row does not tell them all."""

        def header(body: bytes, _: Mapping[str, str]) -> list[str]:
            return next(csv.reader(io.StringIO(body.decode("utf-8-sig", errors="replace"), newline="")), [])

        url = self._url("csv", ("$select", f":*,{self._select}"), ("$limit", "1"), where=[])
        return self._web.document(self._address, url, header, self._headers)

    def _page(self, url: str, spool: Spool) -> Page:
        if self.suffix == "csv":
            return self._web.document(self._address, url, lambda body, _: _csv_page(body, spool), self._headers)
        return self._web.json(self._address, url, self._features, self._headers)

    def _features(self, told: Any, _: Mapping[str, str]) -> Page:
        rows = told.get("features") if self.suffix == "geojson" and isinstance(told, dict) else told
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._unexpected(told)
        if self.suffix == "json":
            rows = [_feature(self._order.layer, {**self._absent, **row}) for row in rows]
        return Page(lines(rows), len(rows), _last_id(rows))

    def _measure(self, select: str, since: str | None) -> Measure:
        def understand(told: Any, _: Mapping[str, str]) -> Measure:
            match told:
                case [{"n": n, "newest": str(newest)}] if str(n).isdecimal():
                    return Measure(int(str(n)), newest)
                case [{"n": n}] if str(n).isdecimal():
                    return Measure(int(str(n)), None)
            raise self._unexpected(told)

        url = self._url("json", ("$select", select), where=_since(since))
        return self._web.json(self._address, url, understand, self._headers)

    def _url(self, suffix: str, *more: tuple[str, str], where: Sequence[str]) -> str:
        conditions = [f"({each})" for each in (self._where, *where) if each]
        chosen = [("$where", " AND ".join(conditions))] if conditions else []
        return self._address.url(*more, *chosen, base=f"{self._base}.{suffix}", query=self._others)

    def _unexpected(self, told: Any) -> IngestError:
        code = told.get("code") or told.get("errorCode") if isinstance(told, dict) else None
        said = (
            f" but the error {code}"
            if isinstance(code, str) and code.replace(".", "").replace("-", "").replace("_", "").isalnum()
            else ""
        )
        return IngestError(f"{self._address.name}: answers no rows{said}")


def _since(since: str | None) -> list[str]:
    return [f":updated_at >= {_quoted(since)}"] if since else []


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _last_id(features: Sequence[Mapping[str, Any]]) -> str | None:
    """Ids are texts whose order the server alone knows."""
    match features[-1].get("properties") if features else None:
        case {":id": str(id)}:
            return id
    return None


def _csv_page(body: bytes, spool: Spool) -> Page:
    """The records, with their header only in the first page."""
    try:
        records = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise Trouble("an answer is not valid CSV, or broke off") from None
    if not records or any(len(record) != len(records[0]) for record in records):
        raise Trouble("an answer is not valid CSV, or broke off")
    header, *rows = records
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows if spool.size else records)
    last = rows[-1][header.index(":id")] if rows and ":id" in header else None
    return Page(text.getvalue().encode(), len(rows), last)


def _feature(layer: Layer, row: dict[str, Any]) -> dict[str, Any]:
    """A row; the column that the layer file names as its geometry becomes it."""
    named = layer.ingest.geometry
    geometry = _geometry(layer, row if named is None else {named: row.get(named)})
    if named and not isinstance(row.get(named), str):
        row.pop(named, None)
    return {"type": "Feature", "properties": row, "geometry": geometry}


def _geometry(layer: Layer, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first value that is a geometry, else what columns of the usual names hold."""
    for value in row.values():
        if isinstance(value, dict) and value.get("type") in GEOMETRIES:
            return value
        if isinstance(value, dict) and {"latitude", "longitude"} <= value.keys():
            return _point(value["longitude"], value["latitude"])
    lowered = {name.lower(): value for name, value in row.items()}
    x, y = (next((lowered[name] for name in usual if name in lowered), None) for usual in (LONGITUDE, LATITUDE))
    return _point(x, y) if layer.is_points and not layer.ingest.crs else None


def _point(x: Any, y: Any) -> dict[str, Any] | None:
    try:
        return {"type": "Point", "coordinates": [float(x), float(y)]}
    except (TypeError, ValueError):
        return None

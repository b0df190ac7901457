"""Layers of ArcGIS servers (FeatureServer and MapServer): read by ranges of object ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tileserver.errors import IngestError
from tileserver.ingest.feeds import esri_json
from tileserver.ingest.feeds.delivery import Delivery, Order
from tileserver.ingest.feeds.spool import Spool, lines
from tileserver.ingest.feeds.web import Trouble, Web

OURS = {
    "f",
    "where",
    "objectids",
    "outfields",
    "outsr",
    "orderbyfields",
    "returngeometry",
    "returnidsonly",
    "returncountonly",
    "resultoffset",
    "resultrecordcount",
}
"""Parameters of a query that are ours to set, in small letters; `where` is added to."""

OVERLAP = timedelta(days=1)
"""Changes are asked for from so long before the last one: servers tell times on clocks of their own."""

PASSING = (429, 500, 502, 503, 504)
"""Codes of errors in answers that may be gone a moment later."""

LATEST = 253_402_300_799_999
"""The end of the year 9999, in milliseconds since 1970 UTC: the last moment that a date can tell."""

Ids = NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Layer:
    """What a server says of a layer."""

    id_name: str
    most: int
    """Features in one answer."""
    geojson: bool
    """It can write GeoJSON."""
    edited: int | None
    """When it was last edited, in milliseconds since 1970 UTC."""
    edited_name: str | None
    """The field that tells when a feature was last edited."""


@dataclass(frozen=True, slots=True)
class Page:
    features: list[Any]
    ids: Ids
    """Of the features, in order."""


def fetch(web: Web, order: Order) -> Delivery:
    """Raises IngestError if the layer cannot be had, or its features are not as many as it says that it has."""
    service = _Service(web, order)
    told = service.describe()
    if order.last and told.edited == order.last["edited"]:
        return Delivery(None, order.last)
    partly = order.last and not order.replace and order.layer.id_field and told.edited_name
    changed = f"{told.edited_name} >= TIMESTAMP '{_moment(order.last['edited'])}'" if partly and order.last else ""
    ids = service.ids(told, changed)
    _check_count(order, len(ids), service.count(changed), lambda: len(service.ids(told, changed)))
    newest = int(ids[-1]) if len(ids) else 0
    state = {"edited": told.edited, "rows": len(ids), "newest": newest, "where": changed, "by": order.definition}
    spool = Spool(order.folder, "features.geojsonl", state)
    service.read(spool, told, ids, changed)
    if spool.rows != len(ids):
        _check_rows(order, spool, ids, np.intersect1d(ids, service.ids(told, changed)))
    return Delivery(spool.path, {"edited": told.edited} if told.edited is not None else {})


def _check_count(order: Order, listed: int, counted: int, again: Callable[[], int]) -> None:
    """Ids were listed for as many features as the layer says that it has, or some came or went in that moment."""
    if counted != listed and not min(listed, later := again()) <= counted <= max(listed, later):
        raise IngestError(
            f"{order.address.name}: it lists {listed:,} features, but says that it has {counted:,}, so nothing is changed. "
            "Run it again later"
        )


def _check_rows(order: Order, spool: Spool, ids: Ids, still: Ids) -> None:
    """All features came but those that went while they were read."""
    if not len(still) <= spool.rows <= len(ids):
        spool.discard()
        raise IngestError(
            f"{order.address.name}: {spool.rows:,} features came, but it lists {len(still):,}, so nothing is changed. "
            "Run it again later"
        )


def _moment(milliseconds: int) -> str:
    """`OVERLAP` earlier, but not before 1970: a server that does not know may tell the year 1."""
    seconds = max(milliseconds / 1000 - OVERLAP.total_seconds(), 0)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


class _Service:
    def __init__(self, web: Web, order: Order) -> None:
        self._web, self._order, self._address = web, order, order.address
        given = self._address.parameters
        self._where = next((value for name, value in given if name.lower() == "where"), "")
        self._others = [(name, value) for name, value in given if name.lower() not in OURS]

    def describe(self) -> Layer:
        return self._ask(self._address.layer, [("f", "json")], self._layer)

    def count(self, condition: str) -> int:
        return self._query([condition], {"returnCountOnly": "true", "f": "json"}, lambda told: int(told["count"]))

    def ids(self, told: Layer, condition: str) -> Ids:
        """Of all features, in order. They are no page: the bound of features does not hold for them, or the server says so."""
        found = np.empty(0, np.int64)
        while True:
            after = f"{told.id_name} > {found[-1]}" if len(found) else ""
            part, more = self._query(
                [condition, after],
                {"returnIdsOnly": "true", "f": "json"},
                lambda said: (
                    np.array([int(id) for id in said["objectIds"] or []], np.int64),
                    bool(said.get("exceededTransferLimit")),
                ),
            )
            if len(found) and len(part) and part.max() <= found[-1]:
                raise self._no_progress()
            found = np.union1d(found, part)
            if not more or not len(part):
                return found

    def read(self, spool: Spool, told: Layer, ids: Ids, changed: str) -> None:
        """All pages that are not in the spool yet, each a range of ids with as many features as the server gives at most."""
        size = max(min(told.most, self._web.page), 1)
        begin = 0 if spool.cursor is None else int(np.searchsorted(ids, spool.cursor, "right"))
        self._order.tell(spool.rows, len(ids), "rows")
        while begin < len(ids):
            wanted = ids[begin : begin + size]
            page, exceeded = self._range(told, int(wanted[0]), int(wanted[-1]), changed)
            if exceeded and not len(page.ids):
                if size == 1:
                    raise IngestError(f"{self._address.name}: gives not even one feature at a time")
                size = max(size // 2, 1)
                continue
            # An answer that holds fewer than the range does ends where its features do; what is missing after that is asked for.
            complete = len(page.ids) >= len(wanted) or not len(page.ids)
            end = int(wanted[-1] if complete and not exceeded else page.ids[-1])
            if end < wanted[0]:
                raise self._no_progress()
            spool.add(lines(page.features), len(page.features), end)
            begin = int(np.searchsorted(ids, end, "right"))
            self._order.tell(spool.rows, len(ids), "rows")

    def _range(self, told: Layer, first: int, last: int, changed: str) -> tuple[Page, bool]:
        conditions = [changed, f"{told.id_name} >= {first} AND {told.id_name} <= {last}"]
        asked = {
            "outFields": "*",
            "outSR": "4326",
            "orderByFields": told.id_name,
            "returnGeometry": "true",
            "f": "geojson" if told.geojson else "json",
        }
        return self._query(conditions, asked, lambda said: (self._page(told, said), _exceeded(said)))

    def _page(self, told: Layer, said: Any) -> Page:
        found = said["features"] if told.geojson else [esri_json.feature(each) for each in said["features"]]
        ids = [int(_id(feature, told.id_name)) for feature in found]
        order = np.argsort(np.array(ids, np.int64), kind="stable").tolist()
        return Page([found[index] for index in order], np.array([ids[index] for index in order], np.int64))

    def _layer(self, told: Any) -> Layer:
        if told.get("type") not in ("Feature Layer", "Table", None) or "fields" not in told:
            raise IngestError(f"{self._address.name}: is no layer of features, which alone have rows")
        fields = told["fields"] or []
        id_name = told.get("objectIdField") or next(
            (each["name"] for each in fields if each.get("type") == "esriFieldTypeOID"), None
        )
        if not id_name:
            raise IngestError(f"{self._address.name}: has no object ids, by which its features are told apart")
        editing = told.get("editingInfo") or {}
        edited = editing.get("lastEditDate")
        formats = str(told.get("supportedQueryFormats") or "").lower()
        return Layer(
            id_name=str(id_name),
            most=int(told.get("maxRecordCount") or 1000),
            geojson="geojson" in formats,
            edited=_edited(edited) if isinstance(edited, int | float) else None,
            edited_name=(told.get("editFieldsInfo") or {}).get("editDateField"),
        )

    def _query(self, conditions: Sequence[str], asked: Mapping[str, str], understand: Callable[[Any], T]) -> T:
        where = " AND ".join(f"({each})" for each in (self._where, *conditions) if each) or "1=1"
        return self._ask(f"{self._address.layer}/query", [("where", where), *asked.items()], understand)

    def _ask(self, base: str, asked: list[tuple[str, str]], understand: Callable[[Any], T]) -> T:
        def checked(told: Any, _: Mapping[str, str]) -> T:
            if isinstance(told, dict) and "error" in told:
                raise self._error(told["error"])
            try:
                return understand(told)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                raise IngestError(f"{self._address.name}: answers something else than an ArcGIS server does") from None

        return self._web.json(self._address, self._address.url(*asked, base=base, query=self._others), checked)

    def _no_progress(self) -> IngestError:
        return IngestError(
            f"{self._address.name}: asked for what comes next, it gives the same object ids again, so nothing is changed. "
            "Run it again later, or have the server mended"
        )

    def _error(self, error: Any) -> Exception:
        code = error.get("code") if isinstance(error, dict) else None
        if code in PASSING:
            return Trouble(f"answers the error {code}")
        hints: dict[Any, str] = {
            498: ". Its token is not valid, or no longer",
            499: ". It wants a token: add ?token=… to the address",
            400: ". It does not take the query; is the where in the address right?",
        }
        return IngestError(
            f"{self._address.name}: answers the error {code if isinstance(code, int) else '(unknown)'}{hints.get(code, '')}"
        )


def _edited(milliseconds: float) -> int:
    """Raises ValueError or OverflowError for what is no date."""
    if milliseconds > LATEST or milliseconds < -LATEST:
        raise ValueError("no date is so far away")
    return int(milliseconds)


def _exceeded(said: Any) -> bool:
    """Whether there is more in the range than the answer holds; GeoJSON has it in either place."""
    return bool(said.get("exceededTransferLimit") or (said.get("properties") or {}).get("exceededTransferLimit"))


def _id(feature: Any, name: str) -> Any:
    properties = feature.get("properties") or {}
    return properties[name] if name in properties else feature["id"]

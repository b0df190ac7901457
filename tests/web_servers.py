"""Servers on loopback that speak what feeds speak: files, Socrata and ArcGIS. Conditions are judged by SQLite."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sqlite3
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import shapely


@dataclass(frozen=True)
class Asked:
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    """So many bytes of the body are sent; then the connection ends."""
    length: bool = True
    """Whether it says how long it is."""
    gate: threading.Event | None = None
    """What is waited for after the bytes before `cut`."""


Fault = Callable[[Answer], Answer]


def status(code: int, **headers: str) -> Fault:
    return lambda _: Answer(code, b"no", {name.replace("_", "-"): value for name, value in headers.items()})


def cut(after: int) -> Fault:
    return lambda answer: replace(answer, cut=after)


def stalls(after: int, gate: threading.Event) -> Fault:
    """Nothing more comes after so many bytes until `gate` is opened."""
    return lambda answer: replace(answer, cut=after, gate=gate)


def says(document: Any) -> Fault:
    return lambda _: json(document)


def json(document: Any, **headers: str) -> Answer:
    return Answer(200, orjson.dumps(document), {"Content-Type": "application/json", **headers})


class Site(ABC):
    """What a server answers. `faults` befall the next requests, one each; None is no fault."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.faults: list[Fault | None] = []
        self.origin = ""

    @abstractmethod
    def answer(self, asked: Asked) -> Answer: ...

    def respond(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answer = self.answer(asked)
        fault = self.faults.pop(0) if self.faults else None
        return fault(answer) if fault else answer

    def forget(self) -> None:
        self.asked.clear()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or does not trust us, is no error of the server's."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextmanager
def serving(site: Site, wrap: Callable[[Any], Any] | None = None, host: str = "127.0.0.1") -> Iterator[str]:
    """The origin of `site`; `wrap` may encrypt its socket."""
    server = _Server((host, 0), _handler(site))
    server.socket = wrap(server.socket) if wrap else server.socket
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.origin = f"{'https' if wrap else 'http'}://{host}:{server.server_address[1]}"
    try:
        yield site.origin
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            answer = site.respond(Asked(parts.path, query, dict(self.headers.items())))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.length and answer.status != 304:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.close_connection = answer.cut is not None or not answer.length
            self.wfile.write(answer.body[: answer.cut])
            if answer.gate is not None:
                answer.gate.wait(30)

        def log_message(self, format: str, *args: Any) -> None:
            """What was asked is in `Site.asked`."""

    return Handler


class Files(Site):
    """Files by path, with ETags, dates, ranges, and gzip where it is asked for and `packed`."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.ranges = True
        self.packed = False

    def put(self, path: str, body: bytes, **headers: str) -> None:
        self.files[path] = body, {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(self, asked: Asked) -> Answer:
        if asked.path not in self.files:
            return Answer(404, b"nothing here")
        body, headers = self.files[asked.path]
        etag, date = headers.get("ETag"), headers.get("Last-Modified")
        if "Location" in headers:
            return Answer(302, b"", headers)
        if self.packed and "gzip" in asked.headers.get("Accept-Encoding", ""):
            body, headers = gzip.compress(body, mtime=0), {**headers, "Content-Encoding": "gzip"}
        if (etag and asked.headers.get("If-None-Match") == etag) or (date and asked.headers.get("If-Modified-Since") == date):
            return Answer(304, b"", headers)
        wanted = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("Range", ""))
        if self.ranges and wanted and asked.headers.get("If-Range") in (etag, date):
            begin = int(wanted[1])
            return Answer(206, body[begin:], {**headers, "Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"})
        return Answer(200, body, headers)


class Socrata(Site):
    """One dataset, `abcd-1234`: rows with `:id` and `:updated_at`, of which one column may be a GeoJSON geometry."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], token: str = "") -> None:
        super().__init__()
        self.rows = [dict(row) for row in rows]
        self.token = token
        self.miscounts = 0
        self.before_page: list[Callable[[], None]] = []

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row)) or [":id", ":updated_at"]

    def pages(self) -> list[Asked]:
        return [asked for asked in self.asked if "$order" in asked.query]

    def answer(self, asked: Asked) -> Answer:
        if self.token and asked.headers.get("X-App-Token") != self.token:
            return Answer(403, b'{"code":"permission_denied","error":true}')
        if "$order" in asked.query and self.before_page:
            self.before_page.pop(0)()
        path = re.fullmatch(r"/resource/abcd-1234\.(json|geojson|csv)", asked.path)
        if path is None:
            return Answer(404, b"{}")
        found = self._select(asked.query)
        if "$where" not in asked.query and "n" in (found[0] if found else {}):
            found[0]["n"] = str(int(found[0]["n"]) + self.miscounts)
        match path[1]:
            case "csv":
                return Answer(200, self._csv(found), {"Content-Type": "text/csv"})
            case "geojson":
                return json({"type": "FeatureCollection", "features": [_feature(row) for row in found]})
        return json([{name: value for name, value in row.items() if value is not None} for row in found])

    def _select(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        columns = self.columns
        with closing(sqlite3.connect(":memory:")) as base:
            base.row_factory = sqlite3.Row
            base.execute('CREATE TABLE rows ("{}")'.format('", "'.join(columns)))
            places = ", ".join("?" * len(columns))
            values = [[_stored(row.get(name)) for name in columns] for row in self.rows]
            base.executemany(f"INSERT INTO rows VALUES ({places})", values)
            selected = query.get("$select", "*").replace(":*,*", "*")
            text = f"SELECT {selected} FROM rows WHERE {query.get('$where', '1')} ORDER BY {query.get('$order', '1')}"
            text = re.sub(r"(?<![\w'\":])(:[a-z_]+)", r'"\1"', text) + f" LIMIT {query.get('$limit', '1000')}"
            return [{name: _loaded(row[name]) for name in row.keys()} for row in base.execute(text)]  # noqa: SIM118 a Row is no mapping

    def _csv(self, rows: list[dict[str, Any]]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _wkt(value) for name, value in row.items()} for row in rows)
        return text.getvalue().encode()


def _stored(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict) else value


def _loaded(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str) and value.startswith("{") else value


def _wkt(value: Any) -> Any:
    """As CSV has positions."""
    match value:
        case {"latitude": latitude, "longitude": longitude}:
            return f"({latitude}, {longitude})"
        case dict():
            return shapely.from_geojson(orjson.dumps(value)).wkt
    return value


def _feature(row: dict[str, Any]) -> dict[str, Any]:
    geometry = next((value for value in row.values() if isinstance(value, dict)), None)
    properties = {name: value for name, value in row.items() if not isinstance(value, dict)}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


class ArcGis(Site):
    """One layer: `/arcgis/rest/services/Stops/FeatureServer/0`. Its features are attributes and an Esri geometry."""

    LAYER = "/arcgis/rest/services/Stops/FeatureServer/0"

    def __init__(self, features: Sequence[tuple[dict[str, Any], Any]], token: str = "") -> None:
        super().__init__()
        self.features = list(features)
        self.token = token
        self.most = 3
        self.shown: int | None = None
        """So many features in an answer, whatever `most` says: where a server's limit of bytes binds."""
        self.formats = "JSON, geoJSON"
        self.edited: int | None = 1_700_000_000_000
        self.edit_field: str | None = None
        self.miscounts = 0
        self.before_page: list[Callable[[], None]] = []

    @property
    def url(self) -> str:
        return self.origin + self.LAYER

    def pages(self) -> list[Asked]:
        return [asked for asked in self.asked if "outFields" in asked.query]

    def answer(self, asked: Asked) -> Answer:
        if self.token and asked.query.get("token") != self.token:
            return json({"error": {"code": 499, "message": "Token Required", "details": []}})
        if asked.path == self.LAYER:
            return json(self._description())
        if asked.path != f"{self.LAYER}/query":
            return Answer(404, b"no such service")
        if "outFields" in asked.query and self.before_page:
            self.before_page.pop(0)()
        found = self._where(asked.query["where"])
        if asked.query.get("returnCountOnly") == "true":
            return json({"count": len(found) + self.miscounts})
        if asked.query.get("returnIdsOnly") == "true":
            ids = [attributes["OBJECTID"] for attributes, _ in reversed(found)]
            return json({"objectIdFieldName": "OBJECTID", "objectIds": ids or None})
        most = min(self.most, self.shown if self.shown is not None else self.most)
        exceeded = {"exceededTransferLimit": True} if len(found) > most else {}
        if asked.query["f"] == "geojson":
            return json({"type": "FeatureCollection", "features": [_as_geojson(*each) for each in found[:most]], **exceeded})
        return json({"features": [{"attributes": a, "geometry": g} for a, g in found[:most]], **exceeded})

    def _description(self) -> dict[str, Any]:
        names = list(self.features[0][0]) if self.features else ["OBJECTID"]
        told: dict[str, Any] = {"type": "Feature Layer", "objectIdField": "OBJECTID", "maxRecordCount": self.most}
        told |= {"supportedQueryFormats": self.formats, "fields": [{"name": name} for name in names]}
        if self.edited is not None:
            told["editingInfo"] = {"lastEditDate": self.edited}
        return told | ({"editFieldsInfo": {"editDateField": self.edit_field}} if self.edit_field else {})

    def _where(self, condition: str) -> list[tuple[dict[str, Any], Any]]:
        if not self.features:
            return []
        names = list(self.features[0][0])
        condition = re.sub(r"TIMESTAMP ('[^']*')", r"(unixepoch(\1) * 1000)", condition)
        with closing(sqlite3.connect(":memory:")) as base:
            base.execute(f"CREATE TABLE features (place, {', '.join(names)})")
            rows = [[place, *attributes.values()] for place, (attributes, _) in enumerate(self.features)]
            base.executemany(f"INSERT INTO features VALUES ({', '.join('?' * (len(names) + 1))})", rows)
            found = base.execute(f"SELECT place FROM features WHERE {condition} ORDER BY OBJECTID").fetchall()
        return [self.features[place] for (place,) in found]


def _as_geojson(attributes: dict[str, Any], geometry: Any) -> dict[str, Any]:
    place = geometry and {"type": "Point", "coordinates": [geometry["x"], geometry["y"]]}
    return {"type": "Feature", "id": attributes["OBJECTID"], "properties": attributes, "geometry": place}

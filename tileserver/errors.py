"""What can go wrong, each kind with its HTTP status, and the one place where an error becomes an answer.

Every message is written for the person who reads it: what is wrong, where, and what to do. No message carries SQL, a stack
or the caller's input.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

PROBLEM_JSON = "application/problem+json"


class TileserverError(Exception):
    """The root of the tree; `str(error)` is what its reader sees."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    headers: Mapping[str, str] = MappingProxyType({})


class ConfigError(TileserverError):
    """A setting or a layer file that cannot be served; names file and key."""


class StoreError(TileserverError):
    """A store that cannot be opened, read or written."""


class ForeignRows(StoreError):
    """Rows that other programs bring into the store: only there they can be removed."""


class IngestError(TileserverError):
    """A file or a row source that cannot be brought in at all; single bad rows go to the ledger instead."""


class SnapshotError(TileserverError):
    """A snapshot that is damaged or cannot be built."""


class BadRequest(TileserverError):
    status = HTTPStatus.BAD_REQUEST


class NotFound(TileserverError):
    status = HTTPStatus.NOT_FOUND


class ContentTooLarge(TileserverError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UriTooLong(TileserverError):
    status = HTTPStatus.REQUEST_URI_TOO_LONG


class RangeNotSatisfiable(TileserverError):
    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE

    def __init__(self, message: str, size: int | None = None) -> None:
        """`size`, in bytes, is that of the file asked for."""
        super().__init__(message)
        self.headers = {} if size is None else {"Content-Range": f"bytes */{size}"}


class HeadersTooLarge(TileserverError):
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class Unavailable(TileserverError):
    """Nothing to serve yet, or too busy: try again."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = MappingProxyType({"Retry-After": "2"})


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem document (RFC 9457) that no cache keeps."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": int(status), "detail": detail}
    return Response(
        orjson.dumps(body),
        status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type=PROBLEM_JSON,
    )


async def render(request: Request, error: Exception) -> Response:
    """The answer for any error: ours as they are, the framework's in our form. Unknown ones the web server logs whole."""
    if isinstance(error, TileserverError) and error.status != HTTPStatus.INTERNAL_SERVER_ERROR:
        return problem(error.status, str(error), error.headers)
    if isinstance(error, HTTPException):
        return problem(error.status_code, _framework_detail(error.status_code), dict(error.headers or {}))
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error. It has been logged.")


def _framework_detail(status: int) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return "There is nothing at this address. The layers and their addresses are listed at /layers."
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return "This address answers GET and HEAD only."
    return HTTPStatus(status).description

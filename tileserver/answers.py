"""What all answers have in common: the origin of their links, their ETags, JSON, and how long they are kept."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tileserver.errors import BadRequest, HeadersTooLarge, RangeNotSatisfiable, UriTooLong, problem
from tileserver.settings import Settings

REVALIDATE = "public, max-age=0, must-revalidate"
YEAR = 31_536_000
"""In seconds."""

GZIP_LEVEL = 4

MOST_QUERY_BYTES = 4_096
MOST_HEADER_BYTES = 16_384
MOST_RANGES = 16

_RANGES = re.compile(r"bytes=[0-9]{0,18}-[0-9]{0,18}(\s*,\s*[0-9]{0,18}-[0-9]{0,18})*")
_RANGE = re.compile(r"([0-9]*)-([0-9]*)")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


def origin(request: Request) -> str:
    """Scheme, host and port for generated links: the public URL of the settings, else as the client called us.

    Forwarded headers do not count: who stands behind a proxy sets TILESERVER_PUBLIC_URL.

    Raises:
        BadRequest: the Host header is no host.
    """
    settings: Settings = request.app.state.settings
    if settings.public_url:
        return settings.public_url
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise BadRequest("The Host header is missing or is not a host.")
    return f"{request.url.scheme}://{host}"


def etag(*parts: str) -> str:
    """A strong ETag of everything that an answer depends on."""
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "little") + encoded)
    return f'"{digest.hexdigest()}"'


def immutable(seconds: float) -> str:
    """The Cache-Control of what never changes at its address."""
    return f"public, max-age={int(seconds)}, immutable"


IMMUTABLE = immutable(YEAR)


def not_modified(request: Request, tag: str) -> bool:
    """Whether the client already has what goes by this ETag (RFC 9110, 13.1.2)."""
    known = request.headers.get("if-none-match")
    if known is None:
        return False
    return known.strip() == "*" or tag.removeprefix("W/") in (each.strip().removeprefix("W/") for each in known.split(","))


def encoding_for(request: Request) -> Literal["gzip", "identity"]:
    """The encoding of the answer, by Accept-Encoding (RFC 9110, 12.5.3)."""
    weights = {}
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = part.partition(";")
        weights[name.strip()] = weight.replace(" ", "")
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return "identity" if re.fullmatch(r"q=0(\.0{0,3})?", weight) else "gzip"


def json_answer(
    request: Request, body: dict[str, Any], media_type: str = "application/json", *, indented: bool = False, tag: str = ""
) -> Response:
    """A JSON document with an ETag, without one given that of its own content and encoding; 304 where the client has it."""
    content = orjson.dumps(body, option=orjson.OPT_INDENT_2 if indented else None)
    encoding = encoding_for(request)
    tag = tag or etag(encoding, content.decode())
    headers = {"ETag": tag, "Cache-Control": REVALIDATE, "Vary": "Accept-Encoding"}
    if not_modified(request, tag):
        return Response(status_code=304, headers=headers)
    if encoding == "gzip":
        headers["Content-Encoding"] = encoding
        content = gzip.compress(content, GZIP_LEVEL, mtime=0)
    return Response(content, headers=headers, media_type=media_type)


def file_answer(
    request: Request, path: Path, *, headers: Mapping[str, str], media_type: str, filename: str | None = None
) -> Response:
    """A file, or the ranges of it that are asked for. A Range that means nothing is as if it were not there (RFC 9110, 14.2).

    Raises:
        RangeNotSatisfiable: nothing of what is asked for is in the file.
    """
    asked, size = request.headers.get("range", ""), path.stat().st_size
    ranges = _RANGE.findall(asked) if _RANGES.fullmatch(asked) else []
    if not ranges or any(not (first or last) or (first and last and int(first) > int(last)) for first, last in ranges):
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]
    elif "if-range" not in request.headers and not any(int(first) < size if first else int(last) for first, last in ranges):
        raise RangeNotSatisfiable("The file is shorter than the range that is asked for.", size)
    return FileResponse(path, headers=headers, media_type=media_type, filename=filename)


def refuse_parameters(request: Request) -> None:
    """Raises BadRequest at addresses that take none: what is ignored today would be relied on tomorrow."""
    if request.url.query:
        raise BadRequest("This address takes no parameters.")


class Guard:
    """Around every answer: refuses what is too long, lets pages of any origin read, forbids guessing types. Pure ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif (refusal := _too_long(scope)) is not None:
            await problem(refusal.status, str(refusal))(scope, receive, _with_headers(send))
        elif scope["method"] == "OPTIONS" and any(name == b"access-control-request-method" for name, _ in scope["headers"]):
            await Response(status_code=204, headers=PREFLIGHT)(scope, receive, _with_headers(send))
        else:
            await self.app(scope, receive, _with_headers(send))


ALWAYS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"ETag, Content-Length, Content-Range, Accept-Ranges, Link, Retry-After, Tile-Detail"),
    (b"x-content-type-options", b"nosniff"),
]
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Range, If-Match, If-None-Match",
    "Access-Control-Max-Age": "86400",
}


def _too_long(scope: Scope) -> UriTooLong | HeadersTooLarge | RangeNotSatisfiable | None:
    if len(scope["query_string"]) > MOST_QUERY_BYTES:
        return UriTooLong("The query is longer than 4 kB. Filter with fewer values.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADER_BYTES:
        return HeadersTooLarge("The headers are longer than 16 kB.")
    if any(name == b"range" and value.count(b",") >= MOST_RANGES for name, value in scope["headers"]):
        return RangeNotSatisfiable(f"A request takes at most {MOST_RANGES} byte ranges.")
    return None


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *ALWAYS]
        await send(message)

    return send_with_headers

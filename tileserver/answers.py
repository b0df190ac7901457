"""What all answers have in common: the origin of their links, their ETags, JSON, and how long they are kept."""

from __future__ import annotations

import gzip
import hashlib
import re
from typing import Any, Literal

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tileserver.errors import BadRequest, HeadersTooLarge, UriTooLong, problem
from tileserver.settings import Settings

REVALIDATE = "public, max-age=0, must-revalidate"
IMMUTABLE = "public, max-age=31536000, immutable"

GZIP_LEVEL = 6

MOST_QUERY_BYTES = 4_096
MOST_HEADER_BYTES = 16_384

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


def not_modified(request: Request, tag: str) -> bool:
    """Whether the client already has what goes by this ETag (RFC 9110, 13.1.2)."""
    known = request.headers.get("if-none-match")
    if known is None:
        return False
    return known.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in known.split(","))


def encoding_for(request: Request) -> Literal["gzip", "identity"]:
    """The encoding of the answer, by Accept-Encoding (RFC 9110, 12.5.3)."""
    weights = {}
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = part.partition(";")
        weights[name.strip()] = weight.replace(" ", "")
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return "identity" if re.fullmatch(r"q=0(\.0{0,3})?", weight) else "gzip"


def json_answer(request: Request, body: dict[str, Any], media_type: str = "application/json") -> Response:
    """A JSON document with an ETag of its own content and encoding; 304 where the client has it."""
    content = orjson.dumps(body)
    encoding = encoding_for(request)
    tag = etag(encoding, content.decode())
    headers = {"ETag": tag, "Cache-Control": REVALIDATE, "Vary": "Accept-Encoding"}
    if not_modified(request, tag):
        return Response(status_code=304, headers=headers)
    if encoding == "gzip":
        headers["Content-Encoding"] = encoding
        content = gzip.compress(content, GZIP_LEVEL, mtime=0)
    return Response(content, headers=headers, media_type=media_type)


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


def _too_long(scope: Scope) -> UriTooLong | HeadersTooLarge | None:
    if len(scope["query_string"]) > MOST_QUERY_BYTES:
        return UriTooLong("The query is longer than 4 kB. Filter with fewer values.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADER_BYTES:
        return HeadersTooLarge("The headers are longer than 16 kB.")
    return None


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *ALWAYS]
        await send(message)

    return send_with_headers

"""The web map at `/`, and the files it is made of."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from tileserver.errors import NotFound
from tileserver.settings import Settings, shipped

router = APIRouter()

FILES = StaticFiles(directory=shipped("viewer"))
OURS = re.compile(r"[a-z]+\.(js|css|svg)|vendor/[a-z-]+/[A-Za-z.-]+")
"""What the page loads. In a clone the folder also holds what the modules are made and tested with."""


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    headers = {"Content-Security-Policy": _policy(request.app.state.settings), "Cache-Control": "no-cache"}
    return FileResponse(shipped("viewer") / "index.html", headers=headers)


@router.api_route("/viewer/{path:path}", methods=["GET", "HEAD"])
async def file(request: Request, path: str) -> Response:
    if not OURS.fullmatch(path):
        raise NotFound("The viewer has no such file.")
    answer = await FILES.get_response(path, request.scope)
    answer.headers["Cache-Control"] = "no-cache"
    return answer


def _policy(settings: Settings) -> str:
    """What the page may load: its own files and this server's answers; no code or styles written into the page."""
    server = f"'self' {settings.public_url}".strip()
    return (
        f"default-src 'self'; connect-src {server}; img-src 'self' data: blob:; worker-src 'self'; style-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'none'"
    )

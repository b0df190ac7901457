"""The web map at `/`, the files it is made of, and the archive of its base map."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from tileserver.answers import REVALIDATE, file_answer, refuse_parameters
from tileserver.errors import NotFound
from tileserver.settings import Settings, shipped

router = APIRouter()

FILES = StaticFiles(directory=shipped("viewer"))
OURS = re.compile(r"[a-z]+\.(js|css|svg)|vendor/[a-z-]+/[A-Za-z.-]+")
"""What the page loads. In a clone the folder also holds what the modules are made and tested with."""


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    headers = {"Content-Security-Policy": _policy(request.app.state.settings), "Cache-Control": "no-cache"}
    return file_answer(request, shipped("viewer") / "index.html", headers=headers, media_type="text/html; charset=utf-8")


@router.api_route("/viewer/{path:path}", methods=["GET", "HEAD"])
async def file(request: Request, path: str) -> Response:
    if not OURS.fullmatch(path):
        raise NotFound("The viewer has no such file.")
    answer = await FILES.get_response(path, request.scope)
    answer.headers["Cache-Control"] = "no-cache"
    return answer


@router.api_route("/basemap.pmtiles", methods=["GET", "HEAD"])
async def basemap(request: Request) -> Response:
    """The archive that TILESERVER_BASEMAP names, where that is a file: read by ranges of bytes."""
    refuse_parameters(request)
    settings: Settings = request.app.state.settings
    if not settings.basemap or settings.basemap_origin:
        raise NotFound("There is no archive of a base map here.")
    headers = {"Cache-Control": REVALIDATE}
    return file_answer(request, Path(settings.basemap), headers=headers, media_type="application/vnd.pmtiles")


def _policy(settings: Settings) -> str:
    """What the page may load: its own files, this server's answers, and the base map from its origin; no code or styles written
    into the page. Who may frame it: pages of this server, and of the origins that the settings name."""
    server = " ".join(filter(None, ("'self'", settings.public_url, settings.basemap_origin)))
    pictures = " ".join(filter(None, ("'self' data: blob:", settings.basemap_origin)))
    framing = settings.embed_origins if settings.embed_origins == "*" else f"'self' {settings.embed_origins}".strip()
    return (
        f"default-src 'self'; connect-src {server}; img-src {pictures}; worker-src 'self'; style-src 'self'; "
        f"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {framing}"
    )

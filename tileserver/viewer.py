"""The web map at `/`, and the files it is made of."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from tileserver.settings import shipped

router = APIRouter()

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; worker-src 'self'; style-src 'self'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'"
)
"""What the page may load: its own files and this server's answers, no code or styles written into the page."""


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "Referrer-Policy": "strict-origin-when-cross-origin"}
    return FileResponse(shipped("viewer") / "index.html", headers=headers)

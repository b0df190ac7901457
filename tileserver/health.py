"""For those who run the server: is the process up, and can it answer for every layer?"""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from tileserver.answers import refuse_parameters
from tileserver.errors import problem
from tileserver.revisions import is_troubled
from tileserver.snapshot import Live

router = APIRouter()

NO_STORE = {"Cache-Control": "no-store"}


@router.api_route("/health/live", methods=["GET", "HEAD"])
async def is_live(request: Request) -> Response:
    refuse_parameters(request)
    return JSONResponse({"status": "live"}, headers=NO_STORE)


@router.api_route("/health/ready", methods=["GET", "HEAD"])
async def is_ready(request: Request) -> Response:
    refuse_parameters(request)
    live: Live = request.app.state.live
    if waiting := list(live.waiting()):
        troubled = [id for id in waiting if is_troubled(live.folder, id)]
        preparing = [id for id in waiting if id not in troubled]
        detail = " ".join(
            f"{told}: {', '.join(ids)}."
            for told, ids in (
                ("Cannot be prepared, for a reason that the server's log tells", troubled),
                ("Being prepared", preparing),
            )
            if ids
        )
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "2"})
    return JSONResponse({"status": "ready", "layers": len(live.catalog)}, headers=NO_STORE)

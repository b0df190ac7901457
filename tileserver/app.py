"""The one place where the parts meet."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from tileserver import catalog, downloads, errors, esri, health, layers, ogc, raster, styles, tiles, viewer
from tileserver.answers import Guard
from tileserver.downloads.spool import Spool
from tileserver.flights import Flights
from tileserver.revisions import Revisions
from tileserver.settings import Settings
from tileserver.snapshot import Live
from tileserver.tiles.cache import TileCache

LOOK_EVERY = 1
"""Seconds between two looks at whether the revisions that were shown are still live."""

SPOOL_BYTES = 2**30
"""Finished downloads kept on disk, all workers together."""


def create_app(settings: Settings) -> FastAPI:
    """The web application of one worker: reads snapshots, writes nothing that another process reads.

    Raises:
        ConfigError: the layer files cannot be served.
    """
    app = FastAPI(title="tileserver", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=_lifespan)
    app.state.settings = settings
    app.state.live = Live(catalog.load(settings.layers), Revisions(settings.snapshots))
    for room in (tiles, raster, layers, downloads, ogc, esri, styles, health, viewer):
        app.include_router(room.router)
    app.add_exception_handler(errors.TileserverError, errors.render)
    app.add_exception_handler(HTTPException, errors.render)
    app.add_exception_handler(Exception, errors.render)
    app.add_middleware(Guard)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    executor = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="tile")
    drawing = ThreadPoolExecutor(raster.POOL_THREADS, thread_name_prefix="picture")
    app.state.pictures = Flights(drawing)
    app.state.tile_cache = TileCache(settings.cache_bytes // settings.workers, executor)
    app.state.spool = Spool(SPOOL_BYTES // settings.workers)
    tasks = [asyncio.create_task(_let_go_of_the_replaced(app))]
    if settings.workers > 1:
        tasks.append(asyncio.create_task(_end_with_parent()))
    yield
    for task in tasks:
        task.cancel()
    app.state.spool.close()
    for threads in (drawing, executor):
        threads.shutdown(cancel_futures=True)


async def _let_go_of_the_replaced(app: FastAPI) -> None:
    """What was made from a revision that is live no more is asked for never again, and may hold a row that is to be gone."""
    known: set[str] = set()
    while True:
        await asyncio.sleep(LOOK_EVERY)
        replaced = app.state.live.replaced()
        if replaced != known:
            app.state.tile_cache.let_go(replaced)
            app.state.spool.let_go()
        known = replaced


async def _end_with_parent() -> None:
    """A worker whose parent was killed would hold the port with nobody to stop it, and no indexer beside it."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - the end of a parent sets no event
        await asyncio.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)

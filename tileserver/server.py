"""The processes of `tileserver serve`: one indexer, some web workers, and the one that starts and stops them."""

from __future__ import annotations

import logging
import logging.config
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection, HTTPException
from multiprocessing import resource_tracker

import orjson
import uvicorn
from uvicorn.supervisors import Multiprocess

from tileserver import indexer
from tileserver.app import create_app
from tileserver.errors import ConfigError
from tileserver.settings import Settings

log = logging.getLogger("tileserver.server")

READY_AFTER = 0.2
"""Seconds between two tries to reach the server that has just been started."""

GRACE = 10
"""Seconds that requests in flight are given when the server is told to stop."""

INDEXER_LOOK = 0.5
"""Seconds between two looks at whether the indexer is there."""
INDEXER_PAUSE = 2
"""Seconds before another one is started, so that one that cannot run does not keep the machine busy."""

SLOW_START = 60
"""Seconds that a worker may take to answer its supervisor, so that a busy machine does not start it again and again."""

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
}
"""One line an event on stderr. Nothing is said of requests: addresses of readers are nobody's business."""


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run until told to stop by SIGINT or SIGTERM; announces when every layer can be asked for."""
    config = uvicorn.Config(
        partial(create_app, settings),
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=LOGGING,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=SLOW_START,
    )
    # The tracker's start unblocks SIGINT in the thread that starts it, so it comes before any is blocked.
    resource_tracker.ensure_running()
    listening = _listen(config)
    stopping = threading.Event()
    indexing = threading.Thread(target=_keep_indexing, args=(settings, stopping), daemon=True)
    indexing.start()
    threading.Thread(target=_say_when_ready, args=(settings, announce), daemon=True).start()
    try:
        if settings.workers == 1:
            uvicorn.Server(config).run(sockets=[listening])
        else:
            _keep_from_workers(signal.SIGINT)
            Multiprocess(config, sockets=[listening]).run()
    finally:
        stopping.set()
        indexing.join()


def _listen(config: uvicorn.Config) -> socket.socket:
    """Raises ConfigError where the port cannot be had; uvicorn has logged the system's reason."""
    try:
        return config.bind_socket()
    except SystemExit as error:
        raise ConfigError(
            f"cannot listen on {config.host}, port {config.port}; another program may hold it. Name another with --port"
        ) from error


def _keep_from_workers(number: signal.Signals) -> None:
    """A terminal's Ctrl-C reaches all processes. Workers inherit this thread's mask, so that they wait for the parent's word, also
    while they are still importing; the parent hears of it through a thread that does nothing else."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})


def _keep_indexing(settings: Settings, stopping: threading.Event) -> None:
    """One indexer at a time, and another one should it end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by the indexer: Ctrl-C is for the parent
    spawn = multiprocessing.get_context("spawn")
    while not stopping.is_set():
        process = spawn.Process(target=_index, args=(settings, os.getpid()), name="indexer", daemon=True)
        process.start()
        while process.is_alive() and not stopping.wait(INDEXER_LOOK):
            pass
        if not stopping.is_set():
            log.warning("the indexer ended with code %s; starting another", process.exitcode)
            stopping.wait(INDEXER_PAUSE)
    process.terminate()
    process.join()


def _index(settings: Settings, parent: int) -> None:
    """What the indexer's process does."""
    logging.config.dictConfig(LOGGING)
    indexer.run(settings, parent)


def _say_when_ready(settings: Settings, announce: Callable[[str], None]) -> None:
    reachable = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    said = ""
    while True:
        connection = HTTPConnection(reachable, settings.port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            answer = connection.getresponse()
            if answer.status == 200:
                announce(f"Ready: http://{reachable}:{settings.port}/")
                return
            told = str(orjson.loads(answer.read()).get("detail", ""))
            if told.startswith("Cannot") and told != said:
                announce(f"http://{reachable}:{settings.port}/ answers, but not for every layer. {told}")
                said = told
        except (OSError, HTTPException, ValueError):
            pass  # not listening yet
        finally:
            connection.close()
        time.sleep(READY_AFTER)

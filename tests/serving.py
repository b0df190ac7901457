"""The command `tileserver serve`, started for real."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.error import HTTPError, URLError
from urllib.request import urlopen


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command and its origin; it and all its processes end with the block."""
    port = free_port()
    command = [sys.executable, "-m", "tileserver.cli", "serve", *arguments, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)


def status(url: str) -> int:
    """Of an answer; 0 without one."""
    try:
        with urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
    except URLError:
        return 0


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Fails if a condition does not come to hold."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < seconds, "it did not happen in time"
        time.sleep(0.02)

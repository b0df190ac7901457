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
from urllib.error import HTTPError
from urllib.request import urlopen

PATIENCE = 60.0
"""Seconds that anything is waited for: far more than it takes, since a machine that does other things too proves nothing."""

_reserved: list[socket.socket] = []


def free_port() -> int:
    """A port of loopback on which nobody listens, and which nobody else is given as long as this process lives.

    It stays bound to a socket that never listens. A server may listen there all the same, since SO_REUSEADDR is said on both.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    _reserved.append(reserved)
    port: int = reserved.getsockname()[1]
    return port


@contextmanager
def if_killed(command: str) -> Iterator[None]:
    """Sees to it that a shell command runs should this process be killed within the block, so that nothing is left behind."""
    # The shell reads a line if the block ends, and the end of the pipe, without a line, if this process does.
    watch, nowhere = ["/bin/sh", "-c", f"read _ || {{ {command}; }}"], subprocess.DEVNULL
    with subprocess.Popen(watch, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True) as watcher:
        try:
            yield
        finally:
            watcher.communicate(b"\n")


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command and its origin; it and all its processes end with the block."""
    port = free_port()
    command = [sys.executable, "-m", "tileserver.cli", "serve", *arguments, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    with if_killed(f"kill -KILL -{process.pid}"):
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=PATIENCE)


def status(url: str) -> int:
    """Of an answer; 0 without one."""
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def wait_until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Fails if a condition does not come to hold."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)

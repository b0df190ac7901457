"""Runs commands that die: a program that the tests start once, which forks a process for each command it is told.

A line of JSON on standard input tells a command and how it ends:

    argv    the arguments of `tileserver`
    folder  below which writes are counted: files opened for writing, renamed, deleted, folders made, permissions changed
    dies    "kill": the process is killed in the place of the `at`-th write; "full": that write fails as on a full disk, and so
            does every later one that needs room; "mid": it is killed at the write that would make a file longer than `at` bytes
    at      0: it lives

Two lines answer: the number of the process, and when it has ended {"status": …, "said": …}. A killed one has the status -9.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import tempfile
from typing import Any

import orjson

from tileserver.cli import main

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link", "os.symlink")
NEED_ROOM = ("open", "os.mkdir")


def doom(folder: str, dies: str, at: int) -> None:
    """See to it that this process dies as told."""
    if dies == "mid":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        return
    count = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        if not is_write(event, args, folder):
            return
        count += 1
        if count == at and dies == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if dies == "full" and (count == at or (count > at and event in NEED_ROOM)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sys.addaudithook(hook)


def is_write(event: str, args: tuple[Any, ...], folder: str) -> bool:
    if event == "open":
        path, _, flags = args
        return isinstance(path, str) and path.startswith(folder) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in CHANGES


def run(told: dict[str, Any]) -> None:
    with tempfile.TemporaryFile() as said:
        if (process := os.fork()) == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            if told["at"]:
                doom(told["folder"], told["dies"], told["at"])
            status = main(told["argv"])
            sys.stdout.flush()
            os._exit(status)
        tell(process)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        said.seek(0)
        tell({"status": status, "said": said.read().decode()})


def tell(answer: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.fsync = lambda fd: None  # what is killed is a process, not the machine: nothing that it has written is lost
    for line in sys.stdin.buffer:
        run(orjson.loads(line))

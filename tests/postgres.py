"""A PostgreSQL cluster with PostGIS for one run of the tests, gone when it ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

PASSWORD = "for-tests-only"
# PostGIS is loaded once, not by each of many short connections.
SETTINGS = {"fsync": "off", "listen_addresses": "127.0.0.1", "shared_preload_libraries": "postgis-3"}


@contextmanager
def cluster(**changes: str) -> Iterator[str]:
    """The address of a new cluster's database, `postgresql://…`; its user may do everything. `changes` are of its settings."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), default=None)
    assert programs, "PostgreSQL is not installed; the tests need the apt packages postgresql and postgresql-postgis"
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="tileserver-postgres-") as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres")
        settings = " ".join(
            f"-c {key}={value}" for key, value in {**SETTINGS, **changes, "port": port, "unix_socket_directories": name}.items()
        )
        data = f"--pgdata={folder / 'data'}"
        _run(
            programs / "initdb", data, "--username=postgres", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync"
        )
        _run(programs / "pg_ctl", data, "start", "--wait", f"--log={folder / 'log'}", f"--options={settings}")
        try:
            address = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
            _run(programs / "psql", address, "--command=CREATE EXTENSION postgis")
            yield address
        finally:
            _run(programs / "pg_ctl", data, "stop", "--mode=immediate")


def run_sql(address: str, sql: str) -> list[Any]:
    """What one statement answers."""

    async def run() -> list[Any]:
        connection = await asyncpg.connect(address)
        try:
            return list(await connection.fetch(sql))
        finally:
            await connection.close()

    return asyncio.run(run())


def _run(program: Path, *arguments: str) -> None:
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    done = subprocess.run([*user, str(program), *arguments], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program.name} failed:\n{done.stdout}{done.stderr}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

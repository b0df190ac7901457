"""A PostgreSQL cluster with PostGIS for one run of the tests, gone when it ends."""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from serving import free_port, if_killed

PASSWORD = "for-tests-only"
# PostGIS is loaded once, not by each of many short connections.
SETTINGS = {"fsync": "off", "listen_addresses": "127.0.0.1", "shared_preload_libraries": "postgis-3"}


@contextmanager
def cluster(**changes: str) -> Iterator[str]:
    """The address of a new cluster's database, `postgresql://…`; its user may do everything. `changes` are of its settings."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), default=None)
    assert programs, "PostgreSQL is not installed; the tests need the apt packages postgresql and postgresql-postgis"
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tileserver-postgres-") as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres")
        settings = " ".join(
            f"-c {key}={value}" for key, value in {**SETTINGS, **changes, "port": port, "unix_socket_directories": name}.items()
        )
        data = f"--pgdata={folder / 'data'}"
        stop = _command(programs / "pg_ctl", data, "stop", "--mode=immediate")
        _run(
            programs / "initdb", data, "--username=postgres", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync"
        )
        with if_killed(f"{shlex.join(stop)}; rm -rf {shlex.quote(name)}"):
            _run(programs / "pg_ctl", data, "start", "--wait", f"--log={folder / 'log'}", f"--options={settings}")
            try:
                address = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
                run_sql(address, "CREATE EXTENSION postgis")
                yield address
            finally:
                _run(programs / "pg_ctl", data, "stop", "--mode=immediate")


@contextmanager
def database(server: str) -> Iterator[str]:
    """The address of a new database of a running server, whose user may make one."""
    name = f"tileserver_test_{secrets.token_hex(4)}"
    run_sql(server, f"CREATE DATABASE {name}")
    try:
        address = urlsplit(server)._replace(path=f"/{name}").geturl()
        run_sql(address, "CREATE EXTENSION IF NOT EXISTS postgis")
        yield address
    finally:
        run_sql(server, f"DROP DATABASE {name} WITH (FORCE)")


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
    done = subprocess.run(_command(program, *arguments), cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program.name} failed:\n{done.stdout}{done.stderr}"


def _command(program: Path, *arguments: str) -> list[str]:
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    return [*user, str(program), *arguments]

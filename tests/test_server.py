"""The processes of `tileserver serve`, started for real."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import orjson
import pytest
from town import Town, batch, report

from tileserver.stores import open_store


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(town: Town, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command and its origin."""
    port = free_port()
    folders = [
        "--layers",
        str(town.settings.layers),
        "--snapshots",
        str(town.settings.snapshots),
        "--styles",
        str(town.settings.styles),
    ]
    command = [sys.executable, "-m", "tileserver.cli", "serve", *arguments, *folders, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)


def status(url: str) -> int:
    try:
        with urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
    except URLError:
        return 0


def wait_until(holds: object, seconds: float = 60) -> float:
    """Seconds until a condition holds; fails if it does not."""
    assert callable(holds)
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < seconds, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - start


def count(origin: str) -> int:
    with urlopen(f"{origin}/count/reports", timeout=5) as answer:
        return int(orjson.loads(answer.read())["count"])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_says_when_it_is_ready_and_stops_when_told(tmp_path: Path, workers: str) -> None:
    town = Town(tmp_path / "town").settle()
    with serving(town, town.settings.store, "--workers", workers) as (process, origin):
        assert process.stdout is not None
        assert process.stdout.readline() == f"Ready: {origin}/\n"
        assert status(f"{origin}/health/ready") == 200
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
        assert process.returncode in (0, -signal.SIGTERM)
        assert "Traceback" not in said


def test_rows_that_another_process_publishes_are_served_without_restart(tmp_path: Path) -> None:
    town = Town(tmp_path / "town")
    with serving(town, town.settings.store, "--workers", "2") as (_, origin):
        wait_until(lambda: status(f"{origin}/health/ready") == 200)
        assert count(origin) == 0
        layer = town.layers["reports"]
        with open_store(town.settings.store) as store:
            store.publish(layer, [batch(layer, [report(number) for number in range(50)])])
        wait_until(lambda: count(origin) == 50, seconds=10)
        assert status(f"{origin}/tiles/reports/8/62/101.mvt") == 200


def test_without_its_database_the_server_is_up_and_not_ready(tmp_path: Path) -> None:
    town = Town(tmp_path / "town")
    secret = "never-told"
    with serving(town, f"postgresql://someone:{secret}@127.0.0.1:{free_port()}/city") as (process, origin):
        wait_until(lambda: status(f"{origin}/health/live") == 200)
        time.sleep(1)
        assert status(f"{origin}/health/ready") == 503
        assert status(f"{origin}/tiles/reports/8/62/101.mvt") == 503
        process.send_signal(signal.SIGTERM)
        told, said = process.communicate(timeout=20)
        assert secret not in told + said
        assert "127.0.0.1" in said


def test_a_broken_layer_file_is_refused_at_start(tmp_path: Path) -> None:
    town = Town(tmp_path / "town")
    (town.settings.layers / "broken.toml").write_text("title = 1")
    with serving(town) as (process, _):
        _, said = process.communicate(timeout=20)
        assert process.returncode == 2
        assert "broken.toml: title" in said
        assert "broken.toml: kind: this key is needed" in said

"""The processes of `tileserver serve`, started for real."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from select import select
from urllib.request import urlopen

import orjson
import pytest
from serving import PATIENCE, free_port, serving, status, wait_until
from town import Town, batch, report

from tileserver.stores import open_store


def folders(town: Town) -> list[str]:
    settings = town.settings
    return ["--layers", str(settings.layers), "--snapshots", str(settings.snapshots), "--styles", str(settings.styles)]


def count(origin: str) -> int:
    with urlopen(f"{origin}/count/reports", timeout=PATIENCE) as answer:
        return int(orjson.loads(answer.read())["count"])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_says_when_it_is_ready_and_stops_when_told(tmp_path: Path, workers: str) -> None:
    town = Town(tmp_path / "town").settle()
    with serving(town.settings.store, *folders(town), "--workers", workers) as (process, origin):
        assert process.stdout is not None
        assert process.stdout.readline() == f"Ready: {origin}/\n"
        assert status(f"{origin}/health/ready") == 200
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode in (0, -signal.SIGTERM)
        assert "Traceback" not in said


def test_rows_that_another_process_publishes_are_served_without_restart(tmp_path: Path) -> None:
    town = Town(tmp_path / "town")
    with serving(town.settings.store, *folders(town), "--workers", "2") as (_, origin):
        wait_until(lambda: status(f"{origin}/health/ready") == 200)
        assert count(origin) == 0
        layer = town.layers["reports"]
        with open_store(town.settings.store) as store:
            store.publish(layer, [batch(layer, [report(number) for number in range(50)])])
        wait_until(lambda: count(origin) == 50)
        assert status(f"{origin}/tiles/reports/8/62/101.mvt") == 200


def test_an_indexer_that_dies_is_replaced(tmp_path: Path) -> None:
    town = Town(tmp_path / "town")
    with serving(town.settings.store, *folders(town), "--workers", "1") as (process, origin):
        wait_until(lambda: status(f"{origin}/health/ready") == 200)
        children = [
            child for task in Path(f"/proc/{process.pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
        indexers = [child for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]
        assert len(indexers) == 1
        os.kill(int(indexers[0]), signal.SIGKILL)
        layer = town.layers["reports"]
        with open_store(town.settings.store) as store:
            store.publish(layer, [batch(layer, [report(1)])])
        wait_until(lambda: count(origin) == 1)


def test_without_its_database_the_server_is_up_and_not_ready(tmp_path: Path) -> None:
    town = Town(tmp_path / "town")
    secret = "never-told"
    store = f"postgresql://someone:{secret}@127.0.0.1:{free_port()}/city"
    with serving(store, *folders(town), "--workers", "1") as (process, origin):
        wait_until(lambda: status(f"{origin}/health/live") == 200)
        assert process.stderr is not None
        assert select([process.stderr], [], [], PATIENCE)[0], "the indexer says nothing of what it cannot reach"
        assert status(f"{origin}/health/ready") == 503
        assert status(f"{origin}/tiles/reports/8/62/101.mvt") == 503
        process.send_signal(signal.SIGTERM)
        told, said = process.communicate(timeout=PATIENCE)
        assert secret not in told + said
        assert "127.0.0.1" in said


def test_a_broken_layer_file_is_refused_at_start(tmp_path: Path) -> None:
    town = Town(tmp_path / "town")
    (town.settings.layers / "broken.toml").write_text("title = 1")
    with serving(*folders(town)) as (process, _):
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 2
        assert "broken.toml: title" in said
        assert "broken.toml: kind: this key is needed" in said


def test_a_port_that_another_program_holds_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        town = Town(tmp_path)
        command = [sys.executable, "-m", "tileserver.cli", "serve", str(tmp_path / "data"), f"--layers={town.settings.layers}"]
        done = subprocess.run(
            [*command, "--port", port], capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=tmp_path
        )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1, port {port}; another program may hold it" in done.stderr

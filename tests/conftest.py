import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from postgres import cluster, database
from serving import serving, status, wait_until

from tileserver.cli import main
from tileserver.settings import shipped

# How long an example takes says nothing on a machine that does other things too; timings live in the benchmarks.
settings.register_profile("tileserver", deadline=None)
settings.load_profile("tileserver")


LONGEST = ["test_viewer.py", "test_ingest_killed.py", "test_st_louis.py", "test_attack.py", "test_server.py", "test_stores.py"]
"""Files that begin first where several processes share the tests, so that in the end none waits for another."""

CITY_FILES = Path(__file__).parents[1].parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def city_files() -> Path:
    """The folder of real cities' files, which lies beside the project and is no part of it."""
    if not CITY_FILES.is_dir():
        pytest.skip(f"The real cities' files are not beside the project: there is no {CITY_FILES}.")
    return CITY_FILES


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostGIS database that no other run and no process beside this one writes to: on the server of
    `TILESERVER_TEST_STORE`, else on one of its own."""
    server = os.environ.get("TILESERVER_TEST_STORE")
    with database(server) if server else cluster() as address:
        yield address


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of a server that shows the demo city."""
    folder = tmp_path_factory.mktemp("demo")
    places = ["--snapshots", str(folder / "snapshots"), "--layers", str(shipped("layers")), "--rasters", str(folder / "rasters")]
    assert main(["demo", "--store", str(folder / "data"), *places]) == 0
    with serving(str(folder / "data"), *places, "--styles", str(shipped("styles"))) as (_, origin):
        wait_until(lambda: status(f"{origin}/health/ready") == 200)
        yield origin

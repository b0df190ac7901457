import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from postgres import cluster
from serving import serving, status, wait_until

from tileserver.cli import main
from tileserver.settings import shipped

# How long an example takes says nothing on a machine that does other things too; timings live in the benchmarks.
settings.register_profile("tileserver", deadline=None)
settings.load_profile("tileserver")


CITY_FILES = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def city_files() -> Path:
    """The folder of real cities' files, which lies beside the project and is no part of it."""
    if not CITY_FILES.is_dir():
        pytest.skip(f"The real cities' files are not beside the project: there is no {CITY_FILES}.")
    return CITY_FILES


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostGIS database that tests may write to: `TILESERVER_TEST_STORE`, else one for this run alone."""
    if address := os.environ.get("TILESERVER_TEST_STORE"):
        yield address
        return
    with cluster() as address:
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

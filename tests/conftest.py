import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from postgres import cluster

# How long an example takes says nothing on a machine that does other things too; timings live in the benchmarks.
settings.register_profile("tileserver", deadline=None)
settings.load_profile("tileserver")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostGIS database that tests may write to: `TILESERVER_TEST_STORE`, else one for this run alone."""
    if address := os.environ.get("TILESERVER_TEST_STORE"):
        yield address
        return
    with cluster() as address:
        yield address

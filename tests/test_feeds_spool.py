"""What has been fetched so far, killed at any byte."""

import stat
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tileserver.ingest.feeds.spool import KEPT, Spool

MARK = {"rows": 9, "newest": "2024-01-01T00:00:00.000Z"}


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.none() | st.binary(max_size=9))))
def test_a_spool_that_was_killed_at_any_byte_ends_as_one_that_was_not(pages: list[tuple[bytes, bytes | None]]) -> None:
    with TemporaryDirectory() as folder:
        spool = Spool(Path(folder), "rows", MARK)
        for number, (page, torn) in enumerate(pages, 1):
            if torn is not None:
                with spool.path.open("ab") as body:
                    body.write(torn)
                spool = Spool(Path(folder), "rows", MARK)
            assert spool.cursor == (number - 1 or None)
            spool.add(page, 2, number)
        assert spool.path.read_bytes() == b"".join(page for page, _ in pages)
        assert (spool.rows, spool.size) == (2 * len(pages), sum(len(page) for page, _ in pages))


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "feed", "rows", MARK)
    spool.add(b"1", 1, 1)
    assert stat.S_IMODE((tmp_path / "feed").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "feed").iterdir()} == {0o600}


@pytest.mark.parametrize("what", ["another mark", "too old", "torn off", "no journal", "a damaged journal"])
def test_what_does_not_fit_is_begun_anew(tmp_path: Path, what: str) -> None:
    spool = Spool(tmp_path / "feed", "rows", MARK)
    spool.add(b"12", 1, 1)
    journal = tmp_path / "feed" / "journal.json"
    match what:
        case "too old":
            journal.write_bytes(orjson.dumps({**orjson.loads(journal.read_bytes()), "begun": time.time() - KEPT - 1}))
        case "torn off":
            spool.path.write_bytes(b"1")
        case "no journal":
            journal.unlink()
        case "a damaged journal":
            journal.write_bytes(b"{")
    again = Spool(tmp_path / "feed", "rows", {**MARK, "rows": 10} if what == "another mark" else MARK)
    assert (again.cursor, again.rows, again.path.read_bytes()) == (None, 0, b"")

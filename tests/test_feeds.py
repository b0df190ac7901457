"""Feeds as a city runs them: by the command, again and again, killed in the middle, from the web to the answer."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
from feeding import STOPS, bring, file, left, numbers, stops
from hypothesis import given
from hypothesis import strategies as st
from serving import wait_until
from test_feeds_arcgis import IDS, feature
from web_servers import ArcGis, Files, Site, serving, stalls

from tileserver import catalog, ingest, revisions
from tileserver.cli import main
from tileserver.errors import IngestError
from tileserver.ingest.feeds.address import Address
from tileserver.settings import load
from tileserver.snapshot import Live
from tileserver.stores import open_store


class City:
    """Layer files, a store and snapshots in a folder, and the command that fills them."""

    def __init__(self, folder: Path, store: str = "") -> None:
        self.folder = folder
        self.store = store or str(folder / "store")
        self.snapshots = folder / "snapshots"
        self.home = self.snapshots / "stops"
        (folder / "layers").mkdir()

    def layer(self, *sources: str, **more: str) -> None:
        keys = "".join(f'{name} = "{value}"\n' for name, value in more.items())
        (self.folder / "layers" / "stops.toml").write_text(keys + STOPS + f"[ingest]\nfrom = {orjson.dumps(sources).decode()}\n")

    def command(self, *more: str) -> list[str]:
        places = ["--store", self.store, "--layers", str(self.folder / "layers"), "--snapshots", str(self.snapshots)]
        return ["ingest", "stops", *more, *places]

    def killed(self, site: Site, asked: int, *more: str) -> None:
        """Runs the command in a process of its own, and kills it once the server has been asked so many times."""
        process = subprocess.Popen([sys.executable, "-m", "tileserver.cli", *self.command(*more)], stderr=subprocess.PIPE)
        wait_until(lambda: len(site.asked) >= asked or process.poll() is not None)
        wait_until(lambda: bool(self.fetched()) or process.poll() is not None)
        assert process.poll() is None, process.stderr and process.stderr.read()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    def fetched(self) -> list[Path]:
        """What is there of files that are not yet read."""
        return [path for path in (self.home / "feed").glob("*/*") if "journal" not in path.name and path.stat().st_size]


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(tmp_path)


def test_rows_that_are_stored_but_cannot_be_shown_yet_are_told(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    (city.folder / "stops.csv").write_bytes(file(1, 2))
    city.layer(str(city.folder / "stops.csv"))
    (city.home / "current.json").mkdir(parents=True)
    assert main(city.command()) == 1
    said = capsys.readouterr()
    assert "2 rows read" in said.out
    assert f"tileserver: {city.home / 'current.json'}: Is a directory" in said.err
    assert "The rows of stops are stored, but not yet shown: the indexer or the next ingest shows them." in said.err
    (city.home / "current.json").rmdir()
    assert main(city.command()) == 0
    assert complete_through(city) > 0


def complete_through(city: City) -> int:
    layers = catalog.load(city.folder / "layers")
    live = Live(layers, revisions.Revisions(city.snapshots))
    return live.complete_through(layers["stops"])


def test_a_killed_run_goes_on_at_the_next_page(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    site, gate = ArcGis([feature(number) for number in IDS]), threading.Event()
    with serving(site):
        city.layer(site.url)
        site.faults = [None] * 5 + [stalls(20, gate)]
        city.killed(site, 6)
        gate.set()
        done = {asked.query["where"] for asked in site.pages()[:-1]}
        assert len(done) == 2
        site.forget()
        assert main(city.command()) == 0
        asked = [asked.query["where"] for asked in site.pages()]
    assert asked == ["(OBJECTID >= 43 AND OBJECTID <= 5000)", "(OBJECTID >= 5001 AND OBJECTID <= 5001)"]
    assert done.isdisjoint(asked)
    assert "10 rows read from http://127.0.0.1:" in capsys.readouterr().out
    assert city.fetched() == []


def test_a_killed_download_goes_on_where_it_was(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    site, gate = Files(), threading.Event()
    body = file(*range(20_000))
    with serving(site):
        site.put("/stops.csv", body, ETag='"1"')
        city.layer(f"{site.origin}/stops.csv")
        site.faults = [stalls(600_000, gate)]
        city.killed(site, 1)
        gate.set()
        there = sum(path.stat().st_size for path in city.fetched())
        assert main(city.command()) == 0
    assert site.asked[1].headers["Range"] == f"bytes={there}-"
    assert 0 < there <= 600_000
    assert "20,000 rows read" in capsys.readouterr().out


def test_the_second_run_changes_nothing_but_that_the_layer_is_complete(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    site = Files()
    with serving(site):
        site.put("/stops.csv", file(1), ETag='"1"')
        city.layer(f"{site.origin}/stops.csv")
        assert main(city.command("--replace")) == 0
        first = revisions.read(city.snapshots, "stops")
        ledger = (city.home / "ledger.json").read_bytes()
        assert main(city.command("--replace")) == 0
    second = revisions.read(city.snapshots, "stops")
    assert "is not modified since its rows were published at 20" in capsys.readouterr().out
    assert first is not None
    assert second is not None
    assert (second.revision, second.published_at > first.published_at) == (first.revision, True)
    assert (city.home / "ledger.json").read_bytes() == ledger


def test_a_layer_is_complete_up_to_the_last_run_less_its_lag(city: City) -> None:
    site = Files()
    with serving(site):
        site.put("/stops.csv", file(1).replace(b"2024", b"2999"), ETag='"1"')
        city.layer(f"{site.origin}/stops.csv", lag="2d")
        main(city.command())
        first = complete_through(city)
        main(city.command())
    published = revisions.read(city.snapshots, "stops")
    assert published is not None
    assert complete_through(city) == published.published_at - 2 * 86_400_000_000
    assert complete_through(city) > first


def test_it_is_the_same_in_a_database(tmp_path: Path, postgres: str, capsys: pytest.CaptureFixture[str]) -> None:
    city, site = City(tmp_path, postgres), Files()
    with serving(site):
        site.put("/stops.csv", file(1, 2), ETag='"1"')
        city.layer(f"{site.origin}/stops.csv", table="feeds.stops")
        assert [main(city.command()), main(city.command())] == [0, 0]
        site.put("/stops.csv", file(2, 3), ETag='"2"')
        assert main(city.command("--replace")) == 0
    out = capsys.readouterr().out
    assert "2 rows read" in out
    assert "is not modified since" in out
    assert "1 published, 1 unchanged.\nRemoved" in out
    layer = catalog.load(city.folder / "layers")["stops"]
    with open_store(postgres) as store:
        assert sorted(row["number"] for batch in store.read(layer) for row in batch.to_pylist()) == ["2", "3"]


def test_a_failure_is_told_in_one_line_and_changes_nothing(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    site = Files()
    with serving(site):
        city.layer(site.origin.replace("//", "//clerk:canary@") + "/gone.csv?token=canary")
        assert main(city.command()) == 1
    said = capsys.readouterr()
    assert said.err == f"tileserver: {site.origin}/gone.csv: answers 404 Not Found. Is the address right?\n"
    assert said.out == ""
    assert not (city.home / "feed.json").exists()


def test_the_command_sends_the_token_of_the_settings() -> None:
    settings = load(socrata_token="canary")
    assert ingest.Web(settings.socrata_token).socrata_token == "canary"
    assert "canary" not in repr(settings)


def test_one_run_at_a_time_fetches_for_a_layer(tmp_path: Path) -> None:
    class Nosy(Files):
        def answer(self, asked: Any) -> Any:
            with pytest.raises(IngestError, match="another ingest of this layer is fetching"):
                bring(tmp_path, f"{self.origin}/stops.csv")
            return super().answer(asked)

    site = Nosy()
    with serving(site):
        site.put("/stops.csv", file(1))
        assert bring(tmp_path, f"{site.origin}/stops.csv").published == 1
    assert len(site.asked) == 1


def test_what_other_addresses_left_goes(tmp_path: Path) -> None:
    old = tmp_path / "home" / "feed" / "0123456789abcdef"
    old.mkdir(parents=True)
    (old / "body").write_text("secret")
    site = Files()
    with serving(site), pytest.raises(IngestError, match="404"):
        bring(tmp_path, f"{site.origin}/gone.csv")
    assert left(tmp_path) == []


def test_two_addresses_of_a_layer_know_of_each_other(tmp_path: Path) -> None:
    site = Files()
    with serving(site):
        for name, number in (("a", 1), ("b", 2)):
            site.put(f"/{name}.csv", file(number), ETag=f'"{name}"')
            bring(tmp_path, f"{site.origin}/{name}.csv")
        assert [bring(tmp_path, f"{site.origin}/{name}.csv").read for name in "ab"] == [0, 0]
        bring(tmp_path, f"{site.origin}/b.csv", f"{site.origin}/a.csv", replace=True)
        assert numbers(tmp_path) == [1, 2]
        site.put("/a.csv", file(3), ETag='"c"')
        bring(tmp_path, f"{site.origin}/a.csv", replace=True)
        assert numbers(tmp_path) == [3]
        assert bring(tmp_path, f"{site.origin}/b.csv").published == 1


def test_progress_is_told_without_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Files()
    with serving(site):
        site.put("/stops.csv", file(*range(100)))
        address = f"{site.origin}/stops.csv"
        web = ingest.Web()
        with open_store(str(tmp_path / "store")) as store:
            ingest.ingest(
                stops(), store, [f"{address}?token=canary"], folder=tmp_path, home=tmp_path / "home", web=web, progress=True
            )
    told = capsys.readouterr().err
    assert address in told
    assert "canary" not in told


# Addresses


@pytest.mark.parametrize(
    ("address", "protocol"),
    [
        ("https://data.example.org/resource/abcd-1234.json", "socrata"),
        ("https://data.example.org/resource/ABCD-1234.csv?$where=x", "socrata"),
        ("https://data.example.org/d/abcd-1234", "socrata"),
        ("https://gis.example.org/a/rest/services/x/FeatureServer/0", "arcgis"),
        ("https://gis.example.org/a/rest/services/x/MapServer/12/query?where=1=1", "arcgis"),
        ("https://data.example.org/resource/abcd-1234.xml", "file"),
        ("https://example.org/FeatureServer/0/stops.csv", "file"),
        ("HTTPS://example.org/stops.csv", "file"),
    ],
)
def test_the_protocol_is_told_by_the_address(address: str, protocol: str) -> None:
    assert Address.parse(address).protocol == protocol


@pytest.mark.parametrize(
    "name",
    ["token", "access_token", "accessToken", "api_key", "apikey", "key", "X-Amz-Signature", "sig", "$$app_token", "password"],
)
def test_the_name_of_an_address_holds_no_secret(name: str) -> None:
    address = Address.parse(f"https://clerk:canary@example.org:8443/a%20b.csv?year=2024&{name}=canary&keyword=x#canary")
    assert address.name == "https://example.org:8443/a%20b.csv?year=2024&keyword=x"
    assert "canary" not in repr(address)
    assert ("canary" in address.url()) == (name != "$$app_token")


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8")))))
def test_any_query_is_asked_as_it_was_given(pairs: list[tuple[str, str]]) -> None:
    address = Address.parse("https://example.org/a.csv").url(*pairs)
    assert (address.isascii(), " " in address) == (True, False)
    again = Address.parse(address)
    assert list(again.parameters) == [pair for pair in pairs if pair[0] != "$$app_token"]

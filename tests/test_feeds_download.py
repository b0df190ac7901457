"""Files at addresses: only if they have changed, whole or not at all, and from where they broke off."""

import gzip
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from feeding import bring, file, known, left, numbers, stops
from hypothesis import given
from hypothesis import strategies as st
from web_servers import Answer, Files, cut, serving, stalls, status

from tileserver.errors import IngestError
from tileserver.ingest.feeds import Patience
from tileserver.ingest.feeds.address import Address
from tileserver.ingest.feeds.download import unpacked
from tileserver.stores import FolderStore


@pytest.fixture
def site() -> Iterator[Files]:
    files = Files()
    with serving(files):
        yield files


# Only if it has changed


def test_a_file_at_an_address_is_brought_in(site: Files, tmp_path: Path) -> None:
    site.put("/stops.csv", file(1, 2) + b"3,never,WARNING,-92.3,34.7\n")
    ledger = bring(tmp_path, f"{site.origin}/stops.csv")
    assert (ledger.read, ledger.published, ledger.rejected) == (3, 2, 1)
    assert ledger.files == {f"{site.origin}/stops.csv": 3}
    assert f"{site.origin}/stops.csv,4,at cannot be read" in (tmp_path / "home" / "rejects.csv").read_text()
    assert left(tmp_path) == []
    assert site.asked[0].headers["User-Agent"].startswith("tileserver/")


def test_what_has_not_changed_is_not_read_again(site: Files, tmp_path: Path) -> None:
    address = f"{site.origin}/stops.csv"
    site.put("/stops.csv", file(1, 2), ETag='"1"', Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT")
    bring(tmp_path, address)
    rejects = (tmp_path / "home" / "rejects.csv").stat().st_mtime_ns
    first = FolderStore(tmp_path / "store").state(stops())
    ledger = bring(tmp_path, address)
    second = FolderStore(tmp_path / "store").state(stops())
    assert site.asked[1].headers["If-None-Match"] == '"1"'
    assert site.asked[1].headers["If-Modified-Since"] == "Mon, 01 Jan 2024 00:00:00 GMT"
    assert (ledger.read, ledger.files, list(ledger.not_modified)) == (0, {}, [address])
    assert ledger.in_words().startswith(f"{address} is not modified since its rows were published at 20")
    assert first is not None
    assert second is not None
    assert second.revision == first.revision
    assert second.published_at != first.published_at
    assert (tmp_path / "home" / "rejects.csv").stat().st_mtime_ns == rejects


def test_nothing_is_removed_where_nothing_has_changed(site: Files, tmp_path: Path) -> None:
    site.put("/stops.csv", file(1, 2), ETag='"1"')
    bring(tmp_path, f"{site.origin}/stops.csv", replace=True)
    ledger = bring(tmp_path, f"{site.origin}/stops.csv", replace=True)
    assert (ledger.read, ledger.removed, numbers(tmp_path)) == (0, 0, [1, 2])


def test_of_several_only_the_changed_is_read_but_all_where_all_is_replaced(site: Files, tmp_path: Path) -> None:
    addresses = [f"{site.origin}/{name}.csv" for name in "ab"]
    site.put("/a.csv", file(1), ETag='"a1"')
    site.put("/b.csv", file(2, 3), ETag='"b1"')
    bring(tmp_path, *addresses)
    site.put("/b.csv", file(2, 4), ETag='"b2"')
    ledger = bring(tmp_path, *addresses)
    assert (ledger.files, list(ledger.not_modified)) == ({addresses[1]: 2}, [addresses[0]])
    site.put("/b.csv", file(2), ETag='"b3"')
    ledger = bring(tmp_path, *addresses, replace=True)
    assert (ledger.read, ledger.removed, ledger.not_modified, numbers(tmp_path)) == (2, 2, {}, [1, 2])
    assert known(tmp_path) == {addresses[0]: {"etag": '"a1"'}, addresses[1]: {"etag": '"b3"'}}


def test_files_beside_an_address_are_replaced_together(site: Files, tmp_path: Path) -> None:
    site.put("/a.csv", file(1), ETag='"1"')
    (tmp_path / "b.csv").write_bytes(file(2))
    bring(tmp_path, f"{site.origin}/a.csv", "b.csv", replace=True)
    ledger = bring(tmp_path, f"{site.origin}/a.csv", "b.csv", replace=True)
    assert (ledger.unchanged, ledger.removed, numbers(tmp_path)) == (2, 0, [1, 2])


def test_all_is_read_again_for_another_layer_file_or_another_store(site: Files, tmp_path: Path) -> None:
    site.put("/stops.csv", file(1), ETag='"1"')
    address = f"{site.origin}/stops.csv"
    bring(tmp_path, address)
    fields = {**stops().model_dump(exclude_unset=True)["fields"], "lon": {"type": "number"}}
    other = stops(fields={name: {k: v for k, v in each.items() if k != "name"} for name, each in fields.items()})
    assert bring(tmp_path, address, layer=other).published == 1
    (tmp_path / "x.csv").write_bytes(file(7))
    bring(tmp_path, "x.csv", layer=other)
    assert bring(tmp_path, address, layer=other).read == 1
    assert bring(tmp_path, address, layer=other).read == 0


def test_the_state_moves_only_after_a_publish(site: Files, tmp_path: Path) -> None:
    site.put("/stops.csv", b"nothing,fits\n1,2\n", ETag='"1"')
    with pytest.raises(IngestError, match="no column for number"):
        bring(tmp_path, f"{site.origin}/stops.csv")
    assert not (tmp_path / "home" / "feed.json").exists()
    assert {stat.S_IMODE(path.stat().st_mode) for path in left(tmp_path)} == {0o600}
    assert stat.S_IMODE((tmp_path / "home" / "feed").stat().st_mode) == 0o700
    site.put("/stops.csv", file(1), ETag='"2"')
    assert bring(tmp_path, f"{site.origin}/stops.csv").published == 1
    assert stat.S_IMODE((tmp_path / "home" / "feed.json").stat().st_mode) == 0o600


def test_nothing_is_replaced_by_an_empty_file(site: Files, tmp_path: Path) -> None:
    bring_in = f"{site.origin}/stops.csv"
    site.put("/stops.csv", file(1, 2))
    bring(tmp_path, bring_in)
    site.put("/stops.csv", file())
    with pytest.raises(IngestError, match="holds no rows, so nothing is replaced"):
        bring(tmp_path, bring_in, replace=True)
    assert numbers(tmp_path) == [1, 2]
    assert bring(tmp_path, bring_in).read == 0


# What kind of file it is


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/stops.csv", {}),
        ("/stops.CSV", {"Content_Type": "application/octet-stream"}),
        ("/export?format=csv", {"Content_Type": "text/csv; charset=utf-8"}),
        ("/export", {"Content_Type": "application/octet-stream", "Content_Disposition": 'attachment; filename="stops 1.csv"'}),
    ],
)
def test_the_kind_of_file_is_told_by_address_name_or_type(site: Files, tmp_path: Path, path: str, headers: dict[str, str]) -> None:
    site.put(path.split("?", maxsplit=1)[0], file(1), **headers)
    assert bring(tmp_path, site.origin + path).published == 1


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Content_Type": "text/html; charset=utf-8"}, "answers a web page, not data"),
        ({"Content_Type": "application/pdf"}, "tells a kind of file that can be read"),
    ],
)
def test_what_cannot_be_read_is_refused(site: Files, tmp_path: Path, headers: dict[str, str], message: str) -> None:
    site.put("/export", b"<html>", **headers)
    with pytest.raises(IngestError, match=message):
        bring(tmp_path, f"{site.origin}/export")


def test_gzip_goes_whether_put_there_for_the_way_or_before(site: Files, tmp_path: Path) -> None:
    site.packed = True
    site.put("/stops.csv.gz", gzip.compress(file(1, 2)))
    site.put("/more.csv", file(3))
    assert bring(tmp_path, f"{site.origin}/stops.csv.gz", f"{site.origin}/more.csv").published == 3
    site.packed = False
    site.put("/stops.csv.gz", gzip.compress(file(1, 2))[:-9])
    with pytest.raises(IngestError, match="its gzip breaks off"):
        bring(tmp_path, f"{site.origin}/stops.csv.gz")


def test_a_file_is_bounded_as_it_is_sent_and_unpacked(site: Files, tmp_path: Path) -> None:
    site.put("/bomb.csv.gz", gzip.compress(file(1) + b" " * 1_000_000))
    site.put("/large.csv", file(*range(1000)))
    for name in ("bomb.csv.gz", "large.csv"):
        with pytest.raises(IngestError, match="is larger than 9,999 bytes, as it is sent or unpacked, which is the bound"):
            bring(tmp_path, f"{site.origin}/{name}", most=9_999)
    assert not (tmp_path / "store").exists()


@given(st.binary(max_size=300), st.integers(1, 400), st.integers(0, 2))
def test_gzip_is_taken_off_as_the_library_does(body: bytes, most: int, times: int) -> None:
    once = gzip.compress(body[:150]) + gzip.compress(body[150:])
    packed = (body, once, gzip.compress(once))[times]
    address = Address.parse("https://example.org/a.csv")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "body"
        path.write_bytes(packed)
        sizes = ([0], [len(body)], [len(body), len(once)])[times]
        if max(sizes) > most:
            with pytest.raises(IngestError, match="is larger than"):
                unpacked(address, path, most)
        else:
            assert unpacked(address, path, most).read_bytes() == body


# When it breaks off


def test_a_download_that_breaks_off_goes_on_where_it_was(site: Files, tmp_path: Path) -> None:
    body = file(*range(1000))
    site.put("/stops.csv", body, ETag='"1"')
    site.faults = [cut(5000), cut(7000)]
    assert bring(tmp_path, f"{site.origin}/stops.csv").published == 1000
    assert [asked.headers.get("Range") for asked in site.asked] == [None, "bytes=5000-", "bytes=12000-"]
    assert {asked.headers.get("If-Range") for asked in site.asked[1:]} == {'"1"'}


def test_it_goes_on_in_the_next_run(site: Files, tmp_path: Path) -> None:
    site.put("/stops.csv", file(*range(1000)), Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT")
    site.faults = [cut(5000), *[status(503)] * 6]
    with pytest.raises(IngestError, match="answers 503 Service Unavailable; given up after 5 retries"):
        bring(tmp_path, f"{site.origin}/stops.csv")
    site.faults = []
    site.forget()
    assert bring(tmp_path, f"{site.origin}/stops.csv").published == 1000
    assert [asked.headers.get("Range") for asked in site.asked] == ["bytes=5000-"]


def test_another_file_is_not_joined_to_the_begin_of_the_old_one(site: Files, tmp_path: Path) -> None:
    site.put("/stops.csv", file(*range(1000)), ETag='"1"')

    def changed(answer: Answer) -> Answer:
        site.put("/stops.csv", file(*range(500, 700)), ETag='"2"')
        return cut(5000)(answer)

    site.faults = [changed]
    assert bring(tmp_path, f"{site.origin}/stops.csv").published == 200
    assert numbers(tmp_path) == list(range(500, 700))


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
def test_without_a_strong_validator_it_begins_anew(site: Files, tmp_path: Path, headers: dict[str, str]) -> None:
    site.put("/stops.csv", file(*range(1000)), **headers)
    site.faults = [cut(5000)]
    assert bring(tmp_path, f"{site.origin}/stops.csv").published == 1000
    assert [asked.headers.get("Range") for asked in site.asked] == [None, None]


def test_a_whole_file_whose_ingest_failed_is_not_sent_again(site: Files, tmp_path: Path) -> None:
    site.put("/stops.csv", file(1).replace(b"number", b"nr"), ETag='"1"')
    with pytest.raises(IngestError, match="no column for number"):
        bring(tmp_path, f"{site.origin}/stops.csv")
    ledger = bring(tmp_path, f"{site.origin}/stops.csv", layer=stops(ingest={"rename": {"nr": "number"}}))
    assert (ledger.published, site.asked[1].headers["If-None-Match"]) == (1, '"1"')


# Patience


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_server_that_is_busy_is_asked_again(site: Files, tmp_path: Path, code: int) -> None:
    site.put("/stops.csv", file(1))
    site.faults = [status(code, Retry_After="0"), status(code)]
    assert bring(tmp_path, f"{site.origin}/stops.csv").published == 1
    assert len(site.asked) == 3


def test_a_server_is_left_alone_for_as_long_as_it_asks(site: Files, tmp_path: Path) -> None:
    site.put("/stops.csv", file(1))
    site.faults = [status(429, Retry_After="3600")]
    with pytest.raises(IngestError, match="answers 429 Too Many Requests, and asks to be left alone for 60 minutes"):
        bring(tmp_path, f"{site.origin}/stops.csv")
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("code", "message"), [(404, "Is the address right"), (401, "wants a user"), (403, "wants a token"), (410, "answers 410 Gone")]
)
def test_what_is_refused_is_not_asked_again(site: Files, tmp_path: Path, code: int, message: str) -> None:
    site.put("/stops.csv", file(1))
    site.faults = [status(code)]
    with pytest.raises(IngestError, match=message):
        bring(tmp_path, f"{site.origin}/stops.csv")
    assert len(site.asked) == 1


def test_a_server_that_is_not_there_or_does_not_answer_is_told(site: Files, tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"^http://127\.0\.0\.1:1/stops\.csv: cannot be reached; given up after 5 retries"):
        bring(tmp_path, "http://127.0.0.1:1/stops.csv")


# Where an address leads


def test_redirects_are_followed_but_not_for_ever(site: Files, tmp_path: Path) -> None:
    site.put("/old.csv", b"", Location="/new.csv")
    site.put("/new.csv", file(1))
    site.put("/loop.csv", b"", Location="/loop.csv")
    assert bring(tmp_path, f"{site.origin}/old.csv").published == 1
    with pytest.raises(IngestError, match="redirects more than 5 times"):
        bring(tmp_path, f"{site.origin}/loop.csv")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/stops.csv", "gopher://127.0.0.1/"])
def test_redirects_out_of_the_web_are_not_followed(site: Files, tmp_path: Path, target: str) -> None:
    site.put("/stops.csv", b"", Location=target)
    with pytest.raises(IngestError, match="redirects to an address that is not http, which is not followed"):
        bring(tmp_path, f"{site.origin}/stops.csv")


@pytest.mark.parametrize("target", ["http://[::1/stops.csv", "http://127.0.0.1:99999/stops.csv", "http://127.0.0.1:abc/stops.csv"])
def test_a_redirect_to_no_address_is_told(site: Files, tmp_path: Path, target: str) -> None:
    site.put("/stops.csv", b"", Location=target)
    with pytest.raises(IngestError, match=r"/stops\.csv: redirects to what cannot be understood as an address$"):
        bring(tmp_path, f"{site.origin}/stops.csv")
    assert len(site.asked) == 1


def test_another_host_does_not_learn_the_password(site: Files, tmp_path: Path) -> None:
    other = Files()
    other.put("/stops.csv", file(1))
    with serving(other):
        site.put("/stops.csv", b"", Location=f"{other.origin}/stops.csv")
        bring(tmp_path, site.origin.replace("//", "//clerk:canary@") + "/stops.csv")
    assert site.asked[0].headers["Authorization"] == "Basic Y2xlcms6Y2FuYXJ5"
    assert "Authorization" not in other.asked[0].headers


def test_secrets_of_an_address_are_told_nowhere(
    site: Files, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    site.put("/stops.csv", file(1) + b"2,never,WARNING,-92.3,34.7\n")
    address = (
        site.origin.replace("//", "//clerk:canary@") + "/stops.csv?token=canary&year=2024&$$app_token=canary&sig=canary#canary"
    )
    site.faults = [cut(20), status(503)]
    caplog.set_level("DEBUG", "tileserver")
    ledger = bring(tmp_path, address)
    assert site.asked[-1].query["token"] == "canary"
    assert list(ledger.files) == [f"{site.origin}/stops.csv?year=2024"]
    site.faults = [status(500)] * 6
    with pytest.raises(IngestError) as failed:
        bring(tmp_path, address)
    written = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    said = [
        str(failed.value),
        ledger.in_words(),
        str(ledger.as_json()),
        *capfd.readouterr(),
        caplog.text,
        written.decode(errors="replace"),
    ]
    assert not [text for text in said if "canary" in text]


def test_a_certificate_that_is_not_valid_is_refused_at_once(tmp_path: Path) -> None:
    make = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
    subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    site = Files()
    with (
        serving(site, lambda plain: context.wrap_socket(plain, server_side=True)),
        pytest.raises(IngestError, match="its certificate is not valid"),
    ):
        bring(tmp_path, f"{site.origin}/stops.csv")
    assert site.asked == []


@pytest.mark.parametrize("address", ["http://", "https://a b/c.csv", "http://[::1/a.csv", "http://host:port/a.csv"])
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(IngestError, match="cannot be understood"):
        bring(tmp_path, address)


def test_a_server_that_falls_silent_is_given_up(site: Files, tmp_path: Path) -> None:
    site.put("/stops.csv", file(1))
    gate = threading.Event()
    site.faults = [stalls(10, gate), stalls(10, gate)]
    with pytest.raises(IngestError, match="does not answer in time; given up after 1 retries"):
        bring(tmp_path, f"{site.origin}/stops.csv", patience=Patience(read=0.05, retries=1, first_wait=0.001))
    gate.set()
    assert not (tmp_path / "store").exists()

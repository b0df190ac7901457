"""Asking over HTTP: one request at a time, patient with servers that are busy or break off, and never for ever."""

from __future__ import annotations

import gzip
import io
import random
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import orjson
import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, LocationValueError, NewConnectionError, SSLError

from tileserver.errors import IngestError
from tileserver.ingest.feeds.address import Address

AGENT = f"tileserver/{version('tileserver')} (ingest of open data)"

MOST_DOCUMENT = 256 * 2**20
"""Bytes of one page or other answer that is held in memory, unpacked."""

MOST_BYTES = 16 * 2**30
"""Of one file, as it is sent and unpacked."""

MOST_REDIRECTS = 5

REDIRECTS = (301, 302, 303, 307, 308)

PASSING = (202, 408, 425, 429, 500, 502, 503, 504)
"""What may be otherwise a moment later."""

T = TypeVar("T")
Response = urllib3.BaseHTTPResponse


class Trouble(Exception):
    """What may be gone a moment later; `wait`: the seconds that the server asks for."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class Refused(IngestError):
    """An answer of a status that stays: `code`."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often; in seconds."""

    connect: float = 10.0
    read: float = 60.0
    """Between two pieces of an answer."""
    first_wait: float = 1.0
    """Before the first retry; doubled with each that follows in a row, and spread by up to a half to either side."""
    longest_wait: float = 60.0
    longest_asked: float = 600.0
    """A server that asks to be left alone for longer is: the ingest ends."""
    retries: int = 20
    """In all, of one ingest."""


class Web:
    """A client of one ingest."""

    def __init__(
        self, socrata_token: str = "", *, patience: Patience | None = None, page: int = 20_000, most: int = MOST_BYTES
    ) -> None:
        self.socrata_token = socrata_token
        self.page = page
        """Rows to ask for at a time."""
        self.most = most
        """Bytes of one file."""
        self._patience = patience or Patience()
        self._left = self._patience.retries
        self._pool = urllib3.PoolManager(
            num_pools=4,
            retries=False,
            timeout=urllib3.Timeout(connect=self._patience.connect, read=self._patience.read),
            headers={"User-Agent": AGENT, "Accept-Encoding": "gzip"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.clear()

    def json(
        self,
        address: Address,
        url: str,
        understand: Callable[[Any, Mapping[str, str]], T],
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """What `understand` makes of the answer, a JSON document, and of its headers; it may raise `Trouble` to ask again."""

        def parse(body: bytes, told: Mapping[str, str]) -> T:
            try:
                return understand(orjson.loads(body), told)
            except orjson.JSONDecodeError:
                raise Trouble("an answer is not valid JSON, or broke off") from None

        return self.document(address, url, parse, headers)

    def document(
        self,
        address: Address,
        url: str,
        understand: Callable[[bytes, Mapping[str, str]], T],
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """What `understand` makes of the answer's body, at most `MOST_DOCUMENT` bytes, and of its headers."""

        def attempt() -> T:
            with self.answer(address, url, headers or {}) as response:
                return understand(_whole(address, response, min(MOST_DOCUMENT, self.most)), response.headers)

        return self.retrying(address, attempt)

    def retrying(self, address: Address, attempt: Callable[[], T]) -> T:
        """What `attempt` returns, made again as long as it raises `Trouble` and retries are left.

        Raises:
            IngestError: none is left, or the server asks for more patience than there is.
        """
        failures = 0
        while True:
            try:
                return attempt()
            except Trouble as trouble:
                what, asked = str(trouble), trouble.wait
            if self._left <= 0:
                raise IngestError(f"{address.name}: {what}; given up after {self._patience.retries} retries. Run it again later")
            if asked is not None and asked > self._patience.longest_asked:
                raise IngestError(f"{address.name}: {what}, and asks to be left alone for {asked / 60:.0f} minutes")
            wait = min(self._patience.first_wait * 2**failures, self._patience.longest_wait) * random.uniform(0.5, 1.5)  # noqa: S311 no secret
            time.sleep(max(wait, asked or 0.0))
            failures, self._left = failures + 1, self._left - 1

    @contextmanager
    def answer(
        self, address: Address, url: str, headers: Mapping[str, str], accept: tuple[int, ...] = (200,)
    ) -> Iterator[Response]:
        """One answer of a status in `accept`, its body still to be read as it is sent; redirects are followed.

        Raises:
            Trouble: it failed, and may not if asked again.
            Refused: it is of another status.
            IngestError: the server is not who it says it is, or leads elsewhere than HTTP goes.
        """
        with _told(address):
            response = self._follow(address, url, headers)
            try:
                if response.status not in accept:
                    raise _refusal(address, response)
                yield response
            finally:
                response.close()

    def _follow(self, address: Address, url: str, headers: Mapping[str, str]) -> Response:
        sent = {**self._pool.headers, **headers} | ({"Authorization": address.authorization} if address.authorization else {})
        for _ in range(MOST_REDIRECTS + 1):
            response = self._pool.request("GET", url, headers=sent, redirect=False, preload_content=False, decode_content=False)
            target = response.headers.get("Location")
            if response.status not in REDIRECTS or target is None:
                return response
            response.close()
            here, there = urlsplit(url), _target(address, url, target)
            if there.scheme not in ("http", "https") or (here.scheme, there.scheme) == ("https", "http") or not there.hostname:
                raise IngestError(f"{address.name}: redirects to an address that is not {here.scheme}, which is not followed")
            if (here.hostname, here.port, here.scheme) != (there.hostname, there.port, there.scheme):
                sent = {name: value for name, value in sent.items() if name not in ("Authorization", "X-App-Token")}
            url = urlunsplit((there.scheme, there.netloc.rpartition("@")[2], there.path, there.query, ""))
        raise IngestError(f"{address.name}: redirects more than {MOST_REDIRECTS} times; name the address where it ends")


def _target(address: Address, url: str, location: str) -> SplitResult:
    """Where `location`, a header of the answer from `url`, leads; its port is a number."""
    try:
        target = urlsplit(urljoin(url, location))
        _ = target.port  # raises, too
    except ValueError:
        raise IngestError(f"{address.name}: redirects to what cannot be understood as an address") from None
    return target


def _whole(address: Address, response: Response, most: int) -> bytes:
    body = bytearray()
    while len(body) <= most and (part := response.read(2**20)):
        body += part
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding in ("gzip", "x-gzip") and len(body) <= most:
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as packed:
                body = bytearray(packed.read(most + 1))
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise Trouble("an answer broke off") from None
    elif encoding not in ("identity", "gzip", "x-gzip"):
        raise IngestError(f"{address.name}: an answer is packed in a way that was not asked for")
    if len(body) > most:
        raise IngestError(f"{address.name}: an answer is larger than {most:,} bytes, which is the bound")
    return bytes(body)


def _refusal(address: Address, response: Response) -> Exception:
    said = f"answers {response.status} {_phrase(response.status)}".rstrip()
    if response.status in PASSING:
        return Trouble(said, _retry_after(response))
    hint = {
        401: ". It wants a user and a password, or other ones",
        403: ". It wants a token, or another one, or refuses for good",
        404: ". Is the address right?",
        304: ", which nobody asked for",
    }.get(response.status, "")
    return Refused(f"{address.name}: {said}{hint}", response.status)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _retry_after(response: Response) -> float | None:
    """Seconds, from a number of them or a date."""
    try:
        return urllib3.Retry().get_retry_after(response)
    except (InvalidHeader, ValueError, OverflowError):
        return None


@contextmanager
def _told(address: Address) -> Iterator[None]:
    """The client library's errors as ours: its texts hold whole addresses, which no reader is to see."""
    try:
        yield
    except SSLError as error:
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in (error.__cause__, error.__context__, *error.args)):
            raise IngestError(f"{address.name}: its certificate is not valid, so nothing is read from it") from None
        raise Trouble("the encrypted connection failed") from None
    except LocationValueError:
        raise IngestError(f"{address.name}: cannot be understood as an address") from None
    except NewConnectionError:
        raise Trouble("cannot be reached") from None
    except urllib3.exceptions.TimeoutError:
        raise Trouble("does not answer in time") from None
    except HTTPError:
        raise Trouble("the connection broke off") from None

"""An address on the web: what to ask, what to call it, and which protocol it speaks. Secrets stay out of its name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from urllib3.util import make_headers

from tileserver.errors import IngestError

Protocol = Literal["file", "socrata", "arcgis"]

_SOCRATA = re.compile(r"/(?:resource|d)/([a-z0-9]{4}-[a-z0-9]{4})(?:\.(json|geojson|csv))?/?", re.IGNORECASE)
_ARCGIS = re.compile(r".*/(?:FeatureServer|MapServer)/[0-9]+(?:/query)?/?", re.IGNORECASE)
_ARCGIS_SERVICE = re.compile(r".*/(?:FeatureServer|MapServer)/?", re.IGNORECASE)

_SECRET = {"token", "key", "apikey", "sig", "signature", "secret", "password", "passwd", "pwd", "auth", "authorization"}
_SECRET |= {"credential", "credentials", "session", "jwt", "apptoken", "accesstoken", "sessionid"}

SAFE = "$:*,()"
"""Marks that stay as they are in a query, so that it can be read."""


def is_address(name: str) -> bool:
    return name.lower().startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class Address:
    name: str
    """Without user, password, tokens and fragment: what ledger, rejects, errors and state call it."""
    protocol: Protocol
    base: str = field(repr=False)
    """Scheme, host and path."""
    parameters: tuple[tuple[str, str], ...] = field(repr=False)
    """Of its query, in their order."""
    authorization: str = field(repr=False, default="")
    """The header for the user and the password that the address holds."""
    app_token: str = field(repr=False, default="")
    """Of Socrata, if the address holds one."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises IngestError if the text is no address."""
        try:
            parts = urlsplit(text.strip())
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or re.search(r"[\s\x00-\x1f\\]", text.strip()):
            raise IngestError("one of the addresses to read from cannot be understood; it is to be like https://example.org/a.csv")
        netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
        protocol = _protocol(parts)
        given = parse_qsl(parts.query, keep_blank_values=True)
        shown = _query((name, value) for name, value in given if not _is_secret(name))
        return cls(
            name=urlunsplit((parts.scheme.lower(), netloc, parts.path, shown, "")),
            protocol=protocol,
            base=urlunsplit((parts.scheme.lower(), netloc, quote(parts.path, safe="/%:@!$&'()*+,;=~"), "", "")),
            parameters=tuple(pair for pair in given if pair[0] != "$$app_token"),
            authorization=_authorization(parts),
            app_token=dict(given).get("$$app_token", ""),
        )

    def url(self, *more: tuple[str, str], base: str | None = None, query: Iterable[tuple[str, str]] | None = None) -> str:
        """What to ask: the address, or `base` on the same host, with its own query or another, and `more` parameters."""
        asked = _query([*(self.parameters if query is None else query), *more])
        return f"{base or self.base}?{asked}" if asked else base or self.base

    @property
    def dataset(self) -> tuple[str, str]:
        """(the dataset's address without suffix, suffix) of Socrata."""
        parts = urlsplit(self.base)
        found = _SOCRATA.fullmatch(parts.path)
        if found is None:
            raise ValueError(self.name)
        base = urlunsplit((parts.scheme, parts.netloc, f"/resource/{found[1].lower()}", "", ""))
        return base, (found[2] or "json").lower()

    @property
    def layer(self) -> str:
        """The address of the layer, of ArcGIS."""
        return re.sub(r"(?:/query)?/?$", "", self.base, flags=re.IGNORECASE)

    @property
    def file_name(self) -> str:
        """The last part of its path, for a person."""
        return unquote(urlsplit(self.base).path.rstrip("/").rpartition("/")[2])


def _protocol(parts: SplitResult) -> Protocol:
    if _SOCRATA.fullmatch(parts.path):
        return "socrata"
    if _ARCGIS.fullmatch(parts.path):
        return "arcgis"
    if _ARCGIS_SERVICE.fullmatch(parts.path):
        service = f"{parts.scheme}://{parts.hostname}{parts.path.rstrip('/')}"
        raise IngestError(f"{service}: is a service of several layers; name one of them, such as {service}/0")
    return "file"


def _authorization(parts: SplitResult) -> str:
    if parts.username is None and parts.password is None:
        return ""
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return make_headers(basic_auth=pair)["authorization"]


def _is_secret(name: str) -> bool:
    """By the words of a parameter's name: access_token, $$app_token, apiKey, X-Amz-Signature …"""
    words = re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower())
    return not _SECRET.isdisjoint(words)


def _query(pairs: Iterable[tuple[str, str]]) -> str:
    return urlencode(list(pairs), safe=SAFE, quote_via=quote)

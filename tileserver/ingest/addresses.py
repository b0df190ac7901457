"""Street addresses as two lists of a city can agree on them."""

from __future__ import annotations

import re
import unicodedata

import pyarrow as pa

from tileserver.ingest.rows import Texts

_DIRECTIONS = {
    "NORTH": "N",
    "SOUTH": "S",
    "EAST": "E",
    "WEST": "W",
    "NORTHEAST": "NE",
    "NORTHWEST": "NW",
    "SOUTHEAST": "SE",
    "SOUTHWEST": "SW",
}
_SUFFIXES = {
    "ALLEY": "ALY",
    "AV": "AVE",
    "AVENUE": "AVE",
    "BOULEVARD": "BLVD",
    "CIRCLE": "CIR",
    "COURT": "CT",
    "COVE": "CV",
    "DRIVE": "DR",
    "EXPRESSWAY": "EXPY",
    "FREEWAY": "FWY",
    "HIGHWAY": "HWY",
    "LANE": "LN",
    "PARKWAY": "PKWY",
    "PKY": "PKWY",
    "PLACE": "PL",
    "PLAZA": "PLZ",
    "POINT": "PT",
    "ROAD": "RD",
    "SAINT": "ST",
    "SQUARE": "SQ",
    "STREET": "ST",
    "STR": "ST",
    "TERRACE": "TER",
    "TRAIL": "TRL",
}
"""The usual ones of the U.S. Postal Service's Publication 28, appendix C1."""
_SHORT = {**_DIRECTIONS, **_SUFFIXES}


def normalized(texts: Texts) -> Texts:
    """Addresses as they are compared; the work is done once for each different text."""
    encoded = texts.dictionary_encode()
    return pa.array([normal(text) for text in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)


def normal(address: str) -> str | None:
    """Capitals without accents, punctuation and extra spaces, with directions and kinds of street as usually shortened.

    "123 N. Main Street" and "123 North  MAIN ST" become "123 N MAIN ST". House numbers, and what stands for a flat or a suite,
    stay as they are. Nothing is guessed: a direction or a kind that one list leaves out makes another address.
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", address).upper())
    words = re.sub(r"[^\w\s]|_", " ", re.sub(r"[\u0300-\u036f.'’]", "", plain)).split()
    return " ".join(_SHORT.get(word, word) for word in words) or None

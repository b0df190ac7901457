"""What a layer file will say, decided from facts; every decision with its reason."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tileserver.catalog.load import RESERVED
from tileserver.infer.facts import ENOUGH, LARGEST_ID, Facts, folded, spelled, squeezed, words
from tileserver.infer.people import (
    holds_addresses,
    is_address,
    is_address_key,
    is_house_number,
    is_plain_number,
    names_streets,
    personal,
)
from tileserver.infer.place import Place, unreadable

Setting = str | bool

MOST_VALUES = 100
"""Different values that a category may have."""
MOST_REPEATED = 300
"""The same, where each comes again so many times:"""
OFTEN = 20
COLORED = 7
"""Values of a category that styles give a color of their own; the others share one."""
TOLD_APART = 0.75
"""Rows that have such a value, of all, where colors tell a map's rows apart."""
CONSTANT = 0.95
"""Rows with the same value, of those that have one, from which on it says nothing."""
LONG_TEXT = 6
"""Words from which on a value is a text that somebody wrote, and may tell about a person."""
SHORT_TEXT = 3
"""The same, where the column's name says so."""
MOSTLY = 0.6
"""From this share of numbers on it is told why a column stays text."""
NEARLY, SOME = 0.95, 20
"""Of the rows, how many have a value of their own in what is nearly an id; and how many rows it takes to say so."""
MOST_AREAS = 500
"""More polygons than that are shapes: nobody reads a table of them."""

_ACRONYMS = {
    each.lower(): each
    for each in (
        "ZIP",
        "ID",
        "URL",
        "USD",
        "ANC",
        "PSA",
        "GPS",
        "GIS",
        "UCR",
        "NIBRS",
        "FIPS",
        "EMS",
        "ADA",
        "PIN",
        "APN",
        "DOT",
        "LED",
    )
}
_SYSTEM_COLUMNS = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}
"""Names that a table in PostgreSQL cannot give its columns."""
_LONGEST = 50
"""Letters of a field's name: PostgreSQL keeps 63 bytes."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """A column, as the layer file will speak of it."""

    name: str
    """Of the field."""
    facts: Facts
    keys: Mapping[str, Setting] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    withheld: str = ""
    """Why it is not declared; empty where it is."""

    @property
    def role(self) -> str:
        return str(self.keys.get("role", ""))


@dataclass(frozen=True, slots=True)
class Draft:
    kind: str
    kind_note: str
    fields: tuple[Drafted, ...]
    place: Place
    doubled: tuple[str, ...]
    """Columns that no field can be made of, since their names tell nothing apart."""

    @property
    def declared(self) -> list[Drafted]:
        return [each for each in self.fields if not each.withheld]

    @property
    def with_role(self) -> dict[str, Drafted]:
        return {each.role: each for each in self.declared if each.role}

    @property
    def coloring(self) -> Drafted | None:
        """The field that styles color by."""
        return next((each for each in self.declared if each.role == "category"), None)

    @property
    def near_id(self) -> str:
        """Which field nearly tells all rows apart, where none does; empty where none comes near."""
        if "id" in self.with_role:
            return ""
        near = [each for each in self.declared if not each.role and _nearly_id(each.facts)]
        best = max(near, key=lambda each: each.facts.distinct, default=None)
        if best is None:
            return ""
        doubled, empty = best.facts.known - best.facts.distinct, best.facts.rows - best.facts.known
        lacks = [
            *([f"{doubled:,} duplicate{'' if doubled == 1 else 's'}"] if doubled else []),
            *([f"{empty:,} empty"] if empty else []),
        ]
        return (
            f"{best.facts.name} tells all rows apart but {' and '.join(lacks)}; with role = id on {best.name} empty ones are "
            "rejected, and of duplicates the last one stays"
        )

    @property
    def has_unreadable_positions(self) -> bool:
        return self.place.shape == "none" and any(unreadable(each.facts) for each in self.fields)

    @property
    def joinable(self) -> Drafted | None:
        """The field by which another layer could give positions: an address, else a number of a parcel or the like."""
        keys = [each for each in self.fields if is_address_key(each.facts.name)]
        return next((each for each in [*self.declared, *keys] if each.role == "address" or each in keys), None)


def draft_of(
    facts: Sequence[Facts], place: Place, *, doubled: Sequence[str] = (), keep_names: bool = False, key: str | None = None
) -> Draft:
    """`keep_names`: fields are called as their columns are, as in a table; `key` is the column that tells its rows apart."""
    names = {each.name: each.name for each in facts} if keep_names else _field_names([each.name for each in facts])
    fields = _beside_addresses([_drafted(names[each.name], each, place) for each in facts])
    kind, why = _kind(fields, place)
    fields = _with_role(fields, "id", _id_score if key is None else lambda each: float(each.facts.name == key))
    fields = _with_role(fields, *(("time", _time_score) if kind == "events" else ("name", _name_score)))
    fields = _telling_first(fields)
    return Draft(kind, why, tuple(each if keep_names else _unreserved(each, fields) for each in fields), place, tuple(doubled))


def title_of(name: str) -> str:
    """How readers see a name: "ACCOUNT_START_DATE" is "Account start date", and "SL Ticket #" as somebody has written it."""
    name = " ".join(name.split())
    has_small = any(sign.islower() for sign in name)
    if " " in name and has_small and any(sign.isupper() for sign in name):
        return name
    told = [word if has_small and len(word) > 1 and word.isupper() else _known(word) for word in spelled(name)]
    text = " ".join(told) or name
    return text[:1].upper() + text[1:]


def _known(word: str) -> str:
    return _ACRONYMS.get(word.lower(), word.lower())


def _field_names(columns: Sequence[str]) -> dict[str, str]:
    """Column → field: its letters and digits, small, each field once."""
    taken: set[str] = set()
    found: dict[str, str] = {}
    for index, column in enumerate(columns, 1):
        plain = unicodedata.normalize("NFKD", column.casefold()).encode("ascii", "ignore").decode()
        name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_LONGEST].strip("_") or f"column_{index}"
        if name[0].isdigit() or name in RESERVED | _SYSTEM_COLUMNS or name.startswith("sum_"):
            name = f"field_{name}"
        number = 2
        candidate = name
        while candidate in taken:
            candidate, number = f"{name}_{number}", number + 1
        taken.add(candidate)
        found[column] = candidate
    return found


def _unreserved(drafted: Drafted, fields: Sequence[Drafted]) -> Drafted:
    """`id` is the name of the field that tells rows apart, and of no other."""
    if drafted.name != "id" or drafted.role == "id":
        return drafted
    name = "field_id"
    while any(each.name == name for each in fields):
        name += "_"
    return replace(drafted, name=name)


def _drafted(name: str, facts: Facts, place: Place) -> Drafted:
    """One column by itself."""
    drafted = Drafted(name, facts, {"title": title_of(facts.name)})
    if why := _withheld(facts, place):
        return replace(drafted, withheld=why)
    if is_address(facts):
        return replace(drafted, keys={**drafted.keys, "role": "address"}, notes=("street addresses, shown by block",))
    if facts.type == "datetime":
        return replace(drafted, keys={**drafted.keys, "type": "datetime"}, notes=tuple(_date_notes(facts)))
    if _is_category(facts) and not facts.has_decimal_commas:
        return replace(drafted, keys={**drafted.keys, "role": "category"}, notes=(_values(facts), *_twins(facts)))
    type = "text" if facts.type == "integer" and _is_code(facts) else facts.type
    keys = drafted.keys if type == "text" else {**drafted.keys, "type": type}
    return replace(drafted, keys=keys, notes=tuple(_notes(facts, type)))


def _withheld(facts: Facts, place: Place) -> str:
    if not facts.known:
        return "holds nothing"
    if facts.name in place.columns and place.shape != "none":
        return "says the exact position, which the map has"
    if fault := unreadable(facts):
        return f"seems to hold positions, {fault if place.shape == 'none' else 'exact ones'}"
    if facts.name in place.columns:
        return "seems to hold a part of a position"
    if re.fullmatch(r"shape_?_?(len|length|area|leng)|st_(area|length)\(?shape\)?", facts.name, re.IGNORECASE):
        return "a measure of the outline that the program made which wrote the file"
    if (why := personal(facts)) and not _names_areas(facts, place):
        return f"seems to hold {why}"
    if is_house_number(facts):
        return "seems to hold house numbers"
    if not is_address(facts) and (count := holds_addresses(facts)) > facts.known / 100:
        return f"seems to hold street addresses within a longer text: {count:,} values"
    if _is_free_text(facts) and not is_address(facts):
        return "seems to hold free text: read some of it, and publish it only if it tells nothing about a person"
    return ""


def _names_areas(facts: Facts, place: Place) -> bool:
    """`nombre` of a few polygons is what they are called."""
    return squeezed(facts.name) == "nombre" and place.shape == "polygon" and facts.rows <= MOST_AREAS


_TEXTS = (
    r"detail|comment|remark|^notes?$|notes$|narrative|memo$|observac|comentario|detalle|relato|^nota|bemerkung|kommentar"
    r"|commentaire|remarque"
)


def _is_free_text(facts: Facts) -> bool:
    """Many texts of several words."""
    if facts.type != "text" or _is_category(facts) or facts.distinct <= min(MOST_VALUES, facts.known / 2):
        return False
    return facts.mean_words >= (SHORT_TEXT if re.search(_TEXTS, squeezed(facts.name)) else LONG_TEXT)


def _beside_addresses(fields: Sequence[Drafted]) -> list[Drafted]:
    """What tells the house again that `privacy.address` takes out of an address."""
    if any(names_streets(each.facts) for each in fields):
        why = "seems to hold house numbers, beside a street"
        fields = [replace(each, withheld=why) if is_plain_number(each.facts) and not each.withheld else each for each in fields]
    if not any(is_address(each.facts) for each in fields):
        return list(fields)
    why = "seems to hold keys that lead to the exact address"
    return [
        replace(each, withheld=why) if is_address_key(each.facts.name) and not (each.withheld or each.role == "address") else each
        for each in fields
    ]


def _telling_first(fields: Sequence[Drafted]) -> list[Drafted]:
    """The categories, in the places that they have among the fields, ordered by how much they tell: the first colours the map."""
    order = iter(sorted((each for each in fields if each.role == "category" and not each.withheld), key=_dullness))
    found = [next(order) if each.role == "category" and not each.withheld else each for each in fields]
    first = next((each for each in found if each.role == "category" and not each.withheld), None)
    told = "the first category colours the map: move another one before it to colour by that"
    return [replace(each, notes=(*each.notes, f"{told}; {coloring(each.facts)}")) if each is first else each for each in found]


def coloring(facts: Facts) -> str:
    """What colors tell of a category."""
    if facts.distinct <= COLORED:
        return f"its values colour {_colored(facts):.0%} of the rows"
    return f"its {COLORED} most frequent values colour {_colored(facts):.0%} of the rows, the others are grey"


def _colored(facts: Facts) -> float:
    """Rows with a color of their own, of all."""
    return float(facts.counts[:COLORED].sum() / facts.rows)


_TELLING = (
    r"type|kind|categor|class|offen[sc]e|crime|event|species|problem|cause|nature|service(?!code|type)|violation|tipo|clase|delito|servicio"
    r"|especie|giro|art$"
)
_LESS_TELLING = r"status|estado|estatus|state$|priorit|prioridad|description|descripcion|method|reason|motivo"
_PLACES = (
    r"year|month|zip|postal|postcode|district|ward|precinct|beat|sector|tract|council|neighbo|cluster|^psa|^anc|quadrant|^city$|^state$"
    r"|^ano$|^anio$|mes$|colonia|barrio|distrito|municipio|codigo"
)
_CODED = r"^[\d\s.,:-]+$|^[0-9A-Fa-f-]{8,}$|^[0-9A-Za-z]*[0-9][0-9A-Za-z]*$"


def _dullness(drafted: Drafted) -> tuple[int, int, bool]:
    """What a category is sorted by: what its colors would tell apart, then its name: kinds of things first; codes, years and
    places last."""
    facts, name = drafted.facts, squeezed(drafted.facts.name)
    blurred = 0 if _colored(facts) >= TOLD_APART else 1 if _colored(facts) >= TOLD_APART / 2 else 2
    if facts.counts[0] > CONSTANT * facts.known:
        blurred = 2
    if re.search(_PLACES, name):
        rank = 4
    elif facts.matching(_CODED) > 0.5:
        rank = 5 if facts.longest > 8 else 3
    elif re.search(_TELLING, name):
        rank = 0
    else:
        rank = 1 if re.search(_LESS_TELLING, name) else 2
    return blurred, rank, facts.distinct > 12


def _is_category(facts: Facts) -> bool:
    """Few values that come again and again: words, codes and years."""
    if facts.type not in ("text", "integer") or not 2 <= facts.distinct <= MOST_REPEATED or facts.longest > 80:
        return False
    if _is_hash(facts):
        return False
    if facts.distinct > MOST_VALUES:
        return facts.type == "text" and facts.distinct * OFTEN <= facts.known
    if facts.distinct * (3 if facts.distinct <= 20 else 10) > facts.known:
        return False
    return facts.type == "text" or _is_code(facts) or facts.matching(r"^(19|20)[0-9]{2}$") == 1


def _is_hash(facts: Facts) -> bool:
    """Hexadecimal digits, as programs call their versions."""
    return facts.matching(r"^[0-9a-f]{7,64}$") > ENOUGH and min(facts.matching("[a-f]"), facts.matching("[0-9]")) > 0.5


_CODES = {
    *("ward", "district", "precinct", "zone", "region", "beat", "division", "sector", "area", "neighborhood", "neighbourhood"),
    *("cluster", "type", "class", "category", "code", "group", "status", "psa", "pd", "anc", "council", "quadrant", "level"),
    *("crime", "offense", "ucr", "shift", "zip", "zipcode", "postal", "postcode", "zip4", "year", "fips", "geoid", "tract"),
}


def _is_code(facts: Facts) -> bool:
    """Whole numbers that nobody adds up."""
    return bool(_CODES & set(words(folded(facts.name)))) or squeezed(facts.name) in _CODES


def _notes(facts: Facts, type: str) -> list[str]:
    found = []
    if facts.known < facts.rows:
        found.append(f"{facts.rows - facts.known:,} of {facts.rows:,} rows have none")
    if type in ("integer", "number") and (bad := int(facts.counts[facts.numbers != facts.numbers].sum())):
        found.append(f"{bad:,} values are no numbers and will be left out")
    if type in ("integer", "number") and not _is_code(facts) and not _may_be_id(facts) and not facts.since:
        found.append("to add it up in aggregates: measure = true")
    if type == "text" and facts.distinct == 1:
        found.append("always the same")
    if type == "text" and facts.mean_length > 40 and facts.distinct > facts.known / 2:
        found.append("free text: read some of it, and make sure that it tells nothing about a person")
    if type == "text" and (why := _nearly_numbers(facts)):
        found.append(why)
    if facts.since:
        found.append(f"times in {facts.since}, it seems, which ingest cannot read: check, and write dates like 2024-01-31 10:00")
    if type == "text" and facts.has_decimal_commas:
        found.append("numbers with a decimal comma, which cannot be read: they stay text; check, and write them with a point")
    if holds_addresses(facts):
        found.append(f"{holds_addresses(facts):,} values may hold a street address")
    return found


def _nearly_numbers(facts: Facts) -> str:
    """Why a column of numbers stays text; empty for others."""
    is_number = np.isfinite(facts.numbers)
    if (
        not MOSTLY <= facts.counts[is_number].sum() / facts.known < ENOUGH
        or facts.has_leading_zeros
        or _is_code(facts)
        or _may_be_id(facts)
    ):
        return ""
    value, count = facts.values[int(np.flatnonzero(~is_number)[0])].as_py(), int(facts.counts[~is_number].sum())
    such = f' such as "{value}"' if len(value) <= 8 else ""
    # Spreadsheets show a zero so, and people write it for what nobody knows: it is neither to `ingest`.
    dash = "; a dash may be a zero or no value: write one of them" if value.strip("$ ") in ("-", "–", "—") else ""
    return f'numbers, but for {count:,} values{such}: it stays text; check{dash}; type = "number" leaves out what is no number'


def _date_notes(facts: Facts) -> list[str]:
    found = []
    if facts.milliseconds:
        found.append("milliseconds since 1970")
    for each in facts.dates.ambiguities:
        if each.only_other:
            found.append(
                f"{each.only_chosen:,} only fit {each.chosen}, {each.only_other:,} only {each.other}, {each.both:,} either: check"
            )
        elif each.both and not each.only_chosen:
            found.append(f"every day is 12 or less, so these may be {each.other} too: check")
        elif each.both:
            found.append(f"{each.only_chosen:,} fit {each.chosen} alone, {each.both:,} would fit {each.other} too")
    if facts.dates.unread:
        found.append(f"{facts.dates.unread:,} values are no date in these formats")
    if facts.known < facts.rows:
        found.append(f"{facts.rows - facts.known:,} of {facts.rows:,} rows have none")
    return found


_SHOWN = 8
_TWINS = 3
"""Values in several spellings that are listed."""


def _values(facts: Facts) -> str:
    shown = [
        f"{value if len(value) <= 40 else value[:39] + '…'} {count:,}"
        for value, count in zip(facts.values.slice(0, _SHOWN).to_pylist(), facts.counts[:_SHOWN].tolist(), strict=True)
    ]
    if facts.distinct > _SHOWN:
        shown.append(f"{facts.distinct - _SHOWN:,} more values")
    if facts.known < facts.rows:
        shown.append(f"none {facts.rows - facts.known:,}")
    return " · ".join(shown)


def _twins(facts: Facts) -> Iterator[str]:
    """Values that differ in capitals, spaces or signs alone: filters and colors take each for a value of its own."""
    alike: dict[str, list[str]] = {}
    for value, count in zip(facts.values.to_pylist(), facts.counts.tolist(), strict=True):
        alike.setdefault(squeezed(value) or value, []).append(f'"{value[:40]}" {count:,}')
    doubled = [" and ".join(each) for each in alike.values() if len(each) > 1]
    if doubled:
        more = f", and {len(doubled) - _TWINS:,} more" if len(doubled) > _TWINS else ""
        yield (
            f"the same in several spellings: {', '.join(doubled[:_TWINS])}{more}: check, and write one of them in the file; each "
            "counts as a value of its own"
        )


def _kind(fields: Sequence[Drafted], place: Place) -> tuple[str, str]:
    """(kind, why)."""
    if place.shape == "polygon":
        rows = fields[0].facts.rows if fields else 0
        if rows <= MOST_AREAS:
            return "areas", "polygons; shapes, if nobody wants counts by them"
        return "shapes", f"{rows:,} polygons; areas, if they are to be counted by"
    if place.shape == "mixed":
        return "shapes", "lines, or geometries of several kinds"
    if time := max(fields, key=_time_score, default=None):
        if _time_score(time) > 0:
            return "events", f"points with a time, {time.name}; places, if they are things that stay"
        if any(each.keys.get("type") == "datetime" for each in fields):
            return "places", "no date seems to be when something happened; events, if one is: give it role = time"
    if any(each.facts.since for each in fields):
        return "places", "points, and no column holds dates that ingest can read"
    return "places", "points, and no column holds dates"


Score = Callable[[Drafted], float]


def _with_role(fields: Sequence[Drafted], role: str, score: Score) -> list[Drafted]:
    """The one with the highest score above 0 gets the role."""
    best = max(fields, key=score, default=None)
    if best is None or score(best) <= 0:
        return list(fields)
    keys: dict[str, Setting] = {key: value for key, value in best.keys.items() if key != "type" or role == "id"}
    notes = best.notes
    if role == "id":
        notes = tuple(note for note in notes if "measure" not in note)
        notes = (
            *notes,
            *(["a number of the program that wrote the file: check that it stays"] if _is_object_id(best.facts) else []),
        )
    chosen = replace(best, keys={**keys, "role": role}, notes=notes)
    return [chosen if each is best else each for each in fields]


def _is_object_id(facts: Facts) -> bool:
    return squeezed(facts.name) in ("objectid", "fid", "oid", "ogcfid", "gid", "rowid", "index", "objectid1")


def _may_be_id(facts: Facts) -> bool:
    told = words(facts.name)
    return bool(
        facts.name.endswith("#")
        or told[-1:] == ["ticket"]
        or {"id", "no", "num", "number", "nr", "folio", "key", "case", "ref", "reference", "pin", "uuid", "guid", "fid"} & set(told)
    ) or (squeezed(facts.name).endswith(("id", "number", "objectid", "guid", "ccn", "caseno", "complaint", "key")))


def _nearly_id(facts: Facts) -> bool:
    """Whether a few rows more or less make it an id."""
    if not _may_be_id(facts) or facts.type not in ("text", "integer") or facts.rows < SOME:
        return False
    return NEARLY * facts.rows <= facts.distinct < facts.rows


def _id_score(drafted: Drafted) -> float:
    facts = drafted.facts
    if drafted.withheld or drafted.role or not facts.is_unique or not _may_be_id(facts):
        return 0
    if drafted.keys.get("type", "text") not in ("text", "integer") or facts.longest > 200 or facts.rows < 2:
        return 0
    if drafted.keys.get("type") == "integer" and not (abs(facts.numbers) < LARGEST_ID).all():
        return 0
    return 1 if _is_object_id(facts) else 2 + (squeezed(facts.name) == "id") - 0.01 * len(words(facts.name))


_HAPPENED = (
    r"occur|incident|happen|report|request|creat|open|issu|appl|start|call|receiv|crime|offense|submit|added|adddate|order"
    r"|begin|from|permit"
)
_LATER = (
    r"modif|updat|edit|clos|resol|complet|end|expir|due|last|review|assign|approv|inspect|built|construct|effective|birth"
    r"|until|to$"
)


def _time_score(drafted: Drafted) -> float:
    """How likely it is that this is when something happened."""
    facts = drafted.facts
    if drafted.withheld or facts.type != "datetime" or facts.known < facts.rows / 2:
        return 0
    name = squeezed(facts.name)
    if re.search(_LATER, name):
        return 0
    return 1 + facts.known / facts.rows + 0.5 * bool(re.search(_HAPPENED, name)) + 0.5 * ("occur" in name)


def _name_score(drafted: Drafted) -> float:
    facts = drafted.facts
    if drafted.withheld or drafted.role or facts.type != "text" or facts.known < ENOUGH * facts.rows or facts.longest > 150:
        return 0
    told = words(facts.name)
    if squeezed(facts.name) in ("name", "title", "label"):
        return 3
    if told and told[-1] == "name":
        return 2
    if {"facility", "branch", "school", "station", "park", "building", "site", "property", "library", "description"} & set(told):
        return 1 if facts.distinct > facts.known / 2 and facts.longest <= 80 else 0
    return 0

"""What became of every row that was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.advice import advice
from tileserver.ingest.clean import Cleaned
from tileserver.ingest.rows import Rows
from tileserver.privacy import Admitted
from tileserver.stores.store import Published


@dataclass(frozen=True, slots=True)
class Ledger:
    """`read == published + unchanged + superseded + excluded + rejected`, to the row."""

    read: int
    published: int
    """New rows, and rows that differ from what the store had."""
    unchanged: int
    superseded: int
    """Rows whose id came again later: the last one counts."""
    excluded: int
    """Rows that the layer's `[privacy] include` holds back, and those that were forgotten."""
    rejected: int
    removed: int
    """Rows of the store that the files do not hold, with `replace`."""
    repaired: int
    """Rows whose geometry was invalid and is mended."""
    without_position: int
    """Rows that were brought in, new, unchanged or superseded, and have no position: counted and downloaded, not drawn."""
    blanked: Mapping[str, int]
    """Field → rows that lost a value in it, since it could not be read; "position" for one."""
    reasons: Mapping[str, int]
    """Why rows are rejected → how many."""
    advice: Mapping[str, str]
    """The same reasons → what to do about it."""
    withheld: Mapping[str, Mapping[str, int]]
    """Field with `include` → value that is not listed → excluded rows that have it; "" for none."""
    files: Mapping[str, int]
    """File → rows read from it."""
    lacking: Mapping[str, tuple[str, ...]]
    """File → fields that it has no column for: its rows have no value in them, but what the store already held."""
    forgotten: int
    """Excluded rows whose ids `tileserver forget` was given."""
    kept: int
    """Rows that keep stored values, since their file has no column for them."""
    joined: Mapping[str, int]
    """With `[ingest.join]`: how many rows are `matched`, `unmatched`, or `ambiguous`, their key standing at several places."""
    at: datetime
    """When it was published."""
    not_modified: Mapping[str, str]
    """Address that has not changed, so that nothing was read from it → when what it holds was published."""

    ids_made_by: str = ""
    """What the layer file said when ids were made from rows (`row_ids.recipe`); empty where a field is the id."""
    beside: Literal["", "changed file", "added"] = ""
    """Rows with made ids came beside stored ones, of another layer file or of the same: some may be there twice."""

    def in_words(self) -> str:
        """Lines for a person: the sums, then what should be looked at, then the rest."""
        files = next(iter(self.files), "no file") if len(self.files) < 2 else f"{len(self.files):,} files"
        parts = [f"{self.published:,} published", f"{self.unchanged:,} unchanged"]
        parts += [f"{count:,} {name}" for name in ("superseded", "excluded", "rejected") if (count := getattr(self, name))]
        not_modified = [f"{name} is not modified since its rows were published at {at}." for name, at in self.not_modified.items()]
        if not_modified and not self.files:
            return "\n".join(not_modified)
        sums = f"{_counted(self.read, 'row')} read from {files}: {', '.join(parts)}."
        return "\n".join([sums, *self._warnings(), *self._notes(), *not_modified])

    def _warnings(self) -> Iterator[str]:
        match self.beside:
            case "changed file":
                yield (
                    "Warning: the layer file has changed, and with it the ids that are made from rows. Rows stored before stay "
                    "beside these, and those that are in the files again are now there twice: ingest all files with --replace."
                )
            case "added":
                yield (
                    "Warning: the layer has no id field, so a row that has changed since the last ingest is there twice, as it was "
                    'and as it is. If so, ingest all files with --replace, or give a field role = "id" in the layer file first.'
                )
        for file, fields in self.lacking.items():
            yield f"No column in {file}, so no values: {', '.join(fields)}."
        if self.reasons:
            yield f"Rejected: {_list(self.reasons)}."
        for reason, told in self.advice.items():
            yield f"{reason[:1].upper()}{reason[1:]}: {told}."
        if self.blanked:
            yield f"Left out, since they could not be read: values of {_list(self.blanked)}."

    def _notes(self) -> Iterator[str]:
        if self.without_position:
            yield f"Without a position, so counted and downloaded, not drawn: {_counted(self.without_position, 'row')}."
        if self.removed:
            yield f"Removed, since no published row of the files has their ids: {_counted(self.removed, 'row')}."
        if self.repaired:
            yield f"Repaired: {_counted(self.repaired, 'invalid outline')}."
        if self.joined:
            told = [f"{self.joined.get(name, 0):,} {name}" for name in ("matched", "unmatched", "ambiguous")]
            yield f"Positions by the joined layer: {', '.join(told)}."
        if self.kept:
            yield f"Kept as they were, in columns that a file does not have: values of {_counted(self.kept, 'row')}."
        for name, values in self.withheld.items():
            yield f"Withheld by {name}: {_list(values)}."
        if self.forgotten:
            yield f"Held back, since they were forgotten: {_counted(self.forgotten, 'row')}."

    def as_json(self) -> dict[str, Any]:
        """Plain values, to be written as JSON; warnings and advice are for whoever brings the rows in."""
        kept = {name: value for name, value in asdict(self).items() if name not in ("advice", "beside")}
        return kept | {"at": self.at.isoformat()}


_LISTED = 10

FEW = 0.1
"""Up to this share of the rows, what is wrong is in the rows rather than in the layer file; a guess."""


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _list(counts: Mapping[str, int]) -> str:
    """The most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    texts = [f"{name or 'no value'} ({count:,})" for name, count in ordered[:_LISTED]]
    return ", ".join([*texts, f"and {len(ordered) - _LISTED:,} more"] if len(ordered) > _LISTED else texts)


@dataclass
class Tally:
    """A ledger while rows are being read."""

    read: int = 0
    excluded: int = 0
    rejected: int = 0
    repaired: int = 0
    without_position: int = 0
    blanked: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    advice: dict[str, str] = field(default_factory=dict)
    withheld: dict[str, Counter[str]] = field(default_factory=dict)
    files: Counter[str] = field(default_factory=Counter)
    lacking: dict[str, tuple[str, ...]] = field(default_factory=dict)
    joined: Counter[str] = field(default_factory=Counter)
    forgotten: int = 0
    kept: int = 0
    not_modified: Mapping[str, str] = field(default_factory=dict)

    def add(self, layer: Layer, rows: Rows, cleaned: Cleaned, admitted: Admitted) -> None:
        count = len(rows.lines) + len(rows.faults)
        self.read += count
        self.files[rows.source] += count
        if absent := tuple(name for name in layer.fields if name not in rows.fields):
            self.lacking[rows.source] = absent
        self.excluded += int(admitted.withheld.sum())
        self.rejected += len(cleaned.rejected)
        self.repaired += cleaned.repaired
        self.blanked.update(cleaned.blanked)
        reasons = Counter(reason for _, reason in cleaned.rejected)
        self.reasons.update(reasons)
        few = {reason: count <= self.read * FEW for reason, count in self.reasons.items()}
        self.advice.update({reason: advice(layer, reason, few=few[reason]) for reason in self.reasons})
        held_back = cleaned.batch.filter(pa.array(admitted.withheld))
        for name, listed in layer.privacy.include.items():
            values = held_back.column(name).to_pylist()
            self.withheld.setdefault(name, Counter()).update(value or "" for value in values if value not in listed)

    def close(self, published: Published, *, ids_made_by: str = "", before: str | None = None) -> Ledger:
        """The ledger, with what the store says; `before` is what the ids of rows stored before and kept were made by, if any were.

        Raises:
            IngestError: the sums differ: a row was lost or counted twice.
        """
        stored = published.published + published.unchanged + published.superseded
        excluded = self.excluded + self.forgotten
        if self.read != stored + excluded + self.rejected:
            raise IngestError(
                f"the ledger does not add up: {self.read:,} rows read, but {stored:,} stored, {excluded:,} excluded "
                f"and {self.rejected:,} rejected; this is a fault of the program"
            )
        return Ledger(
            read=self.read,
            published=published.published,
            unchanged=published.unchanged,
            superseded=published.superseded,
            excluded=excluded,
            rejected=self.rejected,
            removed=published.removed,
            repaired=self.repaired,
            without_position=self.without_position,
            blanked=dict(self.blanked),
            reasons=dict(self.reasons),
            advice=self.advice,
            withheld={name: dict(values) for name, values in self.withheld.items() if values},
            files=dict(self.files),
            lacking=self.lacking,
            forgotten=self.forgotten,
            kept=self.kept,
            joined=dict(self.joined),
            at=published.state.published_at or datetime.now(UTC),
            not_modified=self.not_modified,
            ids_made_by=ids_made_by,
            beside=_beside(published, ids_made_by, before),
        )


def _beside(published: Published, made_by: str, before: str | None) -> Literal["", "changed file", "added"]:
    if not made_by or before is None or not published.published:
        return ""
    return "added" if before in ("", made_by) or published.unchanged else "changed file"

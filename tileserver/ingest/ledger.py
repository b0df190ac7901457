"""What became of every row that was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

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

    def in_words(self) -> str:
        """A paragraph for a person."""
        files = next(iter(self.files), "no file") if len(self.files) < 2 else f"{len(self.files):,} files"
        parts = [f"{self.published:,} published", f"{self.unchanged:,} unchanged"]
        parts += [f"{count:,} {name}" for name in ("superseded", "excluded", "rejected") if (count := getattr(self, name))]
        not_modified = [f"{name} is not modified since its rows were published at {at}." for name, at in self.not_modified.items()]
        if not_modified and not self.files:
            return " ".join(not_modified)
        sentences = [f"{_counted(self.read, 'row')} read from {files}: {', '.join(parts)}."]
        if self.without_position:
            sentences.append(f"Without a position, so counted and downloaded, not drawn: {_counted(self.without_position, 'row')}.")
        if self.removed:
            sentences.append(f"Removed, since no published row of the files has their ids: {_counted(self.removed, 'row')}.")
        if self.repaired:
            sentences.append(f"Repaired: {_counted(self.repaired, 'invalid outline')}.")
        if self.blanked:
            sentences.append(f"Left out, since they could not be read: values of {_list(self.blanked)}.")
        if self.joined:
            told = [f"{self.joined.get(name, 0):,} {name}" for name in ("matched", "unmatched", "ambiguous")]
            sentences.append(f"Positions by the joined layer: {', '.join(told)}.")
        sentences += [f"No column in {file}, so no values: {', '.join(fields)}." for file, fields in self.lacking.items()]
        if self.kept:
            sentences.append(f"Kept as they were, in columns that a file does not have: values of {_counted(self.kept, 'row')}.")
        if self.reasons:
            sentences.append(f"Rejected: {_list(self.reasons)}.")
        sentences += [f"{reason[:1].upper()}{reason[1:]}: {told}." for reason, told in self.advice.items()]
        sentences += [f"Withheld by {name}: {_list(values)}." for name, values in self.withheld.items()]
        if self.forgotten:
            sentences.append(f"Held back, since they were forgotten: {_counted(self.forgotten, 'row')}.")
        return " ".join(sentences + not_modified)

    def as_json(self) -> dict[str, Any]:
        """Plain values, to be written as JSON; advice is for whoever brings the rows in."""
        return {name: value for name, value in asdict(self).items() if name != "advice"} | {"at": self.at.isoformat()}


_LISTED = 10


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
        self.advice.update({reason: advice(layer, reason) for reason in reasons})
        held_back = cleaned.batch.filter(pa.array(admitted.withheld))
        for name, listed in layer.privacy.include.items():
            values = held_back.column(name).to_pylist()
            self.withheld.setdefault(name, Counter()).update(value or "" for value in values if value not in listed)

    def close(self, published: Published) -> Ledger:
        """The ledger, with what the store says.

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
        )

# SPDX-License-Identifier: Apache-2.0
"""Proves a ledger: its chain, its rows, its bookings, and what was anchored outside.

What is looked at, and what each part needs:

- the chain: every entry's hash, the order and the numbers, contiguous revisions, the table of the
  latest ones (needs the file alone);
- anchors: every hash that was written down outside is in the chain (needs the anchor file: a chain
  that was rebuilt from its beginning is sound by itself);
- rows: each revision again from its own booking, the battery before it and the basis that was in
  force at its place in the chain (needs the file alone; rows of before the first basis, as earlier
  releases wrote them, need the site);
- bookings: again from the inputs, where these are kept whole (needs the site);
- attribution: the parts of each level add up to the whole, and (needs the site) meters to the
  flows that are booked, and conditions are again what was sampled, where samples are kept.

Rows that wait to be booked again are passed over, and so are rows of final months for which data
came too late, until somebody restates them.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.factors import SiteFactors
from rackwatt.collector.accounting.vocabulary import total
from rackwatt.collector.ledger.anchors import Anchor, read_anchors
from rackwatt.collector.ledger.bases import Bases, Older
from rackwatt.collector.ledger.by_meter import TOPOLOGY, MeterTerms, unequal
from rackwatt.collector.ledger.chain import ACT, ATTRIBUTION, GENESIS, INTERVAL, entry_hash
from rackwatt.collector.ledger.conditions import ConditionsCheck
from rackwatt.collector.ledger.dirty import QUARTER_MS
from rackwatt.collector.ledger.journal import Journal, LedgerRow
from rackwatt.collector.ledger.reading import LedgerReader
from rackwatt.collector.ledger.replay import InputReplay, RowReplay
from rackwatt.collector.ledger.rules import Rules
from rackwatt.collector.ledger.sites import SiteBooks
from rackwatt.collector.site import Site
from rackwatt.wire.database import connect

MOST_FINDINGS: Final = 1_000
"""After so many, verification says no more: the books are beyond proof."""

_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        seq: The entry, ``None`` where none stands for it.
        kind: ``interval``, ``attribution`` or ``act``, or ``anchor``.
        start_ms: Start of the interval or the quarter hour, or the act's time.
        message: What is wrong.
    """

    seq: int | None
    kind: str
    start_ms: int | None
    message: str


@dataclass(slots=True)
class Verification:
    """What a verification looked at and found.

    Attributes:
        entries: Entries of the chain.
        anchored: Anchors that were looked for.
        recomputed: Latest rows that were booked again from their own booking.
        superseded: Earlier revisions that were.
        guessed: How many of the latest rows the journal has no basis for: the site's rules were
            used, or those of the first basis.
        skipped: Latest rows that could not be booked again: nothing says by what they were booked.
        from_inputs: Rows whose booking was made again from inputs.
        bases: How many bases there are.
        older: Closed rows whose rules are not today's.
        findings: What is wrong; none in a sound ledger.
    """

    entries: int = 0
    anchored: int = 0
    recomputed: int = 0
    superseded: int = 0
    guessed: int = 0
    skipped: int = 0
    from_inputs: int = 0
    bases: int = 0
    older: Older | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def find(self, seq: int | None, kind: str, start_ms: int | None, message: str) -> None:
        """Note a finding, unless there are too many."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(seq, kind, start_ms, message))


def verify(
    path: Path,
    *,
    anchor: Path | None = None,
    site: SiteBooks | None = None,
    factors: SiteFactors | None = None,
    battery: BatteryParameters | None = None,
    initial_watt_hours: float = 0.0,
    files: Mapping[str, str] | None = None,
    racks: Site | None = None,
) -> Verification:
    """Verify a ledger, also while an accountant writes to it.

    Args:
        path: The file.
        anchor: An anchor file that was kept outside.
        site: The site, to make bookings again from inputs.
        factors: Its factors today: for rows that are older than the first basis.
        battery: How its battery is booked.
        initial_watt_hours: Its battery's first stock.
        files: SHA-256 of the site's files, by name.
        racks: The site, to form conditions again from samples.

    Raises:
        BadAnchors: The anchor file does not read as one.
        OlderLedger: The ledger is of an earlier version.
        OSError: The anchor file cannot be read.
        sqlite3.Error: The ledger cannot be read.
    """
    anchors = [] if anchor is None else read_anchors(anchor)
    LedgerReader(path).close()
    result = Verification()
    connection = connect(path, read_only=True)
    try:
        # One snapshot for everything: what is written meanwhile is not looked at.
        connection.execute("BEGIN")
        _chain(connection, anchors, result)
        _revisions(connection, result)
        _attribution(connection, site, ConditionsCheck(connection, racks), result)
        bases = Bases(connection)
        today = None
        if factors is not None:
            today = Rules(factors, battery or BatteryParameters(), initial_watt_hours)
        guesses = _bases(bases, today, result)
        inputs = None
        if site is not None and guesses:
            replay = InputReplay(connection, site, bases, battery or guesses[0].battery)
            inputs = _FromInputs(replay, bases, files or {}, result)
        _rows(connection, bases, guesses, inputs, result)
        connection.execute("ROLLBACK")
    finally:
        connection.close()
    result.findings.sort(key=lambda one: (one.seq is None, one.seq or 0))
    return result


def _chain(db: sqlite3.Connection, anchors: Sequence[Anchor], result: Verification) -> None:
    """Follow the chain from its beginning; what follows a broken entry is judged by itself."""
    wanted: dict[int, list[Anchor]] = {}
    for anchor in anchors:
        wanted.setdefault(anchor.seq, []).append(anchor)
    before, expected = GENESIS, 1
    for seq, kind, start, revision, cause, author, row, previous, stored in db.execute(
        "SELECT seq, kind, start_ms, revision, cause, author, row, previous, hash"
        " FROM journal ORDER BY seq"
    ):
        result.entries += 1
        if seq != expected:
            missing = (
                f"entry {expected}" if seq == expected + 1 else f"entries {expected} to {seq - 1}"
            )
            result.find(seq, kind, start, f"{missing} before it: deleted from the journal")
        elif previous != before:
            result.find(seq, kind, start, "it does not follow the entry before it in the chain")
        if stored != entry_hash(kind, start, revision, cause, author, row, previous):
            result.find(seq, kind, start, "it was changed: its hash is not that of what it says")
        for anchor in wanted.pop(seq, ()):
            result.anchored += 1
            if anchor.hash != stored:
                text = f"its hash is not the one anchored on {anchor.day}: the chain was rebuilt"
                result.find(seq, kind, start, text)
        before, expected = stored, seq + 1
    for seq, missed in wanted.items():
        for anchor in missed:
            result.anchored += 1
            text = f"it was anchored on {anchor.day}, but is not in the chain: the chain was cut"
            result.find(seq, "anchor", None, text)


def _revisions(db: sqlite3.Connection, result: Verification) -> None:
    """Check that revisions count up with the chain, and that readers get the latest."""
    for kind, start, count, newest, seq, revision, shown in db.execute(
        "SELECT g.*, j.revision, l.seq FROM (SELECT kind, start_ms, count(*), max(revision),"
        " max(seq) AS last FROM journal GROUP BY kind, start_ms) AS g"
        " JOIN journal AS j ON j.seq = g.last"
        " LEFT JOIN latest AS l ON l.kind = g.kind AND l.start_ms = g.start_ms"
    ):
        if not count == newest == revision:
            result.find(seq, kind, start, "its revisions do not count up with the chain")
        if shown != seq:
            instead = "nothing" if shown is None else f"entry {shown}"
            result.find(seq, kind, start, f"it is the latest revision, but readers get {instead}")
    for kind, start, seq in db.execute(
        "SELECT kind, start_ms, seq FROM latest AS l WHERE NOT EXISTS"
        " (SELECT 1 FROM journal AS j WHERE j.kind = l.kind AND j.start_ms = l.start_ms)"
    ):
        result.find(seq, kind, start, "readers are referred to it, but it is not in the journal")


def _bases(bases: Bases, today: Rules | None, result: Verification) -> list[Rules]:
    """Look at the bases; return by what rows without one may have been booked."""
    result.bases = len(bases.items)
    for basis in bases.items:
        if basis.rules is None:
            said = f"rows cannot be booked again by this basis: {basis.wrong}"
            result.find(basis.seq, ACT, basis.time_ms, said)
    result.older = bases.older(today)
    first = bases.items[0].rules if bases.items else None
    return [rules for rules in (today, first) if rules is not None]


def _rows(
    db: sqlite3.Connection,
    bases: Bases,
    guesses: Sequence[Rules],
    inputs: "_FromInputs | None",
    result: Verification,
) -> None:
    """Book every revision again by what was in force where it stands."""
    waiting = {row[0] for row in db.execute("SELECT start_ms FROM dirty")}
    for again in RowReplay(db, bases, guesses, waiting).rows():
        row = again.row
        if inputs is not None and again.latest:
            inputs.take(row, waiting)
        if again.names is None:
            result.skipped += again.latest and row.start_ms not in waiting
            continue
        result.recomputed += again.latest
        result.superseded += not again.latest
        result.guessed += not again.by_basis
        if again.names:
            said = f"booked again it differs in: {', '.join(again.names)}"
            if not again.by_basis:
                said += "; the journal has no basis for it: is this the site file of its time?"
            result.find(row.seq, INTERVAL, row.start_ms, said)
    if inputs is not None:
        inputs.take(None, waiting)


class _FromInputs:
    """Compares bookings with what inputs say, where these are kept."""

    def __init__(
        self, replay: InputReplay, bases: Bases, files: Mapping[str, str], result: Verification
    ) -> None:
        self._replay = replay
        self._bases = bases
        self._files = files
        self._result = result

    def take(self, latest: LedgerRow | None, waiting: Collection[int]) -> None:
        """Take the next row, ``None`` after the last one."""
        for row, names in self._replay.compared(latest):
            if row.start_ms in waiting:
                continue
            self._result.from_inputs += 1
            if names:
                said = f"its inputs say otherwise in: {', '.join(names)}{self._hint(row.seq)}"
                self._result.find(row.seq, INTERVAL, row.start_ms, said)

    def _hint(self, seq: int) -> str:
        """What to do if a row's basis had other files than those that were named."""
        basis = self._bases.at(seq)
        there = {} if basis is None else basis.words.get("files", {})
        names = [name for name, digest in there.items() if self._files.get(name) != digest]
        if not self._files or not names:
            return ""
        name = min(names)
        return (
            f"; but it was booked by another {name} (SHA-256 {there[name][:12]}...): "
            "name the site file of its time"
        )


def _attribution(
    db: sqlite3.Connection,
    site: SiteBooks | None,
    conditions: ConditionsCheck,
    result: Verification,
) -> None:
    """Check that the parts of a quarter hour add up, and that it is the sum of its intervals."""
    journal = Journal(db)
    terms = None if site is None else MeterTerms(site)
    waiting = {row[0] for row in db.execute("SELECT start_ms FROM quarters")}
    for seq, start, text in db.execute(
        "SELECT l.seq, l.start_ms, j.row FROM latest AS l JOIN journal AS j USING (seq)"
        " WHERE l.kind = ? ORDER BY l.start_ms",
        (ATTRIBUTION,),
    ):
        row = json.loads(text)
        for message in _unequal(row):
            result.find(seq, ATTRIBUTION, start, message)
        if start in waiting:
            continue
        intervals = list(journal.latest(start, start + QUARTER_MS))
        for name in ("it", "load"):
            whole = total(one.data[name] for one in intervals)
            if not _close(row.get(name), whole):
                said = f"its {name} is not the sum of its intervals, {_said(whole)}"
                result.find(seq, ATTRIBUTION, start, said)
        if odd := conditions.wrong(row, intervals):
            result.find(seq, ATTRIBUTION, start, odd)
        # Rows of an earlier release have no meters.
        if terms is None or "meters" not in row or TOPOLOGY in row["flags"]:
            continue
        if names := unequal(terms.read(start, row["meters"]), _flows(intervals)):
            said = f"its meters do not add up to what is booked: {', '.join(names)}"
            result.find(seq, ATTRIBUTION, start, said)


def _flows(intervals: Sequence[LedgerRow]) -> dict[str, float | None]:
    """What intervals say of each flow, Wh."""
    parts: dict[str, list[float | None]] = {}
    for row in intervals:
        both = {"charge": row.data["charge"], "discharge": row.data["discharge"]}
        for name, value in {**row.data["sources"], **row.data["sinks"], **both}.items():
            parts.setdefault(name, []).append(value)
    return {name: total(values) for name, values in parts.items()}


def _unequal(row: dict[str, Any]) -> Iterator[str]:
    """Say which level does not add up; a level with an unknown part is passed over.

    A hall has no part in what a bus without IT consumes: that is the operator's.
    """
    for level, name in (("halls", "it"), ("tenants", "it"), ("tenants", "load")):
        values = [part.get(name) for part in (row.get(level) or {}).values()]
        whole = row.get(name)
        if not values or whole is None or any(value is None for value in values):
            continue
        if not _close(sum(values), whole):
            yield f"the {name} of its {level} adds up to {sum(values):g} Wh, not {whole:g} Wh"


def _close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _TOLERANCE * max(abs(other), 1.0)


def _said(watt_hours: float | None) -> str:
    return "which is unknown" if watt_hours is None else f"{watt_hours:g} Wh"

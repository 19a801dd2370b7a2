# SPDX-License-Identifier: Apache-2.0
"""Proves a ledger: its chain, its rows, its bookings, and what was anchored outside.

What is looked at, and what each part needs:

- the chain: every entry's hash, the order and the numbers, contiguous revisions, the table of the
  latest ones (needs the file alone);
- anchors: every hash that was written down outside is in the chain (needs the anchor file: a chain
  that was rebuilt from its beginning is sound by itself);
- rows: each latest row again from its own booking and the battery before it (needs the site);
- bookings: again from the inputs, where these are kept whole (needs the site);
- attribution: the parts of each level add up to the whole, and (needs the site) meters to the
  flows that are booked.

Rows that wait to be booked again are passed over, and so are rows of final months for which data
came too late, until somebody restates them.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.factors import SiteFactors
from rackwatt.collector.accounting.vocabulary import total
from rackwatt.collector.ledger.anchors import Anchor, read_anchors
from rackwatt.collector.ledger.by_meter import TOPOLOGY, MeterTerms, unequal
from rackwatt.collector.ledger.chain import ATTRIBUTION, GENESIS, INTERVAL, entry_hash
from rackwatt.collector.ledger.dirty import QUARTER_MS
from rackwatt.collector.ledger.journal import Journal, LedgerRow
from rackwatt.collector.ledger.reading import LedgerReader
from rackwatt.collector.ledger.replay import InputReplay, RowReplay, differing
from rackwatt.collector.ledger.rules import Rules
from rackwatt.collector.ledger.sites import SiteBooks
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
        recomputed: Rows that were booked again from their own booking.
        from_inputs: Rows whose booking was made again from inputs.
        findings: What is wrong; none in a sound ledger.
    """

    entries: int = 0
    anchored: int = 0
    recomputed: int = 0
    from_inputs: int = 0
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
) -> Verification:
    """Verify a ledger, also while an accountant writes to it.

    Args:
        path: The file.
        anchor: An anchor file that was kept outside.
        site: The site, to make bookings again from inputs.
        factors: Its factors, to book rows again. Without them only chain and sums are looked at.
        battery: How its battery is booked.
        initial_watt_hours: Its battery's first stock.

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
        _attribution(connection, site, result)
        if factors is not None:
            rules = Rules(factors, battery or BatteryParameters(), initial_watt_hours)
            _rows(connection, rules, result)
            if site is not None:
                _bookings(connection, site, rules, result)
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


def _waiting(db: sqlite3.Connection) -> set[int]:
    return {row[0] for row in db.execute("SELECT start_ms FROM dirty")}


def _rows(db: sqlite3.Connection, rules: Rules, result: Verification) -> None:
    """Book every latest row again from what it was booked from and the battery before it."""
    replay = RowReplay(db, rules)
    waiting = _waiting(db)
    for row, text in replay.rows():
        if row.start_ms in waiting:
            continue
        result.recomputed += 1
        if text != row.text and (names := differing(row.text, text)):
            said = f"booked again it differs in: {', '.join(names)}"
            result.find(row.seq, INTERVAL, row.start_ms, said)


def _bookings(db: sqlite3.Connection, site: SiteBooks, rules: Rules, result: Verification) -> None:
    """Make the bookings again whose inputs are kept, and compare what was metered."""
    replay = InputReplay(db, site, rules.battery)
    waiting = _waiting(db)
    for row, names in replay.compared():
        if row.start_ms in waiting:
            continue
        result.from_inputs += 1
        if names:
            said = f"its inputs say otherwise in: {', '.join(names)}"
            result.find(row.seq, INTERVAL, row.start_ms, said)


def _attribution(db: sqlite3.Connection, site: SiteBooks | None, result: Verification) -> None:
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

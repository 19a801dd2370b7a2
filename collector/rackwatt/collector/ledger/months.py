# SPDX-License-Identifier: Apache-2.0
"""Months of the site's calendar: open, closed, final, and what keeps one from becoming final.

A closed month keeps the span that it had when it was closed, whatever later rules of its time zone
say. Months become final in their order, so that everything before one instant is final: the
battery carries no change across it. Being final, and being opened again, are acts in the journal.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from rackwatt.collector.accounting.calendar import span_at
from rackwatt.collector.accounting.vocabulary import DAY_MS
from rackwatt.collector.ledger.chain import AUTHOR
from rackwatt.collector.ledger.dirty import Dirty
from rackwatt.collector.ledger.held import HeldReadings
from rackwatt.collector.ledger.journal import Journal
from rackwatt.collector.ledger.meta import CLOSED, COMPACTED, FINAL, FIRST, Meta
from rackwatt.collector.ledger.zones import tz_version

MonthState = Literal["open", "closed", "final"]

RECONCILE: Final = "reconcile"
CLOSED_ACT: Final = "month_closed"
FINAL_ACT: Final = "month_final"
REOPENED_ACT: Final = "month_reopened"
INVOICE_LIMIT_RATIO: Final = 0.005
"""An invoice that is off by more keeps its month from becoming final."""
OUTBOX_RETENTION_MS: Final = DAY_MS
_STUB_MS: Final = 3 * DAY_MS


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages that are missing.

    Attributes:
        agent: Whose.
        start_ms: Since when; 0 if that is not known.
        end_ms: Until when; ``None`` if that is not known.
        lost: They will not come: agents no longer have them. A loss blocks nothing, and is kept
            with the month.
    """

    agent: str
    start_ms: int = 0
    end_ms: int | None = None
    lost: bool = False

    def meets(self, start_ms: int, end_ms: int) -> bool:
        """Whether it reaches into a half-open span."""
        return self.start_ms < end_ms and (self.end_ms is None or self.end_ms > start_ms)


@dataclass(frozen=True, slots=True)
class Month:
    """One month.

    Attributes:
        label: ``2026-10``.
        start_ms: Its local midnight.
        end_ms: The local midnight that ends it.
        state: ``open``, ``closed`` or ``final``.
        reasons: What keeps it from being final, one sentence each; none if it is.
        tz_version: The time zone data by which it was closed.
    """

    label: str
    start_ms: int
    end_ms: int
    state: MonthState
    reasons: tuple[str, ...]
    tz_version: str


@dataclass(frozen=True, slots=True)
class Asked:
    """By what months are judged.

    Attributes:
        now_ms: The present.
        zone: The site's time zone.
        gaps: Messages that are missing.
        retention_ms: How long agents keep what they have sent.
    """

    now_ms: int
    zone: ZoneInfo
    gaps: Sequence[Gap] = ()
    retention_ms: int = OUTBOX_RETENTION_MS


class Months:
    """The months of the books, inside the caller's transaction."""

    def __init__(
        self, connection: sqlite3.Connection, journal: Journal, dirty: Dirty, held: HeldReadings
    ) -> None:
        self._db = connection
        self._meta = Meta(connection)
        self._journal = journal
        self._dirty = dirty
        self._held = held

    def months(self, asked: Asked) -> list[Month]:
        """All months from the first interval on, oldest first."""
        closed = self._meta.get(CLOSED) or 0
        invoices = self._invoices()
        found: list[Month] = []
        for start, end, label, version, final in self._spans(asked.zone):
            if final:
                found.append(Month(label, start, end, "final", (), version))
                continue
            state: MonthState = "closed" if closed >= end else "open"
            reasons: list[str] = []
            if state == "open":
                reasons.append("it has not ended in the books")
            if found and found[-1].state != "final":
                reasons.append(f"{found[-1].label} is not final")
            reasons += self._blockers(start, end, asked, invoices)
            found.append(Month(label, start, end, state, tuple(reasons), version))
        return found

    def settle(self, asked: Asked) -> None:
        """Close months that have ended, and make final what nothing keeps from it."""
        for month in self.months(asked):
            if month.state == "open":
                return
            if self._kept(month.start_ms) is None:
                self._close(month, asked)
            if month.state == "closed" and not month.reasons:
                self._finish(month, asked)
                # The next one may have waited for this one only.
                self.settle(asked)
                return

    def reopen(self, start_ms: int, time_ms: int, author: str, reason: str) -> None:
        """Open the final months again that end after an instant."""
        rows = self._db.execute(
            "SELECT start_ms, end_ms, label FROM months WHERE final = 1 AND end_ms > ?"
            " ORDER BY start_ms",
            (start_ms,),
        ).fetchall()
        for start, end, label in rows:
            data = {"month": label, "start_ms": start, "end_ms": end}
            self._journal.act(time_ms, REOPENED_ACT, data, author, reason)
            self._db.execute("UPDATE months SET final = 0 WHERE start_ms = ?", (start,))
        if rows:
            self._meta.set(FINAL, rows[0][0])

    def _close(self, month: Month, asked: Asked) -> None:
        data = _data(month) | {"zone": asked.zone.key, "tz_version": month.tz_version}
        self._journal.act(asked.now_ms, CLOSED_ACT, data, AUTHOR, "its last interval is closed")
        self._db.execute(
            "INSERT INTO months VALUES (?, ?, ?, ?, ?, 0)",
            (month.start_ms, month.end_ms, month.label, asked.zone.key, month.tz_version),
        )

    def _finish(self, month: Month, asked: Asked) -> None:
        lost = [
            {"agent": gap.agent, "start_ms": gap.start_ms, "end_ms": gap.end_ms}
            for gap in asked.gaps
            if gap.lost and gap.meets(month.start_ms, month.end_ms)
        ]
        data = _data(month) | {"tz_version": month.tz_version, "lost": lost}
        self._journal.act(asked.now_ms, FINAL_ACT, data, AUTHOR, "nothing more is expected of it")
        self._db.execute("UPDATE months SET final = 1 WHERE start_ms = ?", (month.start_ms,))
        self._meta.set(FINAL, month.end_ms)

    def _spans(self, zone: ZoneInfo) -> Iterator[tuple[int, int, str, str, bool]]:
        first, closed = self._meta.get(FIRST), self._meta.get(CLOSED)
        if first is None or closed is None:
            return
        at = span_at(first, "1mo", zone).start_ms
        rows = self._db.execute(
            "SELECT start_ms, end_ms, label, tz_version, final FROM months ORDER BY start_ms"
        )
        now = tz_version(zone)
        for start, end, label, version, final in rows.fetchall():
            while at < start:
                until = min(span_at(at, "1mo", zone).end_ms, start)
                yield at, until, _label(at, until, zone), now, False
                at = until
            yield start, end, label, version, bool(final)
            at = end
        while at < max(closed, first + 1):
            until = span_at(at, "1mo", zone).end_ms
            if until - at < _STUB_MS:
                # The zone has changed since the month before was closed.
                until = span_at(until, "1mo", zone).end_ms
            yield at, until, _label(at, until, zone), now, False
            at = until

    def _kept(self, start: int) -> int | None:
        found = self._db.execute(
            "SELECT end_ms FROM months WHERE start_ms = ?", (start,)
        ).fetchone()
        return None if found is None else int(found[0])

    def _blockers(
        self, start: int, end: int, asked: Asked, invoices: Sequence[dict[str, Any]]
    ) -> Iterator[str]:
        if asked.now_ms < end + asked.retention_ms:
            hours = asked.retention_ms / 3_600_000
            yield f"agents may still send what is {hours:g} h old"
        earliest = self._dirty.earliest()
        if earliest is not None and earliest < end:
            yield "late data waits to be booked"
        gaps = [gap for gap in asked.gaps if not gap.lost and gap.meets(start, end)]
        for agent in sorted({gap.agent for gap in gaps}):
            yield f"messages of agent {agent} are missing"
        # What is held of a time whose inputs are compacted can no longer be booked.
        for agent in self._held.agents(max(start, self._meta.get(COMPACTED) or 0), end):
            yield f"readings of agent {agent or '?'} are held for their clock: release them"
        for invoice in invoices:
            if invoice["start_ms"] < end and invoice["end_ms"] > start:
                off = abs(invoice["ratio"] - 1.0)
                if off > INVOICE_LIMIT_RATIO:
                    yield f"the invoice is off by {off * 100:.2f} %, more than 0.5 %"

    def _invoices(self) -> list[dict[str, Any]]:
        """The latest reconciliation of each span and meter."""
        latest: dict[tuple[int, int, str], dict[str, Any]] = {}
        for act in self._journal.acts(RECONCILE):
            span = int(act.data["start_ms"]), int(act.data["end_ms"])
            latest[*span, str(act.data.get("meter", ""))] = dict(act.data)
        return list(latest.values())


def _data(month: Month) -> dict[str, Any]:
    return {"month": month.label, "start_ms": month.start_ms, "end_ms": month.end_ms}


def _label(start_ms: int, end_ms: int, zone: ZoneInfo) -> str:
    return span_at((start_ms + end_ms) // 2, "1mo", zone).label

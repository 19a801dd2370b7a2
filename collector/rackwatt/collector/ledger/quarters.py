# SPDX-License-Identifier: Apache-2.0
"""Attribution in the journal: a row per quarter hour, again when what it rests on changed."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from rackwatt.collector.ledger.chain import ATTRIBUTION, canonical
from rackwatt.collector.ledger.dirty import CLOSING, QUARTER_MS, Dirty
from rackwatt.collector.ledger.journal import Journal, LedgerRow

_AT_ONCE: Final = 8


class Attributor(Protocol):
    """Attributes the energy and carbon of a quarter hour to halls, racks and tenants."""

    def row(self, quarter_start_ms: int, rows: Sequence[LedgerRow]) -> Mapping[str, Any] | None:
        """The row of a quarter hour, ``None`` if there is nothing to attribute.

        Args:
            quarter_start_ms: Its start (UTC).
            rows: The latest revisions of its intervals.
        """


class Quarters:
    """Journals attribution, inside the caller's transaction.

    Args:
        journal: Where rows go.
        dirty: Which quarter hours wait.
        attributor: What attributes.
    """

    def __init__(self, journal: Journal, dirty: Dirty, attributor: Attributor) -> None:
        self._journal = journal
        self._dirty = dirty
        self._attributor = attributor

    def book(self, closed_ms: int) -> int:
        """Book the next quarter hours that wait; return how many were looked at."""
        due = self._dirty.quarters_due(closed_ms, _AT_ONCE)
        for start, why in due:
            rows = list(self._journal.latest(start, start + QUARTER_MS))
            row = self._attributor.row(start, rows) if rows else None
            if row is not None:
                text = canonical(dict(row))
                known = self._journal.shown(ATTRIBUTION, start, start + 1)
                if start not in known:
                    self._journal.append(start, CLOSING, text, kind=ATTRIBUTION)
                elif known[start].text != text:
                    self._journal.append(start, why.cause, text, why.author, ATTRIBUTION)
            self._dirty.quarter_done(start)
        return len(due)

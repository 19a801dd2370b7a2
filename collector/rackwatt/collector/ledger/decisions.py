# SPDX-License-Identifier: Apache-2.0
"""What people decide about the books: each decision has an author, a reason and an act."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from rackwatt.collector.ledger.basis import BASIS
from rackwatt.collector.ledger.dirty import RELEASED, RESTATED, Dirty, Why
from rackwatt.collector.ledger.intake import LATE_AFTER_FINAL, Intake, Released
from rackwatt.collector.ledger.journal import Journal
from rackwatt.collector.ledger.meta import CLOSED, FIRST, Meta
from rackwatt.collector.ledger.months import (
    CLOSED_ACT,
    FINAL_ACT,
    RECONCILE,
    REOPENED_ACT,
    Months,
)
from rackwatt.collector.ledger.orders import ACT, RELEASE, RESTATE, Order
from rackwatt.collector.ledger.records import INTERVAL_MS, Refusal, interval_of
from rackwatt.collector.ledger.upkeep import ACTS, MAINTENANCE, Upkeep

_OWN: Final = frozenset(
    {BASIS, RESTATE, RELEASE, CLOSED_ACT, FINAL_ACT, REOPENED_ACT, LATE_AFTER_FINAL}
)
_RECONCILED: Final = ("start_ms", "end_ms", "ratio")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Signed:
    """Who decides, why, and when.

    Attributes:
        author: A person.
        reason: In their words.
        time_ms: ms since 1970 UTC.

    Raises:
        Refusal: One of them is missing.
    """

    author: str
    reason: str
    time_ms: int

    def __post_init__(self) -> None:
        if not self.author.strip() or not self.reason.strip():
            raise Refusal("a decision needs an author and a reason: the journal keeps both")


class Decisions:
    """Carries decisions out, inside the caller's transaction."""

    def __init__(
        self,
        meta: Meta,
        journal: Journal,
        dirty: Dirty,
        intake: Intake,
        months: Months,
        upkeep: Upkeep,
    ) -> None:
        self._meta = meta
        self._journal = journal
        self._dirty = dirty
        self._intake = intake
        self._months = months
        self._upkeep = upkeep

    def restate(self, start_ms: int, end_ms: int, signed: Signed) -> int:
        """Mark closed intervals to be booked again; return the act's place in the chain.

        Raises:
            Refusal: None lies in the span.
        """
        first, closed = self._meta.get(FIRST) or 0, self._meta.get(CLOSED) or 0
        low = max(-(-start_ms // INTERVAL_MS) * INTERVAL_MS, first)
        high = min(interval_of(end_ms), closed) - INTERVAL_MS
        if low > high:
            where = f"{first} and {closed} (ms, UTC)" if closed > first else "nothing and nothing"
            raise Refusal(
                f"no closed interval lies between {start_ms} and {end_ms}; "
                f"the books are closed between {where}"
            )
        data = {"start_ms": low, "end_ms": high + INTERVAL_MS}
        self._months.reopen(low, signed.time_ms, signed.author, signed.reason)
        why = Why(RESTATED, signed.author)
        self._dirty.span(low, high, why)
        self._dirty.quarters(low, high, why)
        return self._journal.act(signed.time_ms, RESTATE, data, signed.author, signed.reason)

    def release(
        self, agent: str, start_ms: int, end_ms: int, shift_ms: int, signed: Signed
    ) -> Released:
        """Book readings that were held for their clock.

        Raises:
            Refusal: Nothing is held there, or it cannot be booked.
        """
        why = Why(RELEASED, signed.author)
        done = self._intake.release(agent, (start_ms, end_ms), shift_ms, why, signed.time_ms)
        data = {"agent": agent, "shift_ms": shift_ms, **asdict(done)}
        self._journal.act(signed.time_ms, RELEASE, data, signed.author, signed.reason)
        return done

    def act(self, name: str, data: Mapping[str, Any], signed: Signed) -> int:
        """Record a decision; return its place in the chain.

        Raises:
            Refusal: The name is the ledger's own, a reconciliation is not complete, or maintenance
                does not fit what was said of it before.
        """
        if name in _OWN:
            raise Refusal(f"'{name}' is what the ledger itself records")
        if name == RECONCILE and not all(_is_number(data.get(key)) for key in _RECONCILED):
            raise Refusal(f"a reconciliation has {', '.join(_RECONCILED)}, all of them numbers")
        if name in ACTS:
            span = self._upkeep.changed(name, data, self._meta)
            if span is not None:
                self._dirty.span(*span, Why(MAINTENANCE, signed.author))
            self._upkeep.forget()
        return self._journal.act(signed.time_ms, name, data, signed.author, signed.reason)

    def carry_out(self, order: Order, time_ms: int) -> dict[str, Any]:
        """Carry an order out; return what came of it.

        Raises:
            Refusal: It cannot be carried out.
        """
        signed = Signed(order.author, order.reason, time_ms)
        data = order.data
        try:
            if order.name == RESTATE:
                seq = self.restate(int(data["start_ms"]), int(data["end_ms"]), signed)
                return {"seq": seq}
            if order.name == RELEASE:
                span = int(data["start_ms"]), int(data["end_ms"])
                done = self.release(str(data["agent"]), *span, int(data["shift_ms"]), signed)
                return asdict(done)
            if order.name == ACT:
                return {"seq": self.act(str(data["name"]), dict(data["data"]), signed)}
        except (KeyError, TypeError) as error:
            raise Refusal(f"the order '{order.name}' is not complete: {error}") from error
        raise Refusal(f"there is no order '{order.name}'")

# SPDX-License-Identifier: Apache-2.0
"""The ledger: applies readings exactly once, closes intervals, restates them when data is late."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState
from rackwatt.collector.accounting.factors import SiteFactors
from rackwatt.collector.ledger.bases import Noting
from rackwatt.collector.ledger.basis import Origin
from rackwatt.collector.ledger.children import Children
from rackwatt.collector.ledger.closing import Booked, Closer
from rackwatt.collector.ledger.compaction import Compaction
from rackwatt.collector.ledger.counters import CounterRecord, Counters
from rackwatt.collector.ledger.decisions import Decisions, Signed
from rackwatt.collector.ledger.dirty import LATE, QUARTER_MS, Why
from rackwatt.collector.ledger.inputs import Inputs
from rackwatt.collector.ledger.intake import Intake, Released
from rackwatt.collector.ledger.metered import Metered
from rackwatt.collector.ledger.months import OUTBOX_RETENTION_MS, Asked, Gap
from rackwatt.collector.ledger.orders import Order, Orders, WriterLock
from rackwatt.collector.ledger.quarters import Attributor, Quarters
from rackwatt.collector.ledger.reading import Books
from rackwatt.collector.ledger.records import GRACE_MS, InputRecord, Refusal, interval_of
from rackwatt.collector.ledger.rules import Rules
from rackwatt.collector.ledger.samples import SampleRecord, Samples
from rackwatt.collector.ledger.schema import prepare
from rackwatt.collector.ledger.sites import SiteBooks, cadence_ms
from rackwatt.collector.ledger.upkeep import Outage, Upkeep
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock
from rackwatt.wire.cycles import no_search
from rackwatt.wire.database import connect
from rackwatt.wire.inventory import InventoryItem

HOURS_A_STEP: Final = 12
"""So many hours are one transaction: each costs a sync of the disk, and waits in memory for it."""

COMPACT_AT_ONCE: Final = 5_000
"""About so many old readings go in one call."""


@dataclass(frozen=True, slots=True)
class Closing:
    """What one call of :meth:`Ledger.close_intervals` did.

    Attributes:
        closed: Intervals booked for the first time.
        restated: Later revisions, foreseen ones (``hour_closed``) left out.
        closed_through_ms: End of the last closed interval, ``None`` before the first.
    """

    closed: int
    restated: int
    closed_through_ms: int | None


class Ledger(Books):
    """The book of record of one site, in one SQLite file.

    Characteristics: synchronous and single-threaded: one writer calls it from one thread, and
    holds the lock beside the file. Every public call is one or more transactions, each complete by
    itself: after a crash the ledger goes on where the last one ended. Readers use connections of
    their own. The rows depend on the readings, the site, the factors and what people decided
    alone, not on the order or the number of deliveries.

    Args:
        path: The file ``ledger.db``; made if it is missing.
        site: Roles, terms and cadences by time.
        factors: Emission factors.
        battery: How the battery is booked.
        initial_watt_hours: Its stock before the first interval.
        clock: When acts are done whose caller does not say.
        origin: Where site and factors come from, for the journal.

    Raises:
        LedgerBusy: Another process writes to it.
        NewerLedger: It was written by a later release.
        sqlite3.Error: The file is no database or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        site: SiteBooks,
        factors: SiteFactors,
        battery: BatteryParameters | None = None,
        initial_watt_hours: float = 0.0,
        clock: Clock = SYSTEM_CLOCK,
        origin: Origin | None = None,
    ) -> None:
        battery = BatteryParameters() if battery is None else battery
        self._clock = clock
        self._lock = WriterLock(path)
        try:
            db = connect(path)
            prepare(db)
        except BaseException:
            self._lock.release()
            raise
        super().__init__(db)
        self._inputs = Inputs(db, partial(cadence_ms, site), Children(site))
        self._counters, self._samples = Counters(db), Samples(db)
        kept = self._inputs, self._held, self._dirty, self._journal, self._counters, self._samples
        self._intake = Intake(self._meta, *kept)
        self._upkeep = Upkeep(self._journal)
        self._metered = Metered(site, self._inputs, battery, self._upkeep)
        rules = Rules(factors, battery, initial_watt_hours)
        self._basis = Noting(db, self._journal, rules, origin or Origin(), clock.now_ms)
        self._closer = Closer(db, self._journal, self._dirty, self._metered, rules, self._basis)
        self._decisions = Decisions(
            self._meta, self._journal, self._dirty, self._intake, self._months, self._upkeep
        )
        self._compaction = Compaction(db, self._dirty)
        self._orders = Orders(db)
        self._remembering = (
            self._inputs, self._journal, self._held, self._counters, self._samples, self._basis,
            self._upkeep,
        )  # fmt: skip
        self._quarters: Quarters | None = None
        self._attributed: int | None = None

    @property
    def counters(self) -> Counters:
        """The counters below the meters."""
        return self._counters

    @property
    def samples(self) -> Samples:
        """Samples of the conditions."""
        return self._samples

    @property
    def metered(self) -> Metered:
        """What its inputs measured, for who attributes it."""
        return self._metered

    def attribute(self, attributor: Attributor) -> None:
        """Attribute the quarter hours that close from now on, or change."""
        self._quarters = Quarters(self._journal, self._dirty, attributor)
        self._closer.quarters = self._intake.quarters = self._metered.attributed = True

    def close(self) -> None:
        """Close the file and let go of it."""
        self._db.close()
        self._lock.release()

    # --- writing -------------------------------------------------------------------------------

    def apply(
        self,
        records: Iterable[InputRecord],
        cursor: int,
        name: str = "spool",
        counters: Sequence[CounterRecord] = (),
        samples: Sequence[SampleRecord] = (),
    ) -> None:
        """Take readings in, exactly once: they, what they touch and the cursor are one step.

        Args:
            records: Readings of kind power, in any order, repeated or not.
            cursor: What to go on from after a restart; see :meth:`cursor`.
            name: Which log the cursor is of, where there are several.
            counters: Readings of counters below the meters.
            samples: Of weather, inlets and GPUs' utilisation.

        Raises:
            sqlite3.Error: Nothing was taken in.
        """
        kept = list(records)
        with self._transaction():
            self._intake.take(kept, Why(LATE))
            self._intake.count(counters, Why(LATE))
            self._intake.sample(samples, Why(LATE))
            self._db.execute(
                "INSERT INTO cursors VALUES (?, ?) ON CONFLICT DO UPDATE SET id = excluded.id",
                (name, cursor),
            )

    def inventory(self, items: Iterable[InventoryItem], time_ms: int) -> None:
        """Note what is known of registers, and meters whose serial number has changed.

        Args:
            items: Devices.
            time_ms: Since when this is so.
        """
        with self._transaction():
            self._intake.inventory(items, time_ms)

    def close_intervals(self, now_ms: int, hours: int | None = None) -> Closing:
        """Close what is due, complete or not, and book again what late data touched.

        An interval is due 30 s after its end. Rows that come out as they were keep their revision.

        Args:
            now_ms: The present, ms since 1970 UTC.
            hours: So many hours are booked at most, and a few quarter hours attributed; the rest
                is for the next call. ``None``: everything.
        """
        done = Booked()
        due = interval_of(now_ms - GRACE_MS)
        left = hours
        while left != 0 and self._closer.pending(due) is not None:
            some = HOURS_A_STEP if left is None else min(left, HOURS_A_STEP)
            left = None if left is None else left - some
            with no_search(), self._transaction():
                self._closer.book_hours(due, some, done)
        if left != 0:
            self._attribute(once=hours is not None)
        return Closing(done.new, done.restated, self.closed_through_ms())

    def book_again(self) -> Closing:
        """Book what waits to be booked again, and close nothing."""
        return self.close_intervals(0)

    # --- decisions -----------------------------------------------------------------------------

    def restate(
        self, start_ms: int, end_ms: int, author: str, reason: str, time_ms: int | None = None
    ) -> int:
        """Have the intervals of a span booked again by the next :meth:`close_intervals`.

        They are booked from inputs, and where these are compacted from their own booking, by the
        site and the factors as they are now. Final months that this reaches are opened again.

        Args:
            start_ms: Where the first one begins, at the earliest.
            end_ms: Where the last one ends, at the latest.
            author: Who decides it.
            reason: Why.
            time_ms: When, ms since 1970 UTC.

        Returns:
            The act's place in the chain.

        Raises:
            Refusal: No closed interval lies in the span, or author or reason is missing.
        """
        signed = Signed(author, reason, self._at(time_ms))
        with self._transaction():
            self._attributed = None
            return self._decisions.restate(start_ms, end_ms, signed)

    def release(
        self,
        agent: str,
        start_ms: int,
        end_ms: int,
        shift_ms: int,
        author: str,
        reason: str,
        time_ms: int | None = None,
    ) -> Released:
        """Book readings that were held for their agent's clock.

        Args:
            agent: Whose.
            start_ms: From which time on, by their own clock.
            end_ms: Before which time.
            shift_ms: What to add to their time.
            author: Who decides it.
            reason: Why.
            time_ms: When, ms since 1970 UTC.

        Raises:
            Refusal: Nothing is held there, or it cannot be booked; or author or reason is missing.
        """
        signed = Signed(author, reason, self._at(time_ms))
        with self._transaction():
            self._attributed = None
            return self._decisions.release(agent, start_ms, end_ms, shift_ms, signed)

    def record_act(
        self,
        name: str,
        data: Mapping[str, Any],
        author: str,
        reason: str,
        time_ms: int | None = None,
    ) -> int:
        """Record a decision in the journal; return its place in the chain.

        Raises:
            Refusal: Author or reason is missing.
        """
        signed = Signed(author, reason, self._at(time_ms))
        with self._transaction():
            return self._decisions.act(name, data, signed)

    def carry_out_orders(self, time_ms: int | None = None) -> list[Order]:
        """Carry out what commands have asked for; return it.

        What an order does and that it was done is one transaction. One that cannot be carried out
        is marked as refused, with the reason in its outcome.
        """
        done: list[Order] = []
        for order in self._orders.waiting():
            try:
                with self._transaction():
                    self._attributed = None
                    outcome = self._decisions.carry_out(order, self._at(time_ms))
                    done.append(self._orders.settle(order, "done", outcome))
            except Refusal as error:
                with self._transaction():
                    done.append(self._orders.settle(order, "refused", {"error": str(error)}))
        return done

    def settle_months(
        self,
        now_ms: int,
        zone: ZoneInfo,
        gaps: Sequence[Gap] = (),
        retention_ms: int = OUTBOX_RETENTION_MS,
    ) -> None:
        """Note which months are closed and which are final by now; cheap to call often.

        Args:
            now_ms: The present.
            zone: The site's time zone.
            gaps: Messages that are missing.
            retention_ms: How long agents keep what they have sent.
        """
        with self._transaction():
            self._months.settle(Asked(now_ms, zone, gaps, retention_ms))

    def compact(
        self,
        now_ms: int,
        zone: ZoneInfo,
        retention_ms: int = OUTBOX_RETENTION_MS,
        at_once: int = COMPACT_AT_ONCE,
    ) -> int:
        """Clear a bounded part of inputs that are too old; return how many readings went."""
        with self._transaction():
            deleted = self._samples.compact(self._compaction.deleted_ms)
            if not self._compaction.due(now_ms, zone, retention_ms):
                return deleted
            deleted += self._compaction.step(zone, at_once)
            return deleted + self._counters.compact(self._compaction.deleted_ms)

    # --- reading -------------------------------------------------------------------------------

    def outages(self) -> list[Outage]:
        """What was, is or will be out for maintenance, as it was said."""
        return self._upkeep.outages()

    def battery_state(self) -> tuple[BatteryState, int] | None:
        """The battery at the end of the last closed interval, and that end."""
        through = self.closed_through_ms()
        if through is None:
            return None
        return self._closer.state_before(through), through

    # --- inside --------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            for part in self._remembering:
                part.forget()
            raise

    def _attribute(self, *, once: bool) -> None:
        """Attribute what waits whenever another quarter hour is closed, or somebody decided."""
        through = self.closed_through_ms()
        if self._quarters is None or through is None or self._attributed == through // QUARTER_MS:
            return
        more = True
        while more:
            with self._transaction():
                more = self._quarters.book(through) > 0
            if more and once:
                return
        self._attributed = through // QUARTER_MS

    def _at(self, time_ms: int | None) -> int:
        return self._clock.now_ms() if time_ms is None else time_ms

# SPDX-License-Identifier: Apache-2.0
"""Takes readings in: what may be booked, what is held, and which rows that touches."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from rackwatt.collector.ledger.chain import AUTHOR
from rackwatt.collector.ledger.counters import FIELD, CounterRecord, Counters, is_gpu
from rackwatt.collector.ledger.dirty import Dirty, Why
from rackwatt.collector.ledger.held import HeldReadings
from rackwatt.collector.ledger.inputs import LOOK_BACK_MS, Inputs, Touched
from rackwatt.collector.ledger.journal import Journal
from rackwatt.collector.ledger.meta import CLOSED, COMPACTED, FINAL, FIRST, Meta
from rackwatt.collector.ledger.records import (
    FUTURE_MS,
    INTERVAL_MS,
    InputRecord,
    Refusal,
    interval_of,
)
from rackwatt.collector.ledger.samples import SampleRecord, Samples
from rackwatt.wire.inventory import InventoryItem

_log = logging.getLogger(__name__)

LATE_AFTER_FINAL = "late_after_final"
_MOST_DEVICES = 50


@dataclass(frozen=True, slots=True)
class Released:
    """What a release booked.

    Attributes:
        readings: How many readings.
        first_ms: The first one's time as it was held.
        last_ms: The last one's time as it was held.
    """

    readings: int
    first_ms: int
    last_ms: int


@dataclass(slots=True)
class _TooLate:
    """What came for months that are final."""

    low_ms: int = 2**62
    high_ms: int = -1
    devices: set[str] = field(default_factory=set)
    readings: int = 0

    def note(self, device: str, span: tuple[int, int] | None) -> None:
        if span is not None:
            self.low_ms, self.high_ms = min(self.low_ms, span[0]), max(self.high_ms, span[1])
            self.devices.add(device)
            self.readings += 1


class Intake:
    """The way into the ledger, inside the caller's transaction.

    Args:
        meta: Where the books begin and end.
        inputs: Where readings go.
        held: Where readings go whose time cannot be trusted.
        dirty: What they touch.
        journal: Where it is recorded that something came too late.
        counters: Where readings of GPUs' counters go.
        samples: Where samples of conditions go.

    Attributes:
        quarters: Whether quarter hours are to be marked whose counters change.
    """

    def __init__(
        self,
        meta: Meta,
        inputs: Inputs,
        held: HeldReadings,
        dirty: Dirty,
        journal: Journal,
        counters: Counters,
        samples: Samples,
    ) -> None:
        self._meta = meta
        self._inputs = inputs
        self._held = held
        self._dirty = dirty
        self._journal = journal
        self._counters = counters
        self._samples = samples
        self.quarters = False

    def take(self, records: Iterable[InputRecord], why: Why) -> None:
        """Take readings in as they came; hold those whose time cannot be trusted."""
        compacted = self._meta.get(COMPACTED) or 0
        books: list[InputRecord] = []
        waits: list[InputRecord] = []
        for record in records:
            if record.held or record.time_ms < compacted:
                waits.append(record)
            elif not self._held.is_copy(record):
                books.append(record)
        if waits:
            self._held.hold(waits)
        self._book(books, why)

    def count(self, records: Sequence[CounterRecord], why: Why) -> None:
        """Take readings of GPUs' counters in; hold those whose time cannot be trusted."""
        counts: list[CounterRecord] = []
        waits: list[InputRecord] = []
        if not self._held.any and all(record.counts for record in records):
            self._count(records, why)
            return
        for record in records:
            if not record.counts:
                if is_gpu(record.device):
                    waits.append(_as_input(record))
            elif not (self._held.of(record.device) and self._held.is_copy(_as_input(record))):
                counts.append(record)
        if waits:
            self._held.hold(waits)
        self._count(counts, why)

    def sample(self, records: Sequence[SampleRecord], why: Why) -> None:
        """Take samples of conditions in; those of final months are not."""
        touched = self._samples.add(records, self._meta.floor()) if records else ()
        if self.quarters:
            for quarter in touched:
                self._dirty.quarters(quarter, quarter, why)

    def _count(self, records: Sequence[CounterRecord], why: Why) -> None:
        touched = self._counters.add(records) if records else ()
        if self.quarters:
            for quarter in touched:
                self._dirty.quarters(quarter, quarter, why)

    def release(
        self, agent: str, span: tuple[int, int], shift_ms: int, why: Why, now_ms: int
    ) -> Released:
        """Book the held readings of an agent's half-open span of time, moved by a shift.

        Raises:
            Refusal: Nothing is held there, or the shift would bring a reading to where it cannot
                be booked.
        """
        taken = self._held.take(agent, *span)
        if not taken:
            raise Refusal(self._nothing(agent, span))
        times = [record.time_ms for record in taken]
        if min(times) + shift_ms < (self._meta.get(COMPACTED) or 0):
            msg = (
                f"readings of agent {agent} would be booked where inputs are already compacted: "
                "release only later ones, or choose another shift"
            )
            raise Refusal(msg)
        if max(times) + shift_ms > now_ms + FUTURE_MS:
            msg = (
                f"readings of agent {agent} would be booked in the future: "
                "is the shift's sign right? It is added to the readings' own time"
            )
            raise Refusal(msg)
        moved = [replace(record, time_ms=record.time_ms + shift_ms) for record in taken]
        self._book([record for record in moved if not is_gpu(record.device)], why)
        self._count([_as_counter(record) for record in moved if is_gpu(record.device)], why)
        return Released(len(taken), min(times), max(times))

    def _nothing(self, agent: str, span: tuple[int, int]) -> str:
        others = [one for one in self._held.summary() if one.agent == agent]
        if others:
            first, last = min(o.first_ms for o in others), max(o.last_ms for o in others)
            where = f"what is held of it lies between {first} and {last} (ms, UTC)"
        else:
            names = sorted({one.agent or "?" for one in self._held.summary()})
            where = f"held are readings of: {', '.join(names) or 'nobody'}"
        return f"no reading of agent {agent} is held between {span[0]} and {span[1]}; {where}"

    def _book(self, records: Sequence[InputRecord], why: Why) -> None:
        late = _TooLate()
        closed = self._open(records, why)
        for record in records:
            for touched in self._inputs.add(record, closed):
                cause = Why("new_series", why.author) if touched.everything else why
                late.note(record.device, self._dirty.mark(touched, cause))
        self._inputs.flush()
        if late.readings:
            self._record(late, why, max(record.received_ms for record in records))

    def _open(self, records: Sequence[InputRecord], why: Why) -> int:
        """Begin the books, or let them begin earlier; return where they are closed."""
        earliest = self._inputs.earliest(records)
        first, closed = self._meta.get(FIRST), self._meta.get(CLOSED)
        if earliest is None:
            return closed or 0
        begin = interval_of(earliest)
        if first is None or closed is None:
            self._meta.set(CLOSED, begin)
            self._meta.set(FIRST, begin)
            return begin
        if begin >= first or first <= (self._meta.get(FINAL) or 0):
            return closed
        self._meta.set(FIRST, begin)
        if closed == first:
            self._meta.set(CLOSED, begin)
            return begin
        self._dirty.mark(Touched(begin, first - 1), why)
        return closed

    def _record(self, late: _TooLate, why: Why, time_ms: int) -> None:
        devices = sorted(late.devices)
        data = {
            "cause": why.cause,
            "start_ms": late.low_ms,
            "end_ms": late.high_ms + INTERVAL_MS,
            "devices": devices[:_MOST_DEVICES],
            "device_count": len(devices),
            "readings": late.readings,
        }
        reason = "the month is final: kept, not booked"
        self._journal.act(time_ms, LATE_AFTER_FINAL, data, why.author, reason)
        _log.warning("data of %d devices came for a month that is final", len(devices))

    def inventory(self, items: Iterable[InventoryItem], time_ms: int) -> None:
        """Note what is known of registers, and meters whose serial number has changed."""
        first, late = self._meta.get(FIRST) or 0, _TooLate()
        for item in items:
            news: list[Touched] = []
            for name, register in item.registers.items():
                spec = register.modulus_watt_hours, register.resolution_watt_hours
                since = self._inputs.set_spec(item.device, name, spec, time_ms)
                if since is not None:
                    end = max(time_ms, self._meta.get(CLOSED) or 0)
                    news.append(Touched(max(since, first), end, whole_hours=True))
            before = self._inputs.set_serial(item.device, item.serial, time_ms)
            if before is not None:
                _log.warning("%s was replaced by %s", before, item.serial)
                low = max(time_ms - LOOK_BACK_MS, first)
                news.append(Touched(low, time_ms, whole_hours=True))
            for touched in news:
                late.note(item.device, self._dirty.mark(touched, Why("inventory", AUTHOR)))
        if late.readings:
            self._record(late, Why("inventory"), time_ms)


def _as_input(record: CounterRecord) -> InputRecord:
    """A counter's reading as the held ones have it."""
    values = {FIELD: record.watt_hours}
    return InputRecord(
        record.device, record.time_ms, values, record.received_ms, agent=record.agent
    )


def _as_counter(record: InputRecord) -> CounterRecord:
    """Somebody has judged its time: it counts whenever it came."""
    value = record.values[FIELD] or 0.0
    return CounterRecord(record.device, record.time_ms, value, record.time_ms)

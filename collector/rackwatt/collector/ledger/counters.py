# SPDX-License-Identifier: Apache-2.0
"""GPU energy counters, kept as what each did in each quarter hour: never every reading.

Of a quarter hour a counter leaves its first and its last reading, and its lowest and highest
value: enough to interpolate at the quarter's edges and to see that it went backwards, whatever
the order in which readings came and however often. A counter that goes backwards started anew
when the driver was loaded; the energy of that piece is unknown.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, NamedTuple

from rackwatt.collector.ledger.records import FUTURE_MS, RETENTION_MS

QUARTER_MS: Final = 900_000
_NEVER_MS: Final = 2**62
REACH: Final = 4
"""So many quarter hours of silence are bridged: an hour."""

RESET: Final = "driver_reload"
FIELD: Final = "energy_import_watt_hours"

COUNTERS_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS gpus (
  id INTEGER PRIMARY KEY, device TEXT NOT NULL UNIQUE,
  first_quarter_ms INTEGER NOT NULL, last_quarter_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS counters (
  quarter_ms INTEGER NOT NULL, series INTEGER NOT NULL,
  first_ms INTEGER NOT NULL, first REAL NOT NULL, last_ms INTEGER NOT NULL, last REAL NOT NULL,
  low REAL NOT NULL, high REAL NOT NULL, PRIMARY KEY (quarter_ms, series)) WITHOUT ROWID;
"""

_UPSERT: Final = """
INSERT INTO counters VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  first = CASE WHEN excluded.first_ms < first_ms THEN excluded.first
    WHEN excluded.first_ms = first_ms THEN max(first, excluded.first) ELSE first END,
  first_ms = min(first_ms, excluded.first_ms),
  last = CASE WHEN excluded.last_ms > last_ms THEN excluded.last
    WHEN excluded.last_ms = last_ms THEN max(last, excluded.last) ELSE last END,
  last_ms = max(last_ms, excluded.last_ms),
  low = min(low, excluded.low), high = max(high, excluded.high)
"""


def is_gpu(device: str) -> bool:
    """Whether a device's name is one of a GPU: ``NODE/UUID``."""
    return "/" in device


class CounterRecord(NamedTuple):
    """One reading of one GPU's energy counter.

    Attributes:
        device: ``{node}/{uuid}``.
        time_ms: The reading's own time.
        watt_hours: Since the driver was loaded.
        received_ms: When the collector received it.
        trusted: ``False`` while the agent's clock is off: not counted until released.
        agent: Who read it; empty if it is not known.
    """

    device: str
    time_ms: int
    watt_hours: float
    received_ms: int
    trusted: bool = True
    agent: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is of a GPU, and its time can be believed."""
        device, time_ms, _, received_ms, trusted, _ = self
        return trusted and -RETENTION_MS <= time_ms - received_ms <= FUTURE_MS and "/" in device


@dataclass(frozen=True, slots=True)
class CounterEvent:
    """A counter started anew in a quarter hour: what it said before and after."""

    quarter_ms: int
    device: str
    before: float
    after: float
    field: str = FIELD
    code: str = RESET


@dataclass(frozen=True, slots=True)
class Counted:
    """What a GPU's counter says of a quarter hour.

    Attributes:
        uuid: The GPU.
        watt_hours: Energy of the pieces that are known; 0 if none is.
        complete: Every piece is known.
        reset: It went backwards.
    """

    uuid: str
    watt_hours: float = 0.0
    complete: bool = False
    reset: bool = False


@dataclass(slots=True)
class _Piece:
    """What the readings of one GPU say of one quarter hour."""

    first_ms: int
    first: float
    last_ms: int
    last: float
    low: float
    high: float

    def add(self, time_ms: int, value: float) -> None:
        if (time_ms, -value) < (self.first_ms, -self.first):
            self.first_ms, self.first = time_ms, value
        if (time_ms, value) > (self.last_ms, self.last):
            self.last_ms, self.last = time_ms, value
        self.low, self.high = min(self.low, value), max(self.high, value)

    @property
    def monotone(self) -> bool:
        return self.low == self.first and self.high == self.last


@dataclass(slots=True)
class _Gpu:
    id: int
    first_quarter: int
    last_quarter: int
    first_ms: int | None = None
    """Of the last quarter hour; read when it is needed."""


class Counters:
    """GPU counters in the ledger's database, inside the caller's transaction.

    Characteristics: one connection, one thread; remembers which GPUs there are, and must be told
    by :meth:`forget` when a transaction was rolled back.

    Args:
        connection: The ledger's, with :data:`COUNTERS_SCHEMA`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._nodes: dict[str, dict[str, _Gpu]] = {}
        self._devices: dict[str, _Gpu] = {}
        self.forget()

    def forget(self) -> None:
        """Read again what is remembered."""
        self._nodes, self._devices = {}, {}
        for number, device, first, last in self._db.execute("SELECT * FROM gpus"):
            node, _, uuid = device.partition("/")
            gpu = self._devices[device] = _Gpu(number, first, last)
            self._nodes.setdefault(node, {})[uuid] = gpu

    # --- writing -------------------------------------------------------------------------------

    def add(self, batch: Iterable[CounterRecord]) -> set[int]:
        """Take readings in; return the starts of the quarter hours whose energies may change."""
        touched: set[int] = set()
        rows: list[tuple[int | float, ...]] = []
        others: list[CounterRecord] = []
        devices = self._devices
        for record in batch:
            if not record.counts:
                continue
            device, at, value = record[:3]
            gpu, quarter = devices.get(device), at - at % QUARTER_MS
            if gpu is None or gpu.last_quarter != quarter or at < (gpu.first_ms or _NEVER_MS):
                others.append(record)
                continue
            # Nearly all of them go on in the quarter hour that their GPU is in.
            touched.add(quarter)
            rows.append((quarter, gpu.id, at, value, at, value, value, value))
        self._db.executemany(_UPSERT, rows)
        if others:
            self._db.executemany(_UPSERT, self._rows(others, touched))
        return touched

    def _rows(
        self, batch: Iterable[CounterRecord], touched: set[int]
    ) -> list[tuple[int | float, ...]]:
        """What is to be written of readings of any time and any GPU, known or not."""
        pieces: dict[tuple[str, int], _Piece] = {}
        for record in batch:
            key = record.device, record.time_ms // QUARTER_MS * QUARTER_MS
            piece, value, at = pieces.get(key), record.watt_hours, record.time_ms
            if piece is None:
                pieces[key] = _Piece(at, value, at, value, value, value)
            else:
                piece.add(at, value)
        rows: list[tuple[int | float, ...]] = []
        for (device, quarter), p in sorted(pieces.items(), key=itemgetter(0)):
            gpu = self._gpu(device, quarter, p.first_ms, touched)
            rows.append((quarter, gpu.id, p.first_ms, p.first, p.last_ms, p.last, p.low, p.high))
        return rows

    def _gpu(self, device: str, quarter: int, first_ms: int, touched: set[int]) -> _Gpu:
        """Find a GPU or make it known; note which quarter hours a reading bears upon."""
        gpu = self._devices.get(device)
        if gpu is None:
            cursor = self._db.execute(
                "INSERT INTO gpus (device, first_quarter_ms, last_quarter_ms) VALUES (?, ?, ?)",
                (device, quarter, quarter),
            )
            gpu = _Gpu(int(cursor.lastrowid or 0), quarter, quarter, first_ms)
            node, _, uuid = device.partition("/")
            self._nodes.setdefault(node, {})[uuid] = self._devices[device] = gpu
            touched.add(quarter)
            return gpu
        newest, reach = gpu.last_quarter, REACH * QUARTER_MS
        if quarter > newest:
            # It bridges the time since the last reading, as far as that may be bridged.
            low, high, gpu.first_ms = max(newest, quarter - reach), quarter, first_ms
        elif quarter < newest:
            low, high = quarter - reach, quarter + reach
        elif first_ms < self._first_ms(gpu):
            low, high, gpu.first_ms = quarter - reach, quarter, first_ms
        else:
            low = high = quarter
        touched.update(range(low, high + 1, QUARTER_MS))
        if quarter > newest or quarter < gpu.first_quarter:
            gpu.last_quarter = max(newest, quarter)
            gpu.first_quarter = min(gpu.first_quarter, quarter)
            self._db.execute(
                "UPDATE gpus SET first_quarter_ms = ?, last_quarter_ms = ? WHERE id = ?",
                (gpu.first_quarter, gpu.last_quarter, gpu.id),
            )
        return gpu

    def _first_ms(self, gpu: _Gpu) -> int:
        if gpu.first_ms is None:
            found = self._db.execute(
                "SELECT first_ms FROM counters WHERE quarter_ms = ? AND series = ?",
                (gpu.last_quarter, gpu.id),
            ).fetchone()
            # Without its piece, which was compacted, any reading is an early one.
            gpu.first_ms = gpu.last_quarter + QUARTER_MS if found is None else int(found[0])
        return gpu.first_ms

    def compact(self, before_ms: int) -> int:
        """Drop the quarter hours that end before an instant; return how many pieces went."""
        limit = before_ms // QUARTER_MS * QUARTER_MS - REACH * QUARTER_MS
        return self._db.execute("DELETE FROM counters WHERE quarter_ms < ?", (limit,)).rowcount

    # --- reading -------------------------------------------------------------------------------

    def gpus(self, node: str, quarter_ms: int) -> list[str]:
        """The GPUs that sit in a node in a quarter hour.

        One that falls silent stays, as a machine that is switched off keeps its GPUs, until another
        one appears in its node after it.
        """
        known = self._nodes.get(node, {})
        begun = {uuid: gpu for uuid, gpu in known.items() if gpu.first_quarter <= quarter_ms}
        newest = max((gpu.first_quarter for gpu in begun.values()), default=0)
        return sorted(
            uuid
            for uuid, gpu in begun.items()
            if gpu.last_quarter >= quarter_ms or gpu.last_quarter >= newest
        )

    def quarter(self, quarter_ms: int, nodes: Collection[str]) -> dict[str, list[Counted]]:
        """Return what the counters of some nodes say of a quarter hour, by node."""
        wanted: dict[int, tuple[str, str]] = {}
        for node in nodes:
            known = self._nodes.get(node, {})
            wanted |= {known[uuid].id: (node, uuid) for uuid in self.gpus(node, quarter_ms)}
        result: dict[str, list[Counted]] = {node: [] for node in nodes}
        around = self._around(quarter_ms, wanted)
        for number, (node, uuid) in wanted.items():
            result[node].append(_counted(uuid, quarter_ms, around.get(number, {})))
        return result

    def events(self, start_ms: int, end_ms: int) -> Iterator[CounterEvent]:
        """Counters that started anew in the quarter hours of a half-open span."""
        names = {
            gpu.id: f"{node}/{uuid}"
            for node, gpus in self._nodes.items()
            for uuid, gpu in gpus.items()
        }
        before: dict[int, float] = {}
        first = start_ms - REACH * QUARTER_MS
        for quarter, series, piece in self._pieces(first, end_ms - 1):
            last = before.get(series, piece.first)
            if quarter >= start_ms:
                if piece.first < last:
                    yield CounterEvent(quarter, names[series], last, piece.first)
                if not piece.monotone:
                    yield CounterEvent(quarter, names[series], piece.high, piece.low)
            before[series] = piece.last

    def _around(
        self, quarter_ms: int, wanted: Mapping[int, object]
    ) -> dict[int, dict[int, _Piece]]:
        """The pieces of a quarter hour, and the nearest ones on both sides, by GPU."""
        result: dict[int, dict[int, _Piece]] = {}
        reach = REACH * QUARTER_MS
        only = list(wanted) if len(wanted) <= _FEW else None
        spans = [(quarter_ms - QUARTER_MS, quarter_ms + QUARTER_MS)]
        spans += [(quarter_ms - reach, quarter_ms - 2 * QUARTER_MS)]
        spans += [(quarter_ms + 2 * QUARTER_MS, quarter_ms + reach)]
        for index, (low, high) in enumerate(spans):
            if index:
                # Only who was silent beside the quarter is looked for further away.
                beside = quarter_ms + (-QUARTER_MS if index == 1 else QUARTER_MS)
                only = [number for number in wanted if beside not in result.get(number, {})]
            for quarter, series, piece in self._pieces(low, high, only):
                if series in wanted:
                    result.setdefault(series, {})[quarter] = piece
        return result

    def _pieces(
        self, low: int, high: int, series: Sequence[int] | None = None
    ) -> Iterator[tuple[int, int, _Piece]]:
        """Pieces of quarter hours, both ends included, in order of time."""
        if series is None or len(series) > _FEW:
            rows = self._db.execute(
                "SELECT * FROM counters WHERE quarter_ms BETWEEN ? AND ? ORDER BY 1, 2",
                (low, high),
            )
            for quarter, number, *values in rows:
                yield quarter, number, _Piece(*values)
            return
        for quarter in range(low, high + 1, QUARTER_MS):
            for number in series:
                found = self._db.execute(
                    "SELECT first_ms, first, last_ms, last, low, high FROM counters"
                    " WHERE quarter_ms = ? AND series = ?",
                    (quarter, number),
                ).fetchone()
                if found is not None:
                    yield quarter, number, _Piece(*found)


_FEW: Final = 2_000
"""So many GPUs are looked up one by one, which beats reading all."""


def _counted(uuid: str, quarter_ms: int, pieces: Mapping[int, _Piece]) -> Counted:
    """Put a quarter hour together: up to its first reading, to its last, to its end."""
    end_ms = quarter_ms + QUARTER_MS
    own = pieces.get(quarter_ms)
    earlier = [pieces[at] for at in sorted(pieces) if at < quarter_ms]
    later = [pieces[at] for at in sorted(pieces) if at > quarter_ms]
    before, after = earlier[-1] if earlier else None, later[0] if later else None
    if own is None:
        energy = _between(before, after, quarter_ms, end_ms)
        return Counted(uuid, energy or 0.0, energy is not None, _backwards(before, after))
    inside = own.last - own.first if own.monotone else None
    head = 0.0 if own.first_ms == quarter_ms else _between(before, own, quarter_ms, own.first_ms)
    tail = _between(own, after, own.last_ms, end_ms)
    known = [energy for energy in (head, inside, tail) if energy is not None]
    reset = not own.monotone or _backwards(before, own)
    return Counted(uuid, sum(known), len(known) == 3, reset)


def _between(one: _Piece | None, other: _Piece | None, low_ms: int, high_ms: int) -> float | None:
    """The energy of a span between the last reading of one piece and the first of another."""
    if one is None or other is None or other.first < one.last:
        return None
    span = other.first_ms - one.last_ms
    if span > REACH * QUARTER_MS:
        return None
    part = (high_ms - low_ms) / span
    return (other.first - one.last) * part


def _backwards(one: _Piece | None, other: _Piece | None) -> bool:
    return one is not None and other is not None and other.first < one.last

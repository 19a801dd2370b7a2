# SPDX-License-Identifier: Apache-2.0
"""Single meters read again from the ledger's inputs, read-only, where these are kept."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from rackwatt.collector.accounting.channels import Tap
from rackwatt.collector.accounting.metering import Energy
from rackwatt.collector.accounting.vocabulary import DAY_MS, HOUR_MS, total
from rackwatt.collector.ledger.attribution import Attributor
from rackwatt.collector.ledger.children import Children
from rackwatt.collector.ledger.counters import Counters
from rackwatt.collector.ledger.inputs import Inputs
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.meta import CLOSED, COMPACTED, Meta
from rackwatt.collector.ledger.metered import Metered
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.ledger.sites import battery_parameters, cadence_ms
from rackwatt.collector.site import Site
from rackwatt.wire.database import connect


class Devices:
    """Meters behind a flow of the books. Close it, or use it in a `with`.

    Args:
        path: the ledger.
        site: its site.

    Raises:
        sqlite3.Error: it cannot be read.
    """

    def __init__(self, path: Path, site: Site) -> None:
        self._db = connect(path, read_only=True)
        inputs = Inputs(self._db, partial(cadence_ms, site), Children(site))
        meta = Meta(self._db)
        self._site = site
        self._metered = Metered(site, inputs, battery_parameters(site))
        self._kept_ms = meta.get(COMPACTED) or 0
        self._attributor = Attributor(
            site, self._metered, Counters(self._db), lambda: meta.get(CLOSED)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def taps(self, flow: str, time_ms: int) -> list[Tap]:
        """The physical terms of a flow at a time."""
        return [tap for tap in self._metered.taps(self._site.terms_at(time_ms)) if tap.flow == flow]

    def whole(self, flow: str, device: str, start_ms: int, end_ms: int) -> float | None:
        """One meter's energy over a span as its register has it, Wh; ``None`` if it is unknown."""
        taps = [tap for tap in self.taps(flow, start_ms) if tap.device == device]
        if not taps:
            return None
        parts: list[float | None] = []
        at = start_ms
        while at < end_ms:
            # A day at a time: a month of readings each second is millions.
            until = min(end_ms, (at // DAY_MS + 1) * DAY_MS)
            inner = range((at // HOUR_MS + 1) * HOUR_MS, until, HOUR_MS)
            found = self._metered.energies(taps[0], [at, *inner, until])
            parts += [energy.watt_hours for energy in found]
            at = until
        return total(parts)

    def hour(self, flow: str, start_ms: int) -> dict[str, list[Energy]] | None:
        """Each meter's minutes in a closed UTC hour; ``None`` where readings are not kept."""
        if start_ms < self._kept_ms:
            return None
        boundaries = range(start_ms, start_ms + HOUR_MS + 1, INTERVAL_MS)
        return {
            tap.device: list(self._metered.energies(tap, boundaries))
            for tap in self.taps(flow, start_ms)
        }

    def tree(self, quarter_ms: int, rows: Sequence[LedgerRow]) -> dict[str, Any] | None:
        """A quarter hour attributed down to nodes and GPUs; ``None`` without intervals."""
        return self._attributor.tree(quarter_ms, rows)

# SPDX-License-Identifier: Apache-2.0
"""Settlement with the utility: demand in its window, and the invoice against the books."""

from dataclasses import dataclass
from typing import Final

from rackwatt.collector.accounting.vocabulary import HOUR_MS

TOLERANCE: Final = 0.005
"""|k - 1| beyond which a month cannot become final."""


@dataclass(frozen=True, slots=True)
class Window:
    """One settlement window, ms since 1970 UTC."""

    start_ms: int
    end_ms: int

    def elapsed(self, time_ms: int) -> int:
        """How much of it is over at an instant, ms."""
        return min(max(time_ms - self.start_ms, 0), self.end_ms - self.start_ms)


def window_at(time_ms: int, window_ms: int, *, offset_ms: int = 0) -> Window:
    """Return the window that an instant lies in, aligned to the utility's meter.

    Args:
        time_ms: ms since 1970, UTC.
        window_ms: 10, 15 or 30 min in ms.
        offset_ms: How far the meter's windows begin after whole multiples of their length in UTC:
            its clock's offset in zones that are off by parts of an hour.

    Raises:
        ValueError: The window is not above 0.
    """
    if window_ms <= 0:
        msg = f"a settlement window is longer than 0, not {window_ms} ms"
        raise ValueError(msg)
    start = time_ms - (time_ms - offset_ms) % window_ms
    return Window(start, start + window_ms)


def projected_demand(
    energy: float | None, power: float | None, elapsed_ms: int, window_ms: int
) -> float | None:
    """Return the mean power that the window will end with if the power stays as it is, W.

    ``(energy so far + power x time left) / window``

    Args:
        energy: Imported since the window began, Wh.
        power: Imported now, W.
        elapsed_ms: How much of the window is over.
        window_ms: Its length.
    """
    if energy is None:
        return None
    left = max(window_ms - elapsed_ms, 0)
    if left and power is None:
        return None
    expected = (power or 0.0) * (left / HOUR_MS)
    return (energy + expected) / (window_ms / HOUR_MS)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """An invoice against the books.

    Attributes:
        invoice: Energy on the invoice, Wh.
        ledger: Energy in the books, Wh.
        k: Invoice over books; ``None`` if the books hold nothing.
        blocks: They differ too much for the month to become final.
    """

    invoice: float
    ledger: float
    k: float | None
    blocks: bool


def reconcile(invoice: float, ledger: float, tolerance: float = TOLERANCE) -> Reconciliation:
    """Compare an invoice with the books.

    Args:
        invoice: Energy on the invoice, Wh.
        ledger: Energy of the same period in the books, Wh.
        tolerance: |k - 1| up to which they agree.
    """
    if ledger <= 0.0:
        return Reconciliation(invoice, ledger, None, invoice != ledger)
    k = invoice / ledger
    return Reconciliation(invoice, ledger, k, abs(k - 1.0) > tolerance)

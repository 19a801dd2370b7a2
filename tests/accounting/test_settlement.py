# SPDX-License-Identifier: Apache-2.0
"""Demand in the utility's window, the invoice, and the cap of export."""

import pytest
from accounting_rows import History
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.export import ExportRatio
from rackwatt.collector.accounting.period import Rules, period
from rackwatt.collector.accounting.settlement import (
    Window,
    projected_demand,
    reconcile,
    window_at,
)

MINUTE = 60_000
TEN = 10 * MINUTE


def test_projected_demand() -> None:
    """Limit 100 MW, 10-min window, 6 min at 90 then 120: 102 at minute 6."""
    assert projected_demand(90e6 * 0.1, 120e6, 6 * MINUTE, TEN) == pytest.approx(102e6)


def test_a_window_that_is_over_needs_no_power() -> None:
    assert projected_demand(10e6, None, TEN, TEN) == pytest.approx(60e6)
    assert projected_demand(10e6, None, TEN - 1, TEN) is None
    assert projected_demand(None, 1.0, 0, TEN) is None


def test_windows_are_aligned_to_the_utilitys_meter() -> None:
    assert window_at(TEN + 1, TEN) == Window(TEN, 2 * TEN)
    assert window_at(TEN + 1, TEN, offset_ms=5 * MINUTE) == Window(5 * MINUTE, 15 * MINUTE)
    window = Window(0, TEN)
    assert [window.elapsed(time) for time in (-5, 60, TEN + 5)] == [0, 60, TEN]
    with pytest.raises(ValueError, match="longer than 0"):
        window_at(0, 0)


def test_an_invoice_that_is_off_blocks_the_month() -> None:
    """100,000 against 99,400: blocked."""
    found = reconcile(100_000.0, 99_400.0)
    assert found.blocks
    assert found.k == pytest.approx(1.00604, abs=1e-5)
    assert not reconcile(100_000.0, 99_600.0).blocks
    assert reconcile(99_400.0, 100_000.0).blocks


def test_empty_books_agree_with_an_empty_invoice_only() -> None:
    assert not reconcile(0.0, 0.0).blocks
    assert reconcile(1.0, 0.0).blocks
    assert reconcile(1.0, 0.0).k is None


@given(st.floats(0.0, 1e9), st.integers(0, TEN))
def test_a_steady_power_projects_itself(power: float, elapsed: int) -> None:
    energy = power * elapsed / 3_600_000
    found = projected_demand(energy, power, elapsed, TEN)
    assert found == pytest.approx(power, rel=1e-9, abs=1e-9)


def test_export_over_the_running_year() -> None:
    """Of 1000 produced 150 sold, the law allows 20 %: 50 are left."""
    history = History()
    history.book({"pv": 400.0}, {"it": 300.0, "export": 100.0})
    history.book({"pv": 600.0}, {"it": 550.0, "export": 50.0})
    found = period(history.rows, Rules(export_cap_ratio=0.2)).export
    assert found.ratio == pytest.approx(0.15)
    assert found.left == pytest.approx(50.0)
    assert found.beyond is False
    assert ExportRatio(0.25, 1.0, 250.0, 1000.0, 0.2).beyond is True


def test_export_without_a_cap_or_a_known_year() -> None:
    history = History()
    history.book({"pv": 10.0}, {"it": 9.0, "export": 1.0})
    found = period(history.rows, Rules()).export
    assert (found.left, found.beyond) == (None, None)
    history.book({"pv": 10.0}, {"it": 9.0, "export": None})
    gap = period(history.rows, Rules(export_cap_ratio=0.2)).export
    assert (gap.ratio, gap.coverage, gap.beyond) == (None, 0.5, None)

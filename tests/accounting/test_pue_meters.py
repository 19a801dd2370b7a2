# SPDX-License-Identifier: Apache-2.0
"""The PUE plus or minus its expanded uncertainty."""

from dataclasses import replace

import pytest
from accounting_rows import History, golden

from rackwatt.collector.accounting.period import Outside, Rules, period
from rackwatt.collector.accounting.pue_meters import PueMeters, pue_uncertainty
from rackwatt.collector.accounting.uncertainty import MeterClass

HALF = MeterClass(0.5)
TWO = PueMeters({"g": HALF, "i": HALF}, {"grid": [("g", 1)], "it": [("i", 1)]})


def test_a_periods_pue_has_its_uncertainty() -> None:
    """Class 0.5, PUE 1.15, independent meters: 0.0094."""
    history = History()
    history.book({"grid": 115.0}, {"it": 100.0, "cooling": 15.0})
    found = period(history.rows, Rules(meters=TWO)).pue
    assert found.value == pytest.approx(1.15)
    assert found.uncertainty == pytest.approx(0.0094, abs=5e-5)


def test_a_shared_it_meter_makes_it_small() -> None:
    """E_DC = IT + overhead, both with one IT meter: 0.0012."""
    meters = PueMeters({"o": HALF, "i": HALF}, {"grid": [("i", 1), ("o", 1)], "it": [("i", 1)]})
    by_meter = {"grid": {"i": 100.0, "o": 15.0}}
    found = pue_uncertainty({"grid": 115.0, "it": 100.0}, meters, by_meter)
    assert found == pytest.approx(0.0012, abs=5e-5)


def test_meters_that_are_taken_off_need_their_energies() -> None:
    meters = PueMeters({"a": HALF, "b": HALF, "i": HALF}, {"grid": [("a", 1), ("b", -1)]})
    assert pue_uncertainty({"grid": 115.0, "it": 100.0}, meters, {"it": {"i": 100.0}}) is None
    given = {"grid": {"a": 120.0, "b": -5.0}, "it": {"i": 100.0}}
    assert pue_uncertainty({"grid": 115.0, "it": 100.0}, meters, given) is not None


def test_meters_that_are_added_share_their_flow() -> None:
    meters = replace(TWO, terms={"grid": [("g", 1)], "it": [(f"i{n}", 1) for n in range(100)]})
    meters = replace(meters, classes={"g": MeterClass(0.0)} | {f"i{n}": HALF for n in range(100)})
    found = pue_uncertainty({"grid": 115.0, "it": 100.0}, meters)
    assert found == pytest.approx(2.0 * 1.15 * HALF.relative / 10.0)


def test_an_unknown_meter_leaves_it_unknown() -> None:
    assert pue_uncertainty({"grid": 115.0, "it": 100.0}, PueMeters()) is None
    only_grid = PueMeters({"g": HALF}, {"grid": [("g", 1)]})
    assert pue_uncertainty({"grid": 115.0, "it": 100.0}, only_grid) is None


def test_the_battery_counts_with_its_efficiencies() -> None:
    terms = {"grid": [("g", 1)], "pv": [("p", 1)], "wind": [("w", 1)], "it": [("i", 1)]}
    classes = dict.fromkeys(("g", "p", "w", "i", "b"), HALF)
    without = PueMeters(classes, terms, 0.9, 1.0)
    assert period(golden().rows, Rules(meters=without)).pue.uncertainty is None
    meters = replace(without, terms=terms | {"battery": [("b", 1)]})
    found = period(golden().rows, Rules(meters=meters), Outside()).pue.uncertainty
    parts = [110.0, 100.0, 90.0, 56.0 * 0.9 - 44.0, 293.6]
    expected = 2.0 * HALF.relative * sum(part**2 for part in parts) ** 0.5 / 240.0
    assert found == pytest.approx(expected, rel=1e-6)

# SPDX-License-Identifier: Apache-2.0
"""The uncertainty of the residual, down to physical meters."""

from math import sqrt

import pytest

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState
from rackwatt.collector.accounting.channels import (
    CHARGE,
    DISCHARGE,
    FORWARD,
    OUTPUT,
    REVERSE,
    Channel,
    Tap,
    summed,
)
from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.accounting.flows import of_site
from rackwatt.collector.accounting.interval import account
from rackwatt.collector.accounting.metering import Energy
from rackwatt.collector.accounting.residual import Measured, residual_uncertainty
from rackwatt.collector.accounting.uncertainty import MeterClass

HALF = MeterClass(0.5)
CLASSES = dict.fromkeys(("g", "p", "i", "u", "c", "b"), HALF)
MINUTE = 1 / 60
FINE = 0.5 / 100 / sqrt(3)


def term(
    flow: str,
    device: str,
    watt_hours: float | None,
    channel: Channel = FORWARD,
    sign: int = 1,
    resolution: float | None = None,
) -> Measured:
    tap = Tap(flow, device, channel, sign, bus="", toward="x" if flow == "tie" else "")
    return Measured(tap, Energy(watt_hours), resolution)


def u(*terms: Measured, part: float = MINUTE) -> float | None:
    return residual_uncertainty(terms, CLASSES, part)


def test_meters_of_sources_and_sinks_add_in_quadrature() -> None:
    assert u(term("grid", "g", 100.0), term("it", "i", 100.0)) == pytest.approx(
        100.0 * FINE * sqrt(2)
    )


def test_a_transformers_class_is_added_to_the_meters() -> None:
    classes = {"g": MeterClass(0.5, 0.5)}
    found = residual_uncertainty([term("grid", "g", 100.0)], classes, MINUTE)
    assert found == pytest.approx(100.0 / 100 / sqrt(3))


def test_a_meter_that_is_added_here_and_taken_off_there_cancels() -> None:
    """Losses = UPS - IT: what the IT meter errs by moves from one sink to the other."""
    found = u(
        term("it", "i", 90.0),
        term("losses", "u", 100.0),
        term("losses", "i", 90.0, sign=-1),
    )
    assert found == pytest.approx(100.0 * FINE)


def test_both_directions_of_a_meter_share_its_error_and_a_ups_output_does_not() -> None:
    assert u(term("grid", "g", 100.0), term("export", "g", 20.0, REVERSE)) == pytest.approx(
        80.0 * FINE
    )
    found = u(term("charge", "b", 30.0, CHARGE), term("discharge", "b", 30.0, DISCHARGE))
    assert found == pytest.approx(0.0)
    ups = u(
        term("it", "u", 90.0, OUTPUT),
        term("losses", "u", 100.0),
        term("losses", "u", 90.0, OUTPUT, -1),
    )
    assert ups == pytest.approx(100.0 * FINE)


def test_a_registers_resolution_counts_at_both_ends() -> None:
    """GUM: a rectangle as wide as the step, so a / sqrt(12) at each of the two readings."""
    found = u(term("grid", "g", 1000.0, resolution=1.0))
    assert found == pytest.approx(sqrt((1000.0 * FINE) ** 2 + 1.0 / 6.0))
    coarse = u(term("grid", "g", 10.0, resolution=60.0))
    assert coarse == pytest.approx(sqrt((10.0 * FINE) ** 2 + 1.0 / 6.0))
    by_power = Measured(Tap("grid", "g", FORWARD), Energy(10.0, estimated=True), 60.0)
    assert u(by_power) == pytest.approx(10.0 * FINE)
    twice = u(
        term("it", "i", 1000.0, resolution=1.0),
        term("losses", "i", 1000.0, sign=-1, resolution=1.0),
    )
    assert twice == pytest.approx(0.0)


def test_a_calibration_group_errs_together() -> None:
    classes = dict.fromkeys("ab", MeterClass(0.5, group="lab"))
    terms = [term("it", "a", 100.0), term("it", "b", 100.0)]
    assert residual_uncertainty(terms, classes, MINUTE) == pytest.approx(100.0 * FINE * sqrt(3))


def test_an_unknown_energy_or_class_leaves_it_unknown() -> None:
    assert u(term("grid", "g", None)) is None
    assert u(term("grid", "stranger", 1.0)) is None
    assert u(term("grid", "stranger", 0.0)) == 0.0


def test_what_ties_carry_counts_for_nothing() -> None:
    assert u(term("grid", "g", 100.0), term("tie", "t", None)) == pytest.approx(100.0 * FINE)


def test_class_half_meters_off_by_three_per_mille_flag_no_minute() -> None:
    """For 30 days: no minute is flagged; that the month is, is the period's affair."""
    factors = SiteFactors(shipped(), "MA").at(1_780_000_000_000)
    for bias, flagged in ((1.003, False), (1.012, True)):
        terms = [
            term("grid", "g", 600.0 * bias, resolution=0.1),
            term("pv", "p", 400.0 * bias, resolution=0.1),
            term("it", "i", 800.0, resolution=0.1),
            term("cooling", "c", 200.0, resolution=0.1),
        ]
        nodes, _ = summed([(one.tap, one.energy.watt_hours) for one in terms], ("",))
        row = account(
            of_site(list(nodes.values())),
            BatteryState(),
            BatteryParameters(),
            factors,
            residual_uncertainty=u(*terms),
        )
        assert ("residual_beyond_uncertainty" in row.flags) is flagged

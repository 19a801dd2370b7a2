# SPDX-License-Identifier: Apache-2.0
"""What models say transformers and lines lose, and what of a residual that explains."""

from math import hypot, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.accounts import IntervalAccount
from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState
from rackwatt.collector.accounting.booked import BookedInterval
from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.accounting.flows import Flows
from rackwatt.collector.accounting.interval import account
from rackwatt.collector.accounting.modelled import LossModel, ModelledLosses, modelled
from rackwatt.collector.accounting.period import period
from rackwatt.collector.accounting.rules import Rules

TRANSFORMER = LossModel("tr-a", ("g",), 1100.0, 9000.0 / 1e6**2)
DAY = 86_400_000


def booked(grid: float, it: float, losses: ModelledLosses | None) -> IntervalAccount:
    return account(
        Flows({"grid": grid}, {"it": it}, 0.0, 0.0),
        BatteryState(),
        BatteryParameters(),
        SiteFactors(shipped(), "MA").at(0),
        residual_uncertainty=10.0,
        losses=losses,
    )


def test_a_transformer_loses_p0_and_pk_by_the_square_of_its_load() -> None:
    assert TRANSFORMER.loss(600_000.0) == pytest.approx(1100 + 9000 * 0.36)
    assert TRANSFORMER.loss(0.0) == 1100.0, "it is energised"
    found = modelled([TRANSFORMER], {"g": 10_000.0}, 1 / 60)
    assert found.watt_hours == pytest.approx(4340 / 60)
    assert found.uncertainty == pytest.approx(4340 / 60 * 0.1 / sqrt(3))


@given(st.floats(0.0, 2e6), st.floats(0.0, 5e3), st.floats(0.0, 2e-8))
def test_seen_from_above_it_loses_what_it_loses_seen_from_below(
    given_on: float, no_load: float, square: float
) -> None:
    below = LossModel("t", ("m",), no_load, square)
    above = LossModel("t", ("m",), no_load, square, above=True)
    lost = below.loss(given_on)
    assert above.loss(given_on + lost) == pytest.approx(lost, rel=1e-6, abs=1e-6)


def test_from_above_nothing_loses_more_than_it_takes() -> None:
    above = LossModel("t", ("m",), 1100.0, 1e-8, above=True)
    assert above.loss(400.0) == 400.0
    assert above.loss(0.0) == 0.0


def test_a_silent_meter_makes_all_of_it_unknown() -> None:
    two = [TRANSFORMER, LossModel("line", ("x", "y"), 0.0, 1e-8)]
    assert modelled(two, {"g": 1.0, "x": 1.0}, 1.0) == ModelledLosses(None, None)


def test_a_residual_that_losses_explain_is_not_flagged_and_stays_in_the_books() -> None:
    losses = ModelledLosses(72.0, 4.0)
    plain, told = booked(10_072.0, 10_000.0, None), booked(10_072.0, 10_000.0, losses)
    assert "residual_beyond_uncertainty" in plain.flags
    assert "residual_beyond_uncertainty" not in told.flags
    assert (told.residual, told.residual_after_losses) == (72.0, 0.0)
    assert plain.residual_after_losses is None
    assert told.carbon == plain.carbon
    assert (told.unmetered, told.load, told.boundary) == (
        plain.unmetered, plain.load, plain.boundary,
    )  # fmt: skip


def test_losses_that_are_missing_are_flagged_by_the_uncertainty_of_both() -> None:
    losses = ModelledLosses(72.0, 12.0)
    limit = 2.0 * hypot(10.0, 12.0)
    low = booked(10_000.0 + 72.0 - limit - 1.0, 10_000.0, losses)
    near = booked(10_000.0 + 72.0 - limit + 1.0, 10_000.0, losses)
    assert "residual_beyond_uncertainty" in low.flags
    assert "residual_beyond_uncertainty" not in near.flags


def test_what_cannot_be_modelled_is_not_judged() -> None:
    told = booked(10_072.0, 10_000.0, ModelledLosses(None, None))
    assert "modelled_losses_unknown" in told.flags
    assert "residual_beyond_uncertainty" not in told.flags
    assert (told.residual, told.residual_after_losses) == (72.0, None)


def day(losses: float | None, *, modelling: bool = True) -> BookedInterval:
    return BookedInterval(
        0, DAY, sources={"grid": 10_072.0}, sinks={"it": 10_000.0}, residual=72.0,
        losses_in_model=modelling, losses_modelled=losses,
    )  # fmt: skip


def test_a_month_is_judged_after_losses_and_shows_both() -> None:
    found = period([day(70.0)], Rules())
    assert found.residual.value == 72.0
    assert found.losses_modelled is not None
    assert found.losses_modelled.value == 70.0
    assert found.after_losses is not None
    assert found.after_losses.value == 2.0
    assert found.flat()["residual_after_losses_ratio"] == pytest.approx(2.0 / 10_072.0)
    assert not found.residual_month_flag
    assert period([day(0.0, modelling=False)], Rules()).residual_month_flag
    unknown = period([day(None)], Rules())
    assert not unknown.residual_month_flag
    assert unknown.flat()["residual_after_losses_watt_hours"] is None


def test_a_site_that_names_no_losses_has_no_such_figures() -> None:
    found = period([day(0.0, modelling=False)], Rules())
    assert found.after_losses is None
    assert "residual_after_losses_ratio" not in found.flat()

# SPDX-License-Identifier: Apache-2.0
"""Commissioning: what wrong wirings, ratios and clocks look like, and what is said of them."""

from collections.abc import Sequence
from math import cos, radians

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.commissioning.checks import checks
from rackwatt.collector.accounting.commissioning.comparing import Family, ct_ratio, sums
from rackwatt.collector.accounting.commissioning.findings import (
    Finding,
    Phase,
    Probe,
    may_be_accepted,
)
from rackwatt.collector.accounting.commissioning.phases import (
    WIRINGS,
    Wiring,
    phase_order,
    phase_sign,
    wiring_of,
)

NOW = (0.4, 0.6)
VOLTS = 230.0


def meter(name: str, watts: float | None, *phases: float, **more: object) -> Probe:
    found = tuple(Phase(w, VOLTS, abs(w) / VOLTS) for w in phases)
    return Probe(name, watts, found, NOW, **more)  # type: ignore[arg-type]


def wired(
    order: Sequence[int], signs: Sequence[int] = (1, 1, 1), angle: float = 15.0, watts: float = 1e4
) -> Probe:
    """A balanced load, measured through wrongly wired transformers."""
    amperes = watts / VOLTS / cos(radians(angle))
    read = [
        sign * VOLTS * amperes * cos(radians(angle + 120 * (phase - own)))
        for own, (phase, sign) in enumerate(zip(order, signs, strict=True))
    ]
    phases = tuple(Phase(w, VOLTS, amperes) for w in read)
    return Probe("m", sum(read), phases, NOW)


def states(found: Sequence[Finding]) -> dict[str, str]:
    return {one.check: one.state for one in found}


def test_a_reversed_phase_is_refused_by_its_name() -> None:
    probe = meter("feed", 1e4, 1e4, -1e4, 1e4)
    found = checks(probe, Family(parent=meter("main", 3e4)))
    assert states(found) == {
        "phase_sign": "failed",
        "phase_order": "passed",
        "ct_ratio": "passed",
        "sums": "failed",
        "clock": "passed",
    }
    sign, _, ratio, whole, _ = found
    assert sign.phases == ("L2",)
    assert "L2 is reversed: L1 10 kW, L2 -10 kW, L3 10 kW" in sign.text
    assert "30 kW, all phases the right way round" in ratio.text
    assert "reads 10 kW (a third) where its parent main's is 30 kW" in whole.text
    assert not may_be_accepted(found)


def test_a_good_meter_passes() -> None:
    found = checks(meter("feed", 3e4, 1e4, 1e4, 1e4), Family(parent=meter("main", 30_200.0)))
    assert set(states(found).values()) == {"passed"}
    assert may_be_accepted(found)


def test_without_power_by_phase_currents_betray_a_reversed_one() -> None:
    phases = tuple(Phase(None, VOLTS, amperes) for amperes in (50.0, 30.0, 40.0))
    probe = Probe("feed", VOLTS * (50 - 30 + 40), phases, NOW)
    found = phase_sign(probe)
    assert (found.state, found.phases) == ("failed", ("L2",))
    worse = Probe("feed", VOLTS * (50 - 30 + 10), (*phases[:2], Phase(None, VOLTS, 10.0)), NOW)
    assert phase_sign(worse).phases == ("L2",)


@pytest.mark.parametrize(
    ("order", "phases"),
    [((1, 0, 2), ("L1", "L2")), ((0, 2, 1), ("L2", "L3")), ((2, 0, 1), ("L1", "L2", "L3"))],
)
def test_crossed_phases_are_named_and_not_called_reversed(
    order: Sequence[int], phases: tuple[str, ...]
) -> None:
    probe = wired(order)
    found = phase_order(probe)
    assert (found.state, found.phases) == ("failed", phases)
    sign = phase_sign(probe)
    if sign.state == "failed" and len(phases) < 3:
        assert "crossed, not reversed" in sign.text
    assert not may_be_accepted(checks(probe, Family(reference_watts=3e4)))


@given(
    st.sampled_from([w for w in WIRINGS if w.changes]),
    st.floats(min_value=-20.0, max_value=20.0),
)
def test_no_wrong_wiring_passes_where_the_right_power_is_known(
    wiring: Wiring, angle: float
) -> None:
    probe = wired(wiring.order, wiring.signs, angle)
    assert not may_be_accepted(checks(probe, Family(reference_watts=3e4)))


@given(
    st.sampled_from([w for w in WIRINGS if w.changes <= 1]),
    st.floats(min_value=-40.0, max_value=40.0),
)
def test_the_simplest_wiring_that_explains_it_is_found(wiring: Wiring, angle: float) -> None:
    factors = [phase.factor for phase in wired(wiring.order, wiring.signs, angle).phases]
    assert wiring_of([factor for factor in factors if factor is not None]) == wiring


def test_all_phases_backward_may_be_reversed_or_rotated_and_nothing_is_accepted() -> None:
    found = checks(wired((1, 2, 0)), Family(reference_watts=3e4))
    assert states(found)["phase_sign"] == "failed"
    assert states(found)["phase_order"] == "undecided"
    assert not may_be_accepted(found)


def test_what_fits_nothing_is_refused_too() -> None:
    phases = tuple(Phase(f * VOLTS * 40, VOLTS, 40.0) for f in (1.0, 0.1, 0.2))
    found = phase_order(Probe("m", VOLTS * 40 * 1.3, phases, NOW))
    assert found.state == "failed"
    assert "fit no single wiring" in found.text


def test_energy_may_flow_back_through_a_grid_meter_and_not_into_a_load() -> None:
    back = meter("grid", -3e4, -1e4, -1e4, -1e4, both_ways=True)
    assert phase_sign(back).state == "passed"
    one = phase_sign(meter("grid", -1e4, -1e4, 1e4, -1e4, both_ways=True))
    assert one.phases == ("L2",)
    load = phase_sign(meter("load", -3e4, -1e4, -1e4, -1e4))
    assert load.phases == ("L1", "L2", "L3")


def test_a_phase_without_load_decides_nothing() -> None:
    found = phase_sign(meter("m", 2e4, 1e4, 1e4, 0.0))
    assert found.state == "undecided"
    assert "L3 carries next to nothing: load every phase" in found.text
    assert not may_be_accepted(checks(meter("m", 2e4, 1e4, 1e4, 0.0), Family(reference_watts=2e4)))


@pytest.mark.parametrize(
    ("ratio", "cause"),
    [
        (0.5, "current transformers were set to"),
        (5.0, "a secondary of 1 A is set where it is 5 A"),
        (0.2, "a secondary of 5 A is set where it is 1 A"),
        (1.732, "voltage between phases"),
        (2 / 3, "one phase is not measured"),
        (1.25, "current transformers were set to"),
    ],
)
def test_a_wrong_ratio_is_refused_with_its_likely_cause(ratio: float, cause: str) -> None:
    each = 1e4 * ratio
    found = ct_ratio(meter("m", 3 * each, each, each, each), Family(reference_watts=3e4))
    assert found.state == "failed"
    assert cause in found.text


def test_siblings_are_taken_off_the_parent_and_silent_ones_named() -> None:
    probe, main = meter("a", 3e4), meter("main", 1e5)
    good = sums(probe, Family(main, [meter("b", 6.98e4)]))
    assert good.state == "passed"
    silent = sums(probe, Family(main, [meter("b", None)]))
    assert (silent.state, silent.text) == ("undecided", "b says nothing: call again")


def test_a_parent_is_checked_by_its_children() -> None:
    kin = [meter("a", 3e4), meter("b", 6e4)]
    assert sums(meter("main", 9e4), Family(children=kin)).state == "passed"
    assert sums(meter("main", 1.2e5), Family(children=kin)).state == "failed"
    assert sums(meter("main", 1.2e5), Family(children=kin, feeds_more=True)).state == "passed"
    assert sums(meter("main", 6e4), Family(children=kin, feeds_more=True)).state == "failed"


def test_a_parent_that_feeds_more_bounds_its_child_from_above_only() -> None:
    main = meter("main", 1e5)
    assert sums(meter("a", 3e4), Family(main, parent_feeds_more=True)).state == "passed"
    assert sums(meter("a", 1.2e5), Family(main, parent_feeds_more=True)).state == "failed"


def test_without_anything_to_compare_with_nothing_is_accepted() -> None:
    found = checks(meter("m", 3e4, 1e4, 1e4, 1e4), Family())
    assert states(found)["sums"] == "undecided"
    assert not may_be_accepted(found)


def test_without_load_nothing_is_accepted() -> None:
    found = sums(meter("m", 0.0), Family(parent=meter("main", 0.0)))
    assert found.state == "undecided"
    assert "next to nothing flows" in found.text


@pytest.mark.parametrize(
    ("lags", "cadence", "state"),
    [
        ((0.1, 1.5), 1.0, "passed"),
        ((-60.0, -59.0), 1.0, "failed"),
        ((120.0, 121.0), 1.0, "failed"),
        ((25.0,), 10.0, "passed"),
        ((), 1.0, "undecided"),
    ],
)
def test_the_clock_must_be_right(lags: Sequence[float], cadence: float, state: str) -> None:
    found = checks(Probe("m", 1.0, lags=lags), Family(), cadence)
    assert found[-1].state == state


@given(st.lists(st.floats(min_value=1e3, max_value=1e6), min_size=1, max_size=5))
def test_good_meters_pass_whatever_they_carry(powers: list[float]) -> None:
    first, *others = (meter(f"m{at}", w, w / 3, w / 3, w / 3) for at, w in enumerate(powers))
    family = Family(meter("main", sum(powers)), others)
    # Nothing can be said of a small child of a great parent: its neighbours' errors hide it.
    found = states(checks(first, family))
    assert "failed" not in found.values()

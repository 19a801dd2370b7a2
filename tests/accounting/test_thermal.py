# SPDX-License-Identifier: Apache-2.0
"""Rack cooling index, heat indices, heat of liquids."""

import pytest

from rackwatt.collector.accounting.thermal import (
    heat_check,
    heat_indices,
    liquid_heat,
    rack_cooling_index,
)


def test_rack_cooling_index_of_class_a1() -> None:
    """T = 20, 24, 28, 30, 26, 17: high 86.67 %, low 94.44 %."""
    found = rack_cooling_index([20.0, 24.0, 28.0, 30.0, 26.0, 17.0])
    assert found is not None
    assert found.high == pytest.approx(0.8667, abs=5e-5)
    assert found.low == pytest.approx(0.9444, abs=5e-5)
    assert rack_cooling_index([]) is None


def test_supply_and_return_heat_index() -> None:
    """T_ref 18, in 20, 22, out 32, 34: 0.20 / 0.80."""
    found = heat_indices([(20.0, 32.0), (22.0, 34.0)], 18.0)
    assert found is not None
    assert found.supply == pytest.approx(0.20)
    assert found.return_ == pytest.approx(0.80)
    assert heat_indices([(18.0, 18.0)], 18.0) is None
    assert heat_indices([], 18.0) is None


def test_heat_that_a_liquid_takes() -> None:
    assert liquid_heat(2.0, 4186.0, 30.0, 40.0) == pytest.approx(83_720.0)
    assert liquid_heat(None, 4186.0, 30.0, 40.0) is None
    assert liquid_heat(2.0, 4186.0, None, 40.0) is None
    assert liquid_heat(2.0, 4186.0, 30.0, None) is None


def test_heat_and_power_of_a_rack_agree_within_5_percent() -> None:
    good = heat_check(100_000.0, 28_000.0, 132_000.0)
    assert good is not None
    assert good.agrees
    bad = heat_check(100_000.0, 20_000.0, 132_000.0)
    assert bad is not None
    assert not bad.agrees
    assert heat_check(None, 1.0, 1.0) is None
    assert heat_check(1.0, None, 1.0) is None
    assert heat_check(1.0, 1.0, None) is None
    assert heat_check(1.0, 1.0, 0.0) is None

# SPDX-License-Identifier: Apache-2.0
"""European label and report; fuels."""

import pytest

from rackwatt.collector.accounting.factors import shipped
from rackwatt.collector.accounting.fuels import FuelUse, fuel_energy, scope_1
from rackwatt.collector.accounting.keyfigures import erf, ref, wue
from rackwatt.collector.accounting.label import EuReport, pue_class, wue_class


@pytest.mark.parametrize(
    ("pue", "letter"),
    [(1.15, "A"), (1.2, "B"), (1.35, "C"), (1.5, "D"), (1.7, "E-F"), (1.91, "G"), (None, None)],
)
def test_pue_classes(pue: float | None, letter: str | None) -> None:
    assert pue_class(pue) == letter


@pytest.mark.parametrize(
    ("wue_value", "letter"),
    [(0.1, "A"), (0.2, "B"), (0.3, "C"), (0.6, "D"), (1.0, "E-F"), (2, "G")],
)
def test_wue_classes(wue_value: float, letter: str) -> None:
    assert wue_class(wue_value) == letter


def test_fields_of_the_eu_report() -> None:
    report = EuReport(
        e_dc=1200.0,
        e_it=1000.0,
        w_in=0.3,
        e_reuse=120.0,
        e_res_goo=100.0,
        e_res_ppa=200.0,
        e_res_os=300.0,
    )
    assert report.e_res_tot == 600.0
    assert (report.pue, report.wue, report.erf, report.ref) == pytest.approx((1.2, 0.3, 0.1, 0.5))
    empty = EuReport(None, None)
    assert (empty.e_res_tot, empty.pue, empty.wue, empty.erf, empty.ref) == (None,) * 5


def test_fuels_hold_energy() -> None:
    table = shipped()
    assert fuel_energy(FuelUse("diesel", 100.0), table) == pytest.approx(990.0)
    assert fuel_energy(FuelUse("wood", 1.0), table) is None
    assert fuel_energy(FuelUse("gas", None), table) is None


def test_scope_1_is_litres_times_fuel_factor() -> None:
    factors = {"diesel": 2680.0}
    assert scope_1([FuelUse("diesel", 100.0), FuelUse("gas", 0.0)], factors) == 268_000.0
    assert scope_1([FuelUse("gas", 1.0)], factors) is None
    assert scope_1([FuelUse("diesel", None)], factors) is None


def test_water_reuse_and_renewable_energy_factors() -> None:
    assert wue(500.0, 1_000_000.0) == pytest.approx(0.5)
    assert erf(10.0, 100.0) == pytest.approx(0.1)
    assert ref(20.0, 30.0, 100.0, 120.0) == pytest.approx(50 / 120)
    assert ref(20.0, 130.0, 90.0, 100.0) == 1.0
    for unknown in (wue(None, 1.0), wue(1.0, 0.0), erf(None, 1.0), erf(1.0, None)):
        assert unknown is None
    assert ref(None, 0.0, 0.0, 1.0) is None
    assert ref(0.0, None, 0.0, 1.0) is None
    assert ref(0.0, 0.0, None, 1.0) is None
    assert ref(0.0, 0.0, 0.0, 0.0) is None

# SPDX-License-Identifier: Apache-2.0
"""Water, reused heat and fuel over periods: what counts, and how much of the period it covers."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from accounting_rows import History

from rackwatt.collector.accounting.booked import BookedInterval
from rackwatt.collector.accounting.fuels import FuelLine, FuelUse, burnt
from rackwatt.collector.accounting.period import Accumulator, Outside, figures, period
from rackwatt.collector.accounting.rules import Rules
from rackwatt.collector.accounting.vocabulary import HOUR_MS

RULES = Rules()


def rows(*utilities: Mapping[str, object]) -> list[BookedInterval]:
    """Intervals of 1000 Wh IT and 200 Wh cooling, with what else each row says."""
    history = History()
    for one in utilities:
        history.book({"grid": 1200.0}, {"it": 1000.0, "cooling": 200.0}, utilities=one)
    return history.rows


def test_wue_is_fresh_water_over_it() -> None:
    water = {"fresh": 1.5, "rain": 0.5}
    found = period(rows(*[{"water_liters": water}] * 2), RULES)
    assert found.wue.value == pytest.approx(1.5)
    assert found.water_liters == pytest.approx(4.0)
    assert set(found.water) == {"fresh", "rain"}
    flat = found.flat()
    assert flat["wue_liters_per_kilowatt_hour"] == pytest.approx(1.5)
    assert flat["water_rain_liters"] == pytest.approx(1.0)
    assert flat["water_liters"] == pytest.approx(4.0)


def test_a_ratio_is_over_the_intervals_in_which_both_terms_are_known() -> None:
    found = period(rows({"water_liters": {"fresh": 1.0}}, {"water_liters": {"fresh": None}}), RULES)
    assert found.wue.value is None
    assert found.wue.known == pytest.approx(1.0)
    assert found.wue.coverage == 0.5
    assert found.water["fresh"].known == 1.0
    assert found.water_liters is None


def test_before_there_was_a_meter_water_is_unknown_and_not_zero() -> None:
    found = period(rows({}, {"water_liters": {"fresh": 1.0}}), RULES)
    assert (found.wue.value, found.wue.coverage) == (None, 0.5)


def test_a_site_without_meters_has_neither_figures_nor_zeros() -> None:
    found = period(rows({}), RULES)
    assert (found.water, found.heat_reused, found.water_liters) == ({}, None, None)
    assert (found.wue.value, found.erf.value) == (None, None)
    assert found.flat()["heat_reused_watt_hours"] is None
    told = period(rows({}), RULES, Outside(water_liters=0.5, reused_watt_hours=120.0))
    assert told.wue.value == pytest.approx(0.5)
    assert told.erf.value == pytest.approx(0.1)


def test_meters_of_the_site_come_before_what_somebody_tells() -> None:
    own = rows({"water_liters": {"fresh": 1.0}, "heat_reused_watt_hours": 600.0})
    found = period(own, RULES, Outside(water_liters=99.0, reused_watt_hours=99.0))
    assert found.wue.value == pytest.approx(1.0)
    assert found.erf.value == pytest.approx(0.5)
    assert found.heat_reused is not None
    assert found.flat()["heat_reused_watt_hours"] == 600.0


def test_water_that_is_not_fresh_gives_no_wue() -> None:
    found = period(rows({"water_liters": {"reclaimed": 3.0}}), RULES)
    assert (found.wue.value, found.water_liters) == (None, 3.0)


def test_heat_that_is_unknown_stays_so() -> None:
    found = period(rows({"heat_reused_watt_hours": None}), RULES)
    assert found.heat_reused is not None
    assert (found.heat_reused.value, found.erf.value) == (None, None)


def test_days_merge() -> None:
    one, other = rows({"water_liters": {"fresh": 0.1}}, {"water_liters": {"fresh": 0.2}})
    whole = Accumulator([one])
    whole.merge(Accumulator([other]))
    assert figures(whole, RULES) == period([one, other], RULES)


# -- fuel ----------------------------------------------------------------------------------------


def line(start: int, end: int, liters: float, tank: str = "a", fuel: str = "diesel") -> FuelLine:
    return FuelLine(start * HOUR_MS, end * HOUR_MS, fuel, liters, tank)


@pytest.mark.parametrize(
    ("lines", "uses", "coverage"),
    [
        ((), [], 0.0),
        ((line(0, 10, 30.0),), [FuelUse("diesel", 30.0)], 1.0),
        ((line(0, 4, 10.0), line(4, 8, 5.0)), [FuelUse("diesel", 15.0)], 0.8),
        # Which part of a line that reaches out was burnt inside is not known, unless it is 0.
        ((line(0, 11, 30.0),), [], 0.0),
        ((line(-5, 20, 0.0),), [FuelUse("diesel", 0.0)], 1.0),
        ((line(20, 30, 7.0),), [], 0.0),
        # The tank that is covered least counts.
        (
            (line(0, 10, 30.0), line(0, 5, 1.0, "b", "hvo")),
            [FuelUse("diesel", 30.0), FuelUse("hvo", 1.0)],
            0.5,
        ),
    ],
)
def test_documents_say_what_was_burnt(
    lines: tuple[FuelLine, ...], uses: list[FuelUse], coverage: float
) -> None:
    found = burnt(lines, 0, 10 * HOUR_MS)
    assert found[0] == uses
    assert found[1] == pytest.approx(coverage)


def genset(hours: int, watt_hours: float = 100.0) -> list[BookedInterval]:
    history = History(length_ms=HOUR_MS)
    for _ in range(hours):
        history.book({"grid": 0.0, "genset": watt_hours}, {"it": watt_hours})
    return history.rows


def test_scope_1_is_litres_where_documents_cover_the_period() -> None:
    rules = replace(RULES, fuel=(line(0, 10, 30.0),), fuel_factors={"diesel": 2641.0})
    by_energy = replace(rules, genset_direct=766.0)
    assert period(genset(10), rules).scope_1.value == pytest.approx(79_230.0)
    assert period(genset(10), by_energy).scope_1.value == pytest.approx(79_230.0)
    # Of an hour within the line only the engine's energy is known.
    assert period(genset(10)[:1], by_energy).scope_1.value == pytest.approx(76.6)
    assert period(genset(10)[:1], rules).scope_1.value is None
    assert period(genset(1, 0.0), rules).scope_1.value == 0.0


def test_a_fuel_without_a_factor_has_no_mass() -> None:
    rules = replace(RULES, fuel=(line(0, 10, 30.0),), genset_direct=766.0)
    assert period(genset(10), rules).scope_1.value is None


def test_an_empty_period_divides_by_nothing() -> None:
    rules = replace(RULES, fuel=(line(0, 10, 30.0),))
    assert period([], rules).scope_1.value is None

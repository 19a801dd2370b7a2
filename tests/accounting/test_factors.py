# SPDX-License-Identifier: Apache-2.0
"""Factors are data with a source; no default changes without a changed test."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from rackwatt.collector.accounting.factor_series import CARBON_FREE, FactorLine, FactorSeries
from rackwatt.collector.accounting.factors import SiteFactors, parse, shipped

NOW = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1000)

SNAPSHOT = """\
pv utility - life_cycle 48.0 None
pv rooftop - life_cycle 41.0 None
pv utility - direct 0.0 None
pv rooftop - direct 0.0 None
wind onshore - life_cycle 11.0 None
wind offshore - life_cycle 12.0 None
wind onshore - direct 0.0 None
wind offshore - direct 0.0 None
hydro - - life_cycle 24.0 None
hydro - - direct 0.0 None
nuclear - - life_cycle 12.0 None
gas - - life_cycle 490.0 None
coal - - life_cycle 820.0 None
grid - MA life_cycle 610.67 2022
grid - MA life_cycle 627.78 2023
grid - MA life_cycle 619.71 2024
grid - MA direct 554.24 2022
carbon-free MA 0.215 2024
fuel diesel 9.9 kWh/l
fuel gas 10.5 kWh/m3
fuel hydrogen 38.9 kWh/kg
"""


def test_shipped_factors() -> None:
    table = shipped()
    lines = [
        f"{f.item} {f.variant or '-'} {f.country or '-'} {f.scope} {f.value} {f.year}"
        for f in table.factors
    ]
    lines += [f"carbon-free {c.country} {c.value} {c.year}" for c in table.carbon_free]
    lines += [f"fuel {f.fuel} {f.value} {f.unit}" for f in table.fuels]
    assert "\n".join(lines) + "\n" == SNAPSHOT
    assert all(f.source for f in table.factors)
    assert all(c.source for c in table.carbon_free)
    assert all(f.source for f in table.fuels)
    assert all(f.estimated for f in table.factors if f.item == "grid")


def instant(year: int) -> int:
    return int(datetime(year, 3, 1, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("year", "expected"), [(2021, 610.67), (2022, 610.67), (2023, 627.78), (2026, 619.71)]
)
def test_a_year_without_a_factor_takes_the_one_before(year: int, expected: float) -> None:
    factor = shipped().find("grid", "life_cycle", instant(year), country="MA")
    assert factor is not None
    assert factor.value == expected


def test_variants() -> None:
    table = shipped()
    roof = table.find("pv", "life_cycle", NOW, variant="rooftop")
    assert roof is not None
    assert roof.value == 41.0
    assert table.find("pv", "life_cycle", NOW, variant="floating") is None


def test_a_site_in_morocco() -> None:
    found = SiteFactors(shipped(), "MA").at(NOW)
    assert found.intensity["life_cycle"]["grid"] == 619.71
    assert found.intensity["operational"]["grid"] == 554.24
    assert found.intensity["operational"]["unknown"] == 554.24
    assert found.intensity["operational"]["pv"] == 0.0
    assert found.intensity["life_cycle"]["genset"] is None
    assert found.grid == {"life_cycle": 619.71, "operational": 554.24}
    assert found.grid_carbon_free_ratio == 0.215
    assert found.initial == found.grid
    assert found.messages == (
        "no life-cycle emission factor for genset",
        "no direct emission factor for genset",
    )


def test_a_grid_that_is_not_listed_is_unknown() -> None:
    found = SiteFactors(shipped(), "XX").at(NOW)
    assert found.grid == {"life_cycle": None, "operational": None}
    assert found.grid_carbon_free_ratio is None
    assert "no direct emission factor for grid of country XX" in found.messages
    assert "no carbon-free fraction of the grid of country XX" in found.messages
    assert "a site without a country" in SiteFactors(shipped()).at(NOW).messages[-1]


def test_a_life_cycle_factor_never_stands_in_for_a_direct_one() -> None:
    found = SiteFactors(shipped(), "XX", overrides={"grid": {"life_cycle": 300.0}}).at(NOW)
    assert found.grid == {"life_cycle": 300.0, "operational": None}


def test_a_sites_own_values_win() -> None:
    site = SiteFactors(
        shipped(),
        "MA",
        overrides={"pv": {"life_cycle": 30.0}},
        variants={"wind": "offshore"},
        grid_carbon_free_ratio=0.5,
        initial={"direct": 1.0},
    )
    found = site.at(NOW)
    assert found.intensity["life_cycle"]["pv"] == 30.0
    assert found.intensity["life_cycle"]["wind"] == 12.0
    assert found.grid_carbon_free_ratio == 0.5
    assert found.initial == {"life_cycle": 619.71, "operational": 1.0}
    own = site.find("pv", "life_cycle", NOW)
    assert own is not None
    assert own.source == "site file"


def test_a_table_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        parse("version: 1\ncolour: green\nfactors: []\n")


def test_two_lines_of_a_series_do_not_hold_at_once() -> None:
    lines = (FactorLine("grid", "direct", 0, 10, 1.0), FactorLine("grid", "direct", 9, 20, 2.0))
    with pytest.raises(ValueError, match="two factors of grid"):
        SiteFactors(shipped(), "MA", series=lines)


def test_a_series_says_nothing_before_and_between_its_lines() -> None:
    lines = (FactorLine("pv", "direct", 10, 20, 1.0), FactorLine("pv", "direct", 30, 40, 2.0))
    series = FactorSeries(lines)
    found = [series.at(instant) for instant in (9, 10, 19, 20, 30, 40)]
    assert [None if line is None else line.value for line in found] == [None, 1, 1, None, 2, None]
    assert series.edges == [10, 20, 30, 40]


def test_a_site_tells_when_its_factors_may_change() -> None:
    line = FactorLine("pv", "direct", NOW, NOW + 10, 1.0)
    edges = SiteFactors(shipped(), "MA", series=(line,)).edges
    assert {NOW, NOW + 10} <= set(edges)
    assert list(edges) == sorted(edges)


def test_factors_of_an_instant_are_made_once() -> None:
    factors = SiteFactors(shipped(), "MA")
    assert factors.at(NOW) is factors.at(NOW + 1)


def test_a_line_of_the_sites_series_comes_first() -> None:
    lines = (FactorLine("pv", "direct", 0, 10, 1.0), FactorLine(CARBON_FREE, "direct", 0, 10, 0.3))
    site = SiteFactors(shipped(), "MA", series=lines)
    found = site.find("pv", "direct", 5)
    assert found is not None
    assert (found.value, found.source) == (1.0, "site's series")
    assert site.at(5).grid_carbon_free_ratio == 0.3

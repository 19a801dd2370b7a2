# SPDX-License-Identifier: Apache-2.0
"""Scope 2: where the import was made, and what contracts and certificates say of it."""

from dataclasses import replace

import pytest
from accounting_rows import History, factors, known
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.market import (
    NO_RESIDUAL_MIX,
    Certificate,
    MarketHour,
    SoldOutput,
    market_based,
    retired_energy,
)
from rackwatt.collector.accounting.period import Rules, period
from rackwatt.collector.accounting.vocabulary import HOUR_MS

MARKET = 700.0
CERTIFICATE = Certificate("EX", "1-100", "wind", 0, 10 * HOUR_MS, 100.0, retired_ms=5)
energies = st.floats(0.0, 1e9, allow_subnormal=False)


def test_contracts_are_claims_on_the_import_and_no_sources() -> None:
    """Import 100, ppa_pv 30, pv 20, load 120: sources 120, not 150; 100 EF and 70 EF."""
    history = History()
    row = history.book({"grid": 100.0, "pv": 20.0}, {"it": 120.0}, claims={"ppa-1": 30.0})
    assert row.supplied == 120.0
    found = period(history.rows, Rules(contracts={"ppa-1": "ppa_pv"}))
    assert found.scope_2_location.value == pytest.approx(100.0 * 554.24 / 1000.0)
    assert found.scope_2_market.value == pytest.approx(70.0 * 554.24 / 1000.0)
    assert found.market.note == NO_RESIDUAL_MIX
    shares = found.shares
    assert shares.grid == pytest.approx(100 / 120)
    assert shares.contracted == pytest.approx(30 / 120)
    assert shares.renewable == pytest.approx(20 / 120)
    assert found.matched.value == 30.0
    assert found.matched_by_contract == {"ppa-1": 30.0}


def test_a_claim_beyond_the_import_is_surplus() -> None:
    """At ppa 130: matched 100, surplus 30; it is not carried to the next hour."""
    history = History()
    history.book({"grid": 100.0, "pv": 20.0}, {"it": 120.0}, claims={"ppa-1": 130.0})
    history.book({"grid": 100.0, "pv": 20.0}, {"it": 120.0}, claims={"ppa-1": 0.0})
    found = period(history.rows, Rules(contracts={"ppa-1": "ppa_pv"}))
    assert (found.matched.value, found.surplus.value) == (100.0, 30.0)
    assert found.scope_2_market.value == pytest.approx(100.0 * 554.24 / 1000.0)


def test_sold_output_takes_the_residual_factor() -> None:
    """With pv 40 kWh sold, import 60, residual 700 g/kWh: 70 kg, not 42."""
    history = History()
    history.book({"grid": 60_000.0, "pv": 40_000.0}, {"it": 100_000.0})
    sold = Rules(attributes={"pv": "sold"}, residual_factor=MARKET)
    found = period(history.rows, sold)
    assert found.scope_2_market.value == pytest.approx(70_000.0)
    assert found.market.note is None
    assert found.market.sold == 40_000.0
    assert found.shares.renewable == pytest.approx(0.4)
    assert found.shares.renewable_claimable == 0.0
    assert found.ref.value == 0.0
    kept = period(history.rows, replace(sold, attributes={"pv": "retained"}))
    assert kept.scope_2_market.value == pytest.approx(42_000.0)
    assert kept.ref.value == pytest.approx(0.4)


def test_unissued_output_is_nobodys_too() -> None:
    history = History()
    history.book({"grid": 60.0, "hydro": 40.0}, {"it": 100.0})
    found = period(history.rows, Rules(attributes={"hydro": "unissued"}))
    assert found.scope_2_market.value == pytest.approx(100.0 * 0.55424)
    assert found.ref.value == 0.0


def test_sold_output_that_was_exported_is_the_buyers() -> None:
    history = History()
    history.book({"grid": 0.0, "pv": 100.0}, {"it": 60.0, "export": 40.0})
    found = period(history.rows, Rules(attributes={"pv": "sold"}, residual_factor=MARKET))
    assert found.scope_2_market.value == pytest.approx(60.0 * 0.7)


def test_sold_output_of_an_unknown_amount_leaves_the_market_view_unknown() -> None:
    history = History()
    history.book({"grid": 60.0, "pv": None}, {"it": 100.0})
    sold = period(history.rows, Rules(attributes={"pv": "sold"}, residual_factor=MARKET))
    assert (sold.scope_2_market.value, sold.scope_2_market.coverage) == (None, 0.0)
    assert period(history.rows, Rules(residual_factor=MARKET)).scope_2_market.value == 42.0


def test_without_a_residual_mix_the_hours_average_counts() -> None:
    """Each hour's rest has the factor of its own time."""
    history = History()
    history.book({"grid": 100.0}, {"it": 100.0}, at=factors(200.0), claims={"a": 50.0})
    history.book({"grid": 100.0}, {"it": 100.0}, at=factors(800.0), claims={"a": 0.0})
    found = period(history.rows, Rules())
    assert found.scope_2_market.value == pytest.approx(10.0 + 80.0)


def test_without_a_factor_both_views_are_unknown() -> None:
    history = History()
    history.book({"grid": 100.0, "pv": 10.0}, {"it": 110.0}, at=factors(None))
    found = period(history.rows, Rules())
    assert (found.scope_2_location.value, found.scope_2_market.value) == (None, None)
    covered = period(history.rows, Rules(certificates=[replace(CERTIFICATE, end_ms=HOUR_MS)]))
    assert covered.scope_2_market.value == 0.0
    sold = period(history.rows, Rules(attributes={"pv": "sold"}))
    assert sold.scope_2_market.value is None


def test_certificates_count_when_they_are_retired_for_the_period() -> None:
    assert retired_energy([CERTIFICATE], 0, 10 * HOUR_MS) == 100.0
    assert retired_energy([CERTIFICATE], 0, HOUR_MS) == pytest.approx(10.0)
    assert retired_energy([CERTIFICATE], 10 * HOUR_MS, 20 * HOUR_MS) == 0.0
    unretired = replace(CERTIFICATE, retired_ms=None)
    assert retired_energy([unretired], 0, 10 * HOUR_MS) == 0.0
    bundled = replace(CERTIFICATE, contract="ppa-1")
    assert retired_energy([bundled], 0, 10 * HOUR_MS, {"ppa-1": "ppa_wind"}) == 0.0
    assert retired_energy([bundled], 0, 10 * HOUR_MS) == 100.0


def test_a_contract_counts_as_far_as_its_certificates_are_retired() -> None:
    """Of those that are listed; the physical match and its share do not hang on papers."""
    history = History()
    history.book({"grid": 100.0}, {"it": 100.0}, claims={"ppa-1": 40.0, "ppa-2": 20.0})
    open_one = replace(CERTIFICATE, end_ms=HOUR_MS, contract="ppa-1", retired_ms=None)
    contracts = {"ppa-1": "ppa_wind", "ppa-2": "ppa_pv"}

    def market(*certificates: Certificate) -> tuple[float | None, float | None, float | None]:
        rules = Rules(certificates=certificates, contracts=contracts, residual_factor=1000.0)
        found = period(history.rows, rules)
        assert found.matched.value == 60.0
        assert found.shares.contracted == pytest.approx(0.6)
        return found.scope_2_market.value, found.ref.value, found.scope_2_proposed.value

    assert market() == pytest.approx((40.0, 0.6, 40.0))
    assert market(open_one) == pytest.approx((80.0, 0.2, 80.0))
    retired = replace(open_one, retired_ms=5, watt_hours=300.0)
    assert market(open_one, retired) == pytest.approx((50.0, 0.5, 50.0))
    assert market(replace(open_one, start_ms=HOUR_MS, end_ms=2 * HOUR_MS)) == market()


def test_certificates_never_cover_more_than_the_import() -> None:
    hours = [MarketHour(100.0, 50.0, 60.0)]
    found = market_based(hours, certificates=1000.0, sold=SoldOutput(10.0, 5.0))
    assert (found.contracted, found.certified, found.rest) == (60.0, 40.0, 0.0)
    assert found.grams == 5.0
    history = History()
    history.book({"grid": 100.0}, {"it": 100.0})
    every = Rules(certificates=[replace(CERTIFICATE, end_ms=HOUR_MS, watt_hours=500.0)])
    period_found = period(history.rows, every)
    assert period_found.ref.value == pytest.approx(1.0)
    assert period_found.scope_2_market.value == 0.0


def test_the_proposed_method_matches_certificates_in_their_hour() -> None:
    """It stands apart: a month's certificate says nothing of an hour."""
    history = History()
    history.book({"grid": 100.0}, {"it": 100.0})
    history.book({"grid": 100.0}, {"it": 100.0})
    hourly = replace(CERTIFICATE, end_ms=HOUR_MS, watt_hours=150.0)
    monthly = replace(CERTIFICATE, end_ms=2 * HOUR_MS, watt_hours=50.0)
    found = period(history.rows, Rules(certificates=[hourly, monthly], residual_factor=1000.0))
    assert found.scope_2_market.value == pytest.approx(0.0)
    assert found.scope_2_proposed.value == pytest.approx(100.0)


def test_an_unknown_minute_costs_the_market_view_its_hour_only_where_a_claim_hangs_on_it() -> None:
    plain, bound = History(length_ms=HOUR_MS // 60), History(length_ms=HOUR_MS // 60)
    for minute in range(60):
        imported = None if minute == 7 else 10.0
        plain.book({"grid": imported}, {"it": 10.0})
        bound.book({"grid": imported}, {"it": 10.0}, claims={"ppa-1": 5.0})
    found = period(plain.rows, Rules())
    assert found.scope_2_market == found.scope_2_location
    assert found.scope_2_market.coverage == pytest.approx(59 / 60)
    assert period(bound.rows, Rules()).scope_2_market.coverage == 0.0


def test_location_based_is_gross_import_at_its_time() -> None:
    """No export is netted, and no battery shifts anything."""
    history = History()
    history.book({"grid": 100.0}, {"it": 20.0}, charge=80.0, at=factors(500.0))
    history.book({"grid": 50.0}, {"it": 60.0, "export": 40.0}, discharge=50.0, at=factors(200.0))
    assert period(history.rows, Rules()).scope_2_location.value == pytest.approx(60.0)


@given(
    st.lists(st.tuples(energies, energies, st.floats(0.0, 1000.0)), min_size=1, max_size=5),
    energies,
)
def test_the_market_view_of_average_factors_is_never_above_the_location_view(
    rows: list[tuple[float, float, float]], certificates: float
) -> None:
    hours = [
        MarketHour(imported, imported * factor / 1000.0, min(claim, imported))
        for imported, claim, factor in rows
    ]
    found = market_based(hours, certificates=certificates)
    location = sum(imported * factor / 1000.0 for imported, _, factor in rows)
    assert 0.0 <= known(found.grams) <= location * (1 + 1e-9)
    whole = sum(hour.imported for hour in hours)
    parts = found.contracted + found.certified + found.rest
    assert parts == pytest.approx(whole, rel=1e-9)

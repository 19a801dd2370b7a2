# SPDX-License-Identifier: Apache-2.0
"""Claims on the import: matched per hour, never a source."""

from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.claims import hour_of, match, match_hour, share_hour
from rackwatt.collector.accounting.keyfigures import shares

energies = st.floats(0.0, 1e12, allow_subnormal=False)


def test_a_claim_is_matched_up_to_the_import() -> None:
    """Import 100, ppa_pv 30: 30 of the import. ppa 130: matched 100, surplus 30."""
    assert match({"ppa_pv": 30.0}, 100.0).total == 30.0
    beyond = match({"ppa_pv": 130.0}, 100.0)
    assert (beyond.total, beyond.surplus, beyond.matched) == (100.0, 30.0, {"ppa_pv": 100.0})


def test_claims_share_the_import_pro_rata() -> None:
    found = match({"a": 60.0, "b": 140.0}, 100.0)
    assert found.matched == pytest.approx({"a": 30.0, "b": 70.0})


def test_a_plant_that_draws_power_claims_nothing() -> None:
    assert match({"a": -5.0, "b": 10.0}, 100.0).matched == {"a": 0.0, "b": 10.0}
    assert match({"a": 5.0}, -1.0).total == 0.0
    assert match({}, 5.0).total == 0.0


@given(st.dictionaries(st.sampled_from("abcd"), energies), energies)
def test_no_match_is_more_than_the_import_or_the_claim(
    claims: dict[str, float], imported: float
) -> None:
    found = match(claims, imported)
    assert found.total <= imported
    assert found.total + found.surplus == pytest.approx(fsum(claims.values()), rel=1e-12)
    assert fsum(found.matched.values()) == pytest.approx(found.total, rel=1e-12)
    for name, amount in found.matched.items():
        assert 0.0 <= amount <= claims[name] * (1 + 1e-12)


def test_an_hour_is_matched_as_a_whole() -> None:
    """What a plant gave in the first half may stand for import in the second half."""
    claims: list[dict[str, float | None]] = [{"a": 100.0}, {"a": 0.0}]
    parts = share_hour(claims, [40.0, 120.0])
    assert [None if part is None else part.total for part in parts] == [25.0, 75.0]


@given(st.lists(st.tuples(energies, energies), min_size=1, max_size=6))
def test_the_intervals_sum_to_the_hour(rows: list[tuple[float, float]]) -> None:
    claims: list[dict[str, float | None]] = [{"a": claimed} for claimed, _ in rows]
    imports = [imported for _, imported in rows]
    hour = match_hour(claims, imports)
    assert hour.match is not None
    parts = [part for part in share_hour(claims, imports) if part is not None]
    assert len(parts) == len(rows)
    assert fsum(part.total for part in parts) == pytest.approx(hour.match.total, rel=1e-9)


def test_an_unknown_claim_or_import_matches_nothing() -> None:
    assert share_hour([{"a": 1.0}, {"a": None}], [1.0, 1.0]) == [None, None]
    assert share_hour([{"a": 1.0}, {"a": 1.0}], [None, 1.0]) == [None, None]
    assert match_hour([{"a": 1.0}], [2.0]).part(None) is None


def test_without_contracts_nothing_is_matched_whatever_the_import() -> None:
    parts = share_hour([{}, {}], [None, 1.0])
    assert [None if part is None else part.total for part in parts] == [0.0, 0.0]


def test_a_contract_that_begins_within_the_hour() -> None:
    parts = share_hour([{}, {"a": 1.0}], [1.0, 1.0])
    assert parts[0] is not None
    assert parts[0].matched == {"a": 0.5}


def test_claims_and_imports_belong_together() -> None:
    with pytest.raises(ValueError, match="2 intervals"):
        match_hour([{}, {}], [1.0])


def test_hours_are_utc() -> None:
    assert hour_of(3_600_000 * 5 + 1) == 3_600_000 * 5


def test_sold_output_is_not_claimable() -> None:
    mix = {"pv": 0.4, "wind": 0.1, "hydro": 0.1, "grid": 0.4}
    found = shares(mix, 0.2, attributes={"pv": "sold", "hydro": "unissued", "wind": "retained"})
    assert found.renewable == pytest.approx(0.6)
    assert found.renewable_claimable == pytest.approx(0.1)
    assert shares(mix, 0.2).renewable_claimable == pytest.approx(0.6)
    assert shares(None, 0.2).renewable_claimable is None

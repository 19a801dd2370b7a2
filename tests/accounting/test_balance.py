# SPDX-License-Identifier: Apache-2.0
"""Balance and sharing: the books always close."""

from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.balance import balance, together
from rackwatt.collector.accounting.sharing import share

ENERGIES = st.dictionaries(st.sampled_from("abcdef"), st.floats(0.0, 1e9), min_size=1)


def test_a_surplus_is_unmetered() -> None:
    books = balance([60.0, 50.0], [100.0])
    assert (books.residual, books.unmetered, books.unknown) == (10.0, 10.0, 0.0)
    assert books.ratio == pytest.approx(10 / 110)


def test_a_deficit_is_of_unknown_origin() -> None:
    books = balance([50.0, 50.0], [102.0])
    assert (books.residual, books.unmetered, books.unknown) == (-2.0, 0.0, 2.0)
    assert books.ratio == pytest.approx(-0.02)


def test_an_unknown_term_leaves_no_residual() -> None:
    assert balance([None], [1.0]).residual is None
    books = balance([3.0], [None])
    assert (books.supplied, books.residual, books.ratio) == (3.0, None, None)
    assert balance([], []).ratio is None


def test_claims_on_the_import_are_no_sources() -> None:
    """Import 100, a contract for 30 of it, PV 20, load 120: sources are 120, not 150."""
    assert balance([100.0, 20.0], [120.0]).supplied == 120.0


def test_nothing_to_share() -> None:
    assert share({"pv": 0.0}, {"it": 0.0}) == {}


@given(ENERGIES, ENERGIES)
def test_everything_shared_adds_up(sources: dict[str, float], sinks: dict[str, float]) -> None:
    books = balance(sources.values(), sinks.values())
    supply = sources | {"unknown": books.unknown}
    demand = sinks | {"unmetered": books.unmetered}
    shared = share(supply, demand)
    scale = max(1e-300, fsum(supply.values()))
    for sink, parts in shared.items():
        assert fsum(parts.values()) == pytest.approx(demand[sink], rel=1e-12, abs=1e-12 * scale)
    for source, energy in supply.items():
        if shared:
            used = fsum(parts[source] for parts in shared.values())
            assert used == pytest.approx(energy, rel=1e-9, abs=1e-9 * scale)


@given(st.permutations(["a", "b", "c", "d"]), st.lists(st.floats(0, 1e6), min_size=4, max_size=4))
def test_the_order_of_meters_changes_nothing(order: list[str], values: list[float]) -> None:
    sinks = dict(zip("abcd", values, strict=True))
    assert balance([1.0], values) == balance([1.0], [sinks[name] for name in order])


def test_each_bus_of_a_site_keeps_its_own_gap() -> None:
    books = [balance([60.0], [50.0]), balance([50.0], [52.0])]
    both = together(books, 110.0)
    assert (both.residual, both.unmetered, both.unknown) == (8.0, 10.0, 2.0)
    assert both.ratio == pytest.approx(8 / 110)
    assert together(books[:1], 60.0) is books[0]
    part = together([books[0], balance([1.0], [None])], 61.0)
    assert (part.residual, part.unmetered, part.unknown) == (None, 10.0, 0.0)


def test_next_to_no_supply_gives_no_ratio() -> None:
    assert balance([5e-324], [1.0]).ratio is None

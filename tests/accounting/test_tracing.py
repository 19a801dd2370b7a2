# SPDX-License-Identifier: Apache-2.0
"""Flow tracing: mixes of buses that feed each other, chains, meshes and rings."""

from collections.abc import Sequence
from fractions import Fraction
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.flows import TieFlow
from rackwatt.collector.accounting.masses import Masses
from rackwatt.collector.accounting.tracing import Mix, Supply, directed, trace
from rackwatt.collector.accounting.vocabulary import ORIGINS

BUSES = ("a", "b", "c", "d")


def supply(carbon: float | None = 0.0, free: float | None = 0.0, **energy: float) -> Supply:
    masses: Masses = {"life_cycle": carbon, "operational": 0.0}
    return Supply(dict.fromkeys(ORIGINS, 0.0) | energy, masses, free)


NOTHING = supply()


def part(mix: Mix, origin: str) -> float:
    assert mix.shares is not None
    return mix.shares[origin]


def test_a_chain_is_substituted() -> None:
    """PV 60 and grid 40 at a; half of it goes to b, which has wind 50; all of b goes to c."""
    found = trace(
        {"a": supply(400.0, 10.0, pv=60.0, grid=40.0), "b": supply(wind=50.0), "c": NOTHING},
        [TieFlow("a", "b", 50.0), TieFlow("b", "c", 100.0)],
    )
    assert part(found["a"], "pv") == pytest.approx(0.6)
    assert part(found["b"], "wind") == pytest.approx(0.5)
    assert part(found["c"], "grid") == pytest.approx(0.2)
    assert found["a"].intensity["life_cycle"] == pytest.approx(4000.0)
    assert found["c"].intensity["life_cycle"] == pytest.approx(2000.0)
    assert found["c"].grid_free == pytest.approx(0.05)


def test_flows_round_a_ring_are_solved() -> None:
    """A ring of 30 over three buses: a has PV 10, b grid 20, each bus uses 10."""
    found = trace(
        {"a": supply(pv=10.0), "b": supply(grid=20.0), "c": NOTHING},
        [TieFlow("a", "b", 30.0), TieFlow("b", "c", 40.0), TieFlow("c", "a", 30.0)],
    )
    # a: 10 pv + 30 of c; b: 20 grid + 30 of a; c is b. With x = pv of a: b = 30x/50,
    # x = (10 + 30 * 0.6x) / 40
    x = 10.0 / 22.0
    assert part(found["a"], "pv") == pytest.approx(x)
    assert part(found["b"], "pv") == pytest.approx(0.6 * x)
    assert part(found["c"], "pv") == pytest.approx(0.6 * x)
    used = fsum(10.0 * part(found[bus], "pv") for bus in "abc")
    assert used == pytest.approx(10.0)


def test_what_only_goes_round_changes_no_mix() -> None:
    still = {"a": supply(pv=10.0), "b": supply(grid=10.0)}
    mixed = trace(still, [TieFlow("a", "b", 1e6), TieFlow("b", "a", 1e6)])
    assert part(mixed["a"], "pv") == pytest.approx(0.5, abs=1e-4)
    assert trace(
        {"a": NOTHING, "b": NOTHING}, [TieFlow("a", "b", 5.0), TieFlow("b", "a", 5.0)]
    ) == {
        "a": Mix(None, {"life_cycle": None, "operational": None}, None),
        "b": Mix(None, {"life_cycle": None, "operational": None}, None),
    }


def test_a_flow_below_zero_is_one_the_other_way() -> None:
    ties = [TieFlow("a", "b", -5.0), TieFlow("a", "b", 0.0), TieFlow("b", "a", None)]
    assert directed(ties) == [TieFlow("b", "a", 5.0), *ties[1:]]


def test_an_unknown_supply_blinds_what_is_downstream_of_it() -> None:
    supplies = {"a": None, "b": supply(pv=1.0), "c": supply(wind=9.0), "d": supply(grid=1.0)}
    found = trace(
        supplies, [TieFlow("a", "b", 1.0), TieFlow("c", "a", 8.0), TieFlow("b", "d", 0.0)]
    )
    assert [found[bus].shares is None for bus in BUSES] == [True, True, False, False]
    none = trace({"a": None, "b": None}, [TieFlow("a", "b", 1.0)])
    assert [mix.shares for mix in none.values()] == [None, None]


def test_a_dark_bus_that_still_gives_blinds_what_it_feeds() -> None:
    found = trace({"a": NOTHING, "b": supply(pv=1.0)}, [TieFlow("a", "b", 1.0)])
    assert (found["a"].shares, found["b"].shares) == (None, None)


def test_a_missing_factor_blinds_its_series_downstream_and_nothing_else() -> None:
    found = trace(
        {"a": supply(None, None, genset=5.0), "b": supply(7.0, grid=5.0), "c": supply(1.0, pv=5.0)},
        [TieFlow("a", "b", 5.0), TieFlow("c", "b", 5.0)],
    )
    assert part(found["b"], "genset") == pytest.approx(1 / 3)
    assert [found[bus].intensity["life_cycle"] is None for bus in "abc"] == [True, True, False]
    assert found["b"].intensity["operational"] == 0.0
    assert [found[bus].grid_free is None for bus in "abc"] == [True, True, False]


def test_a_bus_by_itself_may_lack_everything() -> None:
    found = trace({"a": None, "b": NOTHING, "c": supply(None, None, grid=2.0)}, ())
    assert (found["a"].shares, found["b"].shares) == (None, None)
    assert part(found["c"], "grid") == 1.0
    assert found["c"].intensity["life_cycle"] is None
    assert found["c"].grid_free is None


def test_a_tie_needs_two_buses_that_are_there() -> None:
    with pytest.raises(KeyError):
        trace({"a": supply(pv=1.0)}, [TieFlow("a", "nowhere", 1.0)])


ENERGY = st.just(0.0) | st.floats(1e-3, 1e6)
SUPPLIES = st.fixed_dictionaries(
    {bus: st.builds(lambda p, g: supply(g, g, pv=p, grid=g), ENERGY, ENERGY) for bus in BUSES}
)
PAIRS = [(m, n) for m in BUSES for n in BUSES if m != n]
TIES = st.lists(
    st.builds(lambda p, e: TieFlow(p[0], p[1], e), st.sampled_from(PAIRS), ENERGY), max_size=9
)


def exact(supplies: dict[str, Supply], ties: Sequence[TieFlow], origin: str) -> dict[str, float]:
    """The same by Gaussian elimination in exact fractions; only where each bus has energy."""
    order = list(supplies)
    rows: list[list[Fraction]] = []
    for bus in order:
        own = {name: Fraction(value) for name, value in supplies[bus].energy.items()}
        inflow = dict.fromkeys(order, Fraction(0))
        for tie in ties:
            if tie.target == bus:
                inflow[tie.source] += Fraction(tie.watt_hours or 0.0)
        through = sum(own.values(), Fraction(0)) + sum(inflow.values(), Fraction(0))
        row = [(through if name == bus else Fraction(0)) - inflow[name] for name in order]
        rows.append([*row, own[origin]])
    for at in range(len(order)):
        rows[at] = [value / rows[at][at] for value in rows[at]]
        for other in range(len(order)):
            if other != at:
                factor = rows[other][at]
                rows[other] = [x - factor * y for x, y in zip(rows[other], rows[at], strict=True)]
    return {bus: float(rows[at][-1]) for at, bus in enumerate(order)}


@given(SUPPLIES, TIES)
def test_mixes_are_those_of_the_linear_equations(
    supplies: dict[str, Supply], ties: list[TieFlow]
) -> None:
    lit = {bus: s if s.energy["pv"] else supply(pv=1.0) for bus, s in supplies.items()}
    found = trace(lit, ties)
    truth = exact(lit, ties, "pv")
    for bus in BUSES:
        assert part(found[bus], "pv") == pytest.approx(truth[bus], rel=1e-9, abs=1e-12)


@given(SUPPLIES, TIES, st.permutations(BUSES))
def test_the_order_of_buses_and_ties_changes_not_one_bit(
    supplies: dict[str, Supply], ties: list[TieFlow], order: list[str]
) -> None:
    shuffled = sorted(ties, key=lambda tie: (order.index(tie.target), tie.watt_hours))
    assert trace({bus: supplies[bus] for bus in order}, shuffled) == trace(supplies, ties)


@given(SUPPLIES, TIES)
def test_shares_sum_to_one_and_none_is_negative(
    supplies: dict[str, Supply], ties: list[TieFlow]
) -> None:
    for mix in trace(supplies, ties).values():
        if mix.shares is not None:
            assert fsum(mix.shares.values()) == pytest.approx(1.0, abs=1e-12)
            assert min(mix.shares.values()) >= 0.0
            assert mix.grid_free == pytest.approx(mix.shares["grid"], abs=1e-12)

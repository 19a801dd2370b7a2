# SPDX-License-Identifier: Apache-2.0
"""Chains of power and cooling: loads, failover, room, losses, ride-through."""

from math import inf, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwatt.collector.accounting.capacity.chain import Asset, Chain, ChainLoopError, Edge
from rackwatt.collector.accounting.capacity.failover import failover
from rackwatt.collector.accounting.capacity.loads import Load, loads, modelled_losses, states
from rackwatt.collector.accounting.capacity.losses import line_loss, transformer_loss
from rackwatt.collector.accounting.capacity.redundancy import Redundancy, needed_for
from rackwatt.collector.accounting.capacity.ride_through import HeatMass, ride_through
from rackwatt.collector.accounting.capacity.room import Room, room

VOLTS = 400.0


def power(*amperes: float) -> Load:
    return Load(sum(amperes) * VOLTS / sqrt(3), amperes)


def edge(source: str, target: str, amperes: float | None = 100.0, **more: object) -> Edge:
    given: dict[str, object] = {"meter": f"{source}>{target}", "volts": VOLTS, **more}
    return Edge(source, target, amperes, **given)  # type: ignore[arg-type]


def two_sides(racks: int = 1, rating: float = 100.0, trunk: float = 400.0) -> Chain:
    """Utility, two boards, a busway on each side, racks on both."""
    names = ["utility", "board-a", "board-b", *(f"r{n}" for n in range(racks))]
    edges = [
        Edge("utility", "board-a", amperes=trunk, volts=VOLTS, side="A"),
        Edge("utility", "board-b", amperes=trunk, volts=VOLTS, side="B"),
    ]
    for n in range(racks):
        edges += [edge("board-a", f"r{n}", rating), edge("board-b", f"r{n}", rating)]
    return Chain([Asset(name, "x") for name in names], edges)


def judged(chain: Chain, measured: dict[str, Load]) -> Room:
    known = loads(chain, measured)
    return room(chain, states(chain, known), failover(chain, known))


def test_one_phase_is_at_risk_though_the_mean_is_not() -> None:
    chain = two_sides()
    measured = {"board-a>r0": power(52, 45, 40), "board-b>r0": power(50, 45, 40)}
    found = failover(chain, loads(chain, measured))["board-a>r0"]
    assert list(found.after.load.amperes) == [102, 90, 80]
    assert sum(a or 0 for a in found.after.load.amperes) / 3 == pytest.approx(90.67, abs=0.01)
    assert found.at_risk
    assert found.phase == 1


def test_what_shifts_climbs_to_the_trunk() -> None:
    chain = two_sides(racks=3, trunk=290.0)
    measured = {f"board-{s}>r{n}": power(50, 40, 40) for s in "ab" for n in range(3)}
    found = failover(chain, loads(chain, measured))
    trunk = found["utility>board-a"]
    assert trunk.after.load.amperes == pytest.approx((300, 240, 240))
    assert trunk.at_risk
    assert not found["board-a>r0"].at_risk


def test_an_unknown_phase_is_no_all_clear() -> None:
    chain = two_sides()
    measured = {"board-a>r0": power(52, 45, 40), "board-b>r0": Load(None, (None, 45.0, 40.0))}
    assert failover(chain, loads(chain, measured))["board-a>r0"].at_risk is None


def test_the_mean_clears_nobody_where_amperes_are_the_limit() -> None:
    chain = two_sides()
    low, high = (Load(watts, (None, None, None)) for watts in (20_000.0, 50_000.0))
    below = failover(chain, loads(chain, {"board-a>r0": low, "board-b>r0": low}))
    assert below["board-a>r0"].at_risk is None
    above = failover(chain, loads(chain, {"board-a>r0": high, "board-b>r0": high}))
    assert above["board-a>r0"].at_risk


def test_a_side_is_inherited_and_a_loop_refused() -> None:
    chain = two_sides()
    assert [chain.side(e) for e in chain.into("r0")] == ["A", "B"]
    with pytest.raises(ChainLoopError, match=r"a > b > a|b > a > b"):
        Chain([Asset("a", "x"), Asset("b", "x")], [edge("a", "b"), edge("b", "a")])


def test_what_both_sides_hang_on() -> None:
    assert two_sides().shared("r0") == {"utility"}


def test_what_fails_with_an_asset() -> None:
    chain = two_sides(racks=2)
    assert chain.lost_with("board-a") == frozenset()
    assert chain.lost_with("board-a", "board-b") == {"r0", "r1"}
    assert chain.lost_with("utility") == {"board-a", "board-b", "r0", "r1"}


def test_room_of_a_rack_is_that_of_its_worst_phase_on_either_side() -> None:
    chain = two_sides()
    measured = {"board-a>r0": power(30, 20, 20), "board-b>r0": power(30, 20, 20)}
    found = judged(chain, measured)
    assert found.consumers["r0"] == pytest.approx(40 * VOLTS * sqrt(3))
    assert found.limits["r0"] in {"board-a>r0", "board-b>r0"}
    assert found.sellable_watts == pytest.approx(40 * VOLTS * sqrt(3), abs=1.0)
    assert found.stranded_watts == pytest.approx(0.0, abs=1.0)


def test_what_a_trunk_cannot_carry_is_stranded() -> None:
    chain = two_sides(racks=4, trunk=100.0)
    measured = {f"board-{s}>r{n}": power(10, 10, 10) for s in "ab" for n in range(4)}
    found = judged(chain, measured)
    per_ampere = VOLTS * sqrt(3)
    assert found.sellable_watts == pytest.approx(20 * per_ampere, abs=1.0)
    assert found.stranded_watts == pytest.approx((4 * 80 - 20) * per_ampere, abs=5.0)


def test_a_rack_behind_an_unrated_edge_has_the_room_of_what_is_above() -> None:
    chain = Chain(
        [Asset(name, "x") for name in ("u", "pdu-a", "pdu-b", "r")],
        [
            edge("u", "pdu-a", side="A"),
            edge("u", "pdu-b", side="B"),
            Edge("pdu-a", "r", meter="u>pdu-a"),
            Edge("pdu-b", "r", meter="u>pdu-b"),
        ],
    )
    found = judged(chain, {"u>pdu-a": power(20, 20, 20), "u>pdu-b": power(20, 20, 20)})
    assert found.sellable_watts == pytest.approx(60 * VOLTS * sqrt(3), abs=1.0)
    assert found.stranded_watts == pytest.approx(0.0, abs=1.0)


def test_a_silent_meter_makes_room_unknown_and_not_large() -> None:
    chain = two_sides(racks=2)
    found = judged(chain, {"board-a>r0": power(10, 10, 10), "board-b>r0": power(10, 10, 10)})
    assert found.consumers["r1"] is None
    assert found.unknown == ["r1"]


def test_racks_of_one_side_each_share_what_is_above_both() -> None:
    chain = Chain(
        [Asset(name, "x") for name in ("u", "main", "a", "b", "ra", "rb")],
        [
            Edge("u", "main", watts=100.0, meter="m"),
            Edge("main", "a", side="A"),
            Edge("main", "b", side="B"),
            Edge("a", "ra", watts=80.0, meter="a"),
            Edge("b", "rb", watts=80.0, meter="b"),
        ],
    )
    zero = Load(0.0, (None, None, None))
    assert judged(chain, {"m": zero, "a": zero, "b": zero}).sellable_watts == pytest.approx(100.0)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 90), min_size=1, max_size=6),
    st.floats(50, 600),
    st.sampled_from((0.8, 1.0)),
)
def test_what_is_sold_never_overloads_anything(
    currents: list[float], trunk: float, derating: float
) -> None:
    chain = two_sides(racks=len(currents), trunk=trunk)
    chain = Chain(
        chain.assets.values(),
        [
            Edge(e.source, e.target, e.amperes, None, VOLTS, 3, derating, e.side, e.meter)
            for e in chain.edges
        ],
    )
    measured = {
        f"board-{s}>r{n}": power(a / 2, a / 2, a / 2) for s in "ab" for n, a in enumerate(currents)
    }
    found = judged(chain, measured)
    assert found.sellable_watts is not None
    assert found.stranded_watts is not None
    carried = sum(currents) * VOLTS * sqrt(3)
    top = trunk * derating * VOLTS * sqrt(3)
    assert found.sellable_watts <= max(top - carried, 0.0) + 1.0
    each = [found.consumers[f"r{n}"] or 0.0 for n in range(len(currents))]
    assert found.sellable_watts <= sum(each) + 1.0
    assert all(found.sellable_watts >= one - 2.0 for one in each)


def test_transformer_and_line() -> None:
    assert transformer_loss(2_100, 19_000, 2.5e6, 1.25e6) == pytest.approx(2_100 + 19_000 / 4)
    assert line_loss(0.01, (100, 100, 100)) == pytest.approx(300)
    with pytest.raises(ValueError, match="positive"):
        transformer_loss(1, 1, 0, 1)


def test_a_load_without_a_meter_is_what_is_below_and_what_is_lost() -> None:
    chain = Chain(
        [
            Asset("u", "utility"),
            Asset("t", "transformer", "", 1e6, 1_000.0, 10_000.0),
            Asset("r", "rack"),
        ],
        [Edge("u", "t", watts=1e6), Edge("t", "r", watts=1e6, meter="r", ohms=0.001, volts=VOLTS)],
    )
    below = power(100, 100, 100)
    found = loads(chain, {"r": below})
    assert below.watts is not None
    expected = below.watts + 30.0 + transformer_loss(1_000, 10_000, 1e6, below.watts)
    assert found["u>t"].watts == pytest.approx(expected)
    assert not found["u>t"].measured
    assert modelled_losses(chain, found) == pytest.approx(expected - below.watts)


def test_two_feeds_without_meters_share_in_a_way_that_nobody_knows() -> None:
    chain = two_sides()
    assert loads(chain, {"board-a>r0": power(1, 1, 1)})["board-b>r0"].watts is None


def test_redundancy() -> None:
    assert [Redundancy(2, 3, n).state for n in (3, 2, 1, None)] == [
        "N+1",
        "N",
        "below N",
        "unknown",
    ]
    assert Redundancy(2, 3, 2).lost
    assert needed_for(2.1e6, 1e6) == 3
    assert needed_for(0.0, 1e6) == 1


def test_ride_through_of_a_rack() -> None:
    masses = [HeatMass(25, 3_900), HeatMass(100, 385)]
    assert ride_through(masses, 65, 45, 115_000) == pytest.approx(23.7, abs=0.05)
    assert ride_through(masses, 65, 70, 115_000) == 0.0
    assert ride_through(masses, 65, 45, 0.0) == inf


def rows_metered_at_their_busways() -> tuple[Chain, dict[str, Load]]:
    """Two racks on two busways; only the busways have meters and ratings."""
    names = ["utility-a", "utility-b", "busway-a", "busway-b", "r0", "r1"]
    edges = [
        Edge(f"utility-{s}", f"busway-{s}", 100.0, volts=VOLTS, side=s.upper(), meter=s)
        for s in "ab"
    ]
    edges += [Edge(f"busway-{s}", rack, volts=VOLTS) for s in "ab" for rack in ("r0", "r1")]
    chain = Chain([Asset(name, "rack" if name[0] == "r" else "x") for name in names], edges)
    return chain, {"a": power(40, 30, 30), "b": power(45, 30, 20)}


def test_racks_without_meters_fail_over_by_what_feeds_them_all() -> None:
    chain, measured = rows_metered_at_their_busways()
    found = failover(chain, loads(chain, measured))
    assert list(found["utility-a>busway-a"].after.load.amperes) == [85, 60, 50]
    assert found["utility-a>busway-a"].at_risk is False
    assert found["busway-a>r0"].at_risk is None


def test_a_busway_that_feeds_others_too_says_nothing_of_these_racks() -> None:
    chain, measured = rows_metered_at_their_busways()
    more = Chain(
        [*chain.assets.values(), Asset("r2", "rack")],
        [*chain.edges, Edge("busway-b", "r2", volts=VOLTS)],
    )
    assert failover(more, loads(more, measured))["utility-a>busway-a"].at_risk is None


def test_racks_that_share_the_room_of_their_busway_strand_it_once() -> None:
    chain, measured = rows_metered_at_their_busways()
    found = judged(chain, measured)
    assert found.sellable_watts == pytest.approx(15 * VOLTS * sqrt(3), abs=1)
    assert found.stranded_watts == pytest.approx(0, abs=1)
    assert found.unknown == []

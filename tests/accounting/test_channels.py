# SPDX-License-Identifier: Apache-2.0
"""Roles become terms."""

import pytest
from collector.terms import Term, Terms, Tie

from rackwatt.collector.accounting.channels import (
    CHARGE,
    DISCHARGE,
    FORWARD,
    OUTPUT,
    REVERSE,
    Tap,
    summed,
    taps,
)
from rackwatt.collector.accounting.flows import Flows, TieFlow, of_site


def test_roles_become_terms() -> None:
    terms = Terms({"grid": (Term("g"),), "battery": (Term("b"),), "it": (Term("p2"), Term("p1"))})
    found = [(tap.flow, tap.device, tap.channel, tap.optional) for tap in taps(terms)]
    assert found == [
        ("charge", "b", CHARGE, False),
        ("discharge", "b", DISCHARGE, False),
        ("export", "g", REVERSE, True),
        ("grid", "g", FORWARD, False),
        ("it", "p1", FORWARD, False),
        ("it", "p2", FORWARD, False),
    ]


def test_it_at_the_output_of_a_ups() -> None:
    terms = Terms({"it": (Term("ups"),), "losses": (Term("ups"), Term("ups", -1))}, pue_category=1)
    found = [(tap.flow, tap.channel, tap.sign) for tap in taps(terms, {"ups"})]
    assert found == [("it", OUTPUT, 1), ("losses", OUTPUT, -1), ("losses", FORWARD, 1)]
    assert [tap.channel for tap in taps(terms)] == [FORWARD] * 3


def test_a_tie_is_a_term_in_both_directions() -> None:
    terms = Terms(
        {"grid": (Term("g", bus="north"),), "it": (Term("i", bus="south"),)},
        buses=("north", "south"),
        ties=(Tie("north", "south", "t"),),
    )
    found = [(tap.flow, tap.device, tap.bus, tap.toward, tap.optional) for tap in taps(terms)]
    assert found == [
        ("export", "g", "north", "", True),
        ("grid", "g", "north", "", False),
        ("it", "i", "south", "", False),
        ("tie", "t", "south", "north", True),
        ("tie", "t", "north", "south", False),
    ]


def test_terms_sum_up_to_the_flows_of_each_bus() -> None:
    taps_ = [
        (Tap("grid", "g", FORWARD, bus="north"), 5.0),
        (Tap("it", "u", FORWARD, bus="south"), 4.0),
        (Tap("it", "v", FORWARD, -1, bus="south"), 1.0),
        (Tap("losses", "w", FORWARD, bus="south"), None),
        (Tap("charge", "b", CHARGE, bus="north"), 2.0),
        (Tap("discharge", "b", DISCHARGE, bus="north"), 0.0),
        (Tap("tie", "t", FORWARD, bus="north", toward="south"), 3.0),
    ]
    nodes, ties = summed(taps_, ("north", "south", "east"))
    assert nodes == {
        "north": Flows({"grid": 5.0}, {}, 2.0, 0.0),
        "south": Flows({}, {"it": 3.0, "losses": None}),
        "east": Flows(),
    }
    assert ties == (TieFlow("north", "south", 3.0),)
    site = of_site(list(nodes.values()))
    assert site == Flows({"grid": 5.0}, {"it": 3.0, "losses": None}, 2.0, 0.0)


@pytest.mark.parametrize("category", [2, 3])
def test_trap_a_power_shelf_is_it_at_its_ac_input_and_its_losses_are_its(category: int) -> None:
    """An NVL72's shelves lose some percent: their DC output is not the IT input."""
    terms = Terms({"it": (Term("shelf-1"),)}, category)
    (tap,) = taps(terms, {"shelf-1"})
    assert (tap.flow, tap.channel) == ("it", FORWARD)

# SPDX-License-Identifier: Apache-2.0
"""Roles become terms."""

from collector.terms import Term, Terms

from rackwatt.collector.accounting.channels import CHARGE, DISCHARGE, FORWARD, OUTPUT, REVERSE, taps


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

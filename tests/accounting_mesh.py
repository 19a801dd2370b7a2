# SPDX-License-Identifier: Apache-2.0
"""Factors, flows and meshes for tests of the books of an interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import strategies as st

from rackwatt.collector.accounting.accounts import IntervalAccount
from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState
from rackwatt.collector.accounting.factors import IntervalFactors
from rackwatt.collector.accounting.flows import Flows, TieFlow
from rackwatt.collector.accounting.interval import account_network
from rackwatt.collector.accounting.vocabulary import LOADS

LIFE_CYCLE = {"pv": 48.0, "wind": 11.0, "hydro": 24.0, "grid": 619.71, "genset": 900.0}
DIRECT = {"pv": 0.0, "wind": 0.0, "hydro": 0.0, "grid": 554.24, "genset": None}
FACTORS = IntervalFactors(
    {
        "life_cycle": LIFE_CYCLE | {"unknown": 619.71},
        "operational": DIRECT | {"unknown": 554.24},
    },
    0.215,
    {"life_cycle": 619.71, "operational": 554.24},
)
LOSSY = BatteryParameters(None, 0.9, 0.95)
Nodes = Mapping[str, Flows]


def known(value: float | None) -> float:
    assert value is not None
    return value


def of(parts: Mapping[str, float] | None, origin: str) -> float:
    assert parts is not None
    return parts[origin]


def book(
    nodes: Nodes, ties: Sequence[TieFlow] = (), state: BatteryState | None = None, **more: Any
) -> IntervalAccount:
    held = BatteryState() if state is None else state
    return account_network(nodes, ties, held, LOSSY, FACTORS, **more)


ENERGY = st.just(0.0) | st.floats(1e-3, 1e6)
FLOWS = st.builds(
    Flows,
    st.fixed_dictionaries({"pv": ENERGY, "wind": ENERGY, "grid": ENERGY}),
    st.fixed_dictionaries(dict.fromkeys((*LOADS, "campus", "export"), ENERGY)),
    ENERGY,
    ENERGY,
)


BUSES = ("a", "b", "c")
PAIRS = [(m, n) for m in BUSES for n in BUSES if m != n]
NODES = st.fixed_dictionaries(dict.fromkeys(BUSES, FLOWS))
TIES = st.lists(
    st.builds(lambda p, e: TieFlow(p[0], p[1], e), st.sampled_from(PAIRS), ENERGY), max_size=6
)


def near(found: object, expected: object) -> bool:
    """Whether two values are the same but for rounding; unknown is only like unknown."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return found.keys() == expected.keys() and all(near(found[n], expected[n]) for n in found)
    if isinstance(expected, float) and isinstance(found, float):
        return found == pytest.approx(expected, rel=1e-9, abs=1e-6)
    return found == expected

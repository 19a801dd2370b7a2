# SPDX-License-Identifier: Apache-2.0
"""The books against the rules in exact fractions, over whole histories of a battery."""

from fractions import Fraction

import accounting_oracle as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState
from rackwatt.collector.accounting.factors import IntervalFactors
from rackwatt.collector.accounting.interval import Flows, account

AMOUNT = st.integers(0, 2000).map(lambda n: n / 8)
UNKNOWN_AT_TIMES = st.one_of(AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT, st.none())
FACTORS = {"pv": 48.0, "wind": 11.0, "hydro": 24.0, "grid": 619.71, "genset": 900.0}
ROW = st.fixed_dictionaries(
    dict.fromkeys(
        (*oracle.SOURCES, "charge", "discharge", "export", *oracle.LOADS), UNKNOWN_AT_TIMES
    ),
    optional={"campus": UNKNOWN_AT_TIMES},
)


def interval_factors(values: dict[str, float | None]) -> IntervalFactors:
    both = values | {"unknown": values["grid"]}
    grid = values["grid"]
    return IntervalFactors(
        {"life_cycle": both, "operational": both}, 0.2, {"life_cycle": grid, "operational": grid}
    )


def exact(value: float | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def near(found: float | None, expected: Fraction | None, scale: float) -> None:
    if expected is None or found is None:
        assert found is None, f"unknown expected, {found} found"
        assert expected is None, f"{float(expected)} expected, unknown found"
    else:
        assert found == pytest.approx(float(expected), rel=1e-9, abs=1e-9 * scale)


@given(
    rows=st.lists(ROW, min_size=1, max_size=8),
    missing=st.sets(st.sampled_from(["grid", "genset"])),
    charge=st.sampled_from([0.9, 0.95, 1.0]),
    discharge=st.sampled_from([0.9, 1.0]),
)
def test_a_history_is_booked_as_the_rules_say(
    rows: list[dict[str, float | None]], missing: set[str], charge: float, discharge: float
) -> None:
    factors: dict[str, float | None] = {n: None if n in missing else f for n, f in FACTORS.items()}
    judge = oracle.Battery(Fraction(charge), Fraction(discharge))
    state, parameters = BatteryState(), BatteryParameters(None, charge, discharge)
    moved = 1.0
    for row in rows:
        moved += sum(value or 0.0 for value in row.values())
        flows = Flows(
            {name: row[name] for name in oracle.SOURCES},
            {n: row[n] for n in (*oracle.LOADS, "export", "campus") if n in row},
            row["charge"],
            row["discharge"],
        )
        found = account(flows, state, parameters, interval_factors(factors))
        state = found.battery
        line = oracle.book(
            judge,
            {name: exact(value) for name, value in row.items()},
            {name: exact(value) for name, value in factors.items()},
        )
        near(found.load, line.load, moved)
        near(found.residual, line.residual, moved)
        near(found.beyond, line.beyond, moved)
        near(found.carbon["life_cycle"], line.carbon, moved)
        assert (found.origins is None) == (line.origins is None)
        for origin in oracle.ORIGINS:
            near(state.stock[origin], judge.stock[origin], moved)
            if found.origins is not None and line.origins is not None:
                near(found.origins[origin], line.origins[origin], moved)
        near(state.carbon["life_cycle"], judge.mass, moved)

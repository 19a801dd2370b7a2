# SPDX-License-Identifier: Apache-2.0
"""Scope 2 is not traced, the operational series is: what they share must be the same mass."""

from math import fsum

import pytest
from accounting_rows import History, factors, known
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.battery import BatteryParameters, initial

DIRECT = 554.24
energies = st.floats(0.0, 1000.0).map(lambda value: round(value, 3))
ROW = st.fixed_dictionaries(
    {
        "sources": st.fixed_dictionaries({"grid": energies, "pv": energies, "wind": energies}),
        "sinks": st.fixed_dictionaries(
            {
                "it": energies.map(lambda value: value + 1.0),
                "cooling": energies,
                "campus": energies,
                "export": energies,
            }
        ),
        "charge": st.one_of(st.just(0.0), energies),
        "discharge": st.one_of(st.just(0.0), energies),
    }
)


@given(
    st.lists(st.tuples(ROW, st.floats(100.0, 900.0)), min_size=1, max_size=8),
    st.sampled_from([0.8, 0.9, 1.0]),
    st.sampled_from([0.9, 1.0]),
    energies,
)
def test_scope_2_reconciles_with_the_operational_series(  # type: ignore[no-untyped-def]
    rows, eta_c: float, eta_d: float, held: float
) -> None:
    """The identity of both, whatever the battery does and whatever the meters leave open.

    Scope 2 + unknown x direct factor = data center + non-data-center consumers + export +
    unmetered + change of the battery's mass; the grid's factor changes from row to row.
    """
    opening = initial(held, {"life_cycle": 619.71, "operational": DIRECT})
    history = History(BatteryParameters(None, eta_c, eta_d), opening)
    left: list[float] = []
    right: list[float] = [-known(opening.carbon["operational"])]
    for row, direct in rows:
        made = history.book(**row, at=factors(direct))
        found = history.accounts[-1]
        unknown = known(made.unknown) + made.beyond
        left += [known(made.scope_2), unknown * direct / 1000.0]
        intensity = known(found.intensity["operational"])
        others = (row["sinks"]["campus"], row["sinks"]["export"], known(made.unmetered))
        right += [known(made.carbon["operational"])]
        right += [energy * intensity / 1000.0 for energy in others]
    right.append(known(history.state.carbon["operational"]))
    scale = fsum(map(abs, left)) + fsum(map(abs, right)) + 1.0
    assert fsum(left) == pytest.approx(fsum(right), rel=1e-9, abs=1e-9 * scale)

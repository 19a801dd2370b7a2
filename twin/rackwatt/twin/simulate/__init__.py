# SPDX-License-Identifier: Apache-2.0
"""Weeks of a site in minutes: the simulated world booked by the real ledger, into a real store.

    wish = Wish(Path("month"), "2026-10-01", 31)
    outcome = carry_out(wish, plan(wish), lambda who, time_ms: None)

The world is stepped in simulated time; its meters, with their errors and their coarse registers,
give the readings that agents would have sent; and ledger, attribution and copies are the same code
that runs live. Nothing here asks the machine for the time: the same wish gives the same ledger,
hash for hash.
"""

from rackwatt.twin.simulate.problems import SimulationFailed, SimulationProblem
from rackwatt.twin.simulate.runner import Outcome, Plan, Wish, carry_out, plan

__all__ = [
    "Outcome",
    "Plan",
    "SimulationFailed",
    "SimulationProblem",
    "Wish",
    "carry_out",
    "plan",
]

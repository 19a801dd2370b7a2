# SPDX-License-Identifier: Apache-2.0
"""Rows booked from flows, as key figures read them: the way that the ledger goes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState
from rackwatt.collector.accounting.booked import BookedInterval
from rackwatt.collector.accounting.factors import IntervalFactors
from rackwatt.collector.accounting.flows import Flows
from rackwatt.collector.accounting.interval import IntervalAccount, account
from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.ledger.chain import canonical
from rackwatt.collector.ledger.journal import Booking, LedgerRow, row_of
from rackwatt.collector.ledger.view import booked

LIFE_CYCLE = {"pv": 48.0, "wind": 11.0, "hydro": 24.0, "grid": 619.71, "genset": 900.0}
DIRECT = {"pv": 0.0, "wind": 0.0, "hydro": 0.0, "grid": 554.24, "genset": 766.0}
MINUTE_MS = 60_000
Energies = dict[str, float | None]


def factors(
    direct: float | None = 554.24, carbon_free: float | None = 0.215, life_cycle: float = 619.71
) -> IntervalFactors:
    """The grid's factors may be set, all others are the golden ones."""
    own: dict[str, float | None] = {**LIFE_CYCLE, "grid": life_cycle}
    burnt: dict[str, float | None] = {**DIRECT, "grid": direct}
    return IntervalFactors(
        {
            "life_cycle": own | {"unknown": life_cycle},
            "operational": burnt | {"unknown": direct},
        },
        carbon_free,
        {"life_cycle": life_cycle, "operational": direct},
    )


@dataclass
class History:
    """Books intervals one after another, with one battery."""

    parameters: BatteryParameters = field(default_factory=lambda: BatteryParameters(None, 0.9, 1.0))
    state: BatteryState = field(default_factory=BatteryState)
    length_ms: int = HOUR_MS
    now_ms: int = 0
    rows: list[BookedInterval] = field(default_factory=list)
    accounts: list[IntervalAccount] = field(default_factory=list)

    def book(
        self,
        sources: Energies,
        sinks: Energies,
        charge: float | None = 0.0,
        discharge: float | None = 0.0,
        *,
        at: IntervalFactors | None = None,
        metering: Sequence[str] = (),
        revision: int = 1,
        **booking: Any,
    ) -> BookedInterval:
        """Book the next interval."""
        flows = Flows(sources, sinks, charge, discharge)
        uncertainty = booking.get("residual_uncertainty")
        found = account(
            flows,
            self.state,
            self.parameters,
            factors() if at is None else at,
            residual_uncertainty=uncertainty,
        )
        self.state = found.battery
        self.accounts.append(found)
        made = Booking(
            flows,
            found.completeness,
            tuple(metering),
            None,
            booking.pop("pue_category", 2),
            **booking,
        )
        text = canonical(row_of(made, found))
        row = booked(LedgerRow(self.now_ms, revision, "closed", text, json.loads(text)))
        end_ms = self.now_ms + self.length_ms
        self.rows.append(replace(row, end_ms=end_ms))
        self.now_ms = end_ms
        return self.rows[-1]


def golden() -> History:
    """The two golden hours, with an IT of 120 kWh in each; energies are in kWh here."""
    history = History()
    history.book(
        {"pv": 100.0, "wind": 50.0, "grid": 50.0}, {"it": 120.0, "cooling": 24.0}, charge=56.0
    )
    history.book(
        {"pv": 0.0, "wind": 40.0, "grid": 60.0}, {"it": 120.0, "cooling": 24.0}, discharge=44.0
    )
    return history


def known(value: float | None) -> float:
    """The value, which is known."""
    assert value is not None
    return value

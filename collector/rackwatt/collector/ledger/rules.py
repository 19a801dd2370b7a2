# SPDX-License-Identifier: Apache-2.0
"""What turns a booking into a row: factors, the battery, and the rule of its re-anchoring."""

from dataclasses import dataclass
from typing import Final

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState, initial
from rackwatt.collector.accounting.factors import SiteFactors
from rackwatt.collector.accounting.flows import ONE_BUS
from rackwatt.collector.accounting.interval import account_network
from rackwatt.collector.accounting.masses import plus
from rackwatt.collector.accounting.vocabulary import DAY_MS, SERIES, UNKNOWN
from rackwatt.collector.ledger.chain import canonical_row
from rackwatt.collector.ledger.journal import Booking, row_of
from rackwatt.collector.ledger.records import INTERVAL_MS

REANCHORING: Final = 2
"""Version of the rule by which a measured stock counts; see :meth:`Rules.row`."""

INITIAL_STOCK: Final = "initial_stock"
"""Flag: the battery begins with a stock of which nobody knows the origin."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a row depends on beside its booking.

    Attributes:
        factors: Emission factors.
        battery: How the battery is booked.
        initial_watt_hours: Its stock before the first interval.
    """

    factors: SiteFactors
    battery: BatteryParameters
    initial_watt_hours: float = 0.0

    def opening(self, first_ms: int) -> BatteryState:
        """The battery before the first interval."""
        return initial(self.initial_watt_hours, self.factors.at(first_ms).initial)

    def row(self, start: int, booking: Booking, state: BatteryState) -> tuple[str, BatteryState]:
        """Book an interval: its row as canonical JSON, and the battery at its end."""
        end = start + INTERVAL_MS
        held = self.initial_watt_hours
        first = 0.0 < held == state.stock.get(UNKNOWN) and state == self.opening(start)
        if booking.measured_stock and not any(state.stock.values()):
            state = self._found(start, booking, booking.measured_stock, state)
            first = any(state.stock.values())
        # The stock is trusted between midnights (UTC), unless a flow of it was unknown.
        anchor = booking.measured_stock if state.stale or end % DAY_MS == 0 else None
        result = account_network(
            booking.nodes or {ONE_BUS: booking.flows},
            booking.ties,
            state,
            self.battery,
            self.factors.at(start),
            measured_stock=anchor,
            residual_uncertainty=booking.residual_uncertainty,
            losses=booking.losses,
        )
        if first:
            result = result._replace(flags=tuple(sorted((*result.flags, INITIAL_STOCK))))
        return canonical_row(row_of(booking, result)), result.battery

    def _found(
        self, start: int, booking: Booking, measured: float, state: BatteryState
    ) -> BatteryState:
        """Return what an empty stock held before an interval at whose end it is measured.

        Nobody knew of it: it is an initial stock, and neither a change nor a drift.
        """
        charged = (booking.flows.charge or 0.0) * self.battery.charge_efficiency
        drawn = (booking.flows.discharge or 0.0) / self.battery.discharge_efficiency
        held = max(measured - charged + drawn, 0.0)
        found = initial(held, self.factors.at(start).initial)
        carbon = {series: plus(state.carbon[series], found.carbon[series]) for series in SERIES}
        return found._replace(carbon=carbon, stale=state.stale)

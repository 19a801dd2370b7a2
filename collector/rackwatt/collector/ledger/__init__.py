# SPDX-License-Identifier: Apache-2.0
"""The book of record: inputs as they came, intervals as append-only revisions, one hash chain."""

from rackwatt.collector.ledger.book import Closing, Ledger
from rackwatt.collector.ledger.chain import Act, Entry
from rackwatt.collector.ledger.held import Held
from rackwatt.collector.ledger.intake import Released
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.months import Gap, Month
from rackwatt.collector.ledger.orders import LedgerBusy, Order, look_up, place_order
from rackwatt.collector.ledger.quarters import Attributor
from rackwatt.collector.ledger.reading import LedgerReader
from rackwatt.collector.ledger.records import InputRecord, Refusal
from rackwatt.collector.ledger.sites import (
    SiteBooks,
    battery_parameters,
    initial_stock,
    site_factors,
)

__all__ = [
    "Act",
    "Attributor",
    "Closing",
    "Entry",
    "Gap",
    "Held",
    "InputRecord",
    "Ledger",
    "LedgerBusy",
    "LedgerReader",
    "LedgerRow",
    "Month",
    "Order",
    "Refusal",
    "Released",
    "SiteBooks",
    "battery_parameters",
    "initial_stock",
    "look_up",
    "place_order",
    "site_factors",
]

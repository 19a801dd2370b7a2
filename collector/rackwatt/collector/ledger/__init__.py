# SPDX-License-Identifier: Apache-2.0
"""The book of record: inputs as they came, intervals as append-only revisions, one hash chain."""

from rackwatt.collector.ledger.book import Closing, Ledger
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.records import InputRecord
from rackwatt.collector.ledger.sites import (
    SiteBooks,
    battery_parameters,
    initial_stock,
    site_factors,
)

__all__ = [
    "Closing",
    "InputRecord",
    "Ledger",
    "LedgerRow",
    "SiteBooks",
    "battery_parameters",
    "initial_stock",
    "site_factors",
]

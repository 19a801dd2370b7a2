# SPDX-License-Identifier: Apache-2.0
"""Key figures of hours, days and months as points."""

from collections.abc import Iterable

from rackwatt.collector.copies.spans import Sum
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.site import Site
from rackwatt.collector.store.base import Row


def period_rows(site: Site, item: Sum, rows: Iterable[LedgerRow]) -> list[Row]:
    """The sums of a span."""
    return []

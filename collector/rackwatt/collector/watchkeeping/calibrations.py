# SPDX-License-Identifier: Apache-2.0
"""Until when meters are calibrated."""

from collections.abc import Iterable
from datetime import date

from rackwatt.collector.ledger.chain import Act
from rackwatt.collector.meters.register import USED, commissionings, statuses
from rackwatt.collector.site import Site


def calibrations_of(site: Site, now_ms: int, acts: Iterable[Act] = ()) -> dict[str, date]:
    """The last day of each calibration, of meters in use that have one.

    Args:
        site: its file's words.
        now_ms: the present.
        acts: commissionings, which may have renewed them.
    """
    found = statuses(site, commissionings(acts), now_ms)
    return {
        name: one.due
        for name, one in found.items()
        if one.due is not None and one.meter.state in USED
    }

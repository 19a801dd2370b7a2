# SPDX-License-Identifier: Apache-2.0
"""Until when meters are calibrated."""

from datetime import date

from rackwatt.collector.site import Site


def calibrations_of(site: Site, now_ms: int) -> dict[str, date]:
    """The last day of each meter's calibration, of meters that have one."""
    return {
        name: meter.calibration_due
        for name, meter in site.meters_at(now_ms).items()
        if meter.calibration_due is not None
    }

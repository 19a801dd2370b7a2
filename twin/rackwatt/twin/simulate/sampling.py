# SPDX-License-Identifier: Apache-2.0
"""What the books sample of the simulated air and GPUs: a value a minute, near its end."""

from collections.abc import Mapping, Sequence

import numpy as np

from rackwatt.collector.ledger.samples import CELSIUS, UTILIZATION, own_minute
from rackwatt.collector.site import Site
from rackwatt.twin.simulate.motion import Minutes

Sampled = tuple[str, str, int, float]
"""Device, field, time and value."""
_BEFORE_END_MS = 1_000


def sampled(
    site: Site, minutes: Minutes, racks: Mapping[str, int], gpus: Sequence[str]
) -> list[Sampled]:
    """Inlets of racks, and the GPUs whose minute it is.

    Args:
        site: Which probe stands where.
        minutes: Of the world.
        racks: The world's number of each rack.
        gpus: Devices in the order of the minutes' columns.
    """
    inlets = [
        (rack.sensors["inlet"], racks[rack.id])
        for rack in site.racks_at(minutes.start_ms)
        if "inlet" in rack.sensors and rack.id in racks
    ]
    found: list[Sampled] = []
    for at, end_ms in enumerate(minutes.ends_ms):
        time_ms = end_ms - _BEFORE_END_MS
        air = np.round(minutes.climate[at].inlet, 1).tolist()
        found += [(device, CELSIUS, time_ms, air[index]) for device, index in inlets]
        busy = np.round(minutes.gpus.busy[at], 4).tolist()
        found += [
            (device, UTILIZATION, time_ms, value)
            for device, value in zip(gpus, busy, strict=True)
            if own_minute(device, time_ms)
        ]
    return found

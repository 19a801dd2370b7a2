# SPDX-License-Identifier: Apache-2.0
"""From readings to rows: where each device stood at the reading's time becomes its tags."""

from collections.abc import Iterable

from rackwatt.collector.site import SITE_HALL, Placement, Site
from rackwatt.collector.store.base import Row
from rackwatt.collector.store.series import tags_of
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.readings import Kind


def rows_of(site: Site, kind: Kind, agent: str, readings: Iterable[ReceivedReading]) -> list[Row]:
    """The rows of a message; a reading without any value gives none.

    A device that the site file does not know stands in its agent's hall, in no rack.

    Args:
        site: says where devices stand.
        kind: the message's kind: the measurement.
        agent: who sent it.
        readings: its readings, checked.
    """
    rows: list[Row] = []
    for reading in readings:
        fields: dict[str, float | str] = {
            name: value for name, value in reading.values.items() if value is not None
        }
        place = site.place(reading.device, reading.time_ms)
        if place is None:
            place = Placement(site.hall_of_agent(agent) or SITE_HALL)
        code = ""
        if reading.event is not None:
            code = reading.event.code
            fields["severity"] = reading.event.severity
            fields["text"] = reading.event.text
        if fields:
            tags = tags_of(site.id, place, reading.device, code)
            rows.append(Row(kind, tags, fields, reading.time_ms))
    return rows

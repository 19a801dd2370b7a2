# SPDX-License-Identifier: Apache-2.0
"""What the safety class tells of itself, among the agent's own metrics."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from prometheus_client.core import Metric

from rackwatt.agents.safety.watch import Safety
from rackwatt.wire.metrics import MetricSpec

RAISED: Final = MetricSpec(
    "rackwatt_safety_alerts_total", "counter", "Alarms that began, by rule.", ("rule",)
)
ACTIVE: Final = MetricSpec(
    "rackwatt_safety_alerts_active", "gauge", "Alarms that are on, by severity.", ("severity",)
)
ALIVE: Final = MetricSpec(
    "rackwatt_safety_alive", "gauge", "1 while samples are being judged by the safety rules."
)
UP: Final = MetricSpec(
    "rackwatt_safety_alertmanager_up",
    "gauge",
    "1 while an Alertmanager took the last message of the safety path.",
    ("alertmanager",),
)
MESSAGES: Final = MetricSpec(
    "rackwatt_safety_messages_total",
    "counter",
    "Messages to an Alertmanager, heartbeats and repetitions included: accepted or failed.",
    ("alertmanager", "result"),
)
UNSAVED: Final = MetricSpec(
    "rackwatt_safety_state_unsaved_total",
    "counter",
    "Times that the alarms could not be written to the state file.",
)

CATALOGUE: Final[Sequence[MetricSpec]] = (RAISED, ACTIVE, ALIVE, UP, MESSAGES, UNSAVED)


def families(safety: Safety) -> list[Metric]:
    """All families."""
    active = Counter(alarm.severity for alarm in safety.active)
    tallies = [(courier.name, courier.tally) for courier in safety.couriers]
    return [
        RAISED.family(((rule,), count) for rule, count in sorted(safety.raised.items())),
        ACTIVE.family(((level,), float(active[level])) for level in ("critical", "warning")),
        ALIVE.of(float(safety.alive())),
        UP.family(((name,), float(tally.up)) for name, tally in tallies),
        MESSAGES.family(
            ((name, result), float(count))
            for name, tally in tallies
            for result, count in (("accepted", tally.accepted), ("failed", tally.failed))
        ),
        UNSAVED.of(safety.unsaved),
    ]

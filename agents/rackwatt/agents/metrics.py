# SPDX-License-Identifier: Apache-2.0
"""The agent's own Prometheus metrics."""

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from rackwatt.agents.agent import Agent
from rackwatt.agents.listener import listen
from rackwatt.agents.safety.metrics import families
from rackwatt.wire.metrics import MetricSpec

ROUNDS: Final = MetricSpec("rackwatt_agent_rounds_total", "counter", "Sampling rounds.")
SKIPPED: Final = MetricSpec(
    "rackwatt_agent_ticks_skipped_total",
    "counter",
    "Rounds left out because the one before took too long.",
)
SENT: Final = MetricSpec(
    "rackwatt_agent_messages_sent_total",
    "counter",
    "Messages that the broker acknowledged, replays included.",
)
REPLAYED: Final = MetricSpec(
    "rackwatt_agent_messages_replayed_total", "counter", "Messages sent again on request."
)
EVICTED: Final = MetricSpec(
    "rackwatt_agent_messages_evicted_total",
    "counter",
    "Messages that left the full outbox before a broker had them.",
)
REFUSED: Final = MetricSpec(
    "rackwatt_agent_messages_refused_total",
    "counter",
    "Messages at which the broker ended the connection each time; a notice was sent instead.",
)
UNKEPT: Final = MetricSpec(
    "rackwatt_agent_samples_unkept_total",
    "counter",
    "Samples and windows that could not be written to the outbox.",
)
READ_ERRORS: Final = MetricSpec(
    "rackwatt_agent_read_errors_total", "counter", "Values that could not be read.", ("reason",)
)
OUTBOX_BYTES: Final = MetricSpec(
    "rackwatt_agent_outbox_bytes", "gauge", "Payload kept in the outbox, in bytes."
)
CONNECTED: Final = MetricSpec(
    "rackwatt_agent_connected", "gauge", "1 while connected to the broker."
)

CATALOGUE: Final[Sequence[MetricSpec]] = (
    ROUNDS, SKIPPED, SENT, REPLAYED, EVICTED, REFUSED, UNKEPT, READ_ERRORS, OUTBOX_BYTES, CONNECTED,
)  # fmt: skip


class AgentCollector(Collector):
    """Turns an agent's counts into metric families at each scrape."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> list[Metric]:
        """All families."""
        agent = self._agent
        counts = agent.counts
        errors = sorted(agent.errors.counts.items())
        return [
            ROUNDS.of(counts.rounds),
            SKIPPED.of(counts.skipped),
            SENT.of(counts.sent),
            REPLAYED.of(counts.replayed),
            EVICTED.of(agent.outbox.evicted),
            REFUSED.of(agent.outbox.refused),
            UNKEPT.of(counts.unkept),
            READ_ERRORS.family(((reason.value,), count) for reason, count in errors),
            OUTBOX_BYTES.of(agent.outbox.size_bytes),
            CONNECTED.of(float(agent.session.connected.is_set())),
            *(families(agent.safety) if agent.safety is not None else ()),
        ]


def serve(agent: Agent, address: str, token: str = "") -> None:
    """Serve `/metrics` at `host:port` from a thread of its own.

    Args:
        agent: whose metrics.
        address: where to listen.
        token: what a client must show; empty: nothing.

    Raises:
        OSError: the address is taken or not ours.
    """
    host, _, port = address.rpartition(":")
    registry = CollectorRegistry()
    registry.register(AgentCollector(agent))
    try:
        listen(registry, host.strip("[]"), int(port), token)
    except OSError as error:
        raise OSError(f"metrics: cannot listen on {address}: {error.strerror or error}") from error

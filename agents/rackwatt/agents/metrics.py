# SPDX-License-Identifier: Apache-2.0
"""The agent's own Prometheus metrics."""

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from rackwatt.agents.agent import Agent


class AgentCollector:
    """Turns an agent's counts into metric families at each scrape."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> list[Metric]:
        """All families."""
        agent = self._agent
        counts = agent.counts
        errors = CounterMetricFamily(
            "rackwatt_agent_read_errors", "Values that could not be read.", labels=["reason"]
        )
        for reason, count in sorted(agent.errors.counts.items()):
            errors.add_metric([reason.value], count)
        return [
            CounterMetricFamily("rackwatt_agent_rounds", "Sampling rounds.", value=counts.rounds),
            CounterMetricFamily(
                "rackwatt_agent_ticks_skipped",
                "Rounds left out because the one before took too long.",
                value=counts.skipped,
            ),
            CounterMetricFamily(
                "rackwatt_agent_messages_sent",
                "Messages that the broker acknowledged, replays included.",
                value=counts.sent,
            ),
            CounterMetricFamily(
                "rackwatt_agent_messages_replayed",
                "Messages sent again on request.",
                value=counts.replayed,
            ),
            CounterMetricFamily(
                "rackwatt_agent_messages_evicted",
                "Messages that left the full outbox before a broker had them.",
                value=agent.outbox.evicted,
            ),
            CounterMetricFamily(
                "rackwatt_agent_samples_unkept",
                "Windows that could not be written to the outbox.",
                value=counts.unkept,
            ),
            GaugeMetricFamily(
                "rackwatt_agent_outbox_bytes", "Payload kept.", value=agent.outbox.size_bytes
            ),
            GaugeMetricFamily(
                "rackwatt_agent_connected",
                "1 while connected to the broker.",
                value=float(agent.session.connected.is_set()),
            ),
            errors,
        ]


def serve(agent: Agent, listen: str) -> None:
    """Serve `/metrics` at `host:port` from a thread of its own.

    Raises:
        OSError: the address is taken or not ours.
    """
    host, _, port = listen.rpartition(":")
    registry = CollectorRegistry()
    registry.register(AgentCollector(agent))
    start_http_server(int(port), addr=host, registry=registry)

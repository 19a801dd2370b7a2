# SPDX-License-Identifier: Apache-2.0
"""The collector's own metrics, and its state for the page."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, get_args

from prometheus_client.core import Metric

from rackwatt.collector.ingest.ingest import Ingest
from rackwatt.collector.ingest.spool import DROPPED, EVICTED, REPLAYED, Spool
from rackwatt.collector.ingest.watch import AgentWatch
from rackwatt.collector.store.drain import Drain
from rackwatt.wire.clock import Clock
from rackwatt.wire.codec import Reason
from rackwatt.wire.metrics import MetricSpec
from rackwatt.wire.readings import KINDS

NODES_SECONDS: Final = 4.5
"""Between two looks at many nodes: each second it would be an eighth of a campus' collector."""
NODES_AT_ONCE: Final = 5000
SILENT_SECONDS: Final = 35.0
"""An agent that should be online and has said nothing for so long is silent."""

MESSAGES: Final = MetricSpec(
    "rackwatt_messages_total", "counter", "Messages received, duplicates left out.", ("kind",)
)
REJECTED: Final = MetricSpec(
    "rackwatt_messages_rejected_total",
    "counter",
    "Messages, or parts of one, that went to the dead letters.",
    ("reason",),
)
RECOVERED: Final = MetricSpec(
    "rackwatt_messages_recovered_total",
    "counter",
    "Messages that were missing and came by replay or redelivery.",
)
DUPLICATE: Final = MetricSpec(
    "rackwatt_messages_duplicate_total",
    "counter",
    "Messages that came again and were recognised.",
)
LOST: Final = MetricSpec(
    "rackwatt_messages_lost_total",
    "counter",
    "Messages closed as lost since the spool was made.",
)
WAITING: Final = MetricSpec(
    "rackwatt_ingest_waiting_bytes",
    "gauge",
    "Messages read from the broker and not yet in the spool; bounded by 64 MB.",
)
PAUSES: Final = MetricSpec(
    "rackwatt_ingest_pauses_total",
    "counter",
    "How often reading from the broker stopped at that bound.",
)
DEADLETTERS: Final = MetricSpec("rackwatt_deadletter_messages", "gauge", "Dead letters kept.")
SETTLED_LETTERS: Final = MetricSpec(
    "rackwatt_deadletters_settled_total",
    "counter",
    "Dead letters that were replayed, dropped, or went to make room, since the spool was made.",
    ("outcome",),
)
BROKER_UP: Final = MetricSpec(
    "rackwatt_broker_up", "gauge", "1 while the collector is connected to the broker."
)
AGENT_INFO: Final = MetricSpec(
    "rackwatt_agent_info", "gauge", "1 for each field agent, with its hall.", ("agent", "hall")
)
AGENT_UP: Final = MetricSpec(
    "rackwatt_agent_up", "gauge", "1 while a field agent is online.", ("agent",)
)
MISSING: Final = MetricSpec(
    "rackwatt_messages_missing",
    "gauge",
    "Messages that an agent sent over 30 s ago and that are neither here nor closed as lost.",
    ("agent",),
)
GPU_NODES: Final = MetricSpec(
    "rackwatt_gpu_nodes", "gauge", "GPU nodes of a rack by state.", ("rack", "state")
)
CLOCK_OFFSET: Final = MetricSpec(
    "rackwatt_clock_offset_seconds",
    "gauge",
    "Our clock minus the agent's, the worst of the hall.",
    ("hall",),
)
SPOOL_BYTES: Final = MetricSpec(
    "rackwatt_spool_bytes", "gauge", "Payload that a consumer has not passed.", ("cursor",)
)
SPOOL_OLDEST: Final = MetricSpec(
    "rackwatt_spool_oldest_seconds",
    "gauge",
    "Age of the oldest message that a consumer has not passed.",
    ("cursor",),
)
SPOOL_FULL: Final = MetricSpec(
    "rackwatt_spool_full_ratio",
    "gauge",
    "Payload kept against the allowed size: from 0.5 on nothing is asked for again, from 1 on "
    "nothing is taken.",
)
STORE_POINTS: Final = MetricSpec(
    "rackwatt_store_points_total", "counter", "Points written to the store."
)
ROLLUPS: Final = MetricSpec(
    "rackwatt_rollups_total", "counter", "Minutes and hours of readings written to the store."
)
ROLLUPS_PENDING: Final = MetricSpec(
    "rackwatt_rollups_pending",
    "gauge",
    "Minutes and hours, each of a kind, that are due and not in the store yet.",
)
STORE_LAG: Final = MetricSpec(
    "rackwatt_store_lag_seconds",
    "gauge",
    "How old the oldest reading of the last batch was when it was stored.",
)
STORE_DELAYS: Final = MetricSpec(
    "rackwatt_store_rows_within_total",
    "counter",
    "Rows of readings by their age when they were stored: up to so many seconds.",
    ("seconds",),
)
STORE_UP: Final = MetricSpec("rackwatt_store_up", "gauge", "1 when the store took the last batch.")

CATALOGUE: Final[Sequence[MetricSpec]] = (
    MESSAGES, REJECTED, RECOVERED, DUPLICATE, LOST, DEADLETTERS, SETTLED_LETTERS, WAITING, PAUSES,
    BROKER_UP, AGENT_UP, AGENT_INFO, MISSING, GPU_NODES, CLOCK_OFFSET, SPOOL_BYTES, SPOOL_OLDEST,
    SPOOL_FULL, STORE_POINTS, STORE_UP, STORE_LAG, STORE_DELAYS, ROLLUPS, ROLLUPS_PENDING,
)  # fmt: skip

AgentState = Literal["online", "silent", "offline"]
_STATES: Final[tuple[AgentState, ...]] = get_args(AgentState)


@dataclass(frozen=True, slots=True)
class Known:
    """What the site file says: who should be there."""

    site: str
    agents: Mapping[str, str]
    """Field agent to hall."""
    nodes: Mapping[str, str]
    """GPU node to rack."""


class CollectorState:
    """Turns what a collector knows into metric families and into JSON.

    `measure` looks at the spool's file and is called once a second; `families` and `summary`
    only read memory, so a scrape costs no I/O. Of tens of thousands of nodes they tell what
    `measure` has seen, a few thousand at a time: all at once would hold up messages.
    """

    def __init__(
        self, known: Known, ingest: Ingest, spool: Spool, drain: Drain, clock: Clock
    ) -> None:
        self._known = known
        self._ingest = ingest
        self._spool = spool
        self._drain = drain
        self._clock = clock
        self._backlog: Mapping[str, tuple[int, float]] = {}
        self._seen: tuple[Counter[tuple[str, AgentState]], list[str]] | None = None
        self._look_at = 0.0

    async def measure(self) -> None:
        """Look at the spool, and at the nodes where there are many."""
        self._backlog = await self._spool.backlog()
        now = self._clock.monotonic()
        if len(self._known.nodes) <= NODES_AT_ONCE or now < self._look_at:
            return
        self._look_at = now + NODES_SECONDS
        states: Counter[tuple[str, AgentState]] = Counter()
        up: list[str] = []
        nodes = iter(self._known.nodes.items())
        while part := list(islice(nodes, NODES_AT_ONCE)):
            self._look(part, states, up)
            await asyncio.sleep(0)
        up.sort()
        self._seen = states, up

    def state_of(self, agent: AgentWatch, now_ms: int | None = None) -> AgentState:
        """How an agent is."""
        if not agent.online:
            return "offline"
        now_ms = self._clock.now_ms() if now_ms is None else now_ms
        return "silent" if now_ms - agent.last_seen_ms > SILENT_SECONDS * 1000 else "online"

    def _field_agents(self) -> list[tuple[str, str, AgentWatch | None]]:
        """Name, hall and watch of every agent that is no GPU node, known or seen."""
        nodes, watch = self._known.nodes, self._ingest.watch
        names = dict(self._known.agents)
        names |= {agent.name: agent.hall for agent in watch if agent.name not in nodes}
        return [(name, hall, watch.get(name)) for name, hall in sorted(names.items())]

    def _nodes(self) -> tuple[Counter[tuple[str, AgentState]], list[str]]:
        """GPU nodes by rack and state, and the names of those that are online."""
        if self._seen is not None:
            return self._seen
        states: Counter[tuple[str, AgentState]] = Counter()
        up: list[str] = []
        self._look(self._known.nodes.items(), states, up)
        up.sort()
        return states, up

    def _look(
        self,
        nodes: Iterable[tuple[str, str]],
        states: Counter[tuple[str, AgentState]],
        up: list[str],
    ) -> None:
        now_ms, get = self._clock.now_ms(), self._ingest.watch.get
        for node, rack in nodes:
            agent = get(node)
            state = "offline" if agent is None else self.state_of(agent, now_ms)
            states[rack, state] += 1
            if state == "online":
                up.append(node)

    def _rejected(self) -> Counter[Reason]:
        """By reason: at the door, and by the store."""
        return self._ingest.counts.rejected + Counter(
            {
                Reason.REFUSED_BY_STORE: self._drain.refused,
                Reason.UNREADABLE: self._drain.unreadable,
            }
        )

    def families(self) -> list[Metric]:
        """All metric families of a collector."""
        return [*self._message_families(), *self._agent_families(), *self._spool_families()]

    def _message_families(self) -> list[Metric]:
        counts = self._ingest.counts
        return [
            MESSAGES.family(((kind,), counts.messages[kind]) for kind in KINDS),
            REJECTED.family(
                ((reason.value,), count) for reason, count in sorted(self._rejected().items())
            ),
            RECOVERED.of(counts.recovered),
            DUPLICATE.of(counts.duplicates),
            LOST.of(self._spool.lost),
            DEADLETTERS.of(self._spool.deadletters),
            SETTLED_LETTERS.family(
                ((outcome,), self._spool.tallies.get(name, 0))
                for outcome, name in (
                    ("dropped", DROPPED),
                    ("evicted", EVICTED),
                    ("replayed", REPLAYED),
                )
            ),
            WAITING.of(self._ingest.session.waiting_bytes),
            PAUSES.of(self._ingest.session.pauses),
        ]

    def _agent_families(self) -> list[Metric]:
        agents, (nodes, _) = self._field_agents(), self._nodes()
        worst: dict[str, float] = {}
        for agent in self._ingest.watch:
            value = agent.clock_offset_seconds
            if value is not None and abs(value) >= abs(worst.get(agent.hall, 0.0)):
                worst[agent.hall] = value
        return [
            AGENT_UP.family(
                ((name,), float(agent is not None and self.state_of(agent) == "online"))
                for name, _, agent in agents
            ),
            AGENT_INFO.family(((name, hall), 1.0) for name, hall, _ in agents),
            BROKER_UP.of(float(self._ingest.session.connected.is_set())),
            MISSING.family(
                ((name,), 0 if agent is None else agent.missing()) for name, _, agent in agents
            ),
            GPU_NODES.family(
                ((rack, state), nodes[rack, state])
                for rack in sorted(set(self._known.nodes.values()))
                for state in _STATES
            ),
            CLOCK_OFFSET.family(((hall,), value) for hall, value in sorted(worst.items())),
        ]

    def _spool_families(self) -> list[Metric]:
        backlog = sorted(self._backlog.items())
        return [
            SPOOL_BYTES.family(((cursor,), size) for cursor, (size, _) in backlog),
            SPOOL_OLDEST.family(((cursor,), age) for cursor, (_, age) in backlog),
            SPOOL_FULL.of(self._spool.full_ratio),
            STORE_POINTS.of(self._drain.points),
            STORE_UP.of(float(self._drain.up)),
            STORE_LAG.of(self._drain.lag_seconds),
            STORE_DELAYS.family(((bound,), count) for bound, count in self._drain.within()),
            *self._rollup_families(),
        ]

    def _rollup_families(self) -> list[Metric]:
        rollups = self._drain.rollups
        counts = (0, 0) if rollups is None else (rollups.written, rollups.pending)
        return [ROLLUPS.of(counts[0]), ROLLUPS_PENDING.of(counts[1])]

    @property
    def clocks(self) -> str:
        """Changes whenever an agent's clock goes wrong, is still wrong, or is right again."""
        return f"{self._spool.generation}.{self._ingest.clocks.version}"

    def summary(self) -> dict[str, Any]:
        """What the page shows of a collector, as JSON."""
        counts = self._ingest.counts
        nodes, _ = self._nodes()
        return {
            "agents": [
                {
                    "name": name,
                    "hall": hall,
                    "state": "offline" if agent is None else self.state_of(agent),
                    "last_seen": agent.last_seen_ms if agent and agent.last_seen_ms else None,
                    "missing": 0 if agent is None else agent.missing(),
                    "lost": 0 if agent is None else agent.lost(),
                    "clock_offset_seconds": agent.clock_offset_seconds if agent else None,
                }
                for name, hall, agent in self._field_agents()
            ],
            "nodes": {
                "total": len(self._known.nodes),
                "online": sum(n for (_, state), n in nodes.items() if state == "online"),
            },
            "quality": {
                "missing": sum(agent.missing() for agent in self._ingest.watch.of_note()),
                "lost": self._spool.lost,
                "recovered": counts.recovered,
                "rejected": self._rejected().total(),
                "dead_letters": self._spool.deadletters,
                "spool_bytes": max((size for size, _ in self._backlog.values()), default=0),
                "store_up": self._drain.up,
                "points_stored": self._drain.points,
            },
            "clock_offsets": self._ingest.clocks.off(),
            "clock_epochs": self._ingest.clocks.doubtful(),
            "clocks": self.clocks,
            "watch": watch_rows(self._ingest.watch.of_note()),
        }


def watch_rows(watched: Sequence[AgentWatch]) -> list[dict[str, Any]]:
    """The gap watch as JSON: per agent and epoch of which something is not here or was lost."""
    return [
        {
            "agent": agent.name,
            "epoch": number,
            "floor": epoch.floor,
            "sent_through": epoch.sent_through,
            "received": list(epoch.received),
            "lost": list(epoch.lost),
            "open": epoch.open_ranges(epoch.sent_through),
            "missing": epoch.missing(),
        }
        for agent in watched
        for number, epoch in sorted(agent.epochs.items())
        if epoch.lost.runs() or not epoch.complete(epoch.sent_through)
    ]

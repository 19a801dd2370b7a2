# SPDX-License-Identifier: Apache-2.0
"""A collector's metrics: the names others build on, each series once, 0 only where 0 is known."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from collecting import EPOCH, CollectorKit, collector_kit, message, told
from doubles import START_MS
from prometheus_client.parser import text_string_to_metric_families

from rackwatt.collector.ingest import metrics
from rackwatt.collector.ingest.metrics import CATALOGUE, SILENT_SECONDS
from rackwatt.collector.ingest.watch import Backfill
from rackwatt.collector.refusals import REFUSED
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import Reason

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]

DESIGN = {
    "rackwatt_agent_up": {"agent"},
    "rackwatt_messages_missing": {"agent"},
    "rackwatt_gpu_nodes": {"rack", "state"},
    "rackwatt_messages_total": {"kind"},
    "rackwatt_messages_rejected_total": {"reason"},
    "rackwatt_messages_recovered_total": set(),
    "rackwatt_messages_lost_total": set(),
    "rackwatt_deadletter_messages": set(),
    "rackwatt_clock_offset_seconds": {"hall"},
    "rackwatt_spool_bytes": {"cursor"},
    "rackwatt_spool_oldest_seconds": {"cursor"},
    "rackwatt_store_points_total": set(),
    "rackwatt_store_up": set(),
}


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[CollectorKit]:
    async with collector_kit(tmp_path / "spool.db") as made:
        yield made


def parse(text: str) -> Series:
    found: Series = {}
    names = Counter(line.split()[2] for line in text.splitlines() if line.startswith("# TYPE"))
    assert max(names.values()) == 1, "each metric is described once"
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, f"{key} stands twice"
            found[key] = sample.value
    return found


async def scrape(kit: CollectorKit) -> Series:
    transport = httpx.ASGITransport(kit.door.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
        response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    return parse(response.text)


async def value(kit: CollectorKit, name: str, **labels: str) -> float | None:
    return (await scrape(kit)).get((name, tuple(sorted(labels.items()))))


def test_names_and_labels_are_those_of_the_design() -> None:
    described = {spec.name: set(spec.labels) for spec in CATALOGUE}
    assert described.items() >= DESIGN.items()
    assert described.keys() - DESIGN.keys() == {
        "rackwatt_broker_up",
        "rackwatt_agent_info",
        "rackwatt_messages_duplicate_total",
        "rackwatt_deadletters_settled_total",
        "rackwatt_spool_full_ratio",
        "rackwatt_ingest_waiting_bytes",
        "rackwatt_ingest_pauses_total",
        "rackwatt_rollups_total",
        "rackwatt_rollups_pending",
        "rackwatt_store_lag_seconds",
        "rackwatt_store_rows_within_total",
    }


async def test_what_is_scraped_is_what_is_described(kit: CollectorKit) -> None:
    kit.ingest.counts.rejected[Reason.BAD_VALUE] += 1
    kit.seen("meters", "site", 0.5)
    await kit.state.measure()
    described = {spec.name: set(spec.labels) for spec in (*CATALOGUE, REFUSED)}
    found = {name: {label for label, _ in labels} for name, labels in await scrape(kit)}
    assert found == described
    assert not any(name.endswith(("_total_total", "_created")) for name in found)


async def test_agents_of_the_site_file_are_there_with_0_before_they_came(
    kit: CollectorKit,
) -> None:
    series = await scrape(kit)
    for agent in ("meters", "snmp-a", "snmp-b"):
        assert series["rackwatt_agent_up", (("agent", agent),)] == 0
        assert series["rackwatt_messages_missing", (("agent", agent),)] == 0
    assert series["rackwatt_gpu_nodes", (("rack", "r1"), ("state", "offline"))] == 1
    assert series["rackwatt_gpu_nodes", (("rack", "r1"), ("state", "online"))] == 0
    assert not any(name == "rackwatt_clock_offset_seconds" for name, _ in series)
    assert not any(name == "rackwatt_messages_rejected_total" for name, _ in series)
    assert not any(name == "rackwatt_spool_oldest_seconds" for name, _ in series)


async def test_a_gpu_node_is_counted_in_its_rack_and_is_no_field_agent(kit: CollectorKit) -> None:
    kit.seen("r1-n1", "hall-a")
    kit.seen("stranger", "hall-a")
    series = await scrape(kit)
    assert series["rackwatt_gpu_nodes", (("rack", "r1"), ("state", "online"))] == 1
    assert series["rackwatt_gpu_nodes", (("rack", "r1"), ("state", "offline"))] == 0
    assert ("rackwatt_agent_up", (("agent", "r1-n1"),)) not in series
    assert series["rackwatt_agent_up", (("agent", "stranger"),)] == 1


async def test_an_agent_that_fell_silent_is_not_up(kit: CollectorKit) -> None:
    kit.seen("meters", "site")
    kit.seen("r2-n1", "hall-a")
    assert isinstance(kit.clock, ManualClock)
    kit.clock.advance(SILENT_SECONDS + 1)
    assert await value(kit, "rackwatt_agent_up", agent="meters") == 0
    assert await value(kit, "rackwatt_gpu_nodes", rack="r2", state="silent") == 1
    agents = {agent["name"]: agent["state"] for agent in kit.state.summary()["agents"]}
    assert agents == {"meters": "silent", "snmp-a": "offline", "snmp-b": "offline"}


async def test_missing_counts_what_was_sent_over_30_seconds_ago(kit: CollectorKit) -> None:
    watch, everything = kit.ingest.watch, Backfill(None, START_MS)
    watch.agent("snmp-a", "hall-a").receive(EPOCH, 1)
    watch.status("snmp-a", "hall-a", told(5, START_MS), 0.0, everything)
    assert await value(kit, "rackwatt_messages_missing", agent="snmp-a") == 0
    watch.age(31.0)
    assert await value(kit, "rackwatt_messages_missing", agent="snmp-a") == 4
    assert kit.state.summary()["quality"]["missing"] == 4
    (row,) = kit.state.summary()["watch"]
    assert row["open"] == [(2, 5)]


async def test_the_worst_clock_of_a_hall_is_shown_whatever_its_sign(kit: CollectorKit) -> None:
    kit.seen("snmp-a", "hall-a", 2.0)
    kit.seen("r1-n1", "hall-a", -70.0)
    kit.seen("r2-n1", "hall-a", None)
    assert await value(kit, "rackwatt_clock_offset_seconds", hall="hall-a") == -70.0


async def test_the_spool_and_the_store_are_measured(kit: CollectorKit) -> None:
    body = message(START_MS, {"r1-pdu": {"power_watts": 1.0}})
    await kit.put(body)
    kit.spool.passed("store", 1)
    assert isinstance(kit.clock, ManualClock)
    kit.clock.advance(12.0)
    await kit.state.measure()
    kit.drain.points, kit.drain.up = 7, True
    series = await scrape(kit)
    assert series["rackwatt_spool_bytes", (("cursor", "accountant"),)] == len(body[2])
    assert series["rackwatt_spool_oldest_seconds", (("cursor", "accountant"),)] == 12.0
    assert series["rackwatt_spool_bytes", (("cursor", "store"),)] == 0
    assert series["rackwatt_store_points_total", ()] == 7
    assert series["rackwatt_store_up", ()] == 1


async def test_what_the_store_refused_is_counted_by_its_reason(kit: CollectorKit) -> None:
    kit.ingest.counts.rejected[Reason.BAD_VALUE] += 2
    kit.drain.refused = 3
    series = await scrape(kit)
    reasons = {labels: n for (name, labels), n in series.items() if "rejected" in name}
    assert reasons == {
        (("reason", "bad_value"),): 2.0,
        (("reason", "refused_by_store"),): 3.0,
    }
    assert kit.state.summary()["quality"]["rejected"] == 5


async def test_a_shard_tells_of_its_own_halls_only(tmp_path: Path) -> None:
    async with collector_kit(tmp_path / "shard.db", halls=("hall-b",)) as kit:
        series = await scrape(kit)
        agents = {labels for name, labels in series if name == "rackwatt_agent_up"}
        assert agents == {(("agent", "snmp-b"),)}
        racks = {dict(labels)["rack"] for name, labels in series if name == "rackwatt_gpu_nodes"}
        assert racks == {"r9"}
        assert kit.state.summary()["nodes"]["total"] == 1


async def test_of_very_many_nodes_the_last_look_is_told(
    kit: CollectorKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "NODES_AT_ONCE", 1)
    kit.seen("r1-n1", "hall-a")
    await kit.state.measure()
    before = kit.state.summary()["nodes"]
    assert before["online"] == 1
    kit.seen("r2-n1", "hall-a")
    await kit.state.measure()  # soon after the last look: not looked again
    assert kit.state.summary()["nodes"] == before
    assert isinstance(kit.clock, ManualClock)
    kit.clock.advance(metrics.NODES_SECONDS)
    await kit.state.measure()
    assert kit.state.summary()["nodes"]["online"] == 2
    assert await value(kit, "rackwatt_gpu_nodes", rack="r2", state="online") == 1

# SPDX-License-Identifier: Apache-2.0
"""The collector's door: who may come in, what they get, and when a long poll ends."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from collecting import TOKEN, CollectorKit, ListStore, collector_kit, message, payload, small_site
from doubles import START_MS, Running, until

from rackwatt.collector.ingest.deadletters import MAX_DEADLETTERS
from rackwatt.collector.ingest.spool import ACCOUNTANT, STORE
from rackwatt.collector.ingest.state import SPOOL_FILE
from rackwatt.collector.live.spoolclient import CollectorClient, CollectorUnavailable
from rackwatt.collector.roles import collect as collect_module
from rackwatt.collector.roles.collect import CollectOptions, collect, known_of
from rackwatt.collector.service import serve_http
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.session import BrokerSettings, Session
from servers.fixtures import Mosquitto, free_port

PDU = {"r1-pdu": {"power_watts": 1.0}}
OPEN = {"authorization": f"Bearer {TOKEN}"}
INTERNAL = ("/internal/identity", "/internal/spool?after=0", "/internal/state")


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[CollectorKit]:
    async with collector_kit(tmp_path / "spool.db") as made:
        yield made


@pytest.fixture
async def http(kit: CollectorKit) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(kit.door.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
        yield client


@pytest.mark.parametrize("path", INTERNAL)
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", TOKEN, "Bearer \xe9"]
)
async def test_without_the_token_nobody_comes_in(
    http: httpx.AsyncClient, path: str, header: str | None
) -> None:
    headers = {} if header is None else {b"authorization": header.encode("latin-1")}
    response = await http.get(path, headers=headers)
    assert response.status_code == 401
    assert "token" in response.text


@pytest.mark.parametrize("path", INTERNAL)
async def test_with_the_token_everybody_does(
    http: httpx.AsyncClient, kit: CollectorKit, path: str
) -> None:
    await kit.put(message(START_MS, PDU))
    assert (await http.get(path, headers=OPEN)).status_code == 200


async def test_health_and_readiness_need_no_token(
    http: httpx.AsyncClient, kit: CollectorKit
) -> None:
    assert (await http.get("/healthz")).status_code == 200
    assert (await http.get("/readyz")).status_code == 503
    kit.ingest.session.connected.set()
    assert (await http.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    "query",
    ["", "after=", "after=x", "after=1.5", "after=0&limit=x", "after=-1", "after=0&limit=0",
     "after=0&limit=-1", f"after={2**63}"],
)  # fmt: skip
async def test_a_bad_cursor_is_refused(http: httpx.AsyncClient, query: str) -> None:
    response = await http.get(f"/internal/spool?{query}", headers=OPEN)
    assert response.status_code == 400


async def test_the_cursor_of_another_spool_is_refused_and_passes_nothing(
    http: httpx.AsyncClient, kit: CollectorKit
) -> None:
    await kit.put(message(START_MS, PDU))
    client = CollectorClient("http://collector", TOKEN, http)
    with pytest.raises(CollectorUnavailable, match="409"):
        await client.spool("another", 1)
    assert kit.spool.cursor(ACCOUNTANT) == 0
    (record,) = await client.spool(await client.identity(), 0)
    assert (record.id, record.received_ms) == (1, START_MS)


async def test_asking_for_more_tells_what_was_booked(
    http: httpx.AsyncClient, kit: CollectorKit
) -> None:
    await kit.put(*(message(START_MS + step, PDU) for step in range(3)))
    client = CollectorClient("http://collector/", TOKEN, http)
    assert client.url == "http://collector"
    name = await client.identity()
    assert [record.id for record in await client.spool(name, 0)] == [1, 2, 3]
    assert kit.spool.cursor(ACCOUNTANT) == 0
    assert [record.id for record in await client.spool(name, 2)] == [3]
    assert kit.spool.cursor(ACCOUNTANT) == 2


async def test_a_long_poll_ends_when_a_message_comes(
    http: httpx.AsyncClient, kit: CollectorKit
) -> None:
    asked = asyncio.create_task(http.get("/internal/spool?after=0", headers=OPEN))
    await until(lambda: bool(kit.spool.appended._waiters))
    assert not asked.done()
    await kit.put(message(START_MS, PDU))
    async with asyncio.timeout(2):
        assert (await asked).content


async def test_a_long_poll_ends_when_the_process_stops(
    http: httpx.AsyncClient, kit: CollectorKit
) -> None:
    asked = asyncio.create_task(http.get("/internal/spool?after=0", headers=OPEN))
    await until(lambda: bool(kit.spool.appended._waiters))
    kit.door.close()
    async with asyncio.timeout(2):
        response = await asked
    assert (response.status_code, response.content) == (200, b"")
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("spool-")]


async def test_a_long_poll_ends_by_itself(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect_module, "_LONG_POLL_SECONDS", 0.01)
    response = await http.get("/internal/spool?after=0", headers=OPEN)
    assert (response.status_code, response.content) == (200, b"")


async def test_a_server_with_a_long_poll_open_stops_at_once(kit: CollectorKit) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(trust_env=False) as http:
        async with Running(serve_http(kit.door.app(), "127.0.0.1", port, kit.door.close)):
            client = CollectorClient(url, TOKEN, http)
            name = await _when_served(client)
            asked = asyncio.create_task(client.spool(name, 0))
            await until(lambda: bool(kit.spool.appended._waiters))
            begun = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begun < 3.0
        assert await asked == []


async def _when_served(client: CollectorClient) -> str:
    async with asyncio.timeout(5):
        while True:
            try:
                return await client.identity()
            except CollectorUnavailable:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"other": 1}', b"\xff"])
async def test_what_is_no_collector_is_a_collector_that_is_away(body: bytes) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=body))
    async with httpx.AsyncClient(transport=transport) as http:
        client = CollectorClient("http://collector", TOKEN, http)
        for ask in (client.identity, client.state):
            with pytest.raises(CollectorUnavailable):
                await ask()
        with pytest.raises(CollectorUnavailable):
            await client.spool("x", 0)


def test_who_should_be_there_is_said_by_the_site_file() -> None:
    everybody = known_of(small_site())
    assert everybody.agents == {"meters": "site", "snmp-a": "hall-a", "snmp-b": "hall-b"}
    assert everybody.nodes == {"r1-n1": "r1", "r2-n1": "r2", "r9-n1": "r9"}
    shard = known_of(small_site(), ("site", "hall-b"))
    assert shard.agents == {"meters": "site", "snmp-b": "hall-b"}
    assert shard.nodes == {"r9-n1": "r9"}


async def test_a_collector_serves_without_its_broker_and_stops_cleanly(tmp_path: Path) -> None:
    port, store = free_port(), ListStore()
    broker = BrokerSettings(url=f"mqtt://127.0.0.1:{free_port()}")
    options = CollectOptions(broker, tmp_path, "127.0.0.1", port, TOKEN)
    async with httpx.AsyncClient(trust_env=False) as http:
        client = CollectorClient(f"http://127.0.0.1:{port}", TOKEN, http)
        async with Running(collect(small_site(), store, options, SYSTEM_CLOCK)):
            assert await _when_served(client)
            assert (await http.get(f"{client.url}/readyz")).status_code == 503
            async with asyncio.timeout(5):
                while b"rackwatt_store_up 1.0" not in await client.metrics():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert (await client.state())["quality"]["dead_letters"] <= MAX_DEADLETTERS
        with pytest.raises(CollectorUnavailable):
            await client.identity()
    assert store.closed


async def test_what_was_sent_before_it_was_stopped_is_stored_when_it_has_ended(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """However it was told to stop in the middle of it: taken, stored, cursor and all."""
    port, store, sent = free_port(), ListStore(), 2000
    broker = BrokerSettings(url=mosquitto.url)
    options = CollectOptions(broker, tmp_path, "127.0.0.1", port, TOKEN)
    sender = Session(broker, "meters")
    start = SYSTEM_CLOCK.now_ms() - sent
    async with httpx.AsyncClient(trust_env=False) as http, Running(sender.run()):
        client = CollectorClient(f"http://127.0.0.1:{port}", TOKEN, http)
        async with Running(collect(small_site(), store, options, SYSTEM_CLOCK)):
            assert await _when_served(client)
            async with asyncio.timeout(5):
                while (await http.get(f"{client.url}/readyz")).status_code == 503:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await sender.connected.wait()
            texts = [payload(start + seq, PDU, seq) for seq in range(1, sent + 1)]
            topic = "rackwatt/v1/demo/site/meters/power"
            await asyncio.gather(*(sender.publish(topic, text) for text in texts))
    times = [row.time_ms for write in store.writes for row in write if row.measurement == "power"]
    assert sorted(times) == [start + seq for seq in range(1, sent + 1)]
    with closing(sqlite3.connect(tmp_path / SPOOL_FILE)) as db:
        cursors = dict(db.execute("SELECT name, id FROM cursors"))
        assert cursors[STORE] == sent

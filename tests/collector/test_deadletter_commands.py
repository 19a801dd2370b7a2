# SPDX-License-Identifier: Apache-2.0
"""`rackwatt deadletter`, beside a running collector and without one."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from collecting import SITE_TEXT, TOKEN, payload
from doubles import START_MS, Running, session
from typer.testing import CliRunner, Result

from rackwatt.collector.cli import app
from rackwatt.collector.ingest.commands import plain, pretty
from rackwatt.collector.ingest.spool import Batch, DeadLetter, Spool
from rackwatt.collector.ingest.state import SpoolBusy, SpoolLock
from rackwatt.collector.live.spoolclient import CollectorClient, CollectorUnavailable
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.codec import Reason
from servers.fixtures import Mosquitto, free_port, mosquitto

__all__ = ["mosquitto"]

FAR = "rackwatt/v1/demo/hall-c/snmp-c/power"
GOOD = payload(START_MS, {"c-pdu": {"power_watts": 5.0}})


async def run(*arguments: str, data: Path, answer: str | None = None) -> Result:
    """The command, in a thread: it has an event loop of its own."""
    words = ["deadletter", *arguments, "--data", str(data)]
    return await asyncio.to_thread(CliRunner().invoke, app, words, input=answer)


async def filled(data: Path) -> None:
    spool = Spool(data / "spool.db", max_bytes=10**9, clock=SYSTEM_CLOCK)
    await spool.start()
    letters = [
        DeadLetter(START_MS, FAR, GOOD, Reason.WRONG_HALL, "not in the site file"),
        DeadLetter(START_MS + 1, FAR, GOOD, Reason.WRONG_HALL, "not in the site file"),
        DeadLetter(SYSTEM_CLOCK.now_ms(), "t\x1b[2J", b"\x1b[2Jx", Reason.BAD_TOPIC, "\x07bell"),
    ]
    await spool.append(Batch(deadletters=letters))
    await spool.aclose()


def site_file(folder: Path, *, corrected: bool) -> Path:
    more = "  - {id: hall-c, rows: [{id: row-8, racks: r8, nodes: r8-n1}]}\n"
    text = SITE_TEXT.replace("agents:\n", more + "agents:\n") if corrected else SITE_TEXT
    path = folder / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return path


async def test_list_says_what_there_is(tmp_path: Path) -> None:
    await filled(tmp_path)
    shown = await run("list", data=tmp_path)
    assert shown.exit_code == 0, shown.output
    head, first, second = shown.output.splitlines()
    assert head.split() == ["reason", "count", "newest", "number", "bytes", "topic"]
    assert first.split()[:2] == ["wrong_hall", "2"]
    assert first.endswith(FAR)
    assert "2026-09-21" in first
    assert second.endswith("t\\x1b[2J"), "what came from outside commands no terminal"
    assert len((await run("list", "--each", data=tmp_path)).output.splitlines()) == 4
    (row,) = json.loads(
        (await run("list", "--json", "--reason", "wrong_hall", data=tmp_path)).output
    )
    assert (row["count"], row["bytes"], row["agent"]) == (2, 2 * len(GOOD), "snmp-c")
    assert "bad_topic" not in (await run("list", "--agent", "snmp-c", data=tmp_path)).output
    assert "wrong_hall" not in (await run("list", "--since", "2h", data=tmp_path)).output
    assert (await run("list", "--reason", "too_large", data=tmp_path)).output == "no dead letters\n"


async def test_it_finds_the_spool_of_rackwatt_up(tmp_path: Path) -> None:
    await filled(tmp_path / "collector")
    assert "wrong_hall" in (await run("list", data=tmp_path)).output


async def test_show_says_why_and_what_to_do(tmp_path: Path) -> None:
    await filled(tmp_path)
    shown = (await run("show", "1", data=tmp_path)).output
    assert "wrong_hall: not in the site file" in shown
    assert "start the collector again and replay" in shown
    assert '"power_watts": 5.0' in shown
    odd = (await run("show", "3", data=tmp_path)).output
    assert "\x1b" not in odd
    assert "\x07" not in odd
    assert "\\x1b[2Jx" in odd
    body = json.loads((await run("show", "1", "--json", data=tmp_path)).output)
    assert json.loads(body["payload"]) == json.loads(GOOD)
    missing = await run("show", "99", data=tmp_path)
    assert (missing.exit_code, "no dead letter 99" in missing.output) == (1, True)


def test_what_came_from_outside_is_made_plain() -> None:
    assert plain("a\x1b[0m\nb\u202eé") == "a\\x1b[0m\\nb\\u202eé"
    assert pretty(b"[" * 100_000)[0] == "[" * 96
    assert pretty(b"\xff\x00") == ["\\xff\\x00"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay",),
        ("drop", "--yes"),
        ("drop", "--all", "--reason", "wrong_hall", "--yes"),
        ("list", "--reason", "wrong_hal"),
        ("list", "--since", "yesterday"),
        ("list", "--since", "2026-10-01"),
        ("replay", "99"),
    ],
)
async def test_bad_usage_is_said_and_changes_nothing(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    await filled(tmp_path)
    result = await run(*arguments, data=tmp_path)
    assert result.exit_code == 2, result.output
    assert result.output.startswith("rackwatt: ")
    assert (await run("list", "--each", data=tmp_path)).output.count("\n") == 4


async def test_a_folder_without_a_spool_is_named(tmp_path: Path) -> None:
    assert "no spool.db in" in (await run("list", data=tmp_path)).output
    (tmp_path / "spool.db").write_text("no database" * 100)
    broken = await run("list", data=tmp_path)
    assert (broken.exit_code, "cannot be read" in broken.output) == (1, True)


async def test_drop_asks_and_counts(tmp_path: Path) -> None:
    await filled(tmp_path)
    no = await run("drop", "--reason", "wrong_hall", data=tmp_path, answer="n\n")
    assert (no.exit_code, "drop 2 dead letters" in no.output) == (1, True)
    assert (await run("drop", "3", "--yes", data=tmp_path)).output == "1 dropped, 0 gone\n"
    yes = await run("drop", "--all", data=tmp_path, answer="y\n")
    assert (yes.exit_code, "2 dropped" in yes.output) == (0, True)
    with sqlite3.connect(tmp_path / "spool.db") as db:
        query = "SELECT count FROM tallies WHERE name = 'letters dropped'"
        assert db.execute(query).fetchall() == [(3,)]
    db.close()


async def test_without_a_collector_a_replay_needs_a_site_file_or_waits(tmp_path: Path) -> None:
    await filled(tmp_path)
    waits = await run("replay", "1", data=tmp_path)
    assert waits.exit_code == 1
    assert "waits for 1 more" in waits.output
    wrong = await run(
        "replay", "2", "--site", str(site_file(tmp_path, corrected=False)), data=tmp_path
    )
    assert (wrong.exit_code, "1 refused again" in wrong.output) == (1, True)
    assert "is not in the site file" in wrong.output
    right = await run(
        "replay", "2", "--site", str(site_file(tmp_path, corrected=True)), data=tmp_path
    )
    assert (right.exit_code, right.output) == (0, "1 replayed, 0 refused again, 0 gone\n")
    with sqlite3.connect(tmp_path / "spool.db") as db:
        assert db.execute("SELECT topic, payload FROM messages").fetchall() == [(FAR, GOOD)]
    db.close()


# -- beside a collector --------------------------------------------------------------------------


@contextmanager
def collector(data: Path, broker: str, site: Path, port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "rackwatt.collector.cli", "collect", "--site", str(site)]
    command += ["--broker", broker, "--data", str(data), "--port", str(port)]
    process = subprocess.Popen(command, env={**os.environ, "RACKWATT_INTERNAL_TOKEN": TOKEN})
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(20) == 0


async def answering(client: CollectorClient) -> None:
    for _ in range(2000):
        try:
            await client.state()
        except CollectorUnavailable:
            await asyncio.sleep(0.01)
        else:
            return
    raise AssertionError("no collector")


async def test_a_running_collector_carries_orders_out_and_keeps_its_state_over_a_restart(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    data, port = tmp_path / "data", free_port()
    sender = session(mosquitto.url, "snmp-c")
    async with httpx.AsyncClient(trust_env=False) as http, Running(sender.run()):
        client = CollectorClient(f"http://127.0.0.1:{port}", TOKEN, http)
        await sender.connected.wait()
        with collector(data, mosquitto.url, site_file(tmp_path, corrected=False), port):
            await answering(client)
            await _connected(http, port)
            await sender.publish(FAR, GOOD)
            await sender.publish("rackwatt/v1/demo/site/meters/power", b"x")
            await until_letters(client, 2)
            assert (await run("replay", "--agent", "snmp-c", data=data)).exit_code == 1
            assert (await run("drop", "--reason", "unreadable", "--yes", data=data)).exit_code == 0
            await until_letters(client, 1)
        with collector(data, mosquitto.url, site_file(tmp_path, corrected=True), port):
            await answering(client)
            done = await run("replay", "--all", data=data)
            assert (done.exit_code, done.output) == (0, "1 replayed, 0 refused again, 0 gone\n")
            records = await client.spool(await client.identity(), 0)
            assert [record.payload for record in records] == [GOOD]
            text = (await client.metrics()).decode()
            assert 'rackwatt_messages_rejected_total{reason="wrong_hall"} 1.0' in text
            assert 'rackwatt_deadletters_settled_total{outcome="replayed"} 1.0' in text
            assert 'rackwatt_deadletters_settled_total{outcome="dropped"} 1.0' in text
            with pytest.raises(SpoolBusy):
                SpoolLock(data / "spool.db")


async def _connected(http: httpx.AsyncClient, port: int) -> None:
    for _ in range(2000):
        if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not connected")


async def until_letters(client: CollectorClient, count: int) -> None:
    for _ in range(1000):
        if (await client.state())["quality"]["dead_letters"] == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no such letters")

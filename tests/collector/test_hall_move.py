# SPDX-License-Identifier: Apache-2.0
"""What one collector knows of a hall, in another: nothing is forgotten, nothing is made up."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from collecting import EPOCH, collector_kit
from doubles import START_MS
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rackwatt.collector.ingest.changes import watch_rows
from rackwatt.collector.ingest.hall_commands import hall_app
from rackwatt.collector.ingest.moving import HallState, UnknownHall, export_hall, import_hall
from rackwatt.collector.ingest.spool import Batch, Spool
from rackwatt.collector.ingest.state import SPOOL_FILE, SpoolLock
from rackwatt.collector.ingest.watch import AgentWatch, EpochWatch
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.ranges import Ranges

NUMBERS = st.lists(st.integers(1, 60), max_size=30)


def watch(received: list[int], lost: list[int], floor: int = 0, sent: int = 60) -> AgentWatch:
    made = AgentWatch("snmp-a", "hall-a", introduced=True)
    made.epochs[EPOCH] = EpochWatch(
        floor, Ranges((n, n) for n in received), Ranges((n, n) for n in lost), sent
    )
    return made


def state(*agents: AgentWatch, hall: str = "hall-a") -> HallState:
    return HallState(hall, START_MS, watch_rows(agents), [], [("r1-pdu", "snmp-a")])


async def spool_with(path: Path, *agents: AgentWatch) -> None:
    spool = Spool(path, max_bytes=10**9, clock=SYSTEM_CLOCK)
    await spool.start()
    try:
        if agents:
            await spool.append(Batch(watches=list(agents)))
    finally:
        await spool.aclose()


async def watches_of(path: Path) -> dict[str, AgentWatch]:
    spool = Spool(path, max_bytes=10**9, clock=SYSTEM_CLOCK)
    try:
        return {one.name: one for one in await spool.start()}
    finally:
        await spool.aclose()


async def adopt(path: Path, *states: HallState) -> None:
    spool = Spool(path, max_bytes=10**9, clock=SYSTEM_CLOCK)
    await spool.start()
    try:
        for one in states:
            await spool.adopt(lambda db, one=one: import_hall(db, one))  # type: ignore[misc]
    finally:
        await spool.aclose()


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
async def test_what_either_has_is_here_and_the_rest_is_asked_for(
    tmp_path_factory: pytest.TempPathFactory,
    mine: list[int],
    theirs: list[int],
    my_lost: list[int],
    their_lost: list[int],
) -> None:
    path = tmp_path_factory.mktemp("spool") / SPOOL_FILE
    await spool_with(path, watch(mine, my_lost, floor=7, sent=40))
    await adopt(path, state(watch(theirs, their_lost, floor=3, sent=60)))
    found = (await watches_of(path))["snmp-a"].epochs[EPOCH]
    assert set(numbers(found.received)) == {*mine, *theirs}
    assert set(numbers(found.lost)) == {*my_lost, *their_lost}
    assert (found.floor, found.sent_through) == (3, 60)
    left = {*range(4, 61)} - {*mine, *theirs, *my_lost, *their_lost}
    assert {n for low, high in found.open_ranges(60) for n in range(low, high + 1)} == left


def numbers(ranges: Ranges) -> list[int]:
    return [n for low, high in ranges for n in range(low, high + 1)]


async def test_what_is_exported_comes_in_as_it_was(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    other = AgentWatch("snmp-b", "hall-b", introduced=True)
    await spool_with(old, watch([1, 2, 5], [3]), other)
    exported = export_hall(old, "hall-a", START_MS)
    assert exported.messages() == 3
    again = msgspec.json.decode(msgspec.json.encode(exported), type=HallState)
    await spool_with(new)
    await adopt(new, again, again)  # twice is once
    assert watch_rows((await watches_of(new)).values()) == watch_rows([watch([1, 2, 5], [3])])


async def test_it_is_exported_while_the_collector_runs(tmp_path: Path) -> None:
    async with collector_kit(tmp_path / SPOOL_FILE) as kit:
        await kit.spool.append(Batch(watches=[watch([1], [])]))
        found = export_hall(tmp_path / SPOOL_FILE, "hall-a", START_MS)
        assert [row[0] for row in found.agents] == ["snmp-a"]
        with pytest.raises(UnknownHall, match="'hall-x'; halls in it: hall-a"):
            export_hall(tmp_path / SPOOL_FILE, "hall-x", START_MS)


async def test_doubts_of_a_clock_move_too(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    row = ("snmp-a", 90.0, json.dumps({EPOCH: [50, [[10, 20, 90.0]]]}))
    mine = ("snmp-a", 0.5, json.dumps({EPOCH: [60, [[55, 60, -80.0]]]}))
    for path, clock in ((old, row), (new, mine)):
        spool = Spool(path, max_bytes=10**9, clock=SYSTEM_CLOCK)
        await spool.start()
        await spool.append(Batch(watches=[watch([1], [])], clocks=[clock]))
        await spool.aclose()
    await adopt(new, export_hall(old, "hall-a", START_MS))
    spool = Spool(new, max_bytes=10**9, clock=SYSTEM_CLOCK)
    await spool.start()
    ((name, clock_),) = spool.remembered.clocks
    await spool.aclose()
    assert (name, clock_.offset) == ("snmp-a", 0.5)
    assert clock_.epochs[EPOCH].wrong == [(10, 20, 90.0), (55, 60, -80.0)]
    assert clock_.epochs[EPOCH].through == 60


# -- the commands --------------------------------------------------------------------------------


async def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    await spool_with(tmp_path / "a" / SPOOL_FILE, watch([1, 2], []))
    out = tmp_path / "hall-a.json"
    done = await run("export", "hall-a", "--data", tmp_path / "a", "--out", out)
    assert done == (0, f"{out}: 1 agents of hall-a, 2 messages known as taken\n")
    done = await run("import", out, "--data", tmp_path / "b")
    assert done == (0, f"{tmp_path / 'b'}: knows 1 agents of hall-a; start it with --hall hall-a\n")
    assert list(await watches_of(tmp_path / "b" / SPOOL_FILE)) == ["snmp-a"]


async def test_what_is_wrong_is_said_and_nothing_changed(tmp_path: Path) -> None:
    await spool_with(tmp_path / SPOOL_FILE, watch([1], []))
    code, text = await run("export", "hall-b", "--data", tmp_path, "--out", tmp_path / "x")
    assert code == 2
    assert "knows no agent of hall 'hall-b'; halls in it: hall-a" in text
    assert not (tmp_path / "x").exists()
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"hall": "hall-a", "halls": 1}', encoding="utf-8")
    code, text = await run("import", wrong, "--data", tmp_path / "new")
    assert code == 2
    assert "wrong.json is no file of 'rackwatt hall export'" in text
    assert not (tmp_path / "new").exists()
    code, text = await run("import", tmp_path / "none.json", "--data", tmp_path)
    assert (code, "No such file" in text) == (2, True)


async def test_a_running_collector_is_not_written_behind_its_back(tmp_path: Path) -> None:
    out = tmp_path / "hall-a.json"
    out.write_bytes(msgspec.json.encode(state(watch([1], []))))
    lock = SpoolLock(tmp_path / SPOOL_FILE)
    try:
        code, text = await run("import", out, "--data", tmp_path)
    finally:
        lock.release()
    assert code == 1
    assert "is in use by a collector" in text


async def run(*arguments: object) -> tuple[int, str]:
    """In a thread: the commands have a loop of their own."""
    given = [str(one) for one in arguments]
    done = await asyncio.to_thread(CliRunner().invoke, hall_app, given)
    return done.exit_code, done.output

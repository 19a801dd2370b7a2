# SPDX-License-Identifier: Apache-2.0
"""The outbox: durable, numbered, bounded, and honest about what it has sent."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import reading_of
from rackwatt.wire.outbox import _MAX_EPOCHS, Outbox, Stored
from rackwatt.wire.readings import Kind, Reading
from rackwatt.wire.sample import Sample
from rackwatt.wire.status import EpochState, Status

KEEP = 3600.0


@asynccontextmanager
async def opened(path: Path, clock: ManualClock, max_bytes: int = 10**9) -> AsyncIterator[Outbox]:
    outbox = Outbox(path, keep_seconds=KEEP, max_bytes=max_bytes, clock=clock)
    await outbox.start()
    try:
        yield outbox
    finally:
        await outbox.aclose()


def message(clock: ManualClock, watts: float = 1.0) -> tuple[Kind, int, list[Reading]]:
    time = clock.now_ms()
    return "power", time, [reading_of(Sample("power", "m1", {"power_watts": watts}), time)]


async def put(outbox: Outbox, clock: ManualClock, count: int) -> list[Stored]:
    return await outbox.put([message(clock, float(n)) for n in range(count)])


def state(outbox: Outbox, epoch: int | None = None) -> EpochState:
    wanted = outbox.epoch if epoch is None else epoch
    return next(item for item in outbox.states() if item.epoch == wanted)


async def test_messages_are_numbered_from_one_and_kept_as_they_are_sent(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "o.db", clock) as outbox:
        first = await put(outbox, clock, 2)
        second = await put(outbox, clock, 1)
        assert [item.seq for item in first + second] == [1, 2, 3]
        assert json.loads(second[0].payload)["seq"] == 3
        assert await outbox.fetch(outbox.epoch, (2, 9)) == [first[1], *second]
        assert state(outbox) == EpochState(epoch=outbox.epoch, oldest=1, last=3, sent_through=0)
        assert outbox.size_bytes == sum(len(item.payload) for item in first + second)
        assert await outbox.put([]) == []


async def test_sent_through_is_what_was_sent_without_a_gap(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "o.db", clock) as outbox:
        items = await put(outbox, clock, 5)
        for index, through in ((1, 0), (0, 2), (4, 2), (2, 3), (3, 5)):
            outbox.acknowledged(items[index])
            assert state(outbox).sent_through == through


async def test_unsent_names_the_oldest_first_and_no_more_than_asked(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "o.db", clock) as outbox:
        items = await put(outbox, clock, 8)
        for index in (0, 3, 4):
            outbox.acknowledged(items[index])
        epoch = outbox.epoch
        assert outbox.unsent(99) == [(epoch, (2, 3)), (epoch, (6, 8))]
        assert outbox.unsent(3) == [(epoch, (2, 3)), (epoch, (6, 6))]
        assert outbox.unsent(0) == []


async def test_a_restart_keeps_everything_and_opens_a_new_epoch(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "o.db", clock) as outbox:
        old = outbox.epoch
        items = await put(outbox, clock, 3)
        outbox.acknowledged(items[0])
    async with opened(tmp_path / "o.db", clock) as outbox:  # the same millisecond
        assert outbox.epoch > old
        assert await outbox.fetch(old, (1, 9)) == items
        assert state(outbox, old) == EpochState(epoch=old, oldest=1, last=3, sent_through=1)
        assert outbox.unsent(9) == [(old, (2, 3))]
        (new,) = await put(outbox, clock, 1)
        assert (new.epoch, new.seq) == (outbox.epoch, 1)


async def test_epochs_grow_even_when_the_clock_steps_back(tmp_path: Path) -> None:
    clock = ManualClock()
    epochs: list[int] = []
    for _ in range(3):
        async with opened(tmp_path / "o.db", clock) as outbox:
            await put(outbox, clock, 1)
            epochs.append(outbox.epoch)
        clock.advance(-600.0)
    assert epochs == sorted(set(epochs))


async def test_a_kill_loses_nothing_that_was_put(tmp_path: Path) -> None:
    clock = ManualClock()
    outbox = Outbox(tmp_path / "o.db", keep_seconds=KEEP, max_bytes=10**9, clock=clock)
    await outbox.start()
    items = await put(outbox, clock, 3)
    for file in tmp_path.glob("o.db*"):  # what a killed process leaves on the disk
        shutil.copy(file, tmp_path / file.name.replace("o.db", "killed.db"))
    async with opened(tmp_path / "killed.db", clock) as after:
        assert await after.fetch(outbox.epoch, (1, 9)) == items
    await outbox.aclose()


@pytest.mark.parametrize("step", [0.0, 60.0, -60.0])
async def test_copies_that_were_restored_speak_in_epochs_of_their_own(
    tmp_path: Path, step: float
) -> None:
    """Whatever the clock says, and though all start in the same millisecond."""
    clock = ManualClock()
    async with opened(tmp_path / "o.db", clock) as outbox:
        old = outbox.epoch
        await put(outbox, clock, 2)
    clock.advance(step)
    epochs: set[int] = set()
    for number in range(6):
        copy = Path(shutil.copy(tmp_path / "o.db", tmp_path / f"copy{number}.db"))
        async with opened(copy, clock) as outbox:
            epochs.add(outbox.epoch)
    assert len(epochs) > 1
    assert min(epochs) > old


async def test_a_new_message_is_never_taken_for_backlog(tmp_path: Path) -> None:
    """Else the sender would send it twice: once as backlog, once as the live message."""
    clock = ManualClock()
    async with opened(tmp_path / "o.db", clock) as outbox:
        for number in range(1, 20):
            putting = asyncio.ensure_future(put(outbox, clock, 1))
            while not putting.done():
                assert outbox.unsent(9) == []
                await asyncio.sleep(0)
            (item,) = putting.result()
            assert item.seq == number
            outbox.acknowledged(item)


async def test_what_is_too_old_goes_first_and_is_counted_when_unsent(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "o.db", clock) as outbox:
        items = await put(outbox, clock, 3)
        outbox.acknowledged(items[0])
        clock.advance(KEEP + 1)
        await put(outbox, clock, 1)
        assert state(outbox) == EpochState(epoch=outbox.epoch, oldest=4, last=4, sent_through=3)
        assert outbox.evicted == 2
        assert await outbox.fetch(outbox.epoch, (1, 3)) == []
        assert outbox.unsent(9) == [(outbox.epoch, (4, 4))]


async def test_a_full_outbox_lets_the_oldest_go(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "o.db", clock) as outbox:
        size = len((await put(outbox, clock, 1))[0].payload)
    async with opened(tmp_path / "o.db", clock, max_bytes=4 * size + 2) as outbox:
        for _ in range(10):
            await put(outbox, clock, 1)
            assert outbox.size_bytes <= 4 * size + 2
        assert state(outbox).oldest == 7
        rows = await outbox.fetch(outbox.epoch, (1, 99))
        assert outbox.size_bytes == sum(len(row.payload) for row in rows)


async def test_an_emptied_epoch_says_until_the_next_start_what_went_with_it(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "o.db", clock) as outbox:
        old = outbox.epoch
        await put(outbox, clock, 3)
    clock.advance(KEEP + 1)
    async with opened(tmp_path / "o.db", clock) as outbox:
        await put(outbox, clock, 1)
        assert state(outbox, old) == EpochState(epoch=old, oldest=4, last=3, sent_through=3)
    async with opened(tmp_path / "o.db", clock) as outbox:
        assert old not in {item.epoch for item in outbox.states()}


async def test_an_agent_that_restarts_all_day_can_still_say_its_status(tmp_path: Path) -> None:
    clock = ManualClock()
    path = tmp_path / "o.db"
    async with opened(path, clock) as outbox:
        (item,) = await put(outbox, clock, 1)
    with sqlite3.connect(path) as db:
        for epoch in range(1, 1201):
            row = (epoch, 1, clock.now_ms(), "power", item.payload)
            db.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", row)
            db.execute("INSERT INTO epochs VALUES (?, 1, 0)", (epoch,))
    db.close()
    async with opened(path, clock) as outbox:
        states = outbox.states()
        assert len(states) == _MAX_EPOCHS
        assert {item.epoch, outbox.epoch} <= {state.epoch for state in states}
        Status(state="online", session=1, time=1, epochs=states)
        assert outbox.evicted == 1202 - _MAX_EPOCHS
        assert await outbox.fetch(1, (1, 1)) == []
        assert outbox.size_bytes == (_MAX_EPOCHS - 1) * len(item.payload)


async def test_a_request_is_cut_to_what_is_there(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "o.db", clock) as outbox:
        await put(outbox, clock, 3)
        clock.advance(KEEP + 1)
        await put(outbox, clock, 2)
        epoch = outbox.epoch
        assert outbox.kept(epoch, [(1, 2), (3, 4), (5, 2**53 - 1), (9, 8)]) == [(4, 4), (5, 5)]
        assert outbox.kept(epoch + 1, [(1, 9)]) == []


async def test_what_could_not_be_kept_uses_up_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "o.db", clock) as outbox:
        await put(outbox, clock, 1)
        with monkeypatch.context() as patch:

            async def fail(_: object) -> None:
                raise sqlite3.OperationalError("database or disk is full")

            patch.setattr(outbox._writer, "run", fail)
            with pytest.raises(sqlite3.OperationalError):
                await put(outbox, clock, 1)
        assert [item.seq for item in await put(outbox, clock, 1)] == [2]


async def test_an_unknown_message_can_be_acknowledged(tmp_path: Path) -> None:
    async with opened(tmp_path / "o.db", ManualClock()) as outbox:
        outbox.acknowledged(Stored(1, 1, "power", b""))


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "o.db").write_bytes(b"no database at all, but long enough to look like one" * 40)
    outbox = Outbox(tmp_path / "o.db", keep_seconds=1, max_bytes=1, clock=ManualClock())
    with pytest.raises(sqlite3.DatabaseError):
        await outbox.start()

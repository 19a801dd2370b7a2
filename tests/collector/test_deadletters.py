# SPDX-License-Identifier: Apache-2.0
"""Dead letters: replayed once, dropped once, whatever crashes; never lost, never twice."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from collector.bench import EPOCH, ROOT, Bench, message, received, status
from doubles import FakePlaces, Running, until

from rackwatt.collector.ingest import deadletters, orders
from rackwatt.collector.ingest.advice import ADVICE, advice
from rackwatt.collector.ingest.deadletters import Choice, DeadLetter, Outcome
from rackwatt.collector.ingest.orders import LetterOrders, open_orders
from rackwatt.collector.ingest.spool import DROPPED, EVICTED, REPLAYED, Batch
from rackwatt.collector.store.base import Row, StoreUnavailable, WriteResult
from rackwatt.collector.store.letters import from_payload, to_payload
from rackwatt.wire import codec
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.codec import Reason
from rackwatt.wire.readings import FIELDS

FAR = "rackwatt/v1/demo/hall-c/snmp-c/power"
ROW = Row("power", (("device", "m1"), ("site", "demo")), {"power_watts": 1.5, "text": "x"}, 5)


class Shelf:
    """A store that takes rows, or does not."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.away = False
        self.refuses = ""

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        if self.away:
            raise StoreUnavailable("away")
        if self.refuses:
            return WriteResult(0, tuple((row, self.refuses) for row in rows))
        self.rows += rows
        return WriteResult(len(rows))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = await Bench(tmp_path / "spool.db").start()
    yield made
    await made.spool.aclose()


def carrier(bench: Bench, store: Shelf | None = None) -> LetterOrders:
    return LetterOrders(bench.spool, bench.ingest, store, bench.clock)


async def ask(
    bench: Bench, action: deadletters.Action = "replay", store: Shelf | None = None
) -> Outcome:
    """An order for all letters, carried out."""
    numbers = [item.id for item in deadletters.choose(bench.path, Choice())]
    number = deadletters.place_order(bench.path, action, numbers, 1)
    await carrier(bench, store).carry_out()
    order = deadletters.look_up(bench.path, number)
    assert order is not None
    assert order.state == "done"
    return order.outcome


async def test_a_corrected_site_file_brings_a_message_back(bench: Bench) -> None:
    bad = message(1, topic=FAR)
    await bench.take(bad)
    assert (await ask(bench)).refused == 1
    assert await bench.kept() == []
    places = FakePlaces(halls_ids=("hall-a", "hall-c"))
    bench.ingest.checks.places = places  # as after a restart with the new file
    assert await ask(bench) == Outcome(replayed=1)
    assert await bench.kept() == [(bad.topic, bad.payload)]
    assert bench.letters() == []
    assert bench.spool.deadletters == 0
    assert bench.spool.tallies[REPLAYED] == 1
    agent = bench.ingest.watch.get("snmp-c")
    assert agent is not None
    assert 1 in agent.epochs[EPOCH].received


async def test_it_keeps_the_time_at_which_it_came(bench: Bench) -> None:
    await bench.take(message(1, topic=FAR))
    came = bench.clock.now_ms()
    bench.clock.advance(5000.0)
    bench.ingest.checks.places = FakePlaces(halls_ids=("hall-c",))
    await ask(bench)
    (record,) = await bench.spool.read(0, 9)
    assert record.received_ms == came


async def test_what_came_otherwise_meanwhile_is_not_kept_twice(bench: Bench) -> None:
    bad = message(1, topic=FAR)
    await bench.take(bad)
    bench.ingest.checks.places = FakePlaces(halls_ids=("hall-c",))
    await bench.take(bad)
    assert await ask(bench) == Outcome(replayed=1)
    assert len(await bench.kept()) == 1
    assert bench.ingest.counts.duplicates == 0


async def test_an_upgrade_brings_a_field_back_though_its_message_was_taken(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = message(1, {"device": "m1", "power_watts": 1.0, "flux_watts": 2.0})
    await bench.take(newer)
    assert dict(bench.letters()) == {"unknown_field": "m1: 'flux_watts'"}
    outcome = await ask(bench)
    assert (outcome.refused, outcome.why) == (1, {"m1: 'flux_watts'": 1})
    assert len(await bench.kept()) == 1
    power = {**FIELDS["power"], "flux_watts": FIELDS["power"]["power_watts"]}
    monkeypatch.setattr(codec, "FIELDS", {**FIELDS, "power": power})
    assert await ask(bench) == Outcome(replayed=1)
    assert len(await bench.kept()) == 2
    assert bench.letters() == []


async def test_a_replay_counts_no_reject_and_no_life(bench: Bench) -> None:
    await bench.take(status(0), message(1, {"device": "m1", "power_watts": -1}))
    agent = bench.ingest.watch.get("snmp-a")
    assert agent is not None
    seen = agent.last_seen_ms
    bench.clock.advance(100.0)
    await bench.take(received(f"{ROOT}/power", b"x"))
    seen, unreadable = agent.last_seen_ms, agent.unreadable
    assert (await ask(bench)).refused == 2
    assert bench.ingest.counts.rejected == {Reason.OUT_OF_RANGE: 1, Reason.UNREADABLE: 1}
    assert (agent.last_seen_ms, agent.unreadable) == (seen, unreadable)
    assert len(bench.letters()) == 2


async def test_a_conflict_that_is_over_is_replayed(bench: Bench) -> None:
    await bench.take(message(1))
    await bench.take(message(1, topic="rackwatt/v1/demo/site/meters/power"))
    assert (await ask(bench)).refused == 1
    bench.clock.advance(601.0)
    assert await ask(bench) == Outcome(replayed=1)
    assert len(await bench.kept()) == 2


async def test_a_status_and_half_a_payload_are_not_replayed(bench: Bench) -> None:
    huge = received(FAR, b"x" * 2_000_000)
    bench.ingest.checks.places = FakePlaces(halls_ids=("hall-c",))
    await bench.take(received(f"{ROOT}/status", b"{}"), huge)
    outcome = await ask(bench)
    assert outcome.refused == 2
    assert sorted(why.split()[0] for why in outcome.why) == ["a", "it"]


# -- rows of the store --------------------------------------------------------------------------


async def refused_row(bench: Bench) -> None:
    letter = DeadLetter(1, "power", to_payload(ROW), Reason.REFUSED_BY_STORE, "conflict")
    await bench.spool.append(Batch(deadletters=[letter]))


async def test_a_row_that_was_refused_is_written_again(bench: Bench) -> None:
    assert from_payload(to_payload(ROW)) == ROW
    await refused_row(bench)
    store = Shelf()
    store.refuses = "still a conflict"
    assert (await ask(bench, store=store)).why == {"still a conflict": 1}
    store.refuses = ""
    assert await ask(bench, store=store) == Outcome(replayed=1)
    assert store.rows == [ROW]
    assert bench.letters() == []


async def test_rows_wait_for_their_store_and_messages_do_not_wait_for_rows(bench: Bench) -> None:
    await refused_row(bench)
    await bench.take(message(1, topic=FAR))
    bench.ingest.checks.places = FakePlaces(halls_ids=("hall-c",))
    number = deadletters.place_order(bench.path, "replay", [1, 2], 1)
    await carrier(bench).carry_out()
    order = deadletters.look_up(bench.path, number)
    assert order is not None
    assert (order.state, list(order.letters), order.outcome.replayed) == ("waiting", [1], 1)
    store = Shelf()
    store.away = True
    with pytest.raises(StoreUnavailable):
        await carrier(bench, store).carry_out()
    store.away = False
    await carrier(bench, store).carry_out()
    order = deadletters.look_up(bench.path, number)
    assert order is not None
    assert (order.state, order.outcome) == ("done", Outcome(replayed=2))


async def test_a_row_of_an_older_version_stays(bench: Bench) -> None:
    letter = DeadLetter(1, "power", b"(('a', 'b'),)", Reason.REFUSED_BY_STORE, "conflict")
    await bench.spool.append(Batch(deadletters=[letter]))
    assert (await ask(bench, store=Shelf())).refused == 1
    assert len(bench.letters()) == 1


# -- once ---------------------------------------------------------------------------------------


async def test_an_order_that_was_cut_off_goes_on_and_takes_nothing_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "_AT_ONCE", 2)
    await bench.take(*(message(n, topic=FAR) for n in range(1, 8)))
    bench.ingest.checks.places = FakePlaces(halls_ids=("hall-c",))
    number = deadletters.place_order(bench.path, "replay", range(1, 8), 1)
    real, calls = bench.spool.append, 0

    async def append(batch: Batch) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt  # the process ends here
        await real(batch)

    monkeypatch.setattr(bench.spool, "append", append)
    with pytest.raises(KeyboardInterrupt):
        await carrier(bench).carry_out()
    after = await Bench(bench.path).start()
    after.ingest.checks.places = FakePlaces(halls_ids=("hall-c",))
    assert len(await after.kept()) == 4
    await carrier(after).carry_out()
    assert len(await after.kept()) == 7
    order = deadletters.look_up(bench.path, number)
    assert order is not None
    assert (order.state, order.outcome) == ("done", Outcome(replayed=7))
    await after.spool.aclose()


async def test_two_orders_for_one_letter_take_it_once(bench: Bench) -> None:
    await bench.take(message(1, topic=FAR))
    bench.ingest.checks.places = FakePlaces(halls_ids=("hall-c",))
    first, second = (deadletters.place_order(bench.path, "replay", [1], 1) for _ in range(2))
    await carrier(bench).carry_out()
    found = [deadletters.look_up(bench.path, number) for number in (first, second)]
    assert [order and order.outcome for order in found] == [Outcome(replayed=1), Outcome(gone=1)]
    assert len(await bench.kept()) == 1


async def test_a_running_collector_sees_an_order_within_a_second(bench: Bench) -> None:
    bench.clock = SYSTEM_CLOCK  # type: ignore[assignment]
    await bench.take(message(1, topic=FAR))
    async with Running(carrier(bench).run()):
        begun = asyncio.get_running_loop().time()
        number = deadletters.place_order(bench.path, "drop", [1], 1)
        await until(lambda: bench.spool.deadletters == 0)
        assert asyncio.get_running_loop().time() - begun < 1.0
    order = deadletters.look_up(bench.path, number)
    assert order is not None
    assert order.outcome == Outcome(dropped=1)
    assert bench.spool.tallies[DROPPED] == 1


async def test_drops_are_counted_over_restarts(bench: Bench) -> None:
    await bench.take(*(message(n, topic=FAR) for n in range(1, 4)))
    assert await ask(bench, "drop") == Outcome(dropped=3)
    after = await Bench(bench.path).start()
    assert (after.spool.tallies[DROPPED], after.spool.deadletters) == (3, 0)
    await after.spool.aclose()


async def test_without_a_collector_a_command_does_it_and_without_a_site_only_drops(
    tmp_path: Path,
) -> None:
    path = tmp_path / "spool.db"
    bench = await Bench(path).start()
    await bench.take(message(1, topic=FAR), message(2, topic=FAR))
    await bench.spool.aclose()
    deadletters.place_order(path, "replay", [1], 1)
    deadletters.place_order(path, "drop", [2], 1)
    async with open_orders(path, None, bench.clock) as carrier:
        await carrier.carry_out()
    assert [item.id for item in deadletters.choose(path, Choice())] == [1]
    async with open_orders(path, FakePlaces(halls_ids=("hall-c",)), bench.clock) as carrier:
        await carrier.carry_out()
    after = await Bench(path).start()
    assert len(await after.kept()) == 1
    assert after.letters() == []
    await after.spool.aclose()


# -- bounds -------------------------------------------------------------------------------------


async def test_letters_are_bounded_in_bytes_and_what_goes_is_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadletters, "MAX_DEADLETTER_BYTES", 2500)
    letters = [DeadLetter(n, FAR, b"x" * 1000, Reason.UNREADABLE, "") for n in range(5)]
    await bench.spool.append(Batch(deadletters=letters))
    await bench.spool.trim()
    assert [item.received_ms for item in deadletters.choose(bench.path, Choice())] == [3, 4]
    assert (bench.spool.deadletters, bench.spool.tallies[EVICTED]) == (2, 3)
    after = await Bench(bench.path).start()
    assert (after.spool._letter_bytes, after.spool.tallies[EVICTED]) == (2000, 3)
    await after.spool.aclose()


def test_there_is_advice_for_every_reason() -> None:
    assert ADVICE.keys() == set(Reason)
    assert "release notes" in advice("from_the_future")


def test_an_outcome_survives_its_text() -> None:
    outcome = Outcome(1, 2, 3, 4, {"é": 2})
    assert Outcome(**json.loads(outcome.text())) == outcome
    assert outcome.plus(Outcome(why={"é": 1})).why == {"é": 3}


async def test_a_choice_takes_all_that_is_not_ruled_out(bench: Bench) -> None:
    await bench.take(message(1, topic=FAR), received(f"{ROOT}/power", b"x"), received("t", b""))

    def ids(choice: Choice) -> list[int]:
        return [item.id for item in deadletters.choose(bench.path, choice)]

    assert ids(Choice()) == [1, 2, 3]
    assert ids(Choice(numbers=(2, 9))) == [2]
    assert ids(Choice(reason="wrong_hall")) == [1]
    assert ids(Choice(agent="snmp-a")) == [2]
    assert ids(Choice(agent="")) == [3]
    assert ids(Choice(since_ms=bench.clock.now_ms() + 1)) == []
    with pytest.raises(sqlite3.Error):
        deadletters.choose(bench.path.with_name("none.db"), Choice())

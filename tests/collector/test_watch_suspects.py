# SPDX-License-Identifier: Apache-2.0
"""Of tens of thousands of agents only those are looked at that may miss something."""

from rackwatt.collector.ingest.replays import Replays
from rackwatt.collector.ingest.watch import Backfill, GapWatch, Taken
from rackwatt.wire.status import EpochState, Status

EPOCH = 1_790_000_000_000 * 4096
EVERYTHING = Backfill(None)


def told(watch: GapWatch, name: str, sent: int, now: float, *, oldest: int = 1) -> int:
    epoch = EpochState(epoch=EPOCH, oldest=oldest, last=max(sent, oldest - 1), sent_through=sent)
    status = Status(state="online", session=1, time=1, epochs=(epoch,))
    return len(watch.status(name, "h", status, now, EVERYTHING))


def names(watch: GapWatch, now: float, most: int = 100) -> list[str]:
    return [agent.name for agent in watch.suspects(now, most)]


def test_who_has_sent_what_is_not_here_is_looked_at_until_it_is() -> None:
    watch = GapWatch()
    for name in ("a", "b"):
        watch.agent(name, "h").take(EPOCH, 1)
        told(watch, name, 1, 0.0)
    assert names(watch, 100.0) == []
    told(watch, "a", 2, 100.0)
    assert names(watch, 101.0) == ["a"]
    assert (watch.agent("a", "h").missing(), watch.of_note()[0].name) == (0, "a")
    assert names(watch, 130.0) == ["a"]
    assert watch.agent("a", "h").missing() == 1
    assert watch.agent("a", "h").take(EPOCH, 2) is Taken.RECOVERED
    assert names(watch, 131.0) == []
    assert watch.of_note() == []


def test_all_get_their_turn_when_there_are_many() -> None:
    watch = GapWatch()
    for number in range(10):
        told(watch, f"a{number}", 3, 0.0)
    seen = [name for turn in range(4) for name in names(watch, 31.0 + turn, 3)]
    assert sorted(set(seen)) == [f"a{number}" for number in range(10)]
    asks, _ = Replays(watch, 1).plan(40.0, 0.0)
    assert {ask.agent for ask in asks} == {f"a{number}" for number in range(10)}


def test_who_has_lost_something_is_of_note_also_after_a_restart() -> None:
    watch = GapWatch()
    assert told(watch, "a", 9, 0.0) == 0
    assert told(watch, "a", 9, 1.0, oldest=5) == 1
    assert told(watch, "b", 9, 0.0) == 0
    watch.agent("a", "h").epochs[EPOCH].received.add(5, 9)
    watch.agent("b", "h").epochs[EPOCH].received.add(1, 9)
    assert names(watch, 31.0) == []
    assert [agent.name for agent in watch.of_note()] == ["a"]
    again = GapWatch()
    again.restore(list(watch))
    assert [agent.name for agent in again.of_note()] == ["a"]


def test_what_was_taken_in_order_is_new_again_or_beyond_what_can_be_kept() -> None:
    agent = GapWatch().agent("a", "h")
    assert [agent.take(EPOCH, seq) for seq in (1, 2, 2, 1, 4, 3)] == [
        Taken.NEW, Taken.NEW, Taken.AGAIN, Taken.AGAIN, Taken.NEW, Taken.NEW,
    ]  # fmt: skip
    for seq in range(10, 2100, 2):
        taken = agent.take(EPOCH, seq)
    assert taken is Taken.NO_ROOM
    assert agent.take(EPOCH, 5) is Taken.NEW

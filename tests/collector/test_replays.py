# SPDX-License-Identifier: Apache-2.0
"""The policy of replay requests: who is asked, how much, how often, and when to give up."""

import itertools
from random import Random

from rackwatt.collector.ingest.replays import (
    OPEN_REQUESTS,
    REQUEST_MESSAGES,
    SPOOL_FULL_RATIO,
    UNREADABLE_TRIES,
    Ask,
    Replays,
)
from rackwatt.collector.ingest.watch import AgentWatch, Backfill, GapWatch, Loss, LossReason
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.status import EpochState, Status

E1, E2 = 1_000_000, 2_000_000


def told(watch: GapWatch, name: str, sent: int, *, state: str = "online", epoch: int = E1) -> None:
    epochs = [EpochState(epoch=number, oldest=1, last=sent, sent_through=sent)
              for number in sorted({E1, epoch})]  # fmt: skip
    status = Status.model_validate(
        {"state": state, "session": 2 if state == "online" else 3, "time": 1, "epochs": epochs}
    )
    watch.status(name, "hall-a", status, 0.0, Backfill(None))


def setup(*names: str, sent: int = 5) -> tuple[GapWatch, Replays]:
    watch = GapWatch()
    for name in names or ("a",):
        told(watch, name, sent)
    backoff = lambda: Backoff(20.0, 600.0, Random(1))  # noqa: E731, S311
    return watch, Replays(watch, 1000, backoff)


def agent(watch: GapWatch, name: str = "a") -> AgentWatch:
    found = watch.get(name)
    assert found is not None
    return found


def asks(replays: Replays, now: float, ratio: float = 0.0) -> list[Ask]:
    return replays.plan(now, ratio)[0]


def test_nothing_is_asked_before_the_grace_has_passed() -> None:
    _, replays = setup()
    assert asks(replays, 29.0) == []
    (ask,) = asks(replays, 30.0)
    assert (ask.agent, ask.hall) == ("a", "hall-a")
    assert (ask.request.epoch, ask.request.ranges) == (E1, ((1, 5),))
    assert ask.request.request > 1000


def test_one_request_is_open_per_agent_until_it_is_answered() -> None:
    watch, replays = setup()
    agent(watch).receive(E1, 3)
    assert [ask.request.ranges for ask in asks(replays, 30.0)] == [((1, 2), (4, 5))]
    assert asks(replays, 31.0) == []
    for seq in (1, 2, 4, 5):
        agent(watch).receive(E1, seq)
    assert asks(replays, 32.0) == []
    assert replays.open == 0


def test_a_request_is_repeated_with_growing_waits_though_live_messages_come() -> None:
    watch, replays = setup()
    times: list[float] = []
    numbers: list[int] = []
    for second in range(30, 3000):
        agent(watch).receive(E1, 1000 + second)  # the agent works, but does not answer
        for ask in asks(replays, float(second)):
            times.append(second)
            numbers.append(ask.request.request)
            assert ask.request.ranges == ((1, 5),)
    waits = [b - a for a, b in itertools.pairwise(times)]
    assert waits[0] <= 21
    assert waits[5] > 250
    assert max(waits) <= 601
    assert numbers == sorted(set(numbers))


def test_progress_starts_the_waits_anew() -> None:
    watch, replays = setup(sent=50)
    now, seq = 30.0, 1
    for _ in range(8):
        (ask,) = asks(replays, now)
        assert ask.request.ranges == ((seq, 50),)
        agent(watch).receive(E1, seq)
        seq += 1
        assert asks(replays, now + 9.0) == []
        now += 21.0


def test_a_large_gap_is_asked_for_in_parts_the_oldest_first() -> None:
    watch, replays = setup(sent=3 * REQUEST_MESSAGES)
    (ask,) = asks(replays, 30.0)
    assert ask.request.ranges == ((1, REQUEST_MESSAGES),)
    agent(watch).epochs[E1].received.add(1, REQUEST_MESSAGES)
    (ask,) = asks(replays, 31.0)
    assert ask.request.ranges == ((REQUEST_MESSAGES + 1, 2 * REQUEST_MESSAGES),)


def test_many_small_gaps_fit_into_one_request() -> None:
    watch, replays = setup(sent=6000)
    for seq in range(2, 6001, 2):
        agent(watch).receive(E1, seq)
    (ask,) = asks(replays, 30.0)
    assert len(ask.request.ranges) == 1000


def test_the_older_epoch_comes_first() -> None:
    watch, replays = setup()
    told(watch, "a", 5, epoch=E2)
    (ask,) = asks(replays, 30.0)
    assert ask.request.epoch == E1
    agent(watch).epochs[E1].received.add(1, 5)
    (ask,) = asks(replays, 31.0)
    assert ask.request.epoch == E2


def test_a_restart_of_a_broker_is_no_storm() -> None:
    names = [f"n{n}" for n in range(OPEN_REQUESTS + 20)]
    watch, replays = setup(*names)
    first = asks(replays, 30.0)
    assert len(first) == OPEN_REQUESTS == replays.open
    for ask in first[:15]:
        agent(watch, ask.agent).epochs[E1].received.add(1, 5)
    assert len(asks(replays, 31.0)) == 15
    assert asks(replays, 32.0) == []


def test_those_who_do_not_answer_hold_up_no_one() -> None:
    names = [f"n{n}" for n in range(OPEN_REQUESTS + 20)]
    _, replays = setup(*names)
    asked = {ask.agent for now in (30.0, 51.0, 52.0) for ask in asks(replays, now)}
    assert asked == set(names)


def test_those_who_are_away_are_not_asked_and_hold_up_no_one() -> None:
    names = [f"n{n}" for n in range(OPEN_REQUESTS)]
    watch, replays = setup(*names, "late")
    assert len(asks(replays, 30.0)) == OPEN_REQUESTS
    for name in names:
        told(watch, name, 5, state="offline")
    assert [ask.agent for ask in asks(replays, 31.0)] == ["late"]
    assert asks(replays, 1000.0)[0].agent == "late"


def test_nothing_is_asked_while_the_spool_is_half_full() -> None:
    _, replays = setup()
    assert asks(replays, 30.0, SPOOL_FULL_RATIO + 0.01) == []
    assert len(asks(replays, 31.0, SPOOL_FULL_RATIO)) == 1
    assert asks(replays, 500.0, 0.9) == []


def test_what_comes_three_times_unreadable_is_given_up() -> None:
    watch, replays = setup()
    for seq in (1, 2, 4, 5):
        agent(watch).receive(E1, seq)
    now, asked = 30.0, 0
    while True:
        found, losses = replays.plan(now, 0.0)
        asked += len(found)
        if losses:
            break
        agent(watch).unreadable += len(found)
        now += 1.0
        assert now < 3000
    assert asked == UNREADABLE_TRIES
    (loss,) = losses
    assert (loss.epoch, loss.low, loss.high, loss.reason) == (E1, 3, 3, LossReason.UNREADABLE)
    assert replays.plan(now + 1, 0.0) == ([], [])
    assert replays.open == 0


def test_only_as_many_as_came_unreadable_are_given_up() -> None:
    watch, replays = setup()
    losses: list[Loss] = []
    now = 30.0
    while not losses:
        found, losses = replays.plan(now, 0.0)
        agent(watch).unreadable += 2 * len(found)
        now += 1.0
    assert [(loss.low, loss.high) for loss in losses] == [(1, 2)]


def test_nothing_is_given_up_while_nothing_can_be_asked() -> None:
    watch, replays = setup()
    assert len(asks(replays, 30.0)) == 1
    agent(watch).unreadable += 1
    for second in range(31, 400):
        assert replays.plan(float(second), 0.9) == ([], [])
    told(watch, "a", 5, state="offline")
    for second in range(400, 800):
        assert replays.plan(float(second), 0.0) == ([], [])


def test_a_lost_range_is_not_asked_for() -> None:
    watch, replays = setup()
    agent(watch).close(E1, 2, 3, LossReason.EVICTED)
    (ask,) = asks(replays, 30.0)
    assert ask.request.ranges == ((1, 1), (4, 5))

# SPDX-License-Identifier: Apache-2.0
"""The gap watch: what is missing, when, and what is given up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.ingest.watch import (
    GONE_EPOCHS,
    GRACE_SECONDS,
    RIVAL_SECONDS,
    AgentWatch,
    Backfill,
    EpochWatch,
    GapWatch,
    Loss,
    LossReason,
)
from rackwatt.wire.ranges import Range
from rackwatt.wire.status import EpochState, Status

NOTHING = Backfill(0.0)
ALL = Backfill(None)
E1, E2, E3 = 1_000_000, 2_000_000, 3_000_000


def status(
    *epochs: tuple[int, int, int], session: int = 1, state: str = "online", time: int = 0
) -> Status:
    """Each epoch: its number, its oldest message, sent_through (= last)."""
    states = [
        EpochState(epoch=number, oldest=oldest, last=max(sent, oldest - 1), sent_through=sent)
        for number, oldest, sent in epochs
    ]
    return Status.model_validate(
        {"state": state, "session": session, "time": time, "epochs": states}
    )


def tell(
    watch: GapWatch, told: Status, now: float = 0.0, backfill: Backfill = NOTHING
) -> list[Loss]:
    return watch.status("a", "hall-a", told, now, backfill)


def agent(watch: GapWatch) -> AgentWatch:
    found = watch.get("a")
    assert found is not None
    return found


def missing(watch: GapWatch, epoch: int = E1) -> list[Range]:
    return agent(watch).epochs[epoch].missing()


def introduced(*epochs: tuple[int, int, int]) -> GapWatch:
    """A watch that has seen the agent before it sent anything."""
    watch = GapWatch()
    tell(watch, status((E1, 1, 0)))
    if epochs:
        tell(watch, status(*epochs))
    return watch


def test_what_was_sent_is_missing_after_the_grace_and_not_before() -> None:
    watch = introduced()
    tell(watch, status((E1, 1, 5)), now=100.0)
    agent(watch).receive(E1, 2)
    watch.age(100.0 + GRACE_SECONDS - 0.1)
    assert missing(watch) == []
    assert agent(watch).missing() == 0
    watch.age(100.0 + GRACE_SECONDS)
    assert missing(watch) == [(1, 1), (3, 5)]
    assert agent(watch).missing() == 4


def test_beats_that_say_more_do_not_put_off_what_is_due() -> None:
    watch = introduced()
    for beat in range(10):
        tell(watch, status((E1, 1, 10 * (beat + 1))), now=10.0 * beat)
    watch.age(90.0)
    assert missing(watch) == [(1, 70)]
    assert len(agent(watch).epochs[E1].pending) <= 4


def test_what_came_is_not_missing_and_comes_once() -> None:
    watch = introduced()
    assert [agent(watch).receive(E1, seq) for seq in (1, 2, 2, 1, 3)] == [
        True, True, False, False, True,
    ]  # fmt: skip
    tell(watch, status((E1, 1, 3)))
    watch.age(1e9)
    assert missing(watch) == []


def test_a_message_that_came_before_its_status_counts() -> None:
    watch = introduced()
    agent(watch).receive(E2, 1)
    tell(watch, status((E1, 1, 0), (E2, 1, 2)), now=0.0)
    watch.age(60.0)
    assert missing(watch, E2) == [(2, 2)]


# -- how far back ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "floor"), [(0.0, 90), (None, 10), (1800.0, 40), (7200.0, 10), (1.0, 90)]
)
def test_an_agent_never_seen_is_asked_as_far_back_as_told(
    seconds: float | None, floor: int
) -> None:
    """An epoch of an hour, 100 messages, 11 to 100 still kept, sent up to 90."""
    began_ms = 1_790_000_000_000
    epoch = began_ms * 4096 + 7
    told = Status(
        state="online",
        session=1,
        time=1,
        epochs=(EpochState(epoch=epoch, oldest=11, last=100, sent_through=90),),
    )
    watch = GapWatch()
    assert tell(watch, told, 0.0, Backfill(seconds, began_ms + 3_600_000)) == []
    watch.age(60.0)
    assert agent(watch).epochs[epoch].floor == floor
    assert missing(watch, epoch) == ([(floor + 1, 90)] if floor < 90 else [])


def test_a_new_epoch_of_a_known_agent_counts_from_its_first_message() -> None:
    watch = introduced((E1, 1, 5))
    tell(watch, status((E1, 1, 5), (E2, 1, 3), session=2))
    watch.age(60.0)
    assert missing(watch, E2) == [(1, 3)]


def test_the_floor_is_set_once() -> None:
    watch = GapWatch()
    tell(watch, status((E1, 1, 5)))
    tell(watch, status((E1, 1, 9)))
    watch.age(60.0)
    assert missing(watch) == [(6, 9)]


# -- which status counts --------------------------------------------------------------------


def test_the_will_of_an_older_session_is_ignored() -> None:
    watch = introduced((E1, 1, 5))
    tell(watch, status((E1, 1, 6), session=7))
    assert tell(watch, status((E1, 1, 0), session=6, state="offline", time=999)) == []
    assert agent(watch).online


def test_the_will_of_the_current_session_counts_though_its_time_is_old() -> None:
    watch = GapWatch()
    tell(watch, status((E1, 1, 5), session=7, time=5_000))
    tell(watch, status((E1, 1, 0), session=7, state="offline", time=1_000))
    assert not agent(watch).online
    assert agent(watch).epochs[E1].sent_through == 5


def test_a_session_that_has_ended_stays_ended() -> None:
    watch = GapWatch()
    tell(watch, status((E1, 1, 5), session=7))
    tell(watch, status((E1, 1, 5), session=7, state="offline"))
    tell(watch, status((E1, 1, 5), session=7))  # delivered late
    assert not agent(watch).online
    tell(watch, status((E1, 1, 5), session=8))
    assert agent(watch).online


def test_a_clock_that_steps_back_during_a_session_hides_nothing() -> None:
    watch = introduced()
    tell(watch, status((E1, 1, 1), time=9_000_000))
    tell(watch, status((E1, 1, 8), time=1_000), now=10.0)
    watch.age(60.0)
    assert missing(watch) == [(1, 8)]


def test_an_agent_that_starts_anew_with_its_clock_set_back_is_heard() -> None:
    watch = GapWatch()
    tell(watch, status((E1, 1, 5), session=9_000))
    tell(watch, status((E1, 1, 5), (E2, 1, 1), session=100))
    assert agent(watch).session == 100
    tell(watch, status((E1, 1, 5), session=9_000, state="offline"))  # of its life before
    assert agent(watch).online


def test_an_agent_that_was_put_back_is_believed_when_it_insists() -> None:
    watch = introduced((E3, 1, 5))  # begun while its clock was ahead; then its disk was put back
    restored = status((E1, 1, 9), (E2, 1, 4), session=7)
    for now in (100.0, 110.0, 129.0):
        tell(watch, restored, now)
        assert agent(watch).life == E3
    tell(watch, restored, 130.0)
    assert (agent(watch).life, agent(watch).session) == (E2, 7)
    assert E2 in agent(watch).epochs


def test_what_is_delivered_late_or_retained_is_not_taken_for_insisting() -> None:
    watch = introduced((E3, 1, 5))
    old, retained = status((E2, 1, 4), session=7), status((E1, 1, 4), session=8)
    for now in range(0, 100, 10):
        tell(watch, status((E2, 1, 4), session=7, state="offline"), float(now))
        watch.status("a", "hall-a", retained, float(now), NOTHING, retained=True)
    for _ in range(50):
        tell(watch, old, 100.0)
    assert agent(watch).life == E3


def test_a_restored_watch_takes_the_first_status_as_it_is() -> None:
    watch = GapWatch()
    restored = AgentWatch("a", "hall-a", introduced=True)
    restored.epochs[E1] = EpochWatch(floor=2, sent_through=6)
    restored.receive(E1, 3)
    watch.restore([restored])
    tell(watch, status((E1, 1, 6), session=4))
    assert agent(watch).online
    assert missing(watch) == []  # the grace starts anew: what is on its way is not missing
    watch.age(GRACE_SECONDS)
    assert missing(watch) == [(4, 6)]


# -- what is given up -----------------------------------------------------------------------


def test_what_the_agent_no_longer_holds_is_lost() -> None:
    watch = introduced((E1, 1, 5))
    agent(watch).receive(E1, 2)
    losses = tell(watch, status((E1, 5, 8)))
    assert losses == [
        Loss("a", E1, 1, 1, LossReason.EVICTED),
        Loss("a", E1, 3, 4, LossReason.EVICTED),
    ]
    assert [loss.count for loss in losses] == [1, 2]
    assert tell(watch, status((E1, 5, 8))) == []
    watch.age(60.0)
    assert missing(watch) == [(5, 8)]
    assert agent(watch).lost() == 3


def test_what_was_evicted_unsent_is_lost_too() -> None:
    watch = introduced((E1, 1, 2))
    agent(watch).receive(E1, 1)
    agent(watch).receive(E1, 2)
    assert tell(watch, status((E1, 10, 9))) == [Loss("a", E1, 3, 9, LossReason.EVICTED)]


def test_a_gap_that_no_status_told_of_is_lost_with_its_epoch_too() -> None:
    """What came after it proves it; of what nothing follows nobody can know."""
    watch = introduced((E1, 1, 2))
    for seq in (1, 2, 6):
        agent(watch).receive(E1, seq)
    assert tell(watch, status((E2, 1, 0))) == [Loss("a", E1, 3, 5, LossReason.EPOCH_GONE)]


def test_the_rest_of_a_queue_from_a_forgotten_epoch_makes_no_gap() -> None:
    watch = introduced((E1, 1, 5))
    for seq in range(1, 6):
        agent(watch).receive(E1, seq)
    assert tell(watch, status((E2, 1, 0))) == []
    agent(watch).receive(E1, 6)
    assert tell(watch, status((E2, 1, 0))) == []


def test_two_agents_of_one_name_are_noticed_when_they_take_turns() -> None:
    watch = introduced((E1, 1, 1))
    tell(watch, status((E2, 1, 1), session=11))
    assert agent(watch).rivals == 0  # it was started anew
    tell(watch, status((E1, 1, 2), session=12))
    assert agent(watch).rivals == 0  # or put back from a copy
    tell(watch, status((E2, 1, 2), session=11))
    assert agent(watch).rivals == 0  # said before
    tell(watch, status((E2, 1, 2), session=13))
    assert agent(watch).rivals == 1
    tell(watch, status((E2, 1, 2), session=14))
    assert agent(watch).rivals == 1  # its network broke
    assert agent(watch).life == E2


def test_an_epoch_that_is_gone_is_lost_and_then_forgotten() -> None:
    watch = introduced((E1, 1, 5), (E2, 1, 0))
    agent(watch).receive(E1, 4)
    losses = tell(watch, status((E2, 1, 0)))
    assert losses == [
        Loss("a", E1, 1, 3, LossReason.EPOCH_GONE),
        Loss("a", E1, 5, 5, LossReason.EPOCH_GONE),
    ]
    assert not agent(watch).receive(E1, 4)  # still known, should it come again
    lives = [E3 + life for life in range(GONE_EPOCHS)]
    for life in lives:
        tell(watch, status((life, 1, 0), session=life))
    assert set(agent(watch).epochs) == {E2, *lives}
    assert agent(watch).lost() == 4


def test_what_one_of_two_agents_does_not_list_is_not_given_up() -> None:
    watch = introduced((E1, 1, 9))
    agent(watch).receive(E1, 4)
    agent(watch).rivals_at = 100.0
    gone = status((E2, 1, 0))
    assert tell(watch, gone, now=100.0 + RIVAL_SECONDS - 1) == []
    assert tell(watch, status((E1, 1, 9)), now=100.0 + RIVAL_SECONDS) == []
    assert [loss.count for loss in tell(watch, gone, now=100.0 + RIVAL_SECONDS)] == [3, 5]


def test_an_epoch_whose_messages_come_before_its_status_is_not_forgotten() -> None:
    watch = introduced((E1, 1, 5))
    agent(watch).receive(E2, 1)
    tell(watch, status((E1, 1, 5), state="offline"))  # the will of its life before
    assert set(agent(watch).epochs) == {E1, E2}
    assert not agent(watch).receive(E2, 1)


def test_a_status_without_epochs_gives_nothing_up() -> None:
    watch = introduced((E1, 1, 5))
    assert tell(watch, status(state="offline")) == []
    assert not agent(watch).online


def test_the_watch_of_an_agent_that_restarts_for_years_stays_small() -> None:
    watch = introduced()
    for life in range(500):
        base = E1 + life
        tell(watch, status((base, 1, 3), (base + 1, 1, 1), session=life + 2))
    assert len(agent(watch).epochs) == 2 + GONE_EPOCHS


# -- laws -------------------------------------------------------------------------------------


@given(
    st.integers(0, 40),
    st.lists(st.integers(1, 40), max_size=60),
    st.integers(1, 41),
    st.integers(0, 40),
)
def test_here_lost_and_missing_share_out_what_was_sent(
    floor: int, received: list[int], oldest: int, sent: int
) -> None:
    watch = GapWatch()
    tell(watch, status((E1, 1, floor)))
    for seq in received:
        agent(watch).receive(E1, seq)
    losses = tell(watch, status((E1, oldest, max(sent, oldest - 1))))
    watch.age(60.0)
    lost = {seq for loss in losses for seq in range(loss.low, loss.high + 1)}
    due = {seq for low, high in missing(watch) for seq in range(low, high + 1)}
    through = max(sent, oldest - 1)
    asked = set(range(floor + 1, through + 1))
    assert lost.isdisjoint(due)
    assert lost | due == asked - set(received)
    assert all(seq < oldest for seq in lost)
    assert all(seq >= oldest for seq in due)

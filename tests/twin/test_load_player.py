# SPDX-License-Identifier: Apache-2.0
"""How the load generator plays: rate, numbers without holes, statuses, answers, broken lines."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import async_solipsism
import pytest
from doubles import LoopClock

from rackwatt.collector.site import site_of
from rackwatt.twin.load.bodies import Voice
from rackwatt.twin.load.campus import site_text
from rackwatt.twin.load.crew import crew
from rackwatt.twin.load.links import Link, Sent
from rackwatt.twin.load.player import LoadFailed, Plan, Player
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.codec import decode_envelope
from rackwatt.wire.config import Document
from rackwatt.wire.inventory import Inventory
from rackwatt.wire.replay import ReplayRequest
from rackwatt.wire.session import BrokerSettings
from rackwatt.wire.status import Status
from servers.fixtures import Mosquitto

SCALE = 0.004
BROKER = BrokerSettings(url="mqtt://127.0.0.1:1883")


class Line:
    """A connection that keeps what it is given, and acknowledges when told."""

    made: list["Line"]
    prompt = True

    def __init__(
        self,
        number: int,
        settings: BrokerSettings,
        name: str,
        topic: str,
        on_message: Callable[[str, bytes], None],
        on_connected: Callable[[int], None],
    ) -> None:
        self.number, self.topic = number, topic
        self.say, self.reborn = on_message, on_connected
        self.connections = 0
        self.free = True
        self.sent: list[tuple[float, str, bytes, bool]] = []
        self.waiting: list[Sent] = []
        self.closed = False
        self.made.append(self)

    @property
    def unacknowledged(self) -> int:
        return len(self.waiting)

    def connect(self) -> None:
        self.connections += 1

    def publish(self, topic: str, payload: bytes, sent: Sent, *, retain: bool = False) -> None:
        self.sent.append((asyncio.get_running_loop().time(), topic, payload, retain))
        self.waiting.append(sent)

    def turn(self) -> None:
        for voice, seq in self.waiting if self.prompt else ():
            if voice is not None:
                voice.sent_through = max(seq, voice.sent_through)
        if self.prompt:
            self.waiting.clear()

    def close(self) -> None:
        self.closed = True


def voices() -> list[Voice]:
    return crew(site_of(Document("campus.yaml", site_text(SCALE))), 1.0)


class Play:
    """A run in virtual time."""

    def __init__(self, seconds: float = 20.0, **options: Any) -> None:
        Line.made = []
        self.voices = voices()
        self.plan = Plan("campus", BROKER, 3, seconds, **options)
        self.after: Callable[[Player], Any] | None = None
        self.lines = Line.made
        self.said: list[str] = []

    def run(self) -> Player:
        with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
            runner.run(self._run())
        return self.player

    async def _run(self) -> None:
        self.player = Player(self.plan, self.voices, LoopClock(), self.said.append, Line)
        if self.after is None:
            await self.player.run()
            return
        playing = asyncio.create_task(self.player.run())
        await self.after(self.player)
        await playing

    def sent(self, last: tuple[str, ...]) -> list[tuple[float, str, bytes, bool]]:
        found = [item for line in self.lines for item in line.sent]
        return sorted(item for item in found if item[1].rpartition("/")[2] in last)


KINDS = ("gpu", "climate", "power")


def test_every_number_comes_once_in_order_at_its_time() -> None:
    play = Play(20.0)
    player = play.run()
    seen: dict[str, list[int]] = {}
    for _, topic, payload, retain in play.sent(KINDS):
        assert not retain
        seen.setdefault(topic, []).append(decode_envelope(payload).seq)
    for voice in play.voices:
        expected = 20_000 // voice.period_ms
        assert seen[voice.topic] == list(range(1, expected + 1))
        assert voice.taken == voice.sent_through == expected
    record = player.record()
    assert record["messages"] == Counter(
        {what: 20_000 // period * sum(v.what == what for v in play.voices)
         for what, period in (("tray", 10_000), ("rack", 10_000), ("meter", 1000))}
    )  # fmt: skip
    assert record["unacknowledged"] == record["reconnections"] == 0
    assert all(line.closed for line in play.lines)
    json.dumps(record)


def test_the_rate_is_even() -> None:
    play = Play(20.0)
    play.run()
    first = play.sent(KINDS)[0][0]
    by_second = Counter(int(at - first) for at, *_ in play.sent(KINDS))
    expected = sum(1000 / voice.period_ms for voice in play.voices)
    assert all(by_second[second] == pytest.approx(expected, rel=0.1) for second in range(1, 19))


def test_births_come_first_and_statuses_every_ten_seconds_and_goodbyes_last() -> None:
    play = Play(20.0)
    play.run()
    births = play.sent(("inventory",))
    assert len(births) == len(play.voices)
    assert births[-1][0] <= play.sent(KINDS)[0][0]
    assert all(Inventory.model_validate_json(payload).devices for _, _, payload, _ in births)
    said: dict[str, list[Status]] = {}
    for _, topic, payload, retain in play.sent(("status",)):
        assert retain
        said.setdefault(topic, []).append(Status.model_validate_json(payload))
    for statuses in said.values():
        assert [status.state for status in statuses] == ["online"] * 3 + ["offline"]
        times = [status.time for status in statuses[:3]]
        assert [after - before for before, after in itertools.pairwise(times)] == (
            pytest.approx([10_000, 10_000], abs=20)
        )
        assert statuses[0].epochs[0].last == 0
        last = statuses[-1].epochs[0]
        assert last.oldest == 1
        assert last.last == last.sent_through > 0


def test_a_status_calls_sent_only_what_the_broker_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Line, "prompt", False)
    play = Play(11.0, inventories=False)
    play.run()
    for _, _, payload, _ in play.sent(("status",)):
        assert Status.model_validate_json(payload).epochs[0].sent_through == 0
    assert not play.sent(("inventory",))


def test_what_is_asked_for_is_sent_again_as_it_was() -> None:
    play = Play(20.0, linger_seconds=5.0)

    async def ask(player: Player) -> None:
        await asyncio.sleep(32.0)  # after the messages
        meter = next(voice for voice in play.voices if voice.what == "meter")
        topic = meter.topic.rpartition("/")[0] + "/replay"
        for epoch in (player.epoch + 1, player.epoch):
            request = ReplayRequest(request=1, epoch=epoch, ranges=((2, 3), (19, 90)))
            play.lines[0].say(topic, request.model_dump_json().encode())
        play.lines[0].say(topic, b"{}")
        play.lines[0].say("rackwatt/v1/campus/site/nobody/replay", b"{}")
        self_topic = meter.topic
        before = [p for _, t, p, _ in play.sent(("power",)) if t == self_topic]
        await asyncio.sleep(2.0)
        after = [p for _, t, p, _ in play.sent(("power",)) if t == self_topic]
        assert Counter(after) - Counter(before) == Counter(before[i] for i in (1, 2, 18, 19))

    play.after = ask
    player = play.run()
    assert (player.tally.requests, player.tally.replayed) == (1, 4)
    assert play.lines[0].topic == "rackwatt/v1/campus/+/+/replay"
    assert not any(line.topic for line in play.lines[1:])


def test_behind_its_time_it_sends_all_the_same_messages() -> None:
    play = Play(20.0)

    async def hold(player: Player) -> None:
        await asyncio.sleep(15.0)
        play.lines[1].free = False
        await asyncio.sleep(4.0)
        play.lines[1].free = True

    play.after = hold
    player = play.run()
    assert player.tally.held_slots > 0
    assert player.tally.worst_late_ms == pytest.approx(4000, abs=100)
    assert all(voice.taken == 20_000 // voice.period_ms for voice in play.voices)


def test_a_connection_made_again_announces_its_agents() -> None:
    play = Play(20.0)

    async def again(player: Player) -> None:
        await asyncio.sleep(15.0)
        before = len(play.lines[1].sent)
        play.lines[1].reborn(1)
        await asyncio.sleep(1.0)
        fresh = {t for _, t, _, _ in play.lines[1].sent[before:] if t.endswith("/status")}
        assert fresh >= {
            voice.topic.rpartition("/")[0] + "/status" for voice in play.voices if voice.link == 1
        }

    play.after = again
    play.run()


def test_stopped_it_says_goodbye() -> None:
    play = Play(1000.0)

    async def stop(player: Player) -> None:
        await asyncio.sleep(25.0)
        player.stop()

    play.after = stop
    player = play.run()
    offline = [p for _, _, p, _ in play.sent(("status",)) if b'"offline"' in p]
    assert len(offline) == len(play.voices)
    assert player.ended_ms - player.first_ms == pytest.approx(14_000, abs=1100)
    assert any("messages" in line for line in play.said)


async def test_over_a_real_broker_and_through_its_restart(mosquitto: Mosquitto) -> None:
    heard: list[str] = []
    voice = voices()[0]
    settings = BrokerSettings(url=mosquitto.url)
    link = Link(0, settings, "load-test", "rackwatt/v1/campus/+/+/replay",
                lambda topic, _: heard.append(topic), lambda _: heard.append("again"))  # fmt: skip

    async def until(true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():
                link.turn()
                await asyncio.sleep(0.01)

    link.connect()
    await until(lambda: link.connections == 1)
    topic = voice.topic.rpartition("/")[0] + "/replay"
    link.publish(topic, b"{}", (voice, 1))
    await until(lambda: voice.sent_through == 1 and heard == [topic])
    mosquitto.restart()
    link.publish(voice.topic, b"{}", (voice, 2))
    await until(lambda: link.connections == 2 and voice.sent_through == 2)
    assert "again" in heard
    assert link.unacknowledged == 0
    link.close()


async def test_without_a_broker_it_says_so() -> None:
    nowhere = Plan("campus", BrokerSettings(url="mqtt://127.0.0.1:9"), 1, 1.0)
    with pytest.raises(LoadFailed, match=r"127\.0\.0\.1:9"):
        await Player(nowhere, voices(), SYSTEM_CLOCK, print).run()

# SPDX-License-Identifier: Apache-2.0
"""Sends the campus' messages in time, over a few MQTT connections that many agents share."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from rackwatt.twin.load.campus import METER_MS, SITE, Player
from rackwatt.twin.load.payloads import Payloads, inventory
from rackwatt.wire.replay import ReplayRequest

STATUS_MS: Final = 10_000
_TICK_SECONDS: Final = 0.01
_ACKNOWLEDGED: Final = {METER_MS: 10}
"""Messages that a status does not call sent yet, by period: those of the last 10 s."""


@dataclass(slots=True)
class Counts:
    """What was sent."""

    messages: int = 0
    statuses: int = 0
    replayed: int = 0
    requests: int = 0
    late_seconds: float = 0.0
    """The most that a message was sent after its time."""
    by_kind: dict[str, int] = field(default_factory=dict)


class Sender:
    """Agents that share a connection, and what they have sent.

    Args:
        players: the agents.
        payloads: makes their messages.
        client: connected, its network loop running in a thread of its own.
    """

    def __init__(self, players: Sequence[Player], payloads: Payloads, client: mqtt.Client) -> None:
        self._payloads = payloads
        self._client = client
        self._by_name = {player.name: player for player in players}
        self._last = dict.fromkeys(self._by_name, 0)
        self._rings = [
            _Ring([(p.phase_ms, p) for p in players if p.period_ms == period], period)
            for period in sorted({player.period_ms for player in players})
        ]
        # Half a period after the message: a status tells of what was acknowledged meanwhile.
        self._statuses = _Ring(
            [((p.phase_ms + p.period_ms // 2) % STATUS_MS, p) for p in players], STATUS_MS
        )
        self.counts = Counts()
        self._asked: list[mqtt.MQTTMessage] = []
        client.on_message = lambda _client, _data, message: self._asked.append(message)

    def begin(self, now_ms: int) -> None:
        """Births and inventories."""
        for player in self._by_name.values():
            if player.kind == "power":
                self._publish(f"{player.topic}/inventory", inventory(player, now_ms), retain=True)
            self._status(player, now_ms)

    def turn(self, elapsed_ms: int, now_ms: int) -> None:
        """Send all that is due."""
        for ring in self._rings:
            for player, due_ms, turn in ring.due(elapsed_ms):
                self._last[player.name] = turn + 1
                self._message(player, turn + 1)
                late = (elapsed_ms - due_ms) / 1000
                self.counts.late_seconds = max(self.counts.late_seconds, late)
        for player, _, _ in self._statuses.due(elapsed_ms):
            self._status(player, now_ms)
        self.answer()

    def answer(self) -> None:
        """Send again what a collector asks for."""
        while self._asked:
            message = self._asked.pop(0)
            player = self._by_name.get(message.topic.rsplit("/", 2)[1])
            if player is None:
                continue
            self.counts.requests += 1
            for low, high in ReplayRequest.model_validate_json(message.payload).ranges:
                for seq in range(low, min(high, self._last[player.name]) + 1):
                    self._publish(f"{player.topic}/{player.kind}", self._made(player, seq))
                    self.counts.replayed += 1

    def end(self, now_ms: int) -> None:
        """Tell each collector that all was sent."""
        for player in self._by_name.values():
            last = self._last[player.name]
            self._put_status(player, last, last, now_ms)

    def _made(self, player: Player, seq: int) -> bytes:
        return self._payloads.message(player, seq)

    def _message(self, player: Player, seq: int) -> None:
        self._publish(f"{player.topic}/{player.kind}", self._made(player, seq))
        counts = self.counts
        counts.messages += 1
        counts.by_kind[player.kind] = counts.by_kind.get(player.kind, 0) + 1

    def _status(self, player: Player, now_ms: int) -> None:
        last = self._last[player.name]
        sent = max(last - _ACKNOWLEDGED.get(player.period_ms, 1), 0)
        self._put_status(player, last, sent, now_ms)

    def _put_status(self, player: Player, last: int, sent: int, now_ms: int) -> None:
        payload = self._payloads.status(last, sent, now_ms)
        self._publish(f"{player.topic}/status", payload, retain=True)
        self.counts.statuses += 1

    def _publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain)


class _Ring:
    """Players in the order of their phases, again and again."""

    def __init__(self, players: Sequence[tuple[int, Player]], period_ms: int) -> None:
        self._players = sorted(players, key=lambda item: item[0])
        self._period_ms = period_ms
        self._at = 0
        self._turn = 0

    def due(self, elapsed_ms: int) -> Sequence[tuple[Player, int, int]]:
        """Who has come due, when, and in which turn."""
        found: list[tuple[Player, int, int]] = []
        while self._players:
            phase, player = self._players[self._at]
            due = self._turn * self._period_ms + phase
            if due > elapsed_ms:
                break
            found.append((player, due, self._turn))
            self._at += 1
            if self._at == len(self._players):
                self._at, self._turn = 0, self._turn + 1
        return found


def play(
    sender: Sender,
    start_ms: int,
    seconds: float,
    told: Callable[[dict[str, Any]], None],
    ended: Callable[[], bool],
) -> None:
    """Play for a while, then answer requests until told to end. Late turns are made up for.

    Args:
        sender: whose agents.
        start_ms: when the first message is due, ms since 1970 UTC.
        seconds: how long to send.
        told: gets the counts each second.
        ended: whether to end.
    """
    next_told = time.monotonic()
    sender.begin(_now_ms())
    while (now := _now_ms()) < start_ms + seconds * 1000 and not ended():
        if now >= start_ms:
            sender.turn(now - start_ms, now)
        if time.monotonic() >= next_told:
            told(_shown(sender, "playing"))
            next_told += 1.0
        time.sleep(_TICK_SECONDS)
    sender.turn(int(seconds * 1000) - 1, _now_ms())
    sender.end(_now_ms())
    told(_shown(sender, "sent"))
    due = time.monotonic() + STATUS_MS / 1000
    while not ended():
        sender.answer()
        if time.monotonic() >= due:
            sender.end(_now_ms())
            due += STATUS_MS / 1000
        time.sleep(0.05)
    told(_shown(sender, "ended"))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _shown(sender: Sender, state: str) -> dict[str, Any]:
    counts = sender.counts
    return {
        "state": state,
        "messages": counts.messages,
        "statuses": counts.statuses,
        "requests": counts.requests,
        "replayed": counts.replayed,
        "late_seconds": round(counts.late_seconds, 3),
        "by_kind": dict(counts.by_kind),
    }


def connect(host: str, port: int, client_id: str) -> mqtt.Client:
    """A connection whose network loop runs in a thread of its own.

    Raises:
        OSError: nobody answers.
    """
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=True,
        protocol=mqtt.MQTTv311,
    )
    client.max_inflight_messages_set(20_000)
    client.max_queued_messages_set(0)
    asked = f"rackwatt/v1/{SITE}/+/+/replay"
    client.on_connect = lambda again, *_: again.subscribe(asked, 1)
    client.connect(host, port, keepalive=60)
    client.loop_start()
    return client

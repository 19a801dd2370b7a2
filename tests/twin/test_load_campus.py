# SPDX-License-Identifier: Apache-2.0
"""The load of the campus: who sends, valid messages, books that close, no number left out."""

from collections import Counter
from math import fsum

import pytest

from rackwatt.collector.site import site_of
from rackwatt.twin.load.campus import METERS, players, site_file
from rackwatt.twin.load.payloads import (
    Payloads,
    gpu_name,
    gpu_power,
    inventory,
    meter_watt_hours,
    meter_watts,
)
from rackwatt.twin.load.sending import Sender
from rackwatt.wire.codec import decode_envelope, decode_readings
from rackwatt.wire.config import Document
from rackwatt.wire.inventory import Inventory
from rackwatt.wire.replay import ReplayRequest
from rackwatt.wire.status import Status

START = 1_790_000_000_000


class Client:
    """Stands in for a connection: keeps what is published."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.on_message: object = None

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        assert qos == 1
        assert retain == topic.endswith(("/status", "/inventory"))
        self.published.append((topic, payload))


def test_the_campus_has_the_reference_sites_numbers() -> None:
    everyone = list(players(10))
    kinds = Counter(player.kind for player in everyone)
    assert kinds == {"gpu": 45_720, "climate": 2_540, "power": 500}
    assert len({player.name for player in everyone}) == len(everyone)
    per_second = sum(1000 / player.period_ms for player in everyone)
    assert per_second == pytest.approx(5_326)


def test_every_message_is_valid_and_stands_in_the_site_file() -> None:
    site = site_of(Document("site.yaml", site_file(1)))
    payloads = Payloads(START, 77)
    values = 0.0
    seen: set[str] = set()
    for player in players(1):
        envelope = decode_envelope(payloads.message(player, 3))
        assert (envelope.epoch, envelope.seq) == (77, 3)
        assert envelope.time_ms == START + player.phase_ms + 2 * player.period_ms
        decoded = decode_readings(player.kind, envelope)
        assert not decoded.rejects
        assert site.hall_of_agent(player.name) == "hall-01"
        for reading in decoded.readings:
            place = site.place(reading.device, envelope.time_ms)
            assert place is not None or player.kind == "power"
            assert reading.device not in seen
            seen.add(reading.device)
            values += len(reading.values) * 1000 / player.period_ms
    assert values == pytest.approx(38_192)


def test_a_message_can_be_made_again_and_be_compared() -> None:
    player = next(players(1))
    one, other = Payloads(START, 7), Payloads(START, 7)
    assert one.message(player, 9) == other.message(player, 9)
    reading = decode_readings("gpu", decode_envelope(one.message(player, 9))).readings[2]
    assert reading.device == gpu_name(player, 2)
    assert reading.values["power_watts"] == gpu_power(player, 2, 9)


def test_sources_give_what_loads_take_and_registers_are_integrals() -> None:
    counts = dict(METERS)
    for at in (0.0, 61.5, 300.0, 3599.0):
        sources = fsum(meter_watts(r, at) * counts[r] for r in ("grid", "pv", "wind"))
        loads = fsum(meter_watts(r, at) * counts[r] for r in ("it", "cooling", "other"))
        assert sources == pytest.approx(loads)
    steps = 3600
    summed = fsum(meter_watts("it", second + 0.5) for second in range(steps)) / 3600
    counted = meter_watt_hours("it", steps) - meter_watt_hours("it", 0)
    assert counted == pytest.approx(summed, rel=1e-6)


def test_a_sender_leaves_no_number_out_and_answers_what_is_asked() -> None:
    everyone = [player for player in players(1) if player.number < 5]
    client = Client()
    sender = Sender(everyone, Payloads(START, 7), client)  # type: ignore[arg-type]
    sender.begin(START)
    for elapsed in (0, 1_000, 12_345, 40_000):
        sender.turn(elapsed, START + elapsed)
    sender.end(START + 40_000)
    sent: dict[str, list[int]] = {}
    newest: dict[str, Status] = {}
    for topic, payload in client.published:
        agent, last = topic.split("/")[-2:]
        if last == "status":
            newest[agent] = Status.model_validate_json(payload)
        elif last == "inventory":
            assert Inventory.model_validate_json(payload).devices
        else:
            sent.setdefault(agent, []).append(decode_envelope(payload).seq)
    for player in everyone:
        numbers = sent[player.name]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) == (40_000 - player.phase_ms) // player.period_ms + 1
        (state,) = newest[player.name].epochs
        assert (state.last, state.sent_through) == (len(numbers), len(numbers))
    assert sender.counts.messages == sum(map(len, sent.values()))


def test_a_sender_sends_again_what_a_collector_asks_for() -> None:
    player = next(players(1))
    client = Client()
    payloads = Payloads(START, 7)
    sender = Sender([player], payloads, client)  # type: ignore[arg-type]
    sender.turn(30_000, START + 30_000)
    client.published.clear()

    class Asked:
        topic = f"{player.topic}/replay"
        payload = ReplayRequest(request=1, epoch=7, ranges=((2, 3), (5, 9))).model_dump_json()

    client.on_message(None, None, Asked())  # type: ignore[operator]
    sender.answer()
    numbers = [decode_envelope(p).seq for t, p in client.published if t.endswith("/gpu")]
    assert numbers == [2, 3]
    assert client.published[0][1] == payloads.message(player, 2)
    assert sender.counts.replayed == 2


def test_an_inventory_names_the_register() -> None:
    player = next(player for player in players(1) if player.kind == "power")
    (item,) = Inventory.model_validate_json(inventory(player, START)).devices
    assert item.device == "grid-01-01"
    assert "energy_import_watt_hours" in item.registers

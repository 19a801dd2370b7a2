# SPDX-License-Identifier: Apache-2.0
"""Ingest, batch by batch: what is kept, refused, counted, and when it is acknowledged."""

import json
import logging
from typing import Any

import pytest
from collector.bench import EPOCH, ROOT, Bench, bench, message, received, status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwatt.collector.ingest.state import OWNER_SECONDS
from rackwatt.wire.codec import Reason, decode_envelope
from rackwatt.wire.session import Received

__all__ = ["bench"]  # a fixture


async def test_a_batch_is_kept_as_received_and_then_acknowledged(bench: Bench) -> None:
    messages = [message(1), message(2), message(3)]
    await bench.take(*messages)
    assert await bench.kept() == [(item.topic, item.payload) for item in messages]
    assert bench.acknowledged == messages
    assert bench.ingest.counts.messages == {"power": 3}


async def test_a_message_that_comes_again_is_recognised_and_acknowledged(bench: Bench) -> None:
    await bench.take(message(1), message(1))
    await bench.take(message(1))
    assert len(await bench.kept()) == 1
    assert len(bench.acknowledged) == 3
    assert bench.ingest.counts.duplicates == 2


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("rackwatt/v1/demo/hall-a/power", Reason.BAD_TOPIC),
        ("rackwatt/v1/demo/hall-a/snmp-a/volts", Reason.BAD_TOPIC),
        ("rackwatt/v1/other/hall-a/snmp-a/power", Reason.WRONG_SITE),
        ("rackwatt/v1/demo/hall-b/snmp-a/power", Reason.WRONG_HALL),
        ("rackwatt/v1/demo/site/snmp-a/power", Reason.WRONG_HALL),
        ("rackwatt/v1/demo/hall-z/stranger/power", Reason.WRONG_HALL),
        ("rackwatt/v1/demo/hall-a/meters/status", Reason.WRONG_HALL),
    ],
)
async def test_who_speaks_from_elsewhere_is_refused(
    bench: Bench, topic: str, reason: Reason
) -> None:
    bad, good = message(1, topic=topic), message(1)
    await bench.take(bad, good)
    assert await bench.kept() == [(good.topic, good.payload)]
    assert bench.acknowledged == [bad, good]
    assert bench.ingest.counts.rejected == {reason: 1}
    ((kept, detail),) = bench.letters()
    assert kept == reason
    assert detail
    assert bench.spool.deadletters == 1


async def test_an_agent_that_the_site_file_does_not_name_may_speak_from_a_known_hall(
    bench: Bench,
) -> None:
    for topic in ("rackwatt/v1/demo/hall-b/node-7/gpu", "rackwatt/v1/demo/site/node-8/host"):
        await bench.take(message(1, {"device": f"{topic}/x", "power_watts": 1.0}, topic=topic))
    assert len(await bench.kept()) == 2


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"no json", Reason.UNREADABLE),
        (b"\xff\xfe\x00", Reason.UNREADABLE),
        (b"[" * 200_000, Reason.UNREADABLE),
        (b" " * 2_000_000, Reason.TOO_LARGE),
    ],
)
async def test_a_payload_that_cannot_be_read_goes_to_the_dead_letters(
    bench: Bench, payload: bytes, reason: Reason
) -> None:
    bad = received(f"{ROOT}/power", payload)
    await bench.take(bad, message(1))
    assert len(await bench.kept()) == 1
    assert bench.acknowledged[0] is bad
    assert bench.ingest.counts.rejected == {reason: 1}
    agent = bench.ingest.watch.get("snmp-a")
    assert agent is not None
    assert agent.unreadable == 1


async def test_what_is_good_of_a_message_is_kept_and_the_rest_is_named(bench: Bench) -> None:
    mixed = message(
        1,
        {"device": "m1", "power_watts": -5, "voltage_volts": 230, "colour": "red"},
        {"power_watts": 1.0},
    )
    await bench.take(mixed)
    assert await bench.kept() == [(mixed.topic, mixed.payload)]
    counts = bench.ingest.counts.rejected
    assert counts == {Reason.OUT_OF_RANGE: 1, Reason.UNKNOWN_FIELD: 1, Reason.BAD_READING: 1}
    assert dict(bench.letters())["out_of_range"] == "m1: power_watts is -5"


async def test_a_message_of_which_nothing_is_good_still_counts_as_received(bench: Bench) -> None:
    await bench.take(message(1, {"power_watts": 1.0}))
    assert await bench.kept() == []
    await bench.take(status(1))
    agent = bench.ingest.watch.get("snmp-a")
    assert agent is not None
    assert agent.epochs[EPOCH].open_ranges(1) == []


async def test_many_rejects_of_one_reason_make_one_short_letter(bench: Bench) -> None:
    readings = [{"device": f"m{n}", "power_watts": -1} for n in range(100)]
    await bench.take(message(1, *readings))
    ((reason, detail),) = bench.letters()
    assert reason == "out_of_range"
    assert detail.endswith("; and 95 more")


@pytest.mark.parametrize(
    "reading",
    [
        {"device": "\ud800", "power_watts": 1.0},
        {"device": "m1", "\ud800": 1.0},
        {"device": "m1", "power_watts": "\ud800"},
        {"device": "m1", "power_watts": 10**400},
        {"device": "m1", "quality": {"\ud800": "\ud800"}},
        {"device": "m1\nm2 power_watts=1", "power_watts": 1.0},
    ],
)
async def test_no_poison_can_stop_the_collector(bench: Bench, reading: dict[str, Any]) -> None:
    poison = message(1, reading)
    await bench.take(poison)
    assert bench.acknowledged == [poison]
    assert bench.ingest.counts.rejected.total() == 1


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.sampled_from(["power", "event", "status", "inventory", "replay"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["epoch", "seq", "time", "readings", "device", "power_watts", "state"]
                ),
                inner,
            )
        ),
        max_leaves=10,
    ),
)
async def test_any_json_is_taken_or_refused(bench: Bench, last: str, body: object) -> None:
    poison = received(f"{ROOT}/{last}", json.dumps(body).encode())
    await bench.take(poison)
    assert bench.acknowledged[-1] is poison


async def test_a_status_or_inventory_that_makes_no_sense_is_refused(bench: Bench) -> None:
    await bench.take(
        received(f"{ROOT}/status", b'{"state": "dead"}'), received(f"{ROOT}/inventory", b"[]")
    )
    assert bench.ingest.counts.rejected == {Reason.BAD_STATUS: 1, Reason.BAD_INVENTORY: 1}


async def test_an_inventory_is_kept_once_per_version(bench: Bench) -> None:
    def inventory(version: str) -> Received:
        body = {"version": version, "time": 1, "devices": [{"device": "m1"}]}
        return received(f"{ROOT}/inventory", json.dumps(body).encode(), retain=True)

    await bench.take(inventory("a"), inventory("a"))
    await bench.take(inventory("a"), inventory("b"))
    assert [json.loads(payload)["version"] for _, payload in await bench.kept()] == ["a", "b"]


# -- one device, one agent ----------------------------------------------------------------------

OTHER = "rackwatt/v1/demo/site/meters/power"


async def test_a_device_of_another_agent_is_refused_and_the_rest_is_kept(bench: Bench) -> None:
    await bench.take(message(1))
    both = message(
        1,
        {"device": "m1", "power_watts": 9.0},
        {"device": "m2", "time": 5, "power_watts": 7, "voltage_volts": None,
         "quality": {"voltage_volts": "timeout"}, "colour": "red"},
        topic=OTHER,
    )  # fmt: skip
    await bench.take(both)
    _, (topic, payload) = await bench.kept()
    assert topic == OTHER
    envelope = decode_envelope(payload)
    assert (envelope.epoch, envelope.seq) == (EPOCH, 1)
    assert envelope.readings == [
        {"device": "m2", "time": 5, "power_watts": 7.0, "voltage_volts": None,
         "quality": {"voltage_volts": "timeout"}},
    ]  # fmt: skip
    assert bench.ingest.counts.rejected[Reason.DEVICE_CONFLICT] == 1
    assert ("device_conflict", "m1 is reported by 'snmp-a'") in bench.letters()
    assert bench.acknowledged[-1] is both


async def test_a_device_that_was_silent_for_long_may_change_its_agent(bench: Bench) -> None:
    await bench.take(message(1))
    bench.clock.advance(OWNER_SECONDS + 1)
    await bench.take(message(1, topic=OTHER))
    assert len(await bench.kept()) == 2
    await bench.take(message(2))
    assert bench.ingest.counts.rejected == {Reason.DEVICE_CONFLICT: 1}


async def test_devices_that_are_gone_are_forgotten(bench: Bench) -> None:
    await bench.take(*(message(n, {"device": f"d{n}", "power_watts": 1.0}) for n in range(1, 50)))
    owners = bench.ingest.checks.owners
    assert not owners.forget(bench.clock.monotonic())
    assert len(owners) == 49
    bench.clock.advance(OWNER_SECONDS + 1)
    assert owners.forget(bench.clock.monotonic())
    assert len(owners) == 0


# -- gaps ---------------------------------------------------------------------------------------


async def test_what_comes_after_it_was_missed_counts_as_recovered(bench: Bench) -> None:
    await bench.take(status(0), message(1), message(3), status(3))
    assert bench.ingest.counts.recovered == 0
    bench.clock.advance(31.0)
    bench.ingest.watch.age(bench.clock.monotonic())
    await bench.take(message(2), message(4))
    assert bench.ingest.counts.recovered == 1


async def test_a_loss_is_on_record(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    await bench.take(status(0), message(1))
    with caplog.at_level(logging.ERROR):
        await bench.take(status(9, oldest=6))
    assert "snmp-a: 4 messages lost (evicted)" in caplog.text
    assert bench.spool.lost == 4


async def test_only_a_status_that_is_not_retained_tells_of_clock_and_life(bench: Bench) -> None:
    await bench.take(status(1, retain=True, late_ms=5_000))
    agent = bench.ingest.watch.get("snmp-a")
    assert agent is not None
    assert (agent.clock_offset_seconds, agent.last_seen_ms, agent.online) == (None, 0, True)
    await bench.take(status(1, late_ms=2_500))
    assert agent.clock_offset_seconds == 2.5
    assert agent.last_seen_ms == bench.clock.now_ms()

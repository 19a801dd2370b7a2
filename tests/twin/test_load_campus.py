# SPDX-License-Identifier: Apache-2.0
"""The campus that the load generator plays: its site file, its agents, its messages."""

import itertools
from collections import Counter
from collections.abc import Mapping
from math import fsum

import pytest
from typer.testing import CliRunner

from rackwatt.collector.site import Site, site_of
from rackwatt.twin.cli import app
from rackwatt.twin.load.bodies import Voice, payload
from rackwatt.twin.load.campus import site_text
from rackwatt.twin.load.crew import KIND, SOURCES, crew
from rackwatt.wire.codec import ReceivedReading, decode_envelope, decode_readings
from rackwatt.wire.config import Document
from rackwatt.wire.topics import Topic

FIRST = 1_790_000_000_000


def campus(scale: float) -> Site:
    return site_of(Document("campus.yaml", site_text(scale)))


@pytest.fixture(scope="module")
def small() -> Site:
    return campus(0.004)


def readings(voice: Voice, seq: int) -> list[ReceivedReading]:
    envelope = decode_envelope(payload(voice, seq, 7, FIRST))
    assert (envelope.epoch, envelope.seq) == (7, seq)
    assert envelope.time_ms == FIRST + voice.phase_ms + (seq - 1) * voice.period_ms
    decoded = decode_readings(KIND[voice.what], envelope)
    assert not decoded.rejects
    return decoded.readings


def test_the_whole_campus_is_the_reference_load() -> None:
    site = campus(1.0)
    voices = crew(site, 1.0)
    counts = Counter(voice.what for voice in voices)
    assert counts == {"tray": 45_800, "rack": 2540, "meter": 500}
    assert len({voice.topic for voice in voices}) == len(voices)
    messages = fsum(1000 / voice.period_ms for voice in voices)
    assert messages == pytest.approx(5334)
    one: Mapping[str, int] = {
        what: sum(
            len(reading.values)
            for reading in readings(next(v for v in voices if v.what == what), 1)
        )
        for what in counts
    }
    values = fsum(one[voice.what] * 1000 / voice.period_ms for voice in voices)
    assert values == pytest.approx(380_060)
    devices = {what: len(readings(next(v for v in voices if v.what == what), 1)) for what in counts}
    assert sum(counts[what] * devices[what] for what in counts) == 285_300


@pytest.mark.parametrize("scale", [0.25, 0.1, 0.004, 0.0001])
def test_a_part_of_it_keeps_the_proportions(scale: float) -> None:
    counts = Counter(voice.what for voice in crew(campus(scale), 1.0))
    assert counts["tray"] == pytest.approx(45_800 * scale, rel=0.02, abs=18)
    assert counts["rack"] == max(1, round(2540 * scale))
    assert counts["meter"] == pytest.approx(500 * scale, rel=0.05, abs=6)


def test_a_part_of_the_agents_is_evenly_chosen(small: Site) -> None:
    half = crew(small, 0.5)
    everyone = {voice.name for voice in crew(small, 1.0)}
    assert {voice.name for voice in half} < everyone
    assert len(half) == pytest.approx(len(everyone) / 2, abs=2)
    assert len({voice.name.rpartition("-n")[0] for voice in half if voice.what == "tray"}) == 10


def test_every_message_is_valid_and_fits_the_site_file(small: Site) -> None:
    seen: set[str] = set()
    for voice in crew(small, 1.0):
        topic = Topic.parse(voice.topic)
        assert (topic.site, topic.last) == (small.id, KIND[voice.what])
        assert small.hall_of_agent(topic.agent) == topic.hall
        for reading in readings(voice, 3):
            assert small.place(reading.device, FIRST) or reading.device in small.meters_at(FIRST)
            assert reading.device not in seen
            seen.add(reading.device)
        assert payload(voice, 3, 7, FIRST) == payload(voice, 3, 7, FIRST)
        assert payload(voice, 3, 7, FIRST) != payload(voice, 4, 7, FIRST)


def test_messages_are_spread_over_their_period_or_come_together(small: Site) -> None:
    for what, period in (("tray", 10_000), ("meter", 1000)):
        phases = sorted(v.phase_ms for v in crew(small, 1.0) if v.what == what)
        gaps = [after - before for before, after in itertools.pairwise(phases)]
        assert max(gaps) - min(gaps) <= 1
        assert period - phases[-1] <= max(gaps) + 1
    assert {voice.phase_ms for voice in crew(small, 1.0, together=True)} == {0}


def test_sources_give_what_loads_take_and_registers_agree_with_powers(small: Site) -> None:
    meters = [voice for voice in crew(small, 1.0) if voice.what == "meter"]
    for seq in (1, 31, 60, 3600):
        watts = {v.name: readings(v, seq)[0].values["power_watts"] or 0.0 for v in meters}
        given = fsum(w for name, w in watts.items() if name.split("-")[1] in SOURCES)
        assert given == pytest.approx(fsum(watts.values()) - given, rel=1e-6)
    for voice in (meters[0], next(v for v in crew(small, 1.0) if v.what == "tray")):
        shown = [readings(voice, seq)[0].values for seq in range(1, 200)]
        counted = (shown[-1]["energy_import_watt_hours"] or 0.0) - (
            shown[0]["energy_import_watt_hours"] or 0.0
        )
        summed = fsum(values["power_watts"] or 0.0 for values in shown[1:])
        assert counted == pytest.approx(summed * voice.period_ms / 3_600_000, abs=0.01)


def test_registers_go_on_where_a_load_begins_again(small: Site) -> None:
    voice = next(v for v in crew(small, 1.0) if v.what == "meter")

    def register(first_ms: int) -> float:
        decoded = decode_readings("power", decode_envelope(payload(voice, 1, 7, first_ms)))
        return decoded.readings[0].values["energy_import_watt_hours"] or 0.0

    later = register(FIRST + 60_000) - register(FIRST)
    assert later == pytest.approx(voice.watts * 60 / 3600)


def test_the_command_writes_the_site_file_and_says_what_it_lacks(tmp_path: object) -> None:
    run = CliRunner().invoke
    assert (
        run(app, ["load", "--write-site", f"{tmp_path}/s.yaml", "--scale", "0.001"]).exit_code == 0
    )
    assert run(app, ["load", "--write-site", f"{tmp_path}/no/s.yaml"]).exit_code == 2
    assert run(app, ["load", "--site", f"{tmp_path}/s.yaml"]).exit_code == 2
    broker = ["--broker", "mqtt://127.0.0.1:9"]
    assert run(app, ["load", "--site", f"{tmp_path}/x.yaml", *broker]).exit_code == 2
    record = ["--record", f"{tmp_path}/no/r.json"]
    assert run(app, ["load", "--site", f"{tmp_path}/s.yaml", *broker, *record]).exit_code == 2
    failed = run(app, ["load", "--site", f"{tmp_path}/s.yaml", *broker])
    assert failed.exit_code == 1
    assert "broker 127.0.0.1:9" in failed.output

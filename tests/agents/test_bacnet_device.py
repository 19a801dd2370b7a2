# SPDX-License-Identifier: Apache-2.0
"""The BACnet driver against a fake device on the loopback that breaks on demand."""

import asyncio
import contextlib
import importlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from rackwatt.agents.bacnet import Settings, create
from rackwatt.agents.source import Context, Source, StartError
from rackwatt.twin.servers.bacnet import FakeBacnet, enumerated, real, unsigned
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Sample

PATIENCE = 60.0
READ, READ_MULTIPLE, WHO_IS = 12, 14, 8


def row(fake: FakeBacnet, name: str = "chiller", device: str = "d", **more: Any) -> Any:
    return {"device": device, "map": name, "host": "127.0.0.1", "port": fake.port, **more}


@contextlib.asynccontextmanager
async def running(
    rows: list[Any], clock: Any = None, folder: Path = Path(), **options: Any
) -> AsyncIterator[Source]:
    given = {"devices": rows, "every": 0.5, "timeout": 20, "retry_first": 0.05, **options}
    context = Context("node", config_dir=folder, **({} if clock is None else {"clock": clock}))
    source = create(Settings.model_validate(given), context)
    await source.start()
    try:
        yield source
    finally:
        await source.aclose()


async def until(source: Source, right: Callable[[Sample], bool], device: str = "d") -> Sample:
    async with asyncio.timeout(PATIENCE):
        while True:
            for sample in await source.sample():
                if sample.device == device and right(sample):
                    return sample
            await asyncio.sleep(0.02)


def anything(_: Sample) -> bool:
    return True


async def first(rows: list[Any], device: str = "d", **options: Any) -> Sample:
    async with running(rows, **options) as source:
        return await until(source, anything, device)


async def test_a_plant_in_its_own_units() -> None:
    rows = [
        "chiller",
        "pump-group",
        "cooling-tower",
        "leak-contacts",
        "energy-meter",
        "water-meter",
    ]
    async with (
        FakeBacnet() as fake,
        running([row(fake, name, name) for name in rows]) as source,
    ):
        found = {name: await until(source, anything, name) for name in rows}
        items = {item.device: item for item in source.inventory()}
    assert found["chiller"].kind == "coolant"
    assert found["chiller"].values == pytest.approx(
        {
            "supply_temperature_celsius": 6.5,
            "return_temperature_celsius": 12.5,  # 54.5 degrees Fahrenheit
            "flow_liters_per_second": 50.0,  # 180 m3/h
            "heat_watts": 350 * 3516.8528,  # tons of refrigeration
        }
    )
    assert found["pump-group"].values["pumps_running_number"] == 2
    assert found["pump-group"].values["differential_pressure_pascals"] == 150000
    assert found["cooling-tower"].values["level_ratio"] == pytest.approx(0.7)
    assert found["leak-contacts"].values == {"leak_ratio": 0.0}
    assert found["energy-meter"].values["energy_import_watt_hours"] == 12345670000
    assert found["water-meter"].values["volume_liters"] == 2160500
    assert all(sample.quality == {} for sample in found.values())
    meter = items["energy-meter"]
    assert (meter.model, meter.firmware) == ("Nobody Made-up controller", "1.2.3")
    register = meter.registers["energy_import_watt_hours"]
    assert (register.modulus_watt_hours, register.resolution_watt_hours) == (1e12, 10000)


async def test_rows_of_one_device_share_its_requests() -> None:
    async with FakeBacnet() as fake:
        rows = [row(fake), row(fake, "energy-meter", "m")]
        async with running(rows) as source:
            assert {one.device for one in await source.probe()} == {"d", "m"}
        met = [one for one in fake.requests if one[3] == READ]
    assert len(met) == 1, "the device was met once"


@pytest.mark.parametrize(
    ("fault", "value", "quality"),
    [
        ("fault", None, Quality.EXCEPTION),
        ("out_of_service", None, Quality.EXCEPTION),
        ("overridden", 6.5, Quality.ESTIMATED),
        ("gone", None, Quality.NOT_SUPPORTED),
    ],
)
async def test_status_flags(fault: str, value: float | None, quality: Quality) -> None:
    async with FakeBacnet() as fake:
        fake.inject(fault, "analog-input,1")
        sample = await first([row(fake)])
    assert sample.values["supply_temperature_celsius"] == value
    assert sample.quality == {"supply_temperature_celsius": quality}
    assert sample.values["return_temperature_celsius"] == pytest.approx(12.5)


async def test_a_register_set_by_hand_is_no_register() -> None:
    async with FakeBacnet() as fake:
        fake.inject("overridden", "accumulator,41")
        sample = await first([row(fake, "energy-meter")])
    assert sample.values["energy_import_watt_hours"] is None
    assert sample.quality == {"energy_import_watt_hours": Quality.EXCEPTION}


@pytest.mark.parametrize(
    ("wet", "broken", "value"),
    [((), (), 0.0), ((31,), (), 1.0), ((31,), (32,), 1.0), ((), (32,), None), ((31,), (31,), None)],
)
async def test_leaks(wet: tuple[int, ...], broken: tuple[int, ...], value: float | None) -> None:
    async with FakeBacnet() as fake:
        for number in wet:
            fake.put(f"binary-input,{number}", enumerated(1))
        for number in broken:
            fake.inject("fault", f"binary-input,{number}")
        sample = await first([row(fake, "leak-contacts")])
    assert sample.values == {"leak_ratio": value}


async def test_a_count_with_a_part_missing_is_unknown() -> None:
    async with FakeBacnet() as fake:
        fake.inject("gone", "binary-input,12")
        sample = await first([row(fake, "pump-group")])
    assert sample.values["pumps_running_number"] is None


async def test_a_unit_that_does_not_fit_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeBacnet() as fake:
        fake.put("analog-input,1", enumerated(121), 117)  # a difference of temperature
        fake.put("analog-input,3", enumerated(62), 117)
        with caplog.at_level(logging.WARNING):
            sample = await first([row(fake)])
    assert sample.values["supply_temperature_celsius"] is None
    assert sample.quality["flow_liters_per_second"] is Quality.NOT_SUPPORTED
    assert "analog-input,1 is in unit 121 (unknown to us)" in caplog.text
    assert (
        "analog-input,3 is in unit 62 (degrees-celsius), which cannot become 'L/s'" in caplog.text
    )


async def test_units_are_looked_at_again() -> None:
    clock = ManualClock()
    async with FakeBacnet() as fake, running([row(fake)], clock=clock) as source:
        await until(source, anything)
        fake.put("analog-input,3", enumerated(87), 117)
        clock.advance(700)
        sample = await until(
            source, lambda sample: sample.values["flow_liters_per_second"] == 180.0
        )
    assert sample.quality == {}


OWN = """
device: Own
manufacturer: M
kind: coolant
source: {title: t, revision: r, where: w}
fields:
  leak_ratio: {object: "binary-input,31", states: {0: 1, 1: 0}}
  level_ratio: {object: "analog-input,23", unit: "1", scale: 0.005}
"""


async def test_a_contact_that_opens_and_a_unit_of_the_map(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    async with FakeBacnet() as fake:
        sample = await first([row(fake, "own.yaml")], folder=tmp_path)
        assert sample.values == {"leak_ratio": 1.0, "level_ratio": pytest.approx(0.35)}
        fake.put("binary-input,31", enumerated(7))
        fake.put("analog-input,23", real(float("nan")))
        sample = await first([row(fake, "own.yaml")], folder=tmp_path)
    assert set(sample.quality.values()) == {Quality.OUT_OF_RANGE}


async def test_without_read_property_multiple() -> None:
    async with FakeBacnet() as fake:
        fake.inject("single", "all")
        sample = await first([row(fake)])
        assert sample.quality == {}
        assert {one[3] for one in fake.requests} == {READ, READ_MULTIPLE}
        assert sum(one[3] == READ_MULTIPLE for one in fake.requests) == 1, "asked once"


@pytest.mark.parametrize("octets", [50, 206])
async def test_small_answers(octets: int) -> None:
    async with FakeBacnet() as fake:
        fake.inject("small", str(octets))
        sample = await first([row(fake, "energy-meter")])
    assert sample.quality == {}
    assert sample.values["power_watts"] == 412500


async def test_silence_and_return(caplog: pytest.LogCaptureFixture) -> None:
    options: Any = {"timeout": 0.2, "retries": 0, "retry_cap": 0.1}
    async with FakeBacnet() as fake, running([row(fake)], **options) as source:
        await until(source, lambda sample: not sample.quality)
        fake.inject("silent", "all")
        lost = await until(source, lambda sample: bool(sample.quality))
        assert set(lost.values.values()) == {None}
        assert set(lost.quality.values()) == {Quality.TIMEOUT}
        fake.repair()
        with caplog.at_level(logging.INFO):
            await until(source, lambda sample: not sample.quality)
    assert "d: answers again" in caplog.text


async def test_a_silent_device_holds_up_no_other() -> None:
    async with FakeBacnet() as dead, FakeBacnet() as fake:
        dead.inject("silent", "all")
        async with running([row(dead, device="x"), row(fake)], timeout=60) as source:
            assert not (await until(source, anything)).quality


async def test_a_lost_datagram_is_asked_for_again() -> None:
    async with FakeBacnet() as fake:
        fake.inject("silent", "all")
        async with running([row(fake)], timeout=0.5, retries=5) as source:
            await source.sample()
            await asyncio.sleep(0.1)
            fake.repair()
            sample = await until(source, anything)
    assert not sample.quality


async def test_garbage_is_no_value() -> None:
    async with FakeBacnet() as fake:
        fake.inject("garbled", "all")
        sample = await first([row(fake)])
    assert set(sample.quality.values()) == {Quality.EXCEPTION}


async def test_by_instance() -> None:
    async with FakeBacnet(77) as fake:
        assert not (await first([row(fake, instance=77)])).quality
        assert [one[:2] for one in fake.requests].count(bytes([0x10, WHO_IS])) == 1


async def test_by_instance_where_the_answer_is_broadcast_elsewhere() -> None:
    async with FakeBacnet(77) as fake:
        fake.inject("mute", "all")
        sample = await first([row(fake, instance=77)], timeout=1.0, retries=0)
    assert not sample.quality


async def test_another_device_is_not_read(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeBacnet(77) as fake:
        with caplog.at_level(logging.WARNING):
            sample = await first([row(fake, instance=78)], timeout=1.0, retries=0)
    assert set(sample.quality.values()) == {Quality.EXCEPTION}
    assert "another device answers, not device 78" in caplog.text


@pytest.mark.parametrize("more", [{"mac": 17}, {"instance": 77}, {"mac": 17, "instance": 77}])
async def test_behind_a_router(more: Any) -> None:
    async with FakeBacnet(77, network=2001, mac=b"\x11") as fake:
        sample = await first([row(fake, network=2001, **more)])
        assert sample.values["supply_temperature_celsius"] == 6.5
        other = await first([row(fake, network=2002, mac=17)], timeout=0.2, retries=0)
    assert set(other.quality.values()) == {Quality.TIMEOUT}


async def test_an_unknown_host() -> None:
    async with FakeBacnet() as fake:
        sample = await first([row(fake) | {"host": "no-such-host.invalid"}])
    assert set(sample.quality.values()) == {Quality.TIMEOUT}


async def test_probe() -> None:
    async with FakeBacnet() as fake, running([row(fake), row(fake, "pump-group", "p")]) as source:
        fake.inject("overridden", "analog-input,1")
        rows = {(one.device, one.field): one for one in await source.probe()}
    supply = rows["d", "supply_temperature_celsius"]
    assert (supply.where, supply.raw) == ("analog-input,1", "6.5 (unit 62) [overridden]")
    pumps = rows["p", "pumps_running_number"]
    assert (pumps.raw, pumps.value) == ("1 1 0", 2.0)


async def test_a_taken_address() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        rows = [{"device": "d", "map": "chiller", "host": "127.0.0.1"}]
        source = create(Settings.model_validate({"devices": rows, "listen": listen}), Context("n"))
        with pytest.raises(StartError, match=r"bacnet.listen: .*in use") as caught:
            await source.start()
        assert caught.value.kind == "retry"
        await source.aclose()


async def test_only_reads_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every datagram, whatever the device does: two reading services and Who-Is."""
    sent: list[bytes] = []
    module = importlib.import_module("rackwatt.agents.bacnet.wire")
    plain = module.UdpReader._send

    def spying(self: Any, datagram: bytes, address: Any) -> None:
        sent.append(datagram)
        plain(self, datagram, address)

    monkeypatch.setattr(module.UdpReader, "_send", spying)
    for fault in (None, "single", "garbled", "mute", "silent"):
        async with FakeBacnet(77) as fake:
            if fault:
                fake.inject(fault, "all")
            else:
                fake.inject("small", "60")
            rows = [row(fake, "energy-meter", instance=77), row(fake, "pump-group", "p")]
            async with running(rows, timeout=0.3, retries=0) as source:
                await until(source, anything)
                await until(source, anything, "p")
                await source.probe()
    kinds = set()
    for datagram in sent:
        assert datagram[:2] == b"\x81\x0a", "unicast"
        assert datagram[4] == 1
        assert datagram[5] in {0x00, 0x04}
        assert int.from_bytes(datagram[2:4], "big") == len(datagram)
        apdu = datagram[6:]
        kinds.add((apdu[0], apdu[3] if apdu[0] == 0 else apdu[1]))
    assert kinds == {(0, READ), (0, READ_MULTIPLE), (0x10, WHO_IS)}


def test_numbers_of_the_fake() -> None:
    assert unsigned(1234567) == b"\x23\x12\xd6\x87"
    assert real(72.3) == bytes.fromhex("444290999a"), "annex F.3.5 of the standard"
    with pytest.raises(ValueError, match=r"no fault 'fualt' .*'fault'"):
        FakeBacnet().inject("fualt", "all")

# SPDX-License-Identifier: Apache-2.0
"""The Modbus driver on real sockets: pymodbus's own server, and servers that misbehave."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from rackwatt.agents.modbus import Settings, create, encode, load_map
from rackwatt.agents.source import Context, Source
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock, ManualClock
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Sample
from servers.fixtures import free_port

READS = {3, 4}


def sim_device(unit: int, memory: Mapping[int, int]) -> SimDevice:
    """A device that has exactly these registers; any other address is an exception."""
    runs: list[tuple[int, list[int]]] = []
    for address, word in sorted(memory.items()):
        if runs and runs[-1][0] + len(runs[-1][1]) == address:
            runs[-1][1].append(word)
        else:
            runs.append((address, [word]))
    data = [SimData(start, values=run, datatype=DataType.REGISTERS) for start, run in runs]
    return SimDevice(unit, simdata=data)


@dataclass
class Wire:
    """What came in over the wire."""

    codes: list[int] = field(default_factory=list)
    frames: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(unit, function, address, count)"""

    def trace(self, sending: bool, data: bytes) -> bytes:
        rest = b"" if sending else data
        while len(rest) >= 12:
            length = 6 + int.from_bytes(rest[4:6], "big")
            unit, code, address, count = struct.unpack(">BBHH", rest[6:12])
            self.codes.append(code)
            self.frames.append((unit, code, address, count))
            rest = rest[length:]
        return data


@contextlib.asynccontextmanager
async def serving(
    devices: Iterable[SimDevice], port: int, wire: Wire | None = None
) -> AsyncIterator[ModbusTcpServer]:
    server = ModbusTcpServer(
        list(devices), address=("127.0.0.1", port), trace_packet=(wire or Wire()).trace
    )
    await server.serve_forever(background=True)
    try:
        yield server
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def raw_server(port: int, answer: Callable[[bytes], bytes]) -> AsyncIterator[list[bytes]]:
    """A server that gives any bytes; empty ones mean silence."""
    seen: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(6)
                frame = head + await reader.readexactly(int.from_bytes(head[4:6], "big"))
                seen.append(frame)
                writer.write(answer(frame))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port)
    try:
        yield seen
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def source_of(
    rows: list[dict[str, object]], clock: Clock | None = None, **options: object
) -> AsyncIterator[tuple[Source, Context]]:
    settings = Settings.model_validate(
        {"devices": rows, "timeout": 0.2, "retry_first": 0.05, "retry_cap": 0.1, **options}
    )
    context = Context(node="test", clock=clock or ManualClock())
    source = create(settings, context)
    await source.start()
    try:
        yield source, context
    finally:
        await source.aclose()


def row(device: str, name: str, port: int, **more: object) -> dict[str, object]:
    return {"device": device, "map": name, "host": "127.0.0.1", "port": port, **more}


def by_device(samples: Iterable[Sample]) -> dict[str, Sample]:
    return {sample.device: sample for sample in samples}


METER = {
    "power_watts": 0.0,
    "power_export_watts": 150_000.0,
    "energy_import_watt_hours": 12_345_670.0,
    "energy_export_watt_hours": 76_543_210.0,
    "frequency_hertz": 49.98,
}
TEXTS = {"manufacturer": "Acme", "model": "M3", "serial": "77", "firmware": "1.0"}


async def test_one_connection_many_units_few_requests_and_only_reads() -> None:
    port = free_port()
    pm = load_map("schneider-pm5xxx")
    values = dict.fromkeys(pm.fields, 7.0) | {"power_export_watts": 0.0}
    memory = encode(pm, values, texts={"serial": "42", "model": "PM5560"})
    cdu = encode(load_map("blueprint-cdu"), {"supply_temperature_celsius": 27.5})
    meter = encode(load_map("sunspec-meter"), METER, texts=TEXTS)
    wire = Wire()
    rows = [
        row("pm-1", "schneider-pm5xxx", port, unit=1),
        row("cdu-1", "blueprint-cdu", port, unit=2),
        row("grid-1", "sunspec-meter", port, unit=3),
    ]
    units = [sim_device(1, memory), sim_device(2, cdu), sim_device(3, meter)]
    connections: list[object] = []
    async with serving(units, port, wire) as server, source_of(rows) as (source, context):
        samples = by_device(await source.sample())
        before = len(wire.frames)
        again = by_device(await source.sample())
        requests = wire.frames[before:]
        connections = list(server.active_connections)
        inventory = {item.device: item for item in source.inventory()}
    assert len(connections) == 1
    pm_values = samples["pm-1"].values
    assert pm_values["power_watts"] == pytest.approx(7.0)
    assert pm_values["energy_import_watt_hours"] == 7.0
    assert samples["cdu-1"].kind == "coolant"
    assert samples["cdu-1"].values["supply_temperature_celsius"] == 27.5
    assert samples["cdu-1"].quality["valve_position_ratio"] is Quality.NOT_SUPPORTED
    got = samples["grid-1"].values
    assert {name: got[name] for name in METER} == METER
    assert {k: s.values for k, s in again.items()} == {k: s.values for k, s in samples.items()}
    assert set(wire.codes) <= READS
    assert len(wire.codes) > 8
    assert all(count <= 125 for _, _, _, count in wire.frames)
    assert inventory["grid-1"].serial == "77"
    assert inventory["grid-1"].model == "Acme M3"
    assert inventory["grid-1"].registers["energy_import_watt_hours"].modulus_watt_hours == 2.0**32
    assert inventory["pm-1"].serial == "42"
    assert sum(context.errors.counts.values()) == 0
    # The registers of a PM5560 that we read lie in gaps that its simulation here refuses; whole
    # blocks are one request each all the same.
    assert len([frame for frame in requests if frame[0] == 3]) <= 2


async def test_probe_shows_raw_registers_beside_values() -> None:
    port = free_port()
    memory = encode(load_map("sunspec-meter"), METER, texts=TEXTS)
    ups = encode(load_map("apc-smart-ups"), {"load_ratio": 0.4, "on_battery_ratio": 0.0})
    rows = [row("grid-1", "sunspec-meter", port), row("ups-1", "apc-smart-ups", port, unit=2)]
    async with serving([sim_device(1, memory), sim_device(2, ups)], port), source_of(rows) as both:
        found = {(item.device, item.field): item for item in await both[0].probe()}
    power = found["grid-1", "power_export_watts"]
    assert power.raw == "0xC568 x 10^1"
    assert power.value == 150_000.0
    assert power.unit == "W"
    assert power.where == "unit 1 holding 40088"
    output = found["ups-1", "power_output_watts"]
    assert output.raw == "0x2800 x 0x0A8C"
    assert output.value == 1080.0
    assert found["ups-1", "runtime_seconds"].raw == "- -"
    assert found["ups-1", "runtime_seconds"].quality is Quality.EXCEPTION


async def test_an_exception_concerns_its_registers_only() -> None:
    port = free_port()
    # A Victron battery on CAN: energies do not exist there.
    memory = encode(
        load_map("victron-gx-battery"),
        {"power_charge_watts": 500.0, "state_of_charge_ratio": 0.5, "voltage_volts": 51.0,
         "temperature_celsius": 20.0, "state_of_health_ratio": 0.99},
    )  # fmt: skip
    rows = [row("battery-1", "victron-gx-battery", port, unit=225)]
    wire = Wire()
    async with (
        serving([sim_device(225, memory)], port, wire) as _,
        source_of(rows) as (
            source,
            context,
        ),
    ):
        (sample,) = await source.sample()
        first = len(wire.frames)
        (again,) = await source.sample()
        second = len(wire.frames) - first
    assert sample.values["power_charge_watts"] == 500.0
    assert sample.values["state_of_health_ratio"] == 0.99
    assert sample.values["energy_charge_watt_hours"] is None
    assert sample.quality == {
        "energy_charge_watt_hours": Quality.EXCEPTION,
        "energy_discharge_watt_hours": Quality.EXCEPTION,
    }
    assert again.values == sample.values
    assert second < first, "a refused request stays split"
    assert context.errors.counts[Quality.EXCEPTION] == 4
    assert set(wire.codes) <= READS


@pytest.mark.parametrize(("code", "quality"), [(4, "exception"), (6, "exception"), (11, "timeout")])
async def test_a_device_that_answers_exceptions(code: int, quality: str) -> None:
    port = free_port()

    def refuse(frame: bytes) -> bytes:
        return frame[:4] + b"\x00\x03" + frame[6:7] + bytes([frame[7] | 0x80, code])

    rows = [row("janitza-1", "janitza-umg", port)]
    async with raw_server(port, refuse) as seen, source_of(rows) as (source, _):
        (sample,) = await source.sample()
    assert set(sample.values.values()) == {None}
    assert {str(reason) for reason in sample.quality.values()} == {quality}
    assert {frame[7] for frame in seen} <= READS


async def test_a_silent_unit_is_left_alone_for_a_while_and_the_others_go_on() -> None:
    port, dead_port = free_port(), free_port()
    clock = ManualClock()
    memory = encode(load_map("eastron-sdm630"), {"power_watts": 5.0})
    for address in range(0x4C):
        memory.setdefault(address, 0)

    def deaf_to_unit_9(frame: bytes) -> bytes:
        if frame[6] == 9:
            return b""
        start, count = struct.unpack(">HH", frame[8:12])
        data = b"".join(memory[start + i].to_bytes(2, "big") for i in range(count))
        body = frame[6:8] + bytes([len(data)]) + data
        return frame[:4] + len(body).to_bytes(2, "big") + body

    rows = [
        row("silent", "eastron-sdm630", port, unit=9),
        row("fine", "eastron-sdm630", port, unit=1),
        row("nobody-there", "eastron-sdm630", dead_port),
    ]
    async with (
        raw_server(port, deaf_to_unit_9) as seen,
        source_of(rows, clock) as (
            source,
            context,
        ),
    ):
        samples = by_device(await source.sample())
        asked = sum(frame[6] == 9 for frame in seen)
        await source.sample()
        assert sum(frame[6] == 9 for frame in seen) == asked, "still in its back-off"
        clock.advance(1.0)
        await source.sample()
        assert sum(frame[6] == 9 for frame in seen) == asked + 1
    for name in ("silent", "nobody-there"):
        assert set(samples[name].values.values()) == {None}
        assert set(samples[name].quality.values()) == {Quality.TIMEOUT}
    assert samples["fine"].values["power_watts"] == 5.0
    assert samples["fine"].quality == {}
    fields = len(samples["silent"].values)
    assert context.errors.counts == {Quality.TIMEOUT: 2 * fields * 3}


async def test_a_server_that_comes_back_is_read_again() -> None:
    port = free_port()
    memory = encode(load_map("sunspec-meter"), METER)
    rows = [row("grid-1", "sunspec-meter", port)]
    # A slow machine may miss one answer: the device is then asked again a moment later.
    async with source_of(rows, SYSTEM_CLOCK) as (source, _):
        (sample,) = await source.sample()
        assert set(sample.quality.values()) == {Quality.TIMEOUT}
        for _ in range(2):
            async with serving([sim_device(1, memory)], port):
                sample = await eventually(source, lambda s: s.values["frequency_hertz"])
                assert sample.values["frequency_hertz"] == 49.98
            sample = await eventually(source, lambda s: s.values["frequency_hertz"] is None)
            assert set(sample.quality.values()) == {Quality.TIMEOUT}


async def eventually(source: Source, good: Callable[[Sample], object]) -> Sample:
    for _ in range(500):
        (sample,) = await source.sample()
        if good(sample):
            return sample
        await asyncio.sleep(0.01)
    raise AssertionError(f"never: {sample}")


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(40), b"\xff" * 30])
async def test_nonsense_on_the_port_is_a_timeout(
    junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    rows = [row("grid-1", "janitza-umg", port)]
    async with raw_server(port, lambda _: junk), source_of(rows) as (source, _):
        (sample,) = await source.sample()
    assert set(sample.quality.values()) == {Quality.TIMEOUT}
    assert set(sample.values.values()) == {None}


async def test_too_few_registers_are_an_exception_not_a_value() -> None:
    port = free_port()

    def short(frame: bytes) -> bytes:
        body = frame[6:8] + b"\x02\x00\x07"
        return frame[:4] + len(body).to_bytes(2, "big") + body

    async with raw_server(port, short), source_of([row("m", "janitza-umg", port)]) as (source, _):
        (sample,) = await source.sample()
    assert set(sample.quality.values()) == {Quality.EXCEPTION}


async def test_a_device_that_is_no_sunspec_device(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    rows = [row("m", "sunspec-meter", port)]
    memory = dict.fromkeys(range(40000, 40010), 1)
    async with serving([sim_device(1, memory)], port), source_of(rows) as (source, _):
        (sample,) = await source.sample()
        (again,) = await source.sample()
    assert set(sample.values) == set(load_map("sunspec-meter").fields)
    assert set(sample.quality.values()) == {Quality.NOT_SUPPORTED}
    assert again.quality == sample.quality
    assert "no SunSpec marker at 40000, 50000, 0" in caplog.text


async def test_sunspec_is_found_at_another_base_behind_unknown_models() -> None:
    port = free_port()
    inverter = load_map("sunspec-inverter")
    image = encode(inverter, {"power_watts": 12_340.0, "frequency_hertz": 50.0}, texts=TEXTS)
    at = inverter.layout()[103]
    # The same models at base 0, with a vendor model in front; and without model 103's sibling 113.
    memory = {0: 0x5375, 1: 0x6E53}
    memory |= {2 + i: image[40002 + i] for i in range(68)}
    memory |= {70: 64001, 71: 3, 72: 9, 73: 9, 74: 9}
    memory |= {75 + i: image[at + i] for i in range(52)} | {127: 0xFFFF, 128: 0}
    rows = [row("pv-1", "sunspec-inverter", port)]
    async with serving([sim_device(1, memory)], port), source_of(rows) as (source, _):
        (sample,) = await source.sample()
        (item,) = source.inventory()
    assert sample.values["power_watts"] == 12_340.0
    assert sample.values["frequency_hertz"] == 50.0
    assert item.serial == "77"


async def test_a_row_scales_and_inverts() -> None:
    port = free_port()
    memory = encode(load_map("sunspec-meter"), METER)
    rows = [row("grid-1", "sunspec-meter", port, scale=2, invert=True)]
    async with serving([sim_device(1, memory)], port), source_of(rows) as (source, _):
        (sample,) = await source.sample()
        (item,) = source.inventory()
    assert sample.values["power_watts"] == 300_000.0
    assert sample.values["power_export_watts"] == 0.0
    assert sample.values["energy_import_watt_hours"] == 2 * 76_543_210.0
    assert item.registers["energy_export_watt_hours"].resolution_watt_hours == 2.0


async def test_closing_twice_and_before_starting() -> None:
    settings = Settings.model_validate({"devices": [row("a", "janitza-umg", free_port())]})
    source = create(settings, Context(node="n"))
    await source.aclose()
    await source.start()
    await source.aclose()
    await source.aclose()
    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("modbus")]

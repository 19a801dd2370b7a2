# SPDX-License-Identifier: Apache-2.0
"""The Redfish driver against a fake service on the loopback that breaks on demand."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from rackwatt.agents.redfish import Settings, create
from rackwatt.agents.source import Context, Source, StartError
from rackwatt.twin.servers.redfish import FakeRedfish
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Sample

PATIENCE = 60.0
SESSIONS = "/redfish/v1/SessionService/Sessions"
FAST = dict.fromkeys(("shelf", "cdu", "leak", "tray_leak", "tray", "gpus", "chassis"), 0.2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("made-up\n")
    return tmp_path


def row(fake: FakeRedfish, device: str = "r1", name: str = "nvl72-rack") -> Any:
    return {"device": device, "map": name, "url": fake.url, "credentials": "rack"}


def settings_of(rows: list[Any], **options: Any) -> Settings:
    return Settings.model_validate(
        {
            "credentials": {"rack": {"user": "monitor", "password_file": "password"}},
            "devices": rows,
            "timeout": 20,
            "every": FAST,
            "retry_first": 0.1,
            "retry_cap": 0.5,
            "login_retry": 0.2,
            **options,
        }
    )


@contextlib.asynccontextmanager
async def source_of(
    folder: Path, rows: list[Any], **options: Any
) -> AsyncIterator[tuple[Source, Context]]:
    context = Context(node="test", config_dir=folder)
    source = create(settings_of(rows, **options), context)
    await source.start()
    try:
        yield source, context
    finally:
        await source.aclose()


class Seen:
    """The newest sample of each device, and all events."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.values: dict[str, Sample] = {}
        self.events: list[tuple[str, str]] = []

    async def until(self, condition: Callable[["Seen"], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                for sample in await self._source.sample():
                    if sample.event is None:
                        self.values[sample.device] = sample
                    else:
                        self.events.append((sample.device, sample.event.code))
                with contextlib.suppress(KeyError):
                    if condition(self):
                        return
                await asyncio.sleep(0.02)

    def value(self, device: str, field: str) -> float | None:
        return self.values[device].values[field]

    def quality(self, device: str, field: str) -> Quality | None:
        return self.values[device].quality.get(field)


@pytest.mark.parametrize("expands", [True, False])
async def test_a_whole_rack(folder: Path, expands: bool) -> None:
    with FakeRedfish(expands=expands) as fake:
        async with source_of(folder, [row(fake) | {"with": ["gpus"]}]) as (source, context):
            seen = Seen(source)
            await seen.until(lambda s: len(s.values) == 8 + 1 + 1 + 18 + 18 + 72)
            inventory = {item.device: item for item in source.inventory()}
        assert fake.state.sessions == set(), "logged out"
    cdu = dict(seen.values["r1-cdu-1"].values)
    assert 95_000 < (cdu.pop("heat_watts") or 0) < 120_000
    assert 40 < (cdu.pop("return_temperature_celsius") or 0) < 50
    assert cdu == {
        "supply_temperature_celsius": 32.0,
        "flow_liters_per_second": 2.5,
        "differential_pressure_pascals": 180_000.0,
        "facility_supply_temperature_celsius": 26.0,
        "facility_return_temperature_celsius": 37.0,
        "facility_flow_liters_per_second": 2.75,
        "pump_speed_ratio": 0.62,
        "pumps_running_number": 2.0,
        "level_ratio": 0.82,
        "leak_ratio": 0.0,
    }
    assert seen.value("r1-shelf-8", "supplies_running_number") == 6.0
    assert 10_000 < (seen.value("r1-shelf-1", "power_watts") or 0) < 16_000
    assert 52_000_000 < (seen.value("r1-shelf-1", "energy_import_watt_hours") or 0) < 52_010_000
    assert seen.value("r1-tray-3", "temperature_celsius") == 24.3
    assert seen.value("r1-leak", "leak_ratio") == seen.value("r1-tray-18-leak", "leak_ratio") == 0
    gpus = [sample for sample in seen.values.values() if sample.kind == "gpu"]
    assert len({sample.device for sample in gpus if "r1-tray-" in sample.device}) == 72
    assert all(not sample.quality for sample in seen.values.values())
    assert seen.events == []
    assert inventory["r1"].firmware == "RackManager 1.4.2; PowerShelves 3.07; CDU 2.11"
    assert inventory["r1-shelf-2"].model == "Made-up 33 kW shelf"
    assert inventory["r1-shelf-2"].serial == "SHELF-02"
    assert "energy_import_watt_hours" in inventory["r1-shelf-2"].registers
    assert not context.errors.counts
    asked = [path for _, path, _ in fake.requests if "$expand" in path]
    assert bool(asked) == expands


async def test_a_plain_server_of_the_older_sort(folder: Path) -> None:
    with FakeRedfish("plain") as fake:
        async with source_of(folder, [row(fake, "login-1", "plain")]) as (source, _):
            seen = Seen(source)
            await seen.until(lambda s: s.value("login-1-1U", "power_watts"))
            fake.inject("psu", "1U/2")
            await seen.until(lambda s: s.value("login-1-1U", "supplies_running_number") == 1.0)
            assert seen.value("login-1-1U", "temperature_celsius") == 24.0
            assert seen.quality("login-1-1U", "energy_import_watt_hours") is Quality.NOT_SUPPORTED


async def test_probe_shows_raw_and_decoded(folder: Path) -> None:
    with FakeRedfish() as fake:
        async with source_of(folder, [row(fake)]) as (source, _):
            rows = {(r.device, r.field): r for r in await source.probe()}
    flow = rows["r1-cdu-1", "flow_liters_per_second"]
    assert (flow.raw, flow.value, flow.unit) == ("150.0", 2.5, "L/s")
    assert flow.where == "SecondaryCoolantConnectors/*#FlowLitersPerMinute/Reading"
    assert rows["r1-leak", "leak_ratio"].raw == "OK, OK, OK, OK"


@pytest.mark.parametrize("streams", [True, False])
async def test_leaks_pumps_supplies_and_shelves(folder: Path, streams: bool) -> None:
    with FakeRedfish(streams=streams) as fake:
        async with source_of(folder, [row(fake)]) as (source, _):
            seen = Seen(source)
            await seen.until(lambda s: len(s.values) == 46)
            fake.inject("detector", "Rack1")
            await seen.until(lambda s: s.value("r1-leak", "leak_ratio") is None)
            fake.inject("leak", "Rack1")
            await seen.until(lambda s: s.value("r1-leak", "leak_ratio") == 1.0)
            fake.inject("leak", "tray_7")
            await seen.until(lambda s: s.value("r1-tray-7-leak", "leak_ratio") == 1.0)
            fake.inject("pump", "CDU1/2")
            await seen.until(lambda s: s.value("r1-cdu-1", "pumps_running_number") == 1.0)
            fake.inject("psu", "PowerShelf_2/PS3")
            await seen.until(lambda s: s.value("r1-shelf-2", "supplies_running_number") == 5.0)
            fake.inject("psu_gone", "PowerShelf_2/PS4")
            await seen.until(lambda s: s.value("r1-shelf-2", "supplies_running_number") == 4.0)
            fake.inject("shelf", "PowerShelf_5")
            await seen.until(lambda s: s.value("r1-shelf-5", "supplies_running_number") == 0.0)
            told = {
                ("r1-leak", "leak_critical"),
                ("r1-tray-7-leak", "leak_critical"),
                ("r1-cdu-1", "pump_critical"),
                ("r1-shelf-2", "psu_critical"),
                ("r1-shelf-2", "psu_absent"),
                ("r1-shelf-5", "shelf_critical"),
            }
            await seen.until(lambda s: told <= set(s.events))
            fake.clear()
            mended = {("r1-leak", "leak_ok"), ("r1-shelf-2", "psu_ok"), ("r1-cdu-1", "pump_ok")}
            await seen.until(lambda s: mended <= set(s.events))
            assert seen.value("r1-leak", "leak_ratio") == 0.0
    heard = ("r1", "redfish_resource_errors_detected") in seen.events
    assert heard == streams


async def test_without_expand_what_was_pulled_out_is_missed_too(folder: Path) -> None:
    with FakeRedfish(expands=False) as fake:
        async with source_of(folder, [row(fake)], discover_every=1) as (source, _):
            seen = Seen(source)
            await seen.until(lambda s: s.value("r1-shelf-1", "supplies_running_number") == 6.0)
            fake.inject("psu_gone", "PowerShelf_1/PS6")
            await seen.until(lambda s: s.value("r1-shelf-1", "supplies_running_number") == 5.0)
            await seen.until(lambda s: ("r1-shelf-1", "psu_absent") in s.events)


@pytest.mark.parametrize("half", ["bare", "paged"])
async def test_a_service_that_expands_by_halves(folder: Path, half: str) -> None:
    """What stands on another page, or without its content, is not gone."""

    class Halves(FakeRedfish):
        def expanded(self, resource: Any, found: Any, query: str) -> Any:
            whole = super().expanded(resource, found, query)
            members = whole.get("Members", [])
            if whole is resource or len(members) < 2:
                return whole
            if half == "bare":
                return {**whole, "Members": [members[0], *resource["Members"][1:]]}
            more = {"Members@odata.nextLink": f"{whole['@odata.id']}?$skip=1"}
            return {**whole, "Members": members[:1], **more}

    with Halves() as fake:
        async with source_of(folder, [row(fake)]) as (source, _):
            seen = Seen(source)
            await seen.until(lambda s: len(s.values) == 46)
            assert seen.value("r1-shelf-1", "supplies_running_number") == 6.0
            assert seen.value("r1-leak", "leak_ratio") == 0.0
            assert seen.events == []
        assert any("$expand" in path for _, path, _ in fake.requests)


async def test_an_event_names_its_device_and_hurries_the_reading(folder: Path) -> None:
    with FakeRedfish() as fake:
        async with source_of(folder, [row(fake)], every={"shelf": 3600}) as (source, _):
            seen = Seen(source)
            await seen.until(lambda s: s.value("r1-shelf-3", "supplies_running_number") == 6.0)
            await seen.until(lambda s: fake.state.listeners)
            fake.inject("psu", "PowerShelf_3/PS1")  # tells the listeners
            await seen.until(lambda s: s.value("r1-shelf-3", "supplies_running_number") == 5.0)
            origin = "/redfish/v1/PowerEquipment/PowerShelves/PowerShelf_3/PowerSupplies/PS1"
            fake.tell("PowerShelf.1.0.FanWorn", "Warning", "a fan", origin)
            await seen.until(lambda s: ("r1-shelf-3", "redfish_fan_worn") in s.events)


async def test_an_expired_session_is_renewed_once(folder: Path) -> None:
    with FakeRedfish() as fake:
        async with source_of(folder, [row(fake)], events="off") as (source, context):
            seen = Seen(source)
            await seen.until(lambda s: len(s.values) == 46)
            fake.inject("expire", "all")
            seen.values.clear()
            await seen.until(lambda s: len(s.values) == 46)
            assert not context.errors.counts, "nobody noticed"
            logins = [path for method, path, _ in fake.requests if method == "POST"]
            assert logins == [SESSIONS] * 2
        assert fake.state.sessions == set()


async def test_a_refused_login_is_not_hammered(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "password").write_text("wrong")
    with FakeRedfish() as fake, caplog.at_level(logging.WARNING):
        async with source_of(folder, [row(fake)], login_retry=3600) as (source, _):
            seen = Seen(source)
            await seen.until(lambda s: ("r1", "redfish_silent") in s.events)
            (probe, *_) = await source.probe()
            assert probe.quality is Quality.EXCEPTION
        posts = [path for method, path, _ in fake.requests if method == "POST"]
        assert posts == [SESSIONS], "services lock accounts"
    assert "login refused (HTTP 401)" in caplog.text
    assert "wrong" not in caplog.text, "no password in the log"


async def test_a_missing_password_is_said_at_the_start(folder: Path) -> None:
    (folder / "password").unlink()
    with FakeRedfish() as fake:
        source = create(settings_of([row(fake)]), Context(node="test", config_dir=folder))
        with pytest.raises(StartError, match="credentials 'rack': secret file password"):
            await source.start()


async def test_a_slow_service_holds_up_no_other(folder: Path) -> None:
    with FakeRedfish() as slow, FakeRedfish() as well:
        slow.inject("slow", "3")
        rows = [row(slow, "slow"), row(well, "well")]
        async with source_of(folder, rows, timeout=1, events="off") as (source, _):
            seen = Seen(source)
            await seen.until(lambda s: len(s.values) == 46)
            assert all(name.startswith("well-") for name in seen.values)
            await seen.until(lambda s: ("slow", "redfish_silent") in s.events)
            slow.clear()
            await seen.until(lambda s: s.value("slow-cdu-1", "level_ratio"))
            await seen.until(lambda s: ("slow", "redfish_answers") in s.events)
            slow.inject("slow", "3")
            timeout = Quality.TIMEOUT
            await seen.until(lambda s: s.quality("slow-cdu-1", "leak_ratio") is timeout)
            assert seen.value("slow-cdu-1", "leak_ratio") is None


async def test_nonsense_is_an_exception(folder: Path) -> None:
    with FakeRedfish() as fake:
        async with source_of(folder, [row(fake)], events="off") as (source, _):
            seen = Seen(source)
            await seen.until(lambda s: s.value("r1-cdu-1", "level_ratio"))
            fake.inject("garbled", "all")
            wrong = Quality.EXCEPTION
            await seen.until(lambda s: s.quality("r1-cdu-1", "level_ratio") is wrong)


async def test_a_service_that_is_not_there(folder: Path) -> None:
    with FakeRedfish() as fake:
        pass
    async with source_of(folder, [row(fake)]) as (source, _):
        await Seen(source).until(lambda s: ("r1", "redfish_silent") in s.events)
        (probe, *_) = await source.probe()
        assert (probe.value, probe.quality) == (None, Quality.TIMEOUT)


async def test_another_version_of_firmware_is_told(folder: Path) -> None:
    with FakeRedfish() as fake:
        async with source_of(folder, [row(fake)]) as (source, _):
            await source.sample()
            (service,) = source._services  # type: ignore[attr-defined]
            await service.read_firmware()
            fake.inject("firmware", "CDU")
            await service.read_firmware()
            await Seen(source).until(lambda s: ("r1", "firmware_changed") in s.events)
            assert "CDU 9.9" in source.inventory()[0].firmware

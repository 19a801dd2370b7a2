# SPDX-License-Identifier: Apache-2.0
"""The Redfish driver against a service that is not ours: OpenStack's sushy-tools.

Its emulator serves the older sort: no sessions, no `$expand`, no events, no power; inlet and other
temperatures in `Thermal`, and 404 for what it has not.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rackwatt.agents.redfish import Settings, create
from rackwatt.agents.source import Context, Source
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Sample
from servers.process import ServerProcess
from servers.programs import HOST, free_port

PATIENCE = 60.0
_START = "import sys; from sushy_tools.emulator.main import main; sys.exit(main())"


@pytest.fixture
def emulator(tmp_path: Path) -> ServerProcess:
    """The emulator with its built-in machine, not yet started; its files: `tmp_path`."""
    directory = tmp_path / "sushy"
    directory.mkdir()
    (directory / "emulator.conf").write_text(f"SUSHY_EMULATOR_STATE_DIR = {str(directory)!r}\n")
    port = free_port()
    arguments = ["--fake", "--config", str(directory / "emulator.conf")]
    ours = {k: v for k, v in os.environ.items() if not k.startswith("SUSHY_EMULATOR_")}
    return ServerProcess(
        [sys.executable, "-c", _START, *arguments, "-i", HOST, "-p", str(port)],
        port=port,
        directory=directory,
        environment=ours | {"TMPDIR": str(directory)},
        ready_seconds=60.0,
    )


@contextlib.asynccontextmanager
async def reading(folder: Path, port: int) -> AsyncIterator[tuple[Source, Context]]:
    """The source with the map `plain`, read five times a second."""
    settings = Settings.model_validate(
        {
            "devices": [{"device": "node", "map": "plain", "url": f"http://{HOST}:{port}"}],
            "timeout": 20,
            "every": {"chassis": 0.2},
            "retry_first": 0.1,
            "retry_cap": 0.5,
        }
    )
    context = Context(node="test", config_dir=folder)
    source = create(settings, context)
    await source.start()
    try:
        yield source, context
    finally:
        await source.aclose()


async def until(source: Source, inlet: float | None, event: str = "") -> tuple[Sample, list[str]]:
    """The newest reading, once it has that inlet temperature, and the events told on the way.

    Where an event is named, it is waited for as well.
    """
    events: list[str] = []
    newest: Sample | None = None
    async with asyncio.timeout(PATIENCE):
        while True:
            for sample in await source.sample():
                if sample.event is None:
                    newest = sample
                else:
                    events.append(sample.event.code)
            there = newest is not None and newest.values["temperature_celsius"] == inlet
            if newest is not None and there and (not event or event in events):
                return newest, events
            await asyncio.sleep(0.02)


async def test_a_foreign_service_is_read(tmp_path: Path, emulator: ServerProcess) -> None:
    with emulator:
        async with reading(tmp_path, emulator.port) as (source, context):
            sample, events = await until(source, 25.0)
            items = [item for item in source.inventory() if item.device == sample.device]
    assert sample.kind == "power"
    assert sample.values["power_watts"] is None
    rest = set(sample.values) - {"temperature_celsius"}
    assert sample.quality == dict.fromkeys(rest, Quality.NOT_SUPPORTED)
    assert events == []
    assert [(item.model, item.serial) for item in items] == [("Contoso 3500RX", "437XR1138R2")]
    assert not context.errors.counts


async def test_a_foreign_service_goes_and_comes_back(
    tmp_path: Path, emulator: ServerProcess
) -> None:
    with emulator:
        async with reading(tmp_path, emulator.port) as (source, _):
            await until(source, 25.0)
            emulator.kill()
            silent, events = await until(source, None, "redfish_silent")
            assert silent.quality["temperature_celsius"] is Quality.TIMEOUT
            emulator.start()
            _, later = await until(source, 25.0, "redfish_answers")
    assert [*events, *later] == ["redfish_silent", "redfish_answers"]
    asked = [line for line in emulator.log_path.read_text().splitlines() if '] "' in line]
    assert asked
    assert all("GET /" in line for line in asked), "it only reads"

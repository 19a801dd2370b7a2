# SPDX-License-Identifier: Apache-2.0
"""The twin as a process: it ticks in real time, survives SIGKILL, and ends on SIGTERM."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from rackwatt.twin import FaultError, Kit, TwinSpec, active, inject, latest, load_kit
from rackwatt.twin.run import compute_almanac, run
from rackwatt.twin.site import almanac_directory
from rackwatt.twin.spec import FaultSpec
from rackwatt.twin.world import Almanac

pytestmark = pytest.mark.e2e
NOON = 1_782_044_460.0


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - another process has no event to offer
            await asyncio.sleep(0.02)


async def spawn(data: Path) -> asyncio.subprocess.Process:
    control = data / "twin" / "control.json"
    control.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error::RuntimeWarning", "-m", "rackwatt.twin", "--data", str(data),
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await until(lambda: control.exists() or process.returncode is not None)
    assert process.returncode is None
    return process


async def grid_registers(data: Path) -> list[int]:
    """The 64-bit registers of UPS and grid as they stand on the wire."""
    _, kit = load_kit(data)
    found: list[int] = []
    for device in ("ups-1", "grid-1"):
        port, unit = next(
            (gateway.port, unit)
            for gateway in kit.gateways
            for unit, name in gateway.units.items()
            if name == device
        )
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=2)
        assert await client.connect()
        answer = await client.read_holding_registers(3203, count=8, device_id=unit)
        client.close()
        for i in (0, 4):
            words = answer.registers[i : i + 4]
            found.append(int.from_bytes(b"".join(word.to_bytes(2, "big") for word in words)))
    return found


@pytest.fixture
async def twin(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await spawn(tmp_path)
    yield process
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_registers_survive_sigkill(twin: asyncio.subprocess.Process, tmp_path: Path) -> None:
    await until(lambda: latest(tmp_path) is not None)
    first = await grid_registers(tmp_path)
    start = time.time()
    await until(lambda: (latest(tmp_path) or {"time_ms": 0})["time_ms"] >= (start + 2) * 1000)
    served = await grid_registers(tmp_path)
    assert served[0] > first[0]
    twin.send_signal(signal.SIGKILL)
    await twin.wait()
    again = await spawn(tmp_path)
    try:
        after = await grid_registers(tmp_path)
        assert all(now >= before for now, before in zip(after, served, strict=True))
        start = time.time()
        await until(lambda: (latest(tmp_path) or {"time_ms": 0})["time_ms"] >= (start + 2) * 1000)
        assert (await grid_registers(tmp_path))[0] > served[0]
        await asyncio.to_thread(inject, tmp_path, "dead", "pv-1", 60)
        assert len(await asyncio.to_thread(active, tmp_path)) == 1
    finally:
        again.send_signal(signal.SIGTERM)
        assert await again.wait() == 0
    assert not (tmp_path / "twin" / "control.json").exists()


async def test_run_ticks_on_whole_seconds_and_stops(demo: TwinSpec, kit: Kit) -> None:
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(run(demo, kit, stop, ready=ready))
    await asyncio.wait_for(ready.wait(), 20)
    start = time.time()
    await until(lambda: (latest(kit.data_dir) or {"time_ms": 0})["time_ms"] >= (start + 2) * 1000)
    line = latest(kit.data_dir)
    assert line is not None
    assert line["time_ms"] % 1000 == 0
    stop.set()
    await asyncio.wait_for(task, 5)
    state = json.loads((kit.data_dir / "twin" / "state.json").read_text())
    assert state["world"]["time"] * 1000 >= line["time_ms"]
    with pytest.raises(OSError, match="No such file"):
        inject(kit.data_dir, "dead", "pv-1")


async def test_a_wrong_schedule_ends_the_run(demo: TwinSpec, kit: Kit) -> None:
    spec = demo.model_copy(update={"faults": (FaultSpec(at=1, name="dead", target="pv-9"),)})
    with pytest.raises(FaultError, match="did you mean 'pv-1'"):
        await run(spec, kit)


async def test_the_child_computes_what_this_process_would(
    demo: TwinSpec, almanac: Almanac, tmp_path: Path
) -> None:
    directory = almanac_directory(demo, tmp_path)
    await compute_almanac(demo, directory, NOON, NOON)
    stored = Almanac(demo, directory)
    assert stored.sun_at(NOON) == almanac.sun_at(NOON)
    assert stored.curve.at(9.0) == almanac.curve.at(9.0)
    before = sorted((file.name, file.stat().st_mtime_ns) for file in directory.iterdir())
    await compute_almanac(demo, directory, NOON, NOON)
    assert before == sorted((file.name, file.stat().st_mtime_ns) for file in directory.iterdir())


async def test_the_twin_itself_stays_small(
    twin: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    await until(lambda: latest(tmp_path) is not None)
    pages = int(Path(f"/proc/{twin.pid}/statm").read_text().split()[1])
    assert pages * os.sysconf("SC_PAGE_SIZE") < 150 * 2**20

# SPDX-License-Identifier: Apache-2.0
"""The twin in real time: ticks on whole seconds, servers, and the almanac's child."""

import asyncio
import contextlib
import logging
import math
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from rackwatt.twin.control import ControlServer
from rackwatt.twin.kit import Kit
from rackwatt.twin.servers.modbus import ModbusServers
from rackwatt.twin.servers.snmp import SnmpServer
from rackwatt.twin.site import SimulatedSite, almanac_directory, days_between
from rackwatt.twin.spec import TwinSpec
from rackwatt.twin.state import load
from rackwatt.twin.world import Almanac
from rackwatt.twin.world.almanac import child_command, child_input
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock
from rackwatt.wire.lifeline import parent_gone, supervised

_log = logging.getLogger(__name__)

_AHEAD_SECONDS: Final = 86_400.0
_CHILD_PAUSE: Final = 60.0


async def compute_almanac(spec: TwinSpec, directory: Path, start: float, end: float) -> None:
    """Have a short-lived child compute the days from `start` to `end` (UTC seconds).

    What is there already is not computed again. A child that fails is no end: the days are then
    computed in this process when they are needed, which costs a second and 100 MB.
    """
    days = days_between(start, end)
    almanac = Almanac(spec, directory)
    if all(almanac.has(day) for day in days) and (directory / "turbine.npy").exists():
        return
    process = await asyncio.create_subprocess_exec(
        *child_command(directory), stdin=asyncio.subprocess.PIPE
    )
    try:
        await process.communicate(child_input(spec, days))
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        _log.warning("the almanac's child failed with code %d", process.returncode)


@contextlib.asynccontextmanager
async def serving(
    spec: TwinSpec, kit: Kit, clock: Clock = SYSTEM_CLOCK
) -> AsyncIterator[SimulatedSite]:
    """A simulated site whose devices answer; the caller ticks it.

    Raises:
        OSError: a port is taken.
        FaultError: the spec's schedule names an unknown fault or target.
        ValueError: the saved state is of another site or version.
    """
    now = math.floor(clock.now_ms() / 1000.0)
    directory = almanac_directory(spec, kit.data_dir)
    saved = await asyncio.to_thread(load, kit.data_dir)
    begin = float(now) if saved is None else float(saved["world"]["sim_time"])
    end = begin if saved is None else begin + (now - float(saved["world"]["time"])) * spec.speed
    await compute_almanac(spec, directory, begin, max(begin, end) + _AHEAD_SECONDS)
    now = math.floor(clock.now_ms() / 1000.0)
    site = SimulatedSite(spec, kit, float(now), Almanac(spec, directory))
    modbus = ModbusServers(kit.gateways, site.devices, site.panel, site.faults)
    snmp = SnmpServer(kit.hosts, site.devices, site.panel, site.faults)
    control = ControlServer(site, kit.data_dir, kit.control_port)

    def modulus(device: str, field: str) -> float | None:
        unit = modbus.units.get(device)
        return snmp.modulus_of(device, field) if unit is None else unit.rollover_of(field)

    site.modulus = modulus
    try:
        await modbus.start()
        await snmp.start()
        await control.start()
        yield site
    finally:
        await control.aclose()
        await snmp.aclose()
        await modbus.aclose()
        site.close()


async def run(
    spec: TwinSpec,
    kit: Kit,
    stop: asyncio.Event | None = None,
    *,
    ready: asyncio.Event | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Simulate in real time until `stop` is set or the task is cancelled.

    Ticks fall on whole seconds of the clock. A tick that comes late is one longer step; those
    that were missed are not made up one by one. `spec.speed` makes weather and jobs run faster;
    energies always integrate the clock's seconds, so that registers and powers agree for agents
    that read in real time. State is saved every tick, and at the next start the world first
    passes through the time in between.

    Args:
        spec: the site.
        kit: what `build` made of it.
        stop: ends the run.
        ready: is set once every device answers.
        clock: of the ticks.

    Raises:
        OSError: a port is taken.
        FaultError: the spec's schedule names an unknown fault or target.
        ValueError: the saved state is of another site or version.
    """
    stop = stop or asyncio.Event()
    directory = almanac_directory(spec, kit.data_dir)
    child: asyncio.Task[None] | None = None
    next_child = 0.0
    async with serving(spec, kit, clock) as site:
        if ready is not None:
            ready.set()
        almanac = Almanac(spec, directory)
        try:
            while not stop.is_set():
                await _wait_for_second(clock, stop)
                site.tick(math.floor(clock.now_ms() / 1000.0))
                ahead = site.world.sim_time + _AHEAD_SECONDS
                missing = not almanac.has(days_between(ahead, ahead)[0])
                if missing and (child is None or child.done()) and clock.monotonic() >= next_child:
                    next_child = clock.monotonic() + _CHILD_PAUSE / max(spec.speed, 1.0)
                    child = asyncio.create_task(
                        compute_almanac(
                            spec, directory, site.world.sim_time, ahead + 4 * _AHEAD_SECONDS
                        ),
                        name="almanac",
                    )
        finally:
            if child is not None:
                child.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await child


async def main(spec: TwinSpec, kit: Kit, clock: Clock = SYSTEM_CLOCK, speed: float = 1.0) -> None:
    """`run` as a process: until SIGINT, SIGTERM, or the end of the supervisor.

    Args:
        spec: the site.
        kit: what `build` made of it.
        clock: of the ticks.
        speed: multiplies the spec's own.

    Raises:
        OSError, FaultError, ValueError: as `run`.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Ctrl-C reaches the whole process group: under a supervisor, that one says when to stop.
    loop.add_signal_handler(signal.SIGINT, stop.set if not supervised() else lambda: None)
    orphaned = loop.create_task(parent_gone(), name="lifeline")
    orphaned.add_done_callback(lambda _: stop.set())
    try:
        await run(spec.model_copy(update={"speed": spec.speed * speed}), kit, stop, clock=clock)
    finally:
        orphaned.cancel()
        for number in signals:
            loop.remove_signal_handler(number)


async def _wait_for_second(clock: Clock, stop: asyncio.Event) -> None:
    left = 1.0 - (clock.now_ms() % 1000) / 1000.0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(left):
            await stop.wait()

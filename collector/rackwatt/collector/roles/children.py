# SPDX-License-Identifier: Apache-2.0
"""Child processes: started, restarted with back-off when they die, and stopped in order."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock
from rackwatt.wire.lifeline import VARIABLE

_log = logging.getLogger(__name__)

STOP_SECONDS: Final = 10.0
_READY_SECONDS: Final = 0.05
_STABLE_SECONDS: Final = 30.0
_LOG_BYTES: Final = 10_000_000
_LOG_CHECK_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a child."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    """It is ready when this port of the loopback answers; None: at once."""


class Family:
    """The children of a supervisor.

    They stay in its process group, and read the end of a pipe when it dies, even by SIGKILL.

    Args:
        logs: folder of their output.
        clock: where the time comes from.
        inherit: descriptors that every child keeps open.
    """

    def __init__(self, logs: Path, clock: Clock, inherit: Sequence[int] = ()) -> None:
        self._logs = logs
        self._clock = clock
        self._lifeline, self._alive = os.pipe()
        self._inherit = (self._lifeline, *inherit)
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stopping: set[str] = set()
        self._restarting = True
        self.restarts: dict[str, int] = {}

    def pid(self, name: str) -> int | None:
        """The process of a child that is running."""
        process = self._processes.get(name)
        return process.pid if process is not None and process.returncode is None else None

    async def keep(self, command: Command) -> None:
        """Keep a child running until it is stopped or we are cancelled."""
        backoff = Backoff(first=0.5, cap=30.0)
        while self._wanted(command.name):
            started = self._clock.monotonic()
            process = await self._start(command)
            if not self._wanted(command.name):  # it was stopped while it started
                await self.stop(command.name)
                return
            code = await self._ended(process, command.name)
            if not self._wanted(command.name):
                return
            if self._clock.monotonic() - started > _STABLE_SECONDS:
                backoff.reset()
            wait = backoff.next()
            self.restarts[command.name] = self.restarts.get(command.name, 0) + 1
            _log.warning(
                "%s ended with %s; starting it again in %.1f s (see %s)",
                command.name,
                _ending(code),
                wait,
                self.log_file(command.name),
            )
            await asyncio.sleep(wait)

    async def _ended(self, process: asyncio.subprocess.Process, name: str) -> int:
        """Wait for a child's end; now and then see that its log does not outgrow its bound."""
        while True:
            try:
                async with asyncio.timeout(_LOG_CHECK_SECONDS):
                    return await process.wait()
            except TimeoutError:
                await asyncio.to_thread(_turn_over, self.log_file(name))

    def _wanted(self, name: str) -> bool:
        return self._restarting and name not in self._stopping

    def stop_restarting(self) -> None:
        """From now on a child that ends stays ended."""
        self._restarting = False

    def log_file(self, name: str) -> Path:
        """Where a child's output goes."""
        return self._logs / f"{name}.log"

    async def _start(self, command: Command) -> asyncio.subprocess.Process:
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self.log_file(command.name)
        _turn_over(path)
        with path.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **command.environment, VARIABLE: str(self._lifeline)},
                pass_fds=self._inherit,
            )
        self._processes[command.name] = process
        return process

    async def ready(self, command: Command, timeout: float = 60.0) -> bool:
        """Wait until a child's port answers; False when it does not in `timeout` seconds."""
        if command.port is None:
            return True
        try:
            async with asyncio.timeout(timeout):
                while not await answers(command.port):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(_READY_SECONDS)
        except TimeoutError:
            return False
        return True

    async def stop(self, name: str) -> None:
        """End a child: SIGTERM, and SIGKILL after 10 s."""
        self._stopping.add(name)
        process = self._processes.get(name)
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            _log.warning("%s did not end in %.0f s: killed", name, STOP_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def close(self) -> None:
        """Cut the lifeline: whoever is still there ends."""
        for descriptor in (self._lifeline, self._alive):
            os.close(descriptor)


def _turn_over(log: Path) -> None:
    """Keep what a large log holds as `NAME.log.1`, and begin it anew.

    The child writes on into the same file, at its end: no pipe stands between, so that a
    supervisor that is busy or dead holds up nobody. What it writes within the copy is lost.
    """
    try:
        if log.stat().st_size <= _LOG_BYTES:
            return
        with contextlib.suppress(OSError):  # a full disk: making room matters more
            shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
    except OSError as error:
        _log.debug("%s: %s", log, error)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


async def answers(port: int) -> bool:
    """Whether something listens on a port of the loopback."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True

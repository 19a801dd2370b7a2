# SPDX-License-Identifier: Apache-2.0
"""A process of ours under the soak: started, killed, frozen, narrowed, looked at."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from rackwatt.wire.lifeline import VARIABLE
from servers.fixtures import ServerError

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_ROOMS: Final = ("tests", "wire", "agents", "collector", "twin")
"""This tree's own, wherever the environment was made for."""
_START_SECONDS: Final = 30.0


class Lifeline:
    """A pipe whose closing tells all parts that the soak is gone, however it went."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()

    def close(self) -> None:
        os.close(self._writing)
        os.close(self.reading)


class Part:
    """One process of the system, over all its lives.

    Args:
        name: for the log's name and for tables.
        module: what Python runs.
        arguments: of the command.
        folder: of the log.
        lifeline: ends it with the soak.
        environment: besides ours.
        ready: tells whether a start is complete.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        lifeline: Lifeline,
        environment: Mapping[str, str] | None = None,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.starts = 0
        self._command = [sys.executable, "-m", module, *arguments]
        self._lifeline = lifeline
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(ROOT / room) for room in _ROOMS),
            **(environment or {}),
            VARIABLE: str(lifeline.reading),
        }
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def spawn(self) -> None:
        """Start and do not wait."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=log, stderr=log,
                env=self._environment, pass_fds=[self._lifeline.reading],
            )  # fmt: skip
        self.starts += 1

    def start(self) -> None:
        """Start, and wait until it is ready.

        Raises:
            ServerError: it ended, or took too long.
        """
        self.spawn()
        deadline = time.monotonic() + _START_SECONDS
        while not self._ready():
            if self.died() or time.monotonic() > deadline:
                raise ServerError(f"{self.name} did not start:\n{self.tail()}")
            time.sleep(0.05)

    def died(self) -> bool:
        """Whether it ended, and nobody here ended it."""
        return self._process is not None and self._process.poll() is not None

    def order(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL, 10.0)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes over 15 s."""
        if self._process is None:
            return
        try:
            self._end(signal.SIGTERM, 15.0)
        except subprocess.TimeoutExpired:
            self.kill()

    def _end(self, number: signal.Signals, seconds: float) -> None:
        process = self._process
        if process is None:
            return
        process.send_signal(number)
        if number is signal.SIGTERM:
            process.send_signal(signal.SIGCONT)
        process.wait(seconds)
        if process.stdin is not None:
            process.stdin.close()
        self._process = None

    def narrow(self, size: int | None) -> None:
        """Let no file of its grow beyond `size` bytes, as a full disk would not; None: any size."""
        if self.died():
            return
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        soft = hard if size is None else size
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def tail(self, lines: int = 30) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def memory_mb(pid: int) -> float | None:
    """What a process holds for itself, without files, in MB; None where it cannot be told."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    return None

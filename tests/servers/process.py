# SPDX-License-Identifier: Apache-2.0
"""A server in a process of its own."""

import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from servers.programs import HOST, ServerError

_POLL_SECONDS: Final = 0.02
_STOP_SECONDS: Final = 5.0


class ServerProcess:
    """A server in a process of its own, on one port, with one folder for its data.

    Not thread-safe. Its output goes to `log_path`, in its folder, over all restarts.
    As a context manager it is started at entry and stopped at exit.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        port: int,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        ready_seconds: float = 20.0,
        stop_seconds: float = _STOP_SECONDS,
    ) -> None:
        """Remember what to start; nothing runs yet.

        Args:
            command: the program and its arguments, the port among them
            port: the TCP port on 127.0.0.1 that it will accept connections on
            directory: its data and log; made if absent, kept over restarts
            environment: all of its environment; ours if None
            ready_seconds: how long a start may take, in seconds
            stop_seconds: how long SIGTERM may take before SIGKILL, in seconds
        """
        self.command = [str(part) for part in command]
        self.port = port
        self.directory = directory
        self.log_path = directory / "server.log"
        self._environment = environment
        self._ready_seconds = ready_seconds
        self._stop_seconds = stop_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id; an error if it was never started or has been stopped."""
        if self._process is None:
            raise ServerError(f"{self.command[0]} is not started")
        return self._process.pid

    def start(self) -> Self:
        """Start, and return once the port accepts a connection."""
        if self.is_running():
            raise ServerError(f"{self.command[0]} runs already, pid {self.pid}")
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_ready(time.monotonic() + self._ready_seconds)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End it with SIGTERM, with SIGKILL if it takes longer than `stop_seconds`."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=self._stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End it with SIGKILL: what it had not made durable is lost."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> Self:
        """Stop it if it runs, and start it on the same port, with the same data."""
        self.stop()
        return self.start()

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of its output."""
        if not self.log_path.exists():
            return ""
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait_until_ready(self, deadline: float) -> None:
        while not _accepts(self.port):
            if not self.is_running():
                code = self._process.returncode if self._process else None
                raise ServerError(self._failure(f"ended at its start with exit code {code}"))
            if time.monotonic() > deadline:
                raise ServerError(self._failure(f"was not ready in {self._ready_seconds:g} s"))
            time.sleep(_POLL_SECONDS)

    def _failure(self, what: str) -> str:
        return f"{' '.join(self.command)}\n{what}; the end of {self.log_path}:\n{self.log_tail()}"


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            # Where no one listens, Linux may join a socket to itself.
            return bool(connection.getsockname() != connection.getpeername())
    except OSError:
        return False

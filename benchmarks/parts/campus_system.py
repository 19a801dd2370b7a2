# SPDX-License-Identifier: Apache-2.0
"""Broker, store, collector, accountant and load generator, each a real process."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.parts.campus_null import VARIABLE
from benchmarks.parts.machine import processor_seconds
from rackwatt.collector.site import load_site
from servers.fixtures import InfluxDB, Mosquitto, free_port

AUTOSAVE_SECONDS: Final = 60
"""The broker writes its retained messages, 100,000 here, to the disk so often."""
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
_PROGRAM: Final = (sys.executable, "-m", "rackwatt.collector.cli")


class System:
    """All processes of a run; a context manager that leaves none behind.

    Args:
        folder: of everything that they write.
        scale: part of the campus.
        store: `influx`, `embedded` or `null`.
        collectors: processes that share the halls.
    """

    def __init__(self, folder: Path, scale: float, store: str, collectors: int = 1) -> None:
        self.folder = folder
        self.store = store
        self.site = folder / "campus.yaml"
        self.sent = folder / "sent.json"
        self.collectors = {
            f"collector-{number}": f"http://127.0.0.1:{free_port()}"
            for number in range(1, collectors + 1)
        }
        self.accountant = f"http://127.0.0.1:{free_port()}"
        self.pids: dict[str, int] = {}
        self.influx: InfluxDB | None = None
        self._scale = scale
        self._away = folder / "away"
        self._token = secrets.token_urlsafe(24)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> None:
        subprocess.run(
            [*_PROGRAM, "twin", "load", "--write-site", self.site, "--scale", str(self._scale)],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        self.broker = self._stack.enter_context(
            Mosquitto(self.folder / "broker", autosave_seconds=AUTOSAVE_SECONDS)
        )
        self.pids["broker"] = self.broker.pid
        options: list[str] = []
        if self.store == "influx":
            self.influx = self._stack.enter_context(InfluxDB(self.folder / "influx"))
            self.pids["influx"] = self.influx.pid
            for bucket in ("rackwatt_raw", "rackwatt_rollups"):
                self.influx.create_bucket(bucket)
            options = ["--influx", self.influx.url, "--influx-org", self.influx.org]
        halls = ["site", *(hall.id for hall in load_site(self.site).halls)]
        for number, (name, address) in enumerate(self.collectors.items()):
            own = halls[number :: len(self.collectors)] if len(self.collectors) > 1 else []
            self._child(
                name, "collect", "--broker", self.broker.url, "--port", _port(address),
                "--data", str(self.folder / name), *(f"--hall={hall}" for hall in own), *options,
            )  # fmt: skip
        for name, address in self.collectors.items():
            self._until(partial(self._ready, address), name)
        books = [f"--collector={address}" for address in self.collectors.values()]
        self._child(
            "accountant", "account", *books, "--port", _port(self.accountant),
            "--data", str(self.folder / "accountant"), *options,
        )  # fmt: skip
        self._until(lambda: self.get(self.accountant, "/healthz") == "ok\n", "the accountant")

    def _ready(self, address: str) -> bool:
        return self.get(address, "/readyz") == "ok\n"

    def _child(self, name: str, command: str, *options: str) -> None:
        program = list(_PROGRAM)
        if command == "collect" and self.store == "null":
            program[-1] = "benchmarks.parts.campus_null"
        site = [] if "--site" in options else ["--site", str(self.site)]
        environment = {
            **os.environ,
            "RACKWATT_INTERNAL_TOKEN": self._token,
            VARIABLE: str(self._away),
        }
        if self.influx is not None:
            environment["RACKWATT_INFLUX_TOKEN"] = self.influx.token
        with (self.folder / f"{name}.log").open("ab") as log:
            child = self._children[name] = subprocess.Popen(
                [*program, *command.split(), *site, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                cwd=Path(__file__).resolve().parents[2],
            )  # fmt: skip
        self.pids[name] = child.pid

    def _until(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                if true():
                    return
            self.alive()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} does not answer")
            time.sleep(0.1)

    def alive(self) -> None:
        """See that all live.

        Raises:
            RuntimeError: one does not.
        """
        for name, child in self._children.items():
            if child.poll() is not None and name != "generator":
                log = (self.folder / f"{name}.log").read_text(encoding="utf-8")
                raise RuntimeError(f"the {name} has ended with {child.returncode}:\n{log[-3000:]}")

    def get(self, address: str, path: str) -> str:
        """What an address answers."""
        request = urllib.request.Request(
            address + path, headers={"Authorization": f"Bearer {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    def states(self) -> list[dict[str, Any]]:
        """What each collector tells the accountant."""
        addresses = self.collectors.values()
        return [json.loads(self.get(address, "/internal/state")) for address in addresses]

    # -- the load -----------------------------------------------------------------------------

    def play(self, seconds: float, *options: str) -> int:
        """Start the generator; returns when its messages begin, ms since 1970 UTC."""
        self._child(
            "generator", "twin load", "--broker", self.broker.url, "--seconds", str(seconds),
            "--linger", "100000", "--record", str(self.sent), *options,
        )  # fmt: skip
        log = self.folder / "generator.log"
        mark = "messages begin at "
        self._until(lambda: mark in log.read_text(encoding="utf-8"), "the generator")
        return int(log.read_text(encoding="utf-8").partition(mark)[2].split()[0])

    def played(self) -> dict[str, Any]:
        """End the generator and take its record."""
        child = self._children["generator"]
        child.send_signal(signal.SIGTERM)
        child.wait(STOP_SECONDS)
        found: dict[str, Any] = json.loads(self.sent.read_text(encoding="utf-8"))
        return found

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """The store is away."""
        if self.influx is None:
            self._away.touch()
            yield
            self._away.unlink()
            return
        os.kill(self.influx.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.influx.pid, signal.SIGCONT)

    def used(self) -> dict[str, float]:
        """Processor seconds of each process so far."""
        return {name: processor_seconds(pid) for name, pid in self.pids.items()}

    def close(self) -> None:
        """End all."""
        for name in ("generator", "accountant", *self.collectors):
            child = self._children.get(name)
            if child is None or child.poll() is not None:
                continue
            child.terminate()
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._stack.close()


def _port(address: str) -> str:
    return address.rpartition(":")[2]

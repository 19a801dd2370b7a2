# SPDX-License-Identifier: Apache-2.0
"""The whole system under test: started, watched, hurt and stopped as a person would."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from servers.fixtures import free_port

Key = tuple[str, str, int]
"""Device, field, time in ms."""


def wait_for(what: str, condition: Callable[[], object], seconds: float) -> None:
    """Poll a condition of another process until it holds.

    Raises:
        AssertionError: it did not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {seconds:g} s")
        time.sleep(0.2)


class Whole:
    """`rackwatt up` in a folder of its own, on a free port."""

    def __init__(
        self, folder: Path, *arguments: str, environment: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.arguments = arguments
        self.environment = environment or {}
        self.process: subprocess.Popen[bytes] | None = None
        self.output = folder.parent / f"{folder.name}.log"

    def start(self) -> float:
        """Start and wait for the page; returns the seconds that took."""
        begun = time.monotonic()
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rackwatt.collector.cli", "up", "--data", str(self.folder),
                 "--port", str(self.port), *self.arguments],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment}, start_new_session=True,
            )  # fmt: skip
        wait_for(f"page (see {self.output})", self._page_answers, 90)
        return time.monotonic() - begun

    def _page_answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.output.read_text(encoding="utf-8")
        try:
            return self.get("/healthz") == "ok\n"
        except OSError:
            return False

    def get(self, path: str, headers: dict[str, str] | None = None) -> str:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers=headers or {}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            body: bytes = answer.read()
        return body.decode()

    def frame(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/api/frame"))
        return found

    def metrics(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Sample name to labels to value; a series that stands twice fails."""
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        families: set[str] = set()
        for family in text_string_to_metric_families(self.get("/metrics")):
            assert family.name not in families, f"{family.name} stands twice"
            families.add(family.name)
            for sample in family.samples:
                labels = tuple(sorted(sample.labels.items()))
                series = found.setdefault(sample.name, {})
                assert labels not in series, f"{sample.name}{labels} stands twice"
                series[labels] = sample.value
        return found

    def value(self, name: str, **labels: str) -> float | None:
        """The one series of a metric whose labels include these."""
        matching = [
            value
            for have, value in self.metrics().get(name, {}).items()
            if set(labels.items()) <= set(have)
        ]
        assert len(matching) <= 1, f"{name}{labels} is ambiguous"
        return matching[0] if matching else None

    def children(self) -> dict[str, int]:
        """Children of the supervisor: what their command line begins with, to pid."""
        assert self.process is not None
        names = {
            "roles.broker": "broker", "cli twin": "twin", "cli collect": "collector",
            "cli account": "accountant", "agents.cli": "agents",
        }  # fmt: skip
        found: dict[str, int] = {}
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            below: list[str] = []
            with contextlib.suppress(OSError):  # threads come and go
                below = (task / "children").read_text(encoding="ascii").split()
            for pid in below:
                with contextlib.suppress(OSError):
                    line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                    for part, name in names.items():
                        if part in line:
                            found[name] = int(pid)
        return found

    def kill_child(self, name: str) -> None:
        """SIGKILL a child, and wait until the supervisor has another."""
        before = self.children()[name]
        os.kill(before, signal.SIGKILL)
        wait_for(f"new {name}", lambda: self.children().get(name, before) != before, 30)

    def freeze_child(self, name: str) -> None:
        """SIGSTOP a child: it takes and acknowledges nothing until it is killed."""
        os.kill(self.children()[name], signal.SIGSTOP)

    def kill_all(self) -> None:
        """SIGKILL the whole tree at once."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop as Ctrl-C does, the whole group at once; returns the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        return self.process.wait(60)

    def nothing_left(self) -> bool:
        """Whether no process of the group is there any more."""
        assert self.process is not None
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    # -- what was sent -----------------------------------------------------------------------

    def sent(self, before_ms: int | None = None) -> dict[Key, float]:
        """Every value in every outbox."""
        found: dict[Key, float] = {}
        boxes = sorted(self.folder.glob("agents/**/outbox.db"))
        assert boxes, "no outbox"
        for path in boxes:
            for kind, message in _messages(path):
                for reading in message["readings"] if kind != "event" else ():
                    at = reading.get("time", message["time"])
                    if before_ms is not None and at >= before_ms:
                        continue
                    for name, value in reading.items():
                        if name not in {"device", "time", "quality"} and value is not None:
                            found[reading["device"], name, at] = value
        return found

    def sent_through(self) -> dict[tuple[str, int], int]:
        """Agent and epoch to the last message that was taken into the outbox."""
        found: dict[tuple[str, int], int] = {}
        for path in sorted(self.folder.glob("agents/**/outbox.db")):
            with contextlib.closing(sqlite3.connect(path)) as db:
                for epoch, last in db.execute(
                    "SELECT epoch, max(seq) FROM messages GROUP BY epoch"
                ):
                    found[path.parent.name, epoch] = last
        return found


def _messages(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        for kind, payload in db.execute("SELECT kind, payload FROM messages"):
            yield kind, json.loads(payload)

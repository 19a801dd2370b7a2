# SPDX-License-Identifier: Apache-2.0
"""The system's own processes, as they run at a site: started, killed, looked at from outside."""

import asyncio
import json
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collecting import SITE_TEXT, TOKEN
from prometheus_client.parser import text_string_to_metric_families
from soak.backlog import Behind, behind, held_by, last_id
from soak.parts import Lifeline, Part

from rackwatt.collector.store import EmbeddedStore
from servers.fixtures import HOST, free_port

REAL = "rackwatt.collector.cli"
QUICK = "faults_kit.quick"


@contextmanager
def lifeline() -> Iterator[Lifeline]:
    """What ends all processes with the test."""
    made = Lifeline()
    try:
        yield made
    finally:
        made.close()


class CollectorProcess:
    """`rackwatt collect`, over all its lives.

    Args:
        folder: for its log, and its data below.
        broker: the URL of the broker.
        line: ends it with the test.
        arguments: more of them.
        module: `REAL`, or `QUICK` to miss messages sooner.
        name: of its folder and its log.
    """

    def __init__(
        self,
        folder: Path,
        broker: str,
        line: Lifeline,
        arguments: Sequence[str] = (),
        module: str = REAL,
        name: str = "collector",
    ) -> None:
        self.data = folder / name
        self.port = free_port()
        site = folder / "site.yaml"
        site.write_text(SITE_TEXT, encoding="utf-8")
        self.part = Part(
            name,
            module,
            ["collect", "--site", str(site), "--broker", broker, "--data", str(self.data),
             "--port", str(self.port), "--backfill", "all", "--no-accountant", *arguments],
            folder,
            line,
            {"RACKWATT_INTERNAL_TOKEN": TOKEN},
            lambda: self.get("/readyz") == "ok\n",
        )  # fmt: skip

    def get(self, path: str, token: str = "") -> str:
        """The text at a path; empty while nobody answers well."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"http://{HOST}:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    async def metric(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where it is not told."""
        text = await asyncio.to_thread(self.get, "/metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def state(self) -> Mapping[str, Any]:
        """What the page is told; nothing while nobody answers."""
        text = await asyncio.to_thread(self.get, "/internal/state", TOKEN)
        found: Mapping[str, Any] = json.loads(text) if text else {}
        return found

    async def agent(self, name: str) -> Mapping[str, Any]:
        """What the page is told of an agent; nothing where it is not known."""
        agents = (await self.state()).get("agents", ())
        return next((each for each in agents if each["name"] == name), {})

    @property
    def spool(self) -> Path:
        return self.data / "spool.db"

    def store(self) -> EmbeddedStore:
        """Its embedded store; stop it before."""
        return EmbeddedStore(self.data / "store")

    async def start(self) -> None:
        await asyncio.to_thread(self.part.start)

    async def kill(self) -> None:
        await asyncio.to_thread(self.part.kill)

    async def stop(self) -> None:
        await asyncio.to_thread(self.part.stop)

    async def settle(self, outboxes: Mapping[str, Path], seconds: float) -> None:
        """Wait until all that outboxes hold is received, or closed as lost, and stored."""
        held, through = held_by(outboxes), 0
        left = Behind(1, 0, 0)
        try:
            async with asyncio.timeout(seconds):
                while left.messages or left.store or not through:
                    if not left.messages and not through:
                        through = await asyncio.to_thread(last_id, self.spool)
                    await asyncio.sleep(0.05)
                    left = await asyncio.to_thread(behind, self.spool, held, through)
        except TimeoutError:
            raise AssertionError(f"after {seconds:.0f} s: {left}\n{self.part.tail()}") from None


async def eventually(what: str, true: Callable[[], Any], seconds: float = 20.0) -> None:
    """Await `true()` again and again until it says yes; a time-out fails the test."""
    try:
        async with asyncio.timeout(seconds):
            while not await true():  # noqa: ASYNC110 - it is in another process
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"no {what} within {seconds:.0f} s") from None


async def rackwatt(*arguments: str) -> str:
    """Run a command to its end; what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", REAL, *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    text = out.decode()
    assert process.returncode == 0, text
    return text

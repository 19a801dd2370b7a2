# SPDX-License-Identifier: Apache-2.0
"""The system under the soak: broker, store, collector, accountant and agents, each a process."""

import asyncio
import json
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from faults_kit.chain import AnyStore
from faults_kit.proxy import Proxy
from prometheus_client.parser import text_string_to_metric_families
from soak import places
from soak.parts import Lifeline, Part

from rackwatt.collector.store import EmbeddedStore, InfluxStore
from rackwatt.collector.store.open import RAW_BUCKET, ROLLUPS_BUCKET
from servers.fixtures import HOST, InfluxDB, Mosquitto, free_port

SHARDS: Final = 3
"""Processes of agents."""
_PER_ROW: Final = 2.0
"""Messages per second: power each second, probes nearly so, two GPU nodes each ten seconds."""
_DEFAULT_AUTOSAVE: Final = 1800
_HOST_AGENT: Final = """\
agent:
  {{site: demo, hall: hall-a, name: machine, node: this-machine, sample_every: 1s, send_every: 1s}}
broker: {{url: "{url}"}}
outbox: {{path: machine.db}}
source: host
host: {{timeout: 800ms}}
"""


class World:
    """Everything that can fail.

    Args:
        folder: an empty one for all state.
        store: `influx` or `embedded`.
        rate: messages per second, about.
        seed: of the readings.
    """

    def __init__(self, folder: Path, store: str, rate: float, seed: int) -> None:
        self.folder = folder
        self.members = places.members(max(2, round(rate / _PER_ROW)))
        self.discarded: list[tuple[str, Path]] = []
        """Outboxes that were replaced by a copy: agent and file."""
        self._seed = seed
        self._stack = AsyncExitStack()
        self._lifeline = Lifeline()
        self.data = folder / "collector"
        self.books = folder / "accountant"
        self.agents = folder / "agents"
        for each in (self.data, self.books, self.agents):
            each.mkdir(parents=True)
        self.site = folder / "site.yaml"
        self.site.write_text(places.site_file(self.members), encoding="utf-8")
        self.broker = Mosquitto(folder / "mosquitto", autosave_seconds=_DEFAULT_AUTOSAVE)
        self.influx = InfluxDB(folder / "influx") if store == "influx" else None
        self.agents_link = Proxy(self.broker.port)
        self.collector_link = Proxy(self.broker.port)
        self.port, self._books_port = free_port(), free_port()
        self.accountant_link = Proxy(self.port)
        self.store_link = None if self.influx is None else Proxy(self.influx.port)
        self.collector = self._collector()
        self.accountant = self._accountant()
        self.shards = [self._shard(number) for number in range(SHARDS)]
        self.machine = self._machine()

    @property
    def parts(self) -> list[Part]:
        return [self.collector, self.accountant, *self.shards, self.machine]

    @property
    def links(self) -> dict[str, Proxy]:
        """Every network link that can fail, by its name."""
        found = {
            "agents and broker": self.agents_link,
            "collector and broker": self.collector_link,
            "accountant and collector": self.accountant_link,
        }
        if self.store_link is not None:
            found["collector and store"] = self.store_link
        return found

    def shard_of(self, agent: str) -> Part:
        """The process that an agent of the fleet lives in."""
        names = [member.name for member in self.members]
        return self.shards[names.index(agent) % SHARDS]

    def outbox(self, agent: str) -> Path:
        return self.agents / f"{agent}.db"

    def names(self) -> list[str]:
        """All agents."""
        return [*(member.name for member in self.members), places.HOST]

    # -- life --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._close()
            raise
        return self

    async def _start(self) -> None:
        await asyncio.to_thread(self.broker.start)
        if self.influx is not None:
            await asyncio.to_thread(self.influx.start)
            for bucket in (RAW_BUCKET, ROLLUPS_BUCKET):
                await asyncio.to_thread(self.influx.create_bucket, bucket)
            (self.folder / "token").write_text(self.influx.token, encoding="utf-8")
        for link in self.links.values():
            await self._stack.enter_async_context(link)
        for part in self.parts:
            await asyncio.to_thread(part.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        for part in reversed(self.parts):
            await asyncio.to_thread(part.stop)
        await self._stack.aclose()
        for server in (self.broker, self.influx):
            if server is not None:
                await asyncio.to_thread(server.stop)
        self._lifeline.close()

    # -- its parts ---------------------------------------------------------------------------

    def _store_arguments(self) -> list[str]:
        if self.influx is None or self.store_link is None:
            return []
        return [
            "--influx", self.store_link.url("http"), "--influx-org", self.influx.org,
            "--influx-token-file", str(self.folder / "token"),
        ]  # fmt: skip

    def _collector(self) -> Part:
        arguments = [
            "collect", "--site", str(self.site), "--broker", self.collector_link.url("mqtt"),
            "--data", str(self.data), "--port", str(self.port), "--backfill", "all",
            *self._store_arguments(),
        ]  # fmt: skip
        return self._service("collector", arguments, self.port)

    def _accountant(self) -> Part:
        arguments = [
            "account", "--site", str(self.site), "--data", str(self.books),
            "--collector", self.accountant_link.url("http"), "--port", str(self._books_port),
            *self._store_arguments(),
        ]  # fmt: skip
        return self._service("accountant", arguments, self._books_port)

    def _service(self, name: str, arguments: list[str], port: int) -> Part:
        return Part(
            name, "rackwatt.collector.cli", arguments, self.folder, self._lifeline,
            {"RACKWATT_INTERNAL_TOKEN": "the secret of the soak"},
            lambda: fetch(port, "/healthz") == "ok\n",
        )  # fmt: skip

    def _shard(self, number: int) -> Part:
        settings = {
            "broker": self.agents_link.url("mqtt"),
            "folder": str(self.agents),
            "seed": self._seed,
            "load": places.RACK_WATTS * sum(len(one.racks) for one in self.members),
            "members": [
                {
                    "name": one.name,
                    "hall": one.hall,
                    "racks": list(one.racks),
                    "is_node": one.is_node,
                }
                for one in self.members[number::SHARDS]
            ],
        }
        path = self.folder / f"agents-{number}.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        return Part(f"agents-{number}", "soak.agents", [str(path)], self.folder, self._lifeline)

    def _machine(self) -> Part:
        path = self.agents / "machine.yaml"
        path.write_text(_HOST_AGENT.format(url=self.agents_link.url("mqtt")), encoding="utf-8")
        return Part(
            "machine", "rackwatt.agents.cli", ["run", str(path)], self.folder, self._lifeline
        )

    def store(self) -> AnyStore:
        """The store of readings, past its link."""
        if self.influx is None:
            return EmbeddedStore(self.data / "store")
        return InfluxStore(
            url=self.influx.url,
            org=self.influx.org,
            bucket=RAW_BUCKET,
            token=self.influx.token,
            timeout_seconds=60.0,
        )

    def metrics(self) -> dict[str, float]:
        """What the collector tells of itself, by name and labels; empty while it is not there."""
        text = fetch(self.port, "/metrics")
        return {
            sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def fetch(port: int, path: str) -> str:
    """The text at a path of a part; empty while it is not there."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=3) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""

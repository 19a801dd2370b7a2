# SPDX-License-Identifier: Apache-2.0
"""A month of /metrics of a simulated site in its normal life, as OpenMetrics text for promtool.

Powers, temperatures and weather are the twin's; what an accountant makes of them is made by its own
code (figures, chains, signals), once a simulated minute. What collectors and agents would say is
written from a schedule of mishaps (`MISHAPS`), every 10 s while one lasts.
"""

import asyncio
import random
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from rackwatt.collector.accounting.battery import initial
from rackwatt.collector.ledger import battery_parameters, initial_stock, site_factors
from rackwatt.collector.live.chain import ChainState, LiveChains
from rackwatt.collector.live.chain_metrics import chain_families
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.live.figures import Figures, LiveFigures
from rackwatt.collector.live.fleet import GpuReading
from rackwatt.collector.live.frame import LedgerView
from rackwatt.collector.live.metrics import families
from rackwatt.collector.live.pue import LivePue
from rackwatt.collector.roles.sorting import Batch
from rackwatt.collector.signals.service import Signals
from rackwatt.collector.site import Site, site_of
from rackwatt.twin.devices import catalogue
from rackwatt.twin.gpus import make_layout, targets
from rackwatt.twin.spec import load_spec
from rackwatt.twin.world import World
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.config import Document

DAY: Final = 86_400
STEP: Final = 60
FINE: Final = 10
RULES: Final = Path(__file__).resolve().parents[2] / "alerts" / "rules"
SITE_FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "examples" / "site-demo.yaml"
MISHAPS: Final = {
    "gpu": (4.0, 8 * 3600), "pdu": (20.0, 120), "pdu_long": (2.0, 1800), "stuck": (1.0, 4 * 3600),
    "agent": (10.0, 20), "agent_long": (1.0, 300), "collector": (2.0, 20), "accountant": (2.0, 20),
    "store": (3.0, 60), "broker": (2.0, 10), "node": (3.0, 1800), "probe": (4.0, 3600),
    "ups_test": (1.0, 180), "cdu_silent": (2.0, 20),
}  # fmt: skip
"""How often in 30 days on average, and how long it lasts, s: of this site of 16 racks."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something that happens in normal life."""

    kind: str
    target: str
    start: int
    end: int

    def on(self, second: int) -> bool:
        """Whether it lasts."""
        return self.start <= second < self.end


def schedule(days: int, begin: int, seed: int) -> list[Mishap]:
    """The mishaps of a span, in order."""
    rng = random.Random(seed)  # noqa: S311 - a simulation that can be repeated
    found: list[Mishap] = []
    for kind, (often, lasts) in MISHAPS.items():
        for _ in range(round(often * days / 30)):
            start = begin + rng.randrange(days * DAY - lasts)
            found.append(Mishap(kind, str(rng.randrange(10_000)), start, start + lasts))
    return sorted(found, key=lambda one: one.start)


def wanted() -> re.Pattern[str]:
    """Names of the metrics that the rules ask for."""
    files = sorted(RULES.glob("*.yaml"))
    names = {n for f in files for n in re.findall(r"rackwatt_\w+", f.read_text(encoding="utf-8"))}
    assert len(names) > 30
    return re.compile("(" + "|".join(sorted(names, key=len, reverse=True)) + r")[{ ]")


class Month:
    """One day after the other of a site.

    Args:
        begin: UTC seconds.
        mishaps: what goes wrong.
    """

    def __init__(self, begin: int, mishaps: list[Mishap]) -> None:
        text = SITE_FILE.read_text(encoding="utf-8").replace("cadence: 1s", f"cadence: {STEP}s")
        self.site: Site = site_of(Document("site-demo.yaml", text))
        spec = load_spec("demo")
        self.world = World(spec, float(begin - STEP))
        listed = catalogue(spec, self.world.floor)
        self.devices_of_twin = listed.all
        self.gpus = {
            name: row for name, row in targets(make_layout(spec, self.world.floor)).items()
            if not name.rpartition("/")[2].isdigit()
        }  # fmt: skip
        self.mishaps = mishaps
        self.clock = ManualClock(begin * 1000)
        self.devices = Devices(self.site)
        self.chains = LiveChains(self.site, self.devices)
        self.state, self.figures = (
            ChainState(),
            Figures(None, LivePue(None, None, reason="starting")),
        )
        factors = site_factors(self.site)
        stock = initial(initial_stock(self.site), factors.at(begin * 1000).initial)
        self.live = LiveFigures(
            self.site, factors, battery_parameters(self.site), stock, now_ms=begin * 1000
        )
        self.signals = Signals(
            self.site, self.devices, self.clock, asyncio.Lock(), Path(tempfile.mkdtemp()),
            chains=lambda: self.state, figures=lambda: self.figures,
        )  # fmt: skip
        power = self.site.chains.power
        self.sides = {edge.id: power.side(edge) for edge in power.edges}
        self.kept: dict[str, dict[str, float]] = {}

    def minute(self, second: int) -> Iterator[str]:
        """Lines of /metrics at a second, made by the accountant's own code."""
        self.world.step(float(STEP))
        now_ms = second * 1000
        self.clock.advance((now_ms - self.clock.now_ms()) / 1000)
        batch = Batch()
        for device in self.devices_of_twin:
            values = self._said(device.id, device.kind, dict(device.read(self.world)), second)
            if values:
                item = ReceivedReading(device.id, now_ms, dict(values))
                batch.readings.append((device.kind, item, now_ms))
        for kind, item, received in batch.readings:
            self.devices.observe(kind, item, received)
            if kind == "power":
                self.live.observe(item.device, item.time_ms, item.values)
        self.devices.observe_gpus(self._of_gpus(second), now_ms)
        self.signals.observe(batch)
        self.state = self.chains.state(now_ms)
        self.figures = self.live.figures(now_ms)
        view = LedgerView(closed_through_ms=(second // 60 - 1) * 60_000)
        found = [
            *families(self.site.id, self.figures, view, now_ms),
            *chain_families(self.site.id, self.state, self.sides, None),
            *self.signals.look(),
        ]
        for family in found:
            yield from family.text().splitlines()  # type: ignore[attr-defined]

    def _on(self, kind: str, second: int, among: list[str]) -> set[str]:
        return {
            among[int(one.target) % len(among)]
            for one in self.mishaps
            if one.kind.startswith(kind) and one.on(second)
        }

    def _said(
        self, device: str, kind: str, values: dict[str, float], second: int
    ) -> dict[str, float]:
        pdus = [one.id for one in self.devices_of_twin if one.id.endswith(("-pdu-a", "-pdu-b"))]
        if device in self._on("pdu", second, pdus):
            return {}
        if device in self._on("cdu_silent", second, ["cdu-a1"]):
            return {}
        if device in self._on("stuck", second, ["ups-1", "cooling-1", "other-1"]):
            return self.kept.setdefault(device, values)
        self.kept.pop(device, None)
        probes = [one.id for one in self.devices_of_twin if one.id.endswith("-inlet")]
        if device in self._on("probe", second, probes):
            values["temperature_celsius"] += 12.0
        if device == "ups-1" and self._on("ups_test", second, ["x"]):
            values["on_battery_ratio"] = 1.0
        return values

    def _of_gpus(self, second: int) -> list[GpuReading]:
        floor = self.world.floor
        lost = self._on("gpu", second, list(self.gpus))
        return [
            GpuReading(
                name, second * 1000,
                power_watts=None if name in lost else float(floor.gpu_power[row]),
                temperature_celsius=float(floor.gpu_temperature[row]),
                memory_temperature_celsius=float(floor.gpu_temperature[row]) + 8.0,
            )
            for name, row in self.gpus.items()
        ]  # fmt: skip

    def beside(self, second: int) -> Iterator[str]:
        """Lines of what scrapes, collectors and agents say at a second."""
        agents = [agent.name for agent in self.site.agents]
        silent = self._on("agent", second, agents)
        site = f'site="{self.site.id}"'
        for job in ("rackwatt", "rackwatt-collector"):
            kind = "accountant" if job == "rackwatt" else "collector"
            up = 0 if self._on(kind, second, ["x"]) else 1
            yield f'up{{instance="{kind}",job="{job}",{site}}} {up}'
        for agent in self.site.agents:
            labels = f'agent="{agent.name}",{site}'
            yield f"rackwatt_agent_up{{{labels}}} {0 if agent.name in silent else 1}"
            yield f'rackwatt_agent_info{{{labels},hall="{agent.hall}"}} 1'
            yield f"rackwatt_messages_missing{{{labels}}} 0"
        yield f"rackwatt_broker_up{{{site}}} {0 if self._on('broker', second, ['x']) else 1}"
        yield f"rackwatt_store_up{{{site}}} {0 if self._on('store', second, ['x']) else 1}"
        nodes = [node for rack in self.site.racks for node in rack.nodes]
        off = self._on("node", second, nodes)
        for rack in self.site.racks:
            gone = len(off.intersection(rack.nodes))
            for state, count in (("online", len(rack.nodes) - gone), ("offline", gone)):
                yield f'rackwatt_gpu_nodes{{rack="{rack.id}",state="{state}",{site}}} {count}'
        for name in ("spool_full_ratio", "messages_lost_total"):
            yield f"rackwatt_{name}{{{site}}} 0"


def write(file: TextIO, begin: int, days: int, mishaps: list[Mishap]) -> int:
    """Write some days; return how many samples."""
    month, pattern, count = Month(begin, mishaps), wanted(), 0
    for second in range(begin, begin + days * DAY, FINE):
        near = any(one.start - 120 <= second < one.end + 120 for one in mishaps)
        if second % STEP == 0:
            lines = [line for line in month.minute(second) if pattern.match(line)]
        else:
            lines = []
        if second % STEP == 0 or near:
            lines += month.beside(second)
        file.writelines(f"{line} {second}\n" for line in lines)
        count += len(lines)
    file.write("# EOF\n")
    return count

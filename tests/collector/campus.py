# SPDX-License-Identifier: Apache-2.0
"""A campus for live figures: its meters, the truth behind them, and what they say of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum, sin

from collector.terms import Terms, terms

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState
from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.accounting.modelled import LossModel
from rackwatt.collector.live.figures import Figures, LiveFigures
from rackwatt.collector.site.topology import Settlement
from rackwatt.wire.inventory import Register

BEGIN = 1_780_000_000_000
FACTORS = SiteFactors(shipped(), "MA")
PARAMETERS = BatteryParameters(1e6, 0.95, 0.95)
PDUS = tuple(f"pdu-{index:02}" for index in range(32))


@dataclass(frozen=True)
class Always:
    def holds(self, time_ms: int) -> bool:
        return True


@dataclass(frozen=True)
class Contract:
    meter: str
    validity: Always = Always()
    id: str = "contract"


@dataclass(frozen=True)
class Supply:
    attributes: str = "retained"


@dataclass
class Site:
    now: Terms
    contracts: tuple[Contract, ...] = ()
    supply: Mapping[str, Supply] = field(default_factory=dict)
    settlement: Settlement | None = None
    modelled_losses: tuple[LossModel, ...] = ()

    def terms_at(self, time_ms: int) -> Terms:
        return self.now


CAMPUS = terms(
    grid=["g"],
    pv=["p"],
    battery=["b"],
    it=PDUS,
    losses=["u", *(f"-{pdu}" for pdu in PDUS)],
    cooling=["c"],
)
SMALL = terms(grid=["g"], it=["i"])


def live(site: Site | None = None, state: BatteryState | None = None) -> LiveFigures:
    held = BatteryState() if state is None else state
    return LiveFigures(Site(CAMPUS) if site is None else site, FACTORS, PARAMETERS, held)


def at(seconds: float) -> int:
    return BEGIN + round(seconds * 1000)


@dataclass
class World:
    """A site at one second steps: truth, and what its meters say of it."""

    seconds: int = 0
    energy: dict[str, float] = field(default_factory=dict)
    power: dict[str, float] = field(default_factory=dict)
    window: dict[str, float] = field(default_factory=dict)
    swing: float = 0.3

    def step(self) -> None:
        """Training steps swing the load; PV follows a cloud; the battery charges then gives."""
        self.seconds += 1
        step = 1.0 if self.seconds % 7 < 5 else 1.0 - self.swing
        it = {pdu: 20_000.0 * step * (1 + index / 100) for index, pdu in enumerate(PDUS)}
        ups = 1.04 * fsum(it.values())
        cooling = 90_000.0 + 5000.0 * sin(self.seconds / 50)
        pv = 300_000.0 + 50_000.0 * sin(self.seconds / 30)
        charge = 40_000.0 if self.seconds % 200 < 100 else 0.0
        discharge = 0.0 if self.seconds % 200 < 100 else 30_000.0
        grid = ups + cooling + charge - discharge - pv
        self.power = {
            "g": grid,
            "p": pv,
            "c": cooling,
            "u": ups,
            "b+": charge,
            "b-": discharge,
            **it,
        }
        for name, watts in self.power.items():
            self.energy[name] = self.energy.get(name, 0.0) + watts / 3600
            self.window[name] = self.window.get(name, 0.0) + watts / 10

    def readings(self, offset: Callable[[str], int]) -> Iterable[tuple[str, dict[str, float]]]:
        for name in ("g", "p", "c", "u"):
            values = {
                "power_watts": self.power[name],
                "energy_import_watt_hours": self.energy[name] // 1.0,
            }
            if name == "g":
                values |= {"power_export_watts": 0.0, "energy_export_watt_hours": 3.0}
            yield name, values
        yield (
            "b",
            {
                "power_charge_watts": self.power["b+"],
                "power_discharge_watts": self.power["b-"],
                "energy_charge_watt_hours": self.energy["b+"] // 1.0,
                "energy_discharge_watt_hours": self.energy["b-"] // 1.0,
            },
        )
        for pdu in PDUS:
            if (self.seconds - offset(pdu)) % 10 == 0:
                watts, self.window[pdu] = self.window[pdu], 0.0
                counted = self.energy[pdu] // 100 * 100
                yield pdu, {"power_watts": watts, "energy_import_watt_hours": counted}

    def truth(self, since: Mapping[str, float]) -> float:
        gone = {name: self.energy[name] - since.get(name, 0.0) for name in self.energy}
        inside = gone["g"] + gone["p"] - 0.95 * gone["b+"] + gone["b-"] / 0.95
        return inside / fsum(gone[pdu] for pdu in PDUS)


def fine(figures: LiveFigures) -> None:
    register = Register(resolution_watt_hours=1.0)
    for device in ("g", "p", "c", "u"):
        figures.registers(device, {"energy_import_watt_hours": register})
    names = ("energy_charge_watt_hours", "energy_discharge_watt_hours")
    figures.registers("b", dict.fromkeys(names, register))
    for pdu in PDUS:
        coarse = Register(resolution_watt_hours=100.0)
        figures.registers(pdu, {"energy_import_watt_hours": coarse})


def together(_: str) -> int:
    return 0


def staggered(pdu: str) -> int:
    return int(pdu[-2:]) % 10


def run(
    figures: LiveFigures,
    world: World,
    seconds: int,
    offset: Callable[[str], int] = together,
    silent: frozenset[str] = frozenset(),
) -> Figures:
    for _ in range(seconds):
        world.step()
        for device, values in world.readings(offset):
            if device not in silent:
                figures.observe(device, at(world.seconds), values)
    return figures.figures(at(world.seconds) + 900)


def small(figures: LiveFigures, seconds: Iterable[int], grid: float, it: float) -> None:
    for s in seconds:
        figures.observe("g", at(s), {"power_watts": grid})
        figures.observe("i", at(s), {"power_watts": it})

# SPDX-License-Identifier: Apache-2.0
"""Books of random sites on bad days, the same on every machine: only arithmetic decides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Any

from collector.books import BEGIN, HOUR, MEMORY, MINUTE, Meter
from collector.campus import Contract
from collector.terms import Term, Terms, Tie

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.factors import Factor, FactorTable, SiteFactors
from rackwatt.collector.accounting.modelled import LossModel
from rackwatt.collector.ledger import InputRecord, Ledger
from rackwatt.collector.site.topology import Utility
from rackwatt.wire.inventory import InventoryItem, Register

MINUTES = 130
_BUSES = (("",), ("",), ("north", "south"), ("a", "b", "c"))
_ROLES = ("grid", "pv", "wind", "hydro", "genset", "cooling", "losses", "other", "campus")
_FACTORS = {"pv": 48.0, "wind": 11.5, "hydro": 24.0, "grid": 619.71, "genset": 900.0}
_FIELDS = {
    "": ("power_watts", "energy_import_watt_hours"),
    "export": ("power_export_watts", "energy_export_watt_hours"),
    "charge": ("power_charge_watts", "energy_charge_watt_hours"),
    "discharge": ("power_discharge_watts", "energy_discharge_watt_hours"),
    "output": ("power_output_watts", "energy_output_watt_hours"),
    "heat": ("heat_watts", "heat_energy_watt_hours"),
    "water": ("flow_liters_per_second", "volume_liters"),
}


@dataclass(frozen=True)
class RandomSite:
    """Terms that hold for ever."""

    terms: Terms
    meters: Mapping[str, Meter]
    contracts: tuple[Any, ...] = ()
    utilities: tuple[Utility, ...] = ()
    modelled_losses: tuple[LossModel, ...] = ()

    def terms_at(self, time_ms: int) -> Terms:
        return self.terms

    def meters_at(self, time_ms: int) -> Mapping[str, Meter]:
        return self.meters


@dataclass
class _Drawn:
    roles: dict[str, list[Term]] = field(default_factory=dict)
    devices: dict[str, list[str]] = field(default_factory=dict)
    """What each one counts."""

    def term(self, role: str, device: str, sign: int, bus: str, *ways: str) -> None:
        self.roles.setdefault(role, []).append(Term(device, sign, bus))
        self.devices.setdefault(device, list(ways or ("",)))


def site_of(random: Random) -> tuple[RandomSite, dict[str, list[str]]]:
    """Draw a site; return it, and what each of its devices counts."""
    buses = random.choice(_BUSES)
    drawn = _Drawn()
    for role in _ROLES:
        for at in range(random.choice((0, 1, 1, 2))):
            ways = ("", "export") if role == "grid" and random.random() < 0.5 else ("",)
            drawn.term(role, f"{role}-{at}", 1, random.choice(buses), *ways)
    for at, bus in enumerate(buses):
        ways = ("", "output") if random.random() < 0.2 else ("",)
        drawn.term("it", f"it-{at}", 1, bus, *ways)
        if random.random() < 0.3:
            drawn.term("it", "other-0", -1, bus)
        if random.random() < 0.6:
            drawn.term("battery", f"battery-{at}", 1, bus, "charge", "discharge")
    ties = tuple(
        Tie(one, other, f"tie-{one}{other}")
        for one in buses
        for other in buses
        if one != other and random.random() < 0.5
    )
    for tie in ties:
        drawn.devices[tie.meter_id] = random.choice(([""], ["", "export"]))
    utilities = tuple(
        Utility(f"water-{source}", "water", source, "cooling")
        for source in ("fresh", "rain")
        if random.random() < 0.4
    ) + ((Utility("heat", "coolant"),) if random.random() < 0.4 else ())
    for utility in utilities:
        drawn.devices[utility.id] = ["water" if utility.kind == "water" else "heat"]
    terms = Terms(
        {role: tuple(members) for role, members in drawn.roles.items()},
        random.choice((None, 1, 2, 3)),
        buses,
        ties,
        frozenset({"it-0"} if random.random() < 0.1 else ()),
    )
    meters = {name: _meter(random) for name in drawn.devices if random.random() < 0.95}
    contracts = (Contract("plant"),) if random.random() < 0.4 else ()
    if contracts:
        drawn.devices["plant"] = [""]
    models = (LossModel("tr", ("it-0",), 11.0, 2e-6),) if random.random() < 0.3 else ()
    return RandomSite(terms, meters, contracts, utilities, models), drawn.devices


def _meter(random: Random) -> Meter:
    return Meter(
        random.choice((1.0, 10.0, 60.0, 60.0)),
        random.choice((0.2, 0.5, 1.0)),
        random.choice((0.0, 0.0, 0.5)),
        random.choice(("", "", "bench")),
        random.choice(("", "", "grid-0")),
    )


def _series(random: Random, cadence: int) -> Iterator[tuple[int, float | None, float | None]]:
    """Time in ms from the begin, power and register, of one way of one device."""
    kind = random.choice((*["both"] * 20, "register", "register", "power", "silent"))
    ends = random.choice((*[MINUTES] * 9, 70))
    watts, count = random.choice((0.0, 50.0, 3000.0, 90_000.0)), random.choice((0.0, 5.0, 9_950.0))
    modulus = 10_000.0 if count > 5.0 else None
    step = random.choice((0.0, 0.0, 0.0, 1.0, 10.0))
    offset, lost = random.choice((0, 0, 0, 3_217)), random.choice((0.0, 0.0, 0.0, 0.02, 0.2))
    gap = range(0)
    if random.random() < 0.2:
        begin = random.randrange(MINUTES)
        gap = range(begin * MINUTE, (begin + random.randrange(2, 75)) * MINUTE)
    for at in range(-2 * cadence, ends * MINUTE, cadence):
        if random.random() < 0.1:
            watts *= random.choice((0.0, 0.5, 0.9, 1.1, 3.0, -1.0))
            watts = min(watts, 2e5) or random.choice((0.0, 700.0))
        count += max(watts, 0.0) * cadence / 3_600_000
        if modulus is not None and count >= modulus:
            count -= modulus
        if random.random() < 0.0005:
            count = random.choice((0.0, count * 0.5, count + 1e6))
        if kind == "silent" or at in gap or random.random() < lost:
            continue
        shown = count if step == 0.0 else count // step * step
        power = watts if kind != "register" and random.random() < 0.99 else None
        yield at + offset, power, shown if kind != "power" and random.random() < 0.99 else None


def _records(
    random: Random, site: RandomSite, devices: Mapping[str, list[str]]
) -> list[InputRecord]:
    found: list[InputRecord] = []
    for device, ways in devices.items():
        stated = site.meters.get(device, Meter()).cadence_seconds
        cadence = max(round(stated * 1000), 10_000)
        for way in ways:
            power, energy = _FIELDS[way]
            for at, watts, count in _series(random, cadence):
                values = {power: watts, energy: count}
                found.append(InputRecord(device, BEGIN + at, values, BEGIN + at + 500))
    for at in range(0, MINUTES * MINUTE, MINUTE):
        charge = {"state_of_charge_ratio": 0.5 + at / 1e9}
        found.append(InputRecord("battery-0", BEGIN + at, charge, BEGIN + at + 500))
        if random.random() < 0.02:
            ratio: dict[str, float | None] = {"on_battery_ratio": 1.0}
            found.append(InputRecord("it-0", BEGIN + at, ratio, BEGIN + at + 500))
    return sorted(found, key=lambda record: record.time_ms)


def history(seed: int) -> Ledger:
    """Book two hours of a random site: in order, late, for maintenance, and all of it again."""
    random = Random(seed)  # noqa: S311 - the same numbers on every machine
    site, devices = site_of(random)
    parameters = BatteryParameters(random.choice((None, 20_000.0)), 0.95, 0.9)
    book = Ledger(MEMORY, site, _factors(random), parameters, random.choice((0.0, 5_000.0)))
    records = _records(random, site, devices)
    late = {at for at in range(len(records)) if random.random() < random.choice((0.0, 0.01))}
    specs = [
        InventoryItem(
            device=device,
            registers={
                _FIELDS[way][1]: Register(
                    modulus_watt_hours=random.choice((None, 10_000.0, 10_000.0)),
                    resolution_watt_hours=random.choice((0.1, 1.0, 10.0)),
                )
                for way in ways
            },
        )
        for device, ways in devices.items()
        if random.random() < 0.3 and not {"water", "heat"} & set(ways)
    ]
    book.inventory(specs, BEGIN)
    batch = len(records) // 6 + 1
    for number, begin in enumerate(range(0, len(records), batch)):
        part = range(begin, min(begin + batch, len(records)))
        book.apply([records[at] for at in part if at not in late], number)
        book.close_intervals(records[part[-1]].time_ms)
    book.apply([records[at] for at in sorted(late)], 7)
    end = BEGIN + MINUTES * MINUTE
    book.close_intervals(end)
    outage = {"asset": "it-0", "start_ms": BEGIN + HOUR, "until_ms": end}
    if random.random() < 0.5:
        book.record_act("maintenance_start", outage, "A. Amrani", "fans", end)
    if random.random() < 0.5:
        item = InventoryItem(device="it-0", serial="2")
        book.inventory([item.model_copy(update={"serial": "1"})], BEGIN)
        book.inventory([item], BEGIN + 50 * MINUTE)
    book.restate(BEGIN, end, "A. Amrani", "all of it", end)
    book.close_intervals(end)
    return book


def _factors(random: Random) -> SiteFactors:
    missing = random.choice(("", "", "genset", "grid"))
    factors = tuple(
        Factor(
            item=item,
            scope=scope,
            value=value,
            unit="g/kWh",
            year=None,
            type="average",
            estimated=False,
            source="test",
        )
        for scope in ("life_cycle", "direct")
        for item, value in _FACTORS.items()
        if item != missing
    )
    ratio = random.choice((None, 0.2))
    return SiteFactors(FactorTable(version=1, factors=factors), grid_carbon_free_ratio=ratio)


def digest(book: Ledger) -> str:
    """Return a hash over all intervals' revisions and all register events."""
    told = sha256()
    for entry in book.entries(0, 1_000_000):
        if entry.kind == "interval":
            told.update(f"{entry.start_ms} {entry.revision} {entry.cause} {entry.text}\n".encode())
    for event in book.events(0, 2**60):
        told.update(repr(event).encode())
    return told.hexdigest()

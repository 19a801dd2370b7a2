# SPDX-License-Identifier: Apache-2.0
"""The devices of a simulated site and what each of them measures.

Values carry the field names and units of the wire; which register or OID holds them is the
business of the agents' maps, which the servers share.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from rackwatt.twin.spec import MeterSpec, TwinSpec
from rackwatt.twin.world import World
from rackwatt.twin.world.cooling import HEAT_CAPACITY_PER_LITER
from rackwatt.twin.world.noise import process, uniform
from rackwatt.twin.world.racks import Floor

Values = dict[str, float]
Kind = Literal["power", "climate", "coolant"]
_PHASE_VOLTS: Final = 230.0
_POWER_FACTOR: Final = 0.985
_SHARES: Final = (0.3353, 0.3304, 0.3343)
_SAG: Final = 0.05
"""How far a phase's voltage falls, by how much more than a third of the load lies on it."""
_START_FROM, _START_TO = 150_000.0, 3_000_000.0
"""Registers start somewhere here, Wh: used meters; single precision still counts in 0.25 Wh."""


PUMPS: Final = 2.0
"""Of each coolant unit; one is enough, and both run."""


@dataclass(frozen=True, slots=True)
class Device:
    """Something that can be read."""

    id: str
    kind: Kind
    map: str
    """Name of the agents' register or OID map."""
    read: Callable[[World], Values]
    """True values; registers count from the first start of the twin."""
    peaks: Mapping[str, float] = field(default_factory=dict)
    """Largest values to be expected, for devices that scale their registers."""
    starts: Mapping[str, float] = field(default_factory=dict)
    """What the registers showed at the first start, Wh."""
    row: str = ""
    """The row that it stands in, of rack devices."""


def _electrical(
    world: World, stream: int, power: float, shares: Sequence[float] = _SHARES
) -> Values:
    """Voltages and currents of a three-phase connection at `power` W; negative: it exports.

    The phases' powers add up to `power`, and each is voltage times current times power factor.
    """
    seed, time = world.spec.seed, world.sim_time
    volts = _PHASE_VOLTS * (1.0 + 0.004 * process(seed, 900, 300.0, time))
    volts *= 1.0 + 0.001 * process(seed, 901 + stream, 20.0, time)
    values = {
        "voltage_volts": volts * math.sqrt(3.0),
        "frequency_hertz": 50.0 + 0.015 * process(seed, 899, 30.0, time),
        "apparent_power_volt_amperes": abs(power) / _POWER_FACTOR,
        "reactive_power_volt_amperes_reactive": power * math.tan(math.acos(_POWER_FACTOR)),
        "power_factor_ratio": _POWER_FACTOR,
    }
    amperes = 0.0
    for phase, share in zip(("l1", "l2", "l3"), shares, strict=True):
        loaded = volts * (1.0 - _SAG * (3.0 * share - 1.0))
        current = abs(power) * share / (loaded * _POWER_FACTOR)
        values[f"voltage_{phase}_volts"] = loaded
        values[f"current_{phase}_amperes"] = current
        values[f"power_{phase}_watts"] = power * share
        amperes += current / 3.0
    values["current_amperes"] = amperes
    return values


def _one_way(name: str, number: int) -> Callable[[World], Values]:
    def read(world: World) -> Values:
        power = world.powers[name]
        return {
            **_electrical(world, number, power),
            "power_watts": power,
            "power_export_watts": 0.0,
            "energy_import_watt_hours": world.energies[name],
            "energy_export_watt_hours": 0.0,
            "temperature_celsius": world.climate.outdoor.temperature + 18.0,
        }

    return read


def _grid(number: int) -> Callable[[World], Values]:
    def read(world: World) -> Values:
        power = world.powers["grid_import"] - world.powers["grid_export"]
        return {
            **_electrical(world, number, power),
            "power_watts": max(power, 0.0),
            "power_export_watts": max(-power, 0.0),
            "energy_import_watt_hours": world.energies["grid_import"],
            "energy_export_watt_hours": world.energies["grid_export"],
        }

    return read


def _ups(number: int) -> Callable[[World], Values]:
    def read(world: World) -> Values:
        power = world.powers["it"] + world.powers["losses"]
        return {
            **_electrical(world, number, power),
            "power_watts": power,
            "power_export_watts": 0.0,
            "power_output_watts": world.powers["it"],
            "energy_import_watt_hours": world.energies["it"] + world.energies["losses"],
            "energy_export_watt_hours": 0.0,
            "energy_output_watt_hours": world.energies["it"],
            "load_ratio": world.powers["it"] / world.ups_rating,
            "on_battery_ratio": 0.0,
            "state_of_charge_ratio": 1.0,
        }

    return read


def _battery(number: int) -> Callable[[World], Values]:
    def read(world: World) -> Values:
        charge, discharge = world.powers["charge"], world.powers["discharge"]
        capacity = world.spec.battery.capacity_wh
        return {
            **_electrical(world, number, charge + discharge),
            "power_charge_watts": charge,
            "power_discharge_watts": discharge,
            "energy_charge_watt_hours": world.energies["charge"],
            "energy_discharge_watt_hours": world.energies["discharge"],
            "state_of_charge_ratio": world.stock / capacity if capacity else 0.0,
            "state_of_health_ratio": 0.99,
            "capacity_watt_hours": capacity,
            "temperature_celsius": 26.0 + 4.0 * (charge + discharge) / max(1.0, capacity),
        }

    return read


def _cdu(cdu: str) -> Callable[[World], Values]:
    def read(world: World) -> Values:
        loop = world.climate.coolant[cdu]
        facility = loop.flow * 1.15
        cold = loop.supply - 4.0
        drop = 120_000.0 * loop.pump**2
        return {
            "supply_temperature_celsius": loop.supply,
            "return_temperature_celsius": loop.back,
            "flow_liters_per_second": loop.flow,
            "heat_watts": loop.heat,
            "heat_energy_watt_hours": world.cdu_heat[cdu],
            "supply_pressure_pascals": 160_000.0 + drop,
            "return_pressure_pascals": 160_000.0,
            "differential_pressure_pascals": drop,
            "pump_speed_ratio": loop.pump,
            "pumps_running_number": PUMPS,
            "valve_position_ratio": min(0.2 + 0.7 * loop.pump, 1.0),
            "level_ratio": 0.87,
            "leak_ratio": 0.0,
            "facility_supply_temperature_celsius": cold,
            "facility_return_temperature_celsius": cold
            + loop.heat / (HEAT_CAPACITY_PER_LITER * facility),
            "facility_flow_liters_per_second": facility,
        }

    return read


def _pdu(index: int, second: bool, number: int) -> Callable[[World], Values]:
    def read(world: World) -> Values:
        floor = world.floor
        share = float(floor.rack_share[index])
        part = 1.0 - share if second else share
        power = float(floor.rack_shown[index]) * part
        return {
            **_electrical(world, number, power, floor.rack_phases[index].tolist()),
            "power_watts": power,
            "energy_import_watt_hours": float(floor.rack_energy[index]) * part,
        }

    return read


def _row(first: int, last: int, number: int, side: str = "") -> Callable[[World], Values]:
    """A row's busway: both of them, or that of side `a` or `b`."""

    def read(world: World) -> Values:
        floor = world.floor
        racks = slice(first, last)
        first_part = floor.rack_share[racks]
        part = np.ones_like(first_part)
        if side:
            part = first_part if side == "a" else 1.0 - first_part
        powers = floor.rack_power[racks] * part
        phases = powers @ floor.rack_phases[racks]
        power = float(powers.sum())
        shares = (phases / power).tolist() if power else _SHARES
        return {
            **_electrical(world, number, power, shares),
            "power_watts": power,
            "power_export_watts": 0.0,
            "energy_import_watt_hours": float((floor.rack_energy[racks] * part).sum()),
            "energy_export_watt_hours": 0.0,
        }

    return read


def dew_point(temperature: float, humidity: float) -> float:
    """Degrees Celsius, by Magnus with the coefficients of Alduchov and Eskridge (1996)."""
    gamma = math.log(max(humidity, 0.01)) + 17.625 * temperature / (243.04 + temperature)
    return 243.04 * gamma / (17.625 - gamma)


def _probe(index: int, outlet: bool) -> Callable[[World], Values]:
    def read(world: World) -> Values:
        climate = world.climate
        inlet = float(climate.inlet[index])
        temperature = float(climate.outlet[index]) if outlet else inlet
        # The same water in warmer air: relative humidity falls with the saturation pressure.
        vapour = 0.45 * math.exp(17.625 * inlet / (243.04 + inlet))
        humidity = min(vapour / math.exp(17.625 * temperature / (243.04 + temperature)), 1.0)
        return {
            "temperature_celsius": temperature,
            "humidity_ratio": humidity,
            "dew_point_celsius": dew_point(temperature, humidity),
        }

    return read


_QUANTITIES: Final[Mapping[str, Callable[[int], Callable[[World], Values]]]] = {
    "grid": _grid,
    "ups": _ups,
    "battery": _battery,
    "pv": lambda number: _one_way("pv", number),
    "wind": lambda number: _one_way("wind", number),
    "genset": lambda number: _one_way("genset", number),
    "cooling": lambda number: _one_way("cooling", number),
    "other": lambda number: _one_way("other", number),
}
PROBES: Final[Mapping[str, str]] = {
    "apc-rpdu2": "apc-rpdu2-probe",
    "raritan-px": "raritan-probe",
    "vertiv-geist": "vertiv-geist-probe",
}
"""The probe that plugs into each PDU, by their maps."""
_MAIN: Final = {"battery": "energy_charge_watt_hours"}


def starts(seed: int, number: int) -> dict[str, float]:
    """What the registers of device `number` showed at the first start, Wh."""
    names = ("import", "export", "charge", "discharge", "output")
    fields = [*(f"energy_{name}_watt_hours" for name in names), "heat_energy_watt_hours"]
    span = _START_TO - _START_FROM
    return {
        field: round(_START_FROM + span * uniform(seed, 950 + i, number))
        for i, field in enumerate(fields)
    }


def _peaks(power: float) -> dict[str, float]:
    amperes = power / (3.0 * _PHASE_VOLTS * 0.9)
    peaks = dict.fromkeys(
        ("power_watts", "power_export_watts", "power_charge_watts", "power_discharge_watts",
         "power_l1_watts", "power_l2_watts", "power_l3_watts", "apparent_power_volt_amperes",
         "reactive_power_volt_amperes_reactive", "power_output_watts"), power * 1.2
    )  # fmt: skip
    for name in ("current_amperes", *(f"current_l{i}_amperes" for i in (1, 2, 3))):
        peaks[name] = amperes * 1.2
    return peaks


def default_meters(spec: TwinSpec) -> tuple[MeterSpec, ...]:
    """The meters that a spec without a list of its own has: one of each kind, all maps shown."""
    meters = [MeterSpec(id="grid-1", quantity="grid", map="schneider-pm5xxx")]
    if spec.pv.peak_watts:
        meters.append(MeterSpec(id="pv-1", quantity="pv", map="sunspec-inverter"))
    if spec.wind.rated_watts:
        meters.append(MeterSpec(id="wind-1", quantity="wind", map="janitza-umg"))
    if spec.battery.capacity_wh:
        meters.append(MeterSpec(id="battery-1", quantity="battery", map="sunspec-storage"))
    if spec.genset.power_watts:
        meters.append(MeterSpec(id="genset-1", quantity="genset", map="eastron-sdm630"))
    meters.append(MeterSpec(id="ups-1", quantity="ups", map="schneider-pm5xxx"))
    meters.append(MeterSpec(id="cooling-1", quantity="cooling", map="eastron-sdm630"))
    meters.append(MeterSpec(id="other-1", quantity="other", map="sunspec-meter"))
    return tuple(meters)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All devices, by where they are read."""

    site: tuple[Device, ...]
    """Modbus, site level: meters and contracts."""
    halls: Mapping[str, tuple[Device, ...]]
    """Modbus, by hall: CDUs and row meters."""
    racks: Mapping[str, tuple[Device, ...]]
    """SNMP, by hall: PDUs, each followed by the probe that is plugged into it."""

    @property
    def all(self) -> tuple[Device, ...]:
        """Every device."""
        below = (*self.halls.values(), *self.racks.values())
        return (*self.site, *(device for devices in below for device in devices))


def row_meter(row: str, side: str = "") -> str:
    """Id of the meter of a row's busways together, or of that of side `a` or `b`."""
    return f"{row}-busway-{side}" if side else f"{row}-busway"


def catalogue(spec: TwinSpec, floor: Floor) -> Catalogue:
    """The devices of a site."""
    full = floor.largest_power
    highest = {
        "grid": full * 1.5 + spec.pv.inverter_watts + spec.wind.rated_watts,
        "pv": spec.pv.inverter_watts, "wind": spec.wind.rated_watts,
        "battery": spec.battery.power_watts, "genset": spec.genset.power_watts,
        "ups": full * 1.1, "cooling": full * 0.5, "other": spec.other_watts * 1.5,
    }  # fmt: skip
    site: list[Device] = []
    for number, meter in enumerate(spec.meters or default_meters(spec)):
        first = starts(spec.seed, number)
        if meter.start_watt_hours is not None:
            first[_MAIN.get(meter.quantity, "energy_import_watt_hours")] = meter.start_watt_hours
        read = _QUANTITIES[meter.quantity](number)
        peaks = _peaks(highest[meter.quantity]) | {"capacity_watt_hours": spec.battery.capacity_wh}
        site.append(Device(meter.id, "power", meter.map, read, peaks, first))
    for number, contract in enumerate(spec.contracts, start=100):
        read = _one_way(contract.id, number)
        peaks, first = _peaks(contract.rated_watts), starts(spec.seed, number)
        site.append(Device(contract.id, "power", "schneider-pm5xxx", read, peaks, first))
    return Catalogue(tuple(site), _hall_devices(spec, floor), _rack_devices(spec, floor))


def _hall_devices(spec: TwinSpec, floor: Floor) -> dict[str, tuple[Device, ...]]:
    halls: dict[str, tuple[Device, ...]] = {}
    rows: dict[str, list[int]] = {}
    for rack in floor.racks:
        rows.setdefault(rack.row, []).append(rack.index)
    for hall in spec.halls:
        devices = [
            Device(cdu, "coolant", spec.cdu_map, _cdu(cdu), starts=starts(spec.seed, 150 + i))
            for i, cdu in enumerate(hall.cdus)
        ]
        for row in hall.rows if hall.metering == "row" else ():
            first, last = rows[row.id][0], rows[row.id][-1] + 1
            for i, side in enumerate(("", "a", "b") if spec.feeds.side_meters else ("",)):
                number = 200 + first + 40_000 * i
                device = Device(
                    row_meter(row.id, side), "power", "schneider-pm5xxx",
                    _row(first, last, number, side),
                    _peaks(floor.largest_power), starts(spec.seed, number),
                )  # fmt: skip
                devices.append(device)
        halls[hall.id] = tuple(devices)
    return halls


def _rack_devices(spec: TwinSpec, floor: Floor) -> dict[str, tuple[Device, ...]]:
    models = {row.id: row.pdu for row in spec.rows}
    found: dict[str, list[Device]] = {hall.id: [] for hall in spec.halls}
    for rack in floor.racks:
        if rack.row not in spec.served_rows:
            continue
        for second, side in ((False, "a"), (True, "b")):
            number = 10_000 + 2 * rack.index + second
            model = models[rack.row]
            read = _pdu(rack.index, second, number)
            first = starts(spec.seed, number)
            pdu = Device(f"{rack.id}-pdu-{side}", "power", model, read, starts=first, row=rack.row)
            place = "outlet" if second else "inlet"
            probe = Device(
                f"{rack.id}-{place}",
                "climate",
                PROBES[model],
                _probe(rack.index, second),
                row=rack.row,
            )
            found[rack.hall] += [pdu, probe]
    return {hall: tuple(devices) for hall, devices in found.items()}

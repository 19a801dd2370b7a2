# SPDX-License-Identifier: Apache-2.0
"""The readings of each kind: every field that may cross the wire, with its unit and bounds.

Sign convention. No power or energy on the wire is negative: a flow that can go both ways has a
field for each direction.

=================  =============================  ==========================================
metering point     forward                        reverse
=================  =============================  ==========================================
grid connection    import: `power_watts`,         export: `power_export_watts`,
                   `energy_import_watt_hours`     `energy_export_watt_hours`
PV, wind, hydro,   production: `power_watts`,     the unit's own draw: `power_export_watts`,
genset             `energy_import_watt_hours`     `energy_export_watt_hours`
load, PDU, UPS     consumption: `power_watts`,    feeding back: `power_export_watts`,
input              `energy_import_watt_hours`     `energy_export_watt_hours`
battery            charge: `power_charge_watts`,  discharge: `power_discharge_watts`,
                   `energy_charge_watt_hours`     `energy_discharge_watt_hours`
UPS output         `power_output_watts`,          -
                   `energy_output_watt_hours`
GPU                `power_watts`,                 -
                   `energy_import_watt_hours`
=================  =============================  ==========================================

A power at time t is the mean over the sending window that ends at t, with the smallest and the
largest sample beside it; a register (`energy_…`, `…_total`, `volume_liters`) is its value at t.
Numbers are floats for ever; None means "could not be read" and is never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

Kind = Literal["power", "gpu", "climate", "coolant", "water", "host", "event"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

Aggregate = Literal["mean", "last", "min", "max", "sum"]


class Quality(StrEnum):
    """Why a value is missing or deserves less trust."""

    TIMEOUT = "timeout"
    EXCEPTION = "exception"
    OUT_OF_RANGE = "out_of_range"
    NOT_SUPPORTED = "not_supported"
    REJECTED = "rejected"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of the contract."""

    name: str
    unit: str
    low: float
    high: float
    aggregate: Aggregate
    """How an agent makes one value of the samples in a sending window."""
    description: str


def _f(
    unit: str, description: str, high: float, low: float = 0.0, how: Aggregate = "mean"
) -> object:
    return Field(
        default=None,
        ge=low,
        le=high,
        description=description,
        json_schema_extra={"unit": unit, "aggregate": how},
    )


# The bounds refuse nonsense (a wrong word order, a sentinel read as a number), not rare truths:
# the largest campus planned today is below 10 GW.
_P: Final = 1e10
_E: Final = 1e16
_T_LOW: Final = -90.0

Value = FiniteFloat | None
Watts = Annotated[Value, _f("W", "active power", _P)]
WattHours = Annotated[Value, _f("Wh", "energy register", _E, how="last")]
Ratio = Annotated[Value, _f("1", "ratio 0..1", 1.0)]
Celsius = Annotated[Value, _f("Cel", "temperature", 1000.0, _T_LOW)]
Volts = Annotated[Value, _f("V", "voltage", 1e6)]
Amperes = Annotated[Value, _f("A", "current", 1e6)]
Bytes = Annotated[Value, _f("By", "bytes", 1e18, how="last")]
Total = Annotated[Value, _f("1", "running total", 1e18, how="last")]
Flow = Annotated[Value, _f("L/s", "volume flow", 1e6)]
Pascals = Annotated[Value, _f("Pa", "pressure", 1e9, -1e9)]
Hertz = Annotated[Value, _f("Hz", "frequency", 1e12)]


class Reading(BaseModel):
    """What every reading has: a device, optionally its own time and the quality of its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(min_length=1, max_length=200, description="unique within the site")
    time: int | None = Field(
        default=None, ge=0, lt=2**53, description="ms since 1970 UTC; default: the message's"
    )
    quality: dict[str, Quality] | None = Field(
        default=None, description="field name to the reason why it is null or less trusted"
    )


class PowerReading(Reading):
    """A meter, inverter, battery, UPS or PDU. Signs: see the table of this module."""

    power_watts: Watts = None
    power_min_watts: Annotated[Value, _f("W", "smallest sample of the window", _P, how="min")] = (
        None
    )
    power_max_watts: Annotated[Value, _f("W", "largest sample of the window", _P, how="max")] = None
    power_export_watts: Watts = None
    power_charge_watts: Watts = None
    power_discharge_watts: Watts = None
    power_output_watts: Watts = None
    power_l1_watts: Annotated[Value, _f("W", "active power of a phase", _P, -_P)] = None
    power_l2_watts: Annotated[Value, _f("W", "active power of a phase", _P, -_P)] = None
    power_l3_watts: Annotated[Value, _f("W", "active power of a phase", _P, -_P)] = None
    energy_import_watt_hours: WattHours = None
    energy_export_watt_hours: WattHours = None
    energy_charge_watt_hours: WattHours = None
    energy_discharge_watt_hours: WattHours = None
    energy_output_watt_hours: WattHours = None
    state_of_charge_ratio: Ratio = None
    state_of_health_ratio: Annotated[Value, _f("1", "ratio, may exceed 1 when new", 1.5)] = None
    capacity_watt_hours: Annotated[Value, _f("Wh", "usable capacity", _E, how="last")] = None
    on_battery_ratio: Annotated[
        Value, _f("1", "share of the window spent on battery, 0..1", 1.0)
    ] = None
    load_ratio: Annotated[Value, _f("1", "load against rating", 10.0)] = None
    runtime_seconds: Annotated[Value, _f("s", "battery runtime left", 1e9, how="last")] = None
    voltage_volts: Volts = None
    voltage_l1_volts: Volts = None
    voltage_l2_volts: Volts = None
    voltage_l3_volts: Volts = None
    current_amperes: Amperes = None
    current_l1_amperes: Amperes = None
    current_l2_amperes: Amperes = None
    current_l3_amperes: Amperes = None
    frequency_hertz: Annotated[Value, _f("Hz", "mains frequency", 1000.0)] = None
    power_factor_ratio: Annotated[Value, _f("1", "power factor, signed", 1.0, -1.0)] = None
    apparent_power_volt_amperes: Annotated[Value, _f("VA", "apparent power", _P)] = None
    reactive_power_volt_amperes_reactive: Annotated[
        Value, _f("var", "reactive power, signed", _P, -_P)
    ] = None
    temperature_celsius: Celsius = None
    supplies_running_number: Annotated[
        Value, _f("1", "power supplies that run", 1000.0, how="min")
    ] = None


class GpuReading(Reading):
    """One GPU; `device` is `{node}/{uuid}`."""

    power_watts: Annotated[Value, _f("W", "board power, the driver's 1 s average", 1e5)] = None
    power_min_watts: Annotated[Value, _f("W", "smallest sample of the window", 1e5, how="min")] = (
        None
    )
    power_max_watts: Annotated[Value, _f("W", "largest sample of the window", 1e5, how="max")] = (
        None
    )
    power_instant_watts: Annotated[Value, _f("W", "instantaneous board power", 1e5)] = None
    power_limit_watts: Annotated[Value, _f("W", "enforced power limit", 1e5, how="last")] = None
    energy_import_watt_hours: WattHours = None
    temperature_celsius: Celsius = None
    memory_temperature_celsius: Celsius = None
    utilization_ratio: Ratio = None
    memory_utilization_ratio: Ratio = None
    memory_used_bytes: Bytes = None
    memory_total_bytes: Bytes = None
    sm_clock_hertz: Hertz = None
    memory_clock_hertz: Hertz = None
    clock_event_reasons_bitmask: Annotated[
        Value, _f("1", "bits of nvmlClocksEventReasons", 2.0**53, how="last")
    ] = None
    ecc_corrected_errors_total: Total = None
    ecc_uncorrected_errors_total: Total = None
    remapped_rows_total: Total = None
    pcie_replays_total: Total = None
    performance_state_number: Annotated[Value, _f("1", "P-state 0..15", 32.0, how="last")] = None
    mig_enabled_ratio: Annotated[Value, _f("1", "1 when MIG is on", 1.0, how="last")] = None


class ClimateReading(Reading):
    """Air: rack inlets and outlets, rooms, weather stations."""

    temperature_celsius: Annotated[Value, _f("Cel", "air temperature", 150.0, _T_LOW)] = None
    humidity_ratio: Annotated[Value, _f("1", "relative humidity", 1.0)] = None
    dew_point_celsius: Annotated[Value, _f("Cel", "dew point", 150.0, _T_LOW)] = None
    pressure_pascals: Pascals = None
    wind_speed_meters_per_second: Annotated[Value, _f("m/s", "wind speed", 150.0)] = None
    irradiance_watts_per_square_meter: Annotated[Value, _f("W/m2", "global irradiance", 2000.0)] = (
        None
    )


class CoolantReading(Reading):
    """A coolant loop: CDU, chiller, heat exchanger."""

    supply_temperature_celsius: Celsius = None
    return_temperature_celsius: Celsius = None
    flow_liters_per_second: Flow = None
    supply_pressure_pascals: Pascals = None
    return_pressure_pascals: Pascals = None
    differential_pressure_pascals: Pascals = None
    heat_watts: Annotated[Value, _f("W", "heat removed", _P, -_P)] = None
    heat_energy_watt_hours: WattHours = None
    pump_speed_ratio: Ratio = None
    pumps_running_number: Annotated[Value, _f("1", "pumps that run", 100.0, how="min")] = None
    level_ratio: Ratio = None
    valve_position_ratio: Ratio = None
    leak_ratio: Annotated[Value, _f("1", "1 when a leak is sensed", 1.0, how="max")] = None
    facility_supply_temperature_celsius: Celsius = None
    facility_return_temperature_celsius: Celsius = None
    facility_flow_liters_per_second: Flow = None


class WaterReading(Reading):
    """A water meter."""

    volume_liters: Annotated[Value, _f("L", "volume register", _E, how="last")] = None
    flow_liters_per_second: Flow = None


class HostReading(Reading):
    """A server as its operating system sees it."""

    cpu_utilization_ratio: Ratio = None
    load_average_1m_number: Annotated[Value, _f("1", "load average", 1e6, how="last")] = None
    memory_used_bytes: Bytes = None
    memory_total_bytes: Bytes = None
    temperature_celsius: Celsius = None
    power_watts: Watts = None
    power_min_watts: Annotated[Value, _f("W", "smallest sample of the window", _P, how="min")] = (
        None
    )
    power_max_watts: Annotated[Value, _f("W", "largest sample of the window", _P, how="max")] = None
    energy_import_watt_hours: WattHours = None
    uptime_seconds: Annotated[Value, _f("s", "time since boot", 1e10, how="last")] = None
    disk_used_bytes: Bytes = None
    disk_total_bytes: Bytes = None
    network_received_bytes_total: Bytes = None
    network_sent_bytes_total: Bytes = None


class EventReading(Reading):
    """Something that happened; it has no numbers."""

    code: str = Field(min_length=1, max_length=100, pattern=r"^[a-z0-9_]+$")
    severity: Literal["info", "warning", "critical"]
    text: str = Field(max_length=2000)


MODELS: Final[Mapping[Kind, type[Reading]]] = MappingProxyType(
    {
        "power": PowerReading,
        "gpu": GpuReading,
        "climate": ClimateReading,
        "coolant": CoolantReading,
        "water": WaterReading,
        "host": HostReading,
        "event": EventReading,
    }
)


def _specs(model: type[Reading]) -> Mapping[str, FieldSpec]:
    specs: dict[str, FieldSpec] = {}
    for name, info in model.model_fields.items():
        extra = info.json_schema_extra
        if not isinstance(extra, dict) or "unit" not in extra:
            continue
        bounds = {type(item).__name__: item for item in info.metadata}
        specs[name] = FieldSpec(
            name=name,
            unit=str(extra["unit"]),
            low=float(bounds["Ge"].ge),
            high=float(bounds["Le"].le),
            aggregate=str(extra["aggregate"]),  # type: ignore[arg-type]
            description=info.description or "",
        )
    return MappingProxyType(specs)


FIELDS: Final[Mapping[Kind, Mapping[str, FieldSpec]]] = MappingProxyType(
    {kind: _specs(model) for kind, model in MODELS.items()}
)
"""Kind to field name to specification; `event` has no numeric fields."""

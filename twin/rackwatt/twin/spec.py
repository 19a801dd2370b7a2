# SPDX-License-Identifier: Apache-2.0
"""What a simulated site is made of: the twin's own file.

Powers in W, energies in Wh, angles in degrees, temperatures in degrees Celsius, ratios 0..1.
"""

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rackwatt.twin.feedspec import FeedsSpec, RowFeedsSpec
from rackwatt.twin.patterns import expand
from rackwatt.wire.config import (
    ConfigError,
    ConfigErrors,
    Document,
    Duration,
    load_document,
    nearest,
)
from rackwatt.wire.topics import check_name

Ratio = Annotated[float, Field(ge=0, le=1)]
Watts = Annotated[float, Field(ge=0, le=1e12)]
WattHours = Annotated[float, Field(ge=0, le=1e15)]
Hour = Annotated[int, Field(ge=0, le=24)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteSpec(_Strict):
    """Where the site lies; default: Tétouan, Morocco."""

    id: str = "demo"
    name: str = "Rackwatt demo campus"
    timezone: str = "Africa/Casablanca"
    country: str = "MA"
    latitude: float = Field(default=35.57, ge=-90, le=90)
    longitude: float = Field(default=-5.37, ge=-180, le=180)
    altitude_meters: float = Field(default=20.0, ge=-400, le=6000)

    @field_validator("id")
    @classmethod
    def _topic_part(cls, value: str) -> str:
        return check_name(value, "site id")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("no such time zone") from error
        return value


class PvSpec(_Strict):
    """Panels on a fixed tilt behind an inverter."""

    peak_watts: Watts = 150_000.0
    inverter_watts: Watts = 130_000.0
    tilt_degrees: float = Field(default=25.0, ge=0, le=90)
    azimuth_degrees: float = Field(default=180.0, ge=0, le=360)


class WindSpec(_Strict):
    """A turbine whose power curve is scaled to `rated_watts` (a share in a bigger machine).

    The default mean speed is that of the windy coast of the Strait of Gibraltar.
    """

    rated_watts: Watts = 50_000.0
    turbine: str = "E-53/800"
    """A type in windpowerlib's library of power curves."""
    hub_height_meters: float = Field(default=60.0, gt=0, le=300)
    mean_speed_meters_per_second: float = Field(default=9.0, gt=0, le=25)
    """At the hub."""
    weibull_shape: float = Field(default=2.6, ge=1, le=6)


class BatterySpec(_Strict):
    """A battery and its dispatch rule.

    It charges from any surplus; up to `reserve_ratio` at any hour, slowly, from the bus; in the
    off-peak hours up to `off_peak_ratio`; it discharges in the evening peak, never below the
    reserve. Efficiencies are one way.
    """

    capacity_wh: WattHours = 150_000.0
    power_watts: Watts = 50_000.0
    charge_efficiency: float = Field(default=0.95, gt=0, le=1)
    discharge_efficiency: float = Field(default=0.95, gt=0, le=1)
    initial_wh: WattHours = 0.0
    reserve_ratio: Ratio = 0.2
    reserve_charge_watts: Watts = 12_000.0
    off_peak_ratio: Ratio = 0.6
    off_peak_charge_watts: Watts = 15_000.0
    peak_hours: tuple[Hour, Hour] = (18, 23)
    off_peak_hours: tuple[Hour, Hour] = (23, 7)
    """Local hours, from the first to before the second; may pass midnight."""

    @model_validator(mode="after")
    def _fits(self) -> "BatterySpec":
        if self.initial_wh > self.capacity_wh:
            raise ValueError("initial_wh exceeds capacity_wh")
        return self


class GensetSpec(_Strict):
    """Off by default; runs at `power_watts` while `running`."""

    power_watts: Watts = 0.0
    running: bool = False


class CoolingSpec(_Strict):
    """Part of the racks' heat goes into warm water, the rest into air and a chiller.

    Ratios are electrical power per heat moved.
    """

    liquid_ratio: Ratio = 0.7
    liquid_pump_ratio: Ratio = 0.022
    fan_ratio: Ratio = 0.05
    water_supply_celsius: float = Field(default=30.0, ge=5, le=60)
    water_rise_kelvin: float = Field(default=8.0, gt=0, le=30)
    """Return minus supply at full flow; the pumps keep flow in step with the heat."""
    air_supply_celsius: float = Field(default=22.0, ge=10, le=40)
    air_rise_kelvin: float = Field(default=12.0, gt=0, le=40)
    chilled_water_celsius: float = Field(default=16.0, ge=4, le=30)
    carnot_ratio: float = Field(default=0.42, gt=0, le=1)
    time_constant: Annotated[Duration, Field(gt=0)] = 180.0
    """How slowly heat reaches the plant: training steps do not show in the cooling power."""


class UpsSpec(_Strict):
    """UPS and transformers: `losses = rated * (no_load_ratio + load_ratio * (P / rated)**2)`."""

    rated_watts: Watts | None = None
    """None: 1.3 times the racks' largest power."""
    no_load_ratio: Ratio = 0.008
    load_ratio: Ratio = 0.022


class RowSpec(_Strict):
    """A row of equal racks.

    In a file one entry may stand for several rows: `id: "a-[01-12]", racks: "{row}-[01-20]"`.
    """

    id: str
    racks: str
    """A pattern, as `r1-[01-08]`."""
    nodes_per_rack: int = Field(default=2, ge=1, le=64)
    gpus_per_node: int = Field(default=4, ge=1, le=16)
    gpu: Literal["H100", "H200", "B200", "GB200", "GB300"] = "H100"
    node_watts: Watts = 480.0
    """What a node draws beside its GPUs when they idle: processors, memory, network."""
    node_ratio: Ratio = 0.10
    """What it draws besides, per watt of its GPUs: fans and voltage regulators."""
    rack_watts: Watts = 150.0
    """Switches and the like."""
    supply_efficiency: float = Field(default=0.955, gt=0, le=1)
    pdu: Literal["apc-rpdu2", "raritan-px", "vertiv-geist"] = "apc-rpdu2"
    """The OID map that the row's PDUs answer by."""
    snmp: Literal["v2c", "v3"] = "v2c"
    """How the agents ask them; the PDUs answer to both."""
    feeds: RowFeedsSpec = RowFeedsSpec()

    @field_validator("racks")
    @classmethod
    def _expands(cls, value: str) -> str:
        expand(value)
        return value

    @property
    def rack_ids(self) -> tuple[str, ...]:
        """The racks of the row."""
        return expand(self.racks)


class HallSpec(_Strict):
    """A hall, its rows and its coolant units.

    In a file one entry may stand for several halls: `id: "hall-[01-10]"`, and `{hall}` in the
    names of its rows and coolant units.
    """

    id: str
    rows: tuple[RowSpec, ...] = Field(min_length=1)
    cdus: tuple[str, ...] = ()
    metering: Literal["pdu", "row"] = "pdu"
    """`pdu`: IT is the sum of the rack PDUs. `row`: one busway meter per row, by Modbus."""


class JobSpec(_Strict):
    """Work on some racks. Racks that no job names idle.

    Training is synchronous: all racks of the job compute together and wait together, every
    `period`. It runs for `run` and pauses for `pause` (evaluation, restart), by the twin's own
    time; a check point halts it for `checkpoint` every ten minutes. Inference follows the hour.
    """

    id: str
    kind: Literal["training", "inference", "idle"]
    racks: tuple[str, ...]
    """Patterns."""
    period: Annotated[Duration, Field(gt=0.1, le=600)] = 3.236
    compute_ratio: Ratio = 0.68
    compute_load: Ratio = 0.96
    wait_load: Ratio = 0.42
    run: Annotated[Duration, Field(gt=0)] = 3300.0
    pause: Annotated[Duration, Field(ge=0)] = 180.0
    checkpoint: Annotated[Duration, Field(ge=0, lt=600)] = 12.0


class TenantSpec(_Strict):
    """Who holds some of the machines, in the site file that the twin writes.

    A GPU is named `NODE/INDEX`; the site file names it by its UUID.
    """

    id: str
    name: str = ""
    kind: Literal["researcher", "start-up", "company", "operator"]
    country: str | None = None
    racks: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    gpus: tuple[Annotated[str, Field(pattern=r"^[^/]+/[0-9]+$")], ...] = ()


class ContractSpec(_Strict):
    """Supply from elsewhere, wheeled over the grid: a claim on the import, metered at its plant."""

    id: str
    kind: Literal["pv", "wind"]
    rated_watts: Watts


class MeterSpec(_Strict):
    """A meter with a real device's register map, read by Modbus TCP.

    `quantity` says what it measures; an id may stand once.
    """

    id: str
    quantity: Literal["grid", "pv", "wind", "battery", "genset", "ups", "cooling", "other"]
    map: str
    start_watt_hours: WattHours | None = None
    """What its main register shows at the first start; just below its modulus: it rolls over."""


class FaultSpec(_Strict):
    """A fault on a schedule, `at` seconds after each start of the twin."""

    at: Annotated[Duration, Field(ge=0)]
    name: str
    target: str
    duration: Annotated[Duration, Field(gt=0)] | None = None
    value: float | str | None = None


def _halls(item: Any) -> list[Any]:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return [item]  # pydantic says what is wrong
    halls: list[Any] = []
    for hall in expand(item["id"]):
        rows = item.get("rows")
        cdus = item.get("cdus")
        made = {**item, "id": hall}
        if isinstance(rows, list):
            made["rows"] = [row for entry in rows for row in _rows(entry, hall)]
        if isinstance(cdus, list):
            names = [str(name).replace("{hall}", hall) for name in cdus]
            made["cdus"] = [name for pattern in names for name in expand(pattern)]
        halls.append(made)
    return halls


def _rows(item: Any, hall: str) -> list[Any]:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return [item]
    racks = str(item.get("racks", "")).replace("{hall}", hall)
    return [
        {**item, "id": row, "racks": racks.replace("{row}", row)}
        for row in expand(item["id"].replace("{hall}", hall))
    ]


class TwinSpec(_Strict):
    """A simulated site."""

    site: SiteSpec = SiteSpec()
    seed: int = Field(default=1, ge=0)
    speed: float = Field(default=1.0, gt=0, le=100_000)
    """Weather and jobs run this many times faster than the clock; energy never does."""
    pv: PvSpec = PvSpec()
    wind: WindSpec = WindSpec()
    battery: BatterySpec = BatterySpec()
    genset: GensetSpec = GensetSpec()
    cooling: CoolingSpec = CoolingSpec()
    ups: UpsSpec = UpsSpec()
    feeds: FeedsSpec = FeedsSpec()
    other_watts: Watts = 2_200.0
    halls: tuple[HallSpec, ...] = Field(min_length=1)
    jobs: tuple[JobSpec, ...] = ()
    contracts: tuple[ContractSpec, ...] = ()
    tenants: tuple[TenantSpec, ...] = ()
    phases: tuple[dict[str, Any], ...] = ()
    commitments: tuple[dict[str, Any], ...] = ()
    """Both as the site file has them, which says what is wrong with them."""
    meters: tuple[MeterSpec, ...] = ()
    cdu_map: str = "blueprint-cdu"
    rows_served: int | None = Field(default=None, ge=0)
    """How many rows, from the first, have PDUs, probes and nodes that answer; None: all."""
    faults: tuple[FaultSpec, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _expanded(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("halls"), list):
            return {**data, "halls": [hall for item in data["halls"] for hall in _halls(item)]}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> "TwinSpec":
        racks = [rack for row in self.rows for rack in row.rack_ids]
        ids = [*racks, *(meter.id for meter in self.meters), *(c.id for c in self.contracts)]
        ids += [cdu for hall in self.halls for cdu in hall.cdus]
        twice = sorted({name for name in ids if ids.count(name) > 1}) if len(ids) < 500 else []
        if twice or len(set(ids)) != len(ids):
            raise ValueError(f"names stand twice: {', '.join(twice) or 'see racks and meters'}")
        known = set(racks)
        named = [rack for job in self.jobs for pattern in job.racks for rack in expand(pattern)]
        unknown = sorted(set(named) - known)
        if unknown:
            raise ValueError(f"a job names unknown racks: {', '.join(unknown[:5])}")
        if len(set(named)) != len(named):
            raise ValueError("a rack stands in two jobs")
        unmetered = [
            row.id
            for hall in self.halls
            for row in hall.rows
            if hall.metering == "pdu" and row.id not in self.served_rows
        ]
        if unmetered:
            raise ValueError(
                f"rows_served leaves {unmetered[0]} without a meter: its hall needs metering: row"
            )
        return self

    @property
    def rows(self) -> tuple[RowSpec, ...]:
        """The rows of all halls, in order."""
        return tuple(row for hall in self.halls for row in hall.rows)

    @property
    def served_rows(self) -> frozenset[str]:
        """Ids of the rows whose PDUs, probes and nodes answer."""
        rows = self.rows if self.rows_served is None else self.rows[: self.rows_served]
        return frozenset(row.id for row in rows)


SCENARIOS: Final = ("demo", "tetouan")
_DEFAULT: Final = "demo"


def scenario(name: str) -> TwinSpec:
    """A scenario that ships with the twin; `default` is the demo.

    Raises:
        ConfigErrors: no such scenario.
    """
    real = _DEFAULT if name == "default" else name
    if real not in SCENARIOS:
        hint = f"{nearest(name, ('default', *SCENARIOS))} or a file: {name}.yaml"
        raise ConfigErrors([ConfigError(name, 1, "", "no such scenario", hint)])
    file = resources.files("rackwatt.twin").joinpath("scenarios", f"site-{real}.yaml")
    return Document(f"site-{real}.yaml", file.read_text(encoding="utf-8")).validate(TwinSpec)


def load_spec(source: str | Path) -> TwinSpec:
    """A scenario by name, or a twin's file by its path (anything that ends in `.yaml`).

    Raises:
        ConfigErrors: with every violation and its line, or no such scenario.
    """
    if isinstance(source, Path) or source.endswith((".yaml", ".yml")):
        return load_document(Path(source)).validate(TwinSpec)
    return scenario(source)

# SPDX-License-Identifier: Apache-2.0
"""The site file as it is written: what keys there are and what values they take.

These models hold what one key can be wrong about; what several keys are wrong about together
stands in the rules (`rules.py`, `metering.py`).
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rackwatt.collector.site.chain_models import CoolingChainModel, PowerChainModel
from rackwatt.collector.site.fields import (
    Accuracy,
    Efficiency,
    FuelFactor,
    Intensity,
    Moment,
    Ratio,
    WattHours,
)
from rackwatt.collector.site.promise_models import CommitmentModel, PhaseModel
from rackwatt.wire.config import Duration

Role = Literal[
    "pv", "wind", "hydro", "grid", "genset", "battery", "it", "cooling", "losses", "other", "campus"
]
Position = Literal["ups_output", "pdu_output", "it_input"]
MeterState = Literal["planned", "installed", "commissioned", "in_service", "out"]
Claim = Literal["ppa_pv", "ppa_wind", "ppa_hydro"]
ContractKind = Literal["ppa", "wheeled"]
WaterSource = Literal["fresh", "reclaimed", "rain"]
WaterUse = Literal["cooling", "humidification", "other"]
AirClassName = Literal["A1", "A2", "A3", "A4", "H1"]
TenantKind = Literal["researcher", "start-up", "company", "operator"]


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""One pattern or several."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Dated(_Model):
    """Something that holds from one time to another."""

    valid_from: Moment | None = None
    valid_to: Moment | None = None


class SiteModel(_Model):
    """`site:` who and where."""

    id: str
    name: str = ""
    timezone: str
    country: str | None = None
    latitude: float | None = Field(default=None, ge=-90, le=90)
    longitude: float | None = Field(default=None, ge=-180, le=180)
    simulated: bool = False
    air_class: AirClassName = "A1"
    """ASHRAE class of the equipment, for the air at the racks' inlets."""


class FactorModel(_Model):
    """One source's factors, g CO2e/kWh."""

    life_cycle: Intensity | None = None
    direct: Intensity | None = None
    year: int | None = Field(default=None, ge=1990, le=2100)
    source: str = ""
    estimated: bool = False


class FactorsModel(_Model):
    """`carbon.factors:`."""

    pv: FactorModel = FactorModel()
    wind: FactorModel = FactorModel()
    hydro: FactorModel = FactorModel()
    grid: FactorModel = FactorModel()
    genset: FactorModel = FactorModel()
    residual: FactorModel = FactorModel()


class CarbonModel(_Model):
    """`carbon:`."""

    grid_carbon_free_ratio: Ratio | None = None
    factors: FactorsModel = FactorsModel()
    series: Names = ()
    """CSV files with factors over time, beside the site file."""
    fuel_factors: dict[str, FuelFactor] = Field(default_factory=dict)
    """g CO2e per litre, by fuel."""


class BatteryModel(_Model):
    """`battery:` the site's stationary battery, all units taken together."""

    capacity_wh: WattHours | None = None
    charge_efficiency: Efficiency | None = None
    discharge_efficiency: Efficiency | None = None
    initial_wh: WattHours = 0.0
    initial_life_cycle: Intensity | None = None
    initial_direct: Intensity | None = None


class SourceModel(_Model):
    """One source under `supply:`."""

    attributes: Literal["retained", "sold", "unissued"] = "retained"


class SupplyModel(_Model):
    """`supply:` who owns the attributes of what each source gives."""

    pv: SourceModel = SourceModel()
    wind: SourceModel = SourceModel()
    hydro: SourceModel = SourceModel()
    export_cap_ratio: Ratio | None = None


class BalanceModel(_Model):
    """`balance:` how far the books may be off before a month is flagged."""

    residual_limit_ratio: Ratio = 0.002
    modelled_losses: Names = ()
    """Assets and feeds (`FROM>TO`) of the power chain whose losses no meter sees."""


class SettlementModel(_Model):
    """`settlement:` how the utility measures demand."""

    window: Duration = Field(default=600.0)
    subscribed_watts: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class WaterModel(Dated):
    """A water meter, a device of kind `water`."""

    id: str
    source: WaterSource
    use: WaterUse = "cooling"
    cadence: Duration | None = Field(default=None, gt=0, le=86400)


class DischargeModel(Dated):
    """A meter of water that is given back, a device of kind `water`."""

    id: str
    cadence: Duration | None = Field(default=None, gt=0, le=86400)


class HeatModel(Dated):
    """A heat meter, a device of kind `coolant`, of what is used outside the data center."""

    id: str
    cadence: Duration | None = Field(default=None, gt=0, le=86400)


class BusModel(_Model):
    """One of several buses."""

    id: str
    name: str = ""


class TieModel(Dated):
    """A line between two buses; its meter counts forward from `from` to `to`."""

    id: str
    source: str = Field(alias="from")
    target: str = Field(alias="to")
    meter: str


class ContractModel(Dated):
    """A claim on the grid import; its meter stands elsewhere, at the plant."""

    id: str
    claim: Claim
    meter: str
    kind: ContractKind = "ppa"


class MeterModel(Dated):
    """One metering point, or several by pattern; with `sum` or `minus` a virtual one."""

    id: str
    role: Role | None = None
    accuracy: Accuracy | None = Field(default=None, alias="class")
    transformer_class: Accuracy | None = None
    calibration_group: str = ""
    cadence: Duration | None = Field(default=None, gt=0, le=86400)
    position: Position | None = None
    hall: str | None = None
    bus: str | None = None
    parent: str | None = None
    state: MeterState | None = None
    state_since: Moment | None = None
    calibrated: date | None = None
    calibration_due: date | None = None
    sum: Names = ()
    minus: Names = ()


class SensorsModel(_Model):
    """`sensors:` of a row: where in the rack's air each one hangs."""

    inlet: str | None = None
    inlet_top: str | None = None
    inlet_middle: str | None = None
    inlet_bottom: str | None = None
    outlet: str | None = None
    outlet_top: str | None = None
    outlet_middle: str | None = None
    outlet_bottom: str | None = None


class RowModel(Dated):
    """A row of racks."""

    id: str
    racks: Names
    nodes: Names = ()
    pdus: Names = ()
    pdu_class: Accuracy | None = None
    pdu_parent: str | None = None
    sensors: SensorsModel = SensorsModel()
    devices: Names = ()


class HallModel(_Model):
    """A hall: its rows, and the devices that stand in no rack."""

    id: str
    name: str = ""
    bus: str | None = None
    rows: tuple[RowModel, ...] = ()
    devices: Names = ()


class AgentModel(_Model):
    """A field agent and the hall it speaks for."""

    name: str
    hall: str


class AssignmentModel(Dated):
    """What a tenant holds for a while; a GPU is named `NODE/UUID`."""

    gpus: Names = ()
    nodes: Names = ()
    racks: Names = ()


class TenantModel(_Model):
    """Who uses the machines."""

    id: str
    name: str = ""
    kind: TenantKind
    country: str | None = None
    assignments: tuple[AssignmentModel, ...] = ()


class SiteFile(_Model):
    """The whole file."""

    site: SiteModel
    carbon: CarbonModel = CarbonModel()
    battery: BatteryModel | None = None
    supply: SupplyModel = SupplyModel()
    balance: BalanceModel = BalanceModel()
    settlement: SettlementModel | None = None
    certificates: Names = ()
    water: tuple[WaterModel, ...] = ()
    water_discharge: tuple[DischargeModel, ...] = ()
    heat_reuse: tuple[HeatModel, ...] = ()
    fuel: Names = ()
    """CSV files with what gensets burnt, beside the site file."""
    buses: tuple[BusModel, ...] = ()
    ties: tuple[TieModel, ...] = ()
    contracts: tuple[ContractModel, ...] = ()
    meters: tuple[MeterModel, ...] = ()
    halls: tuple[HallModel, ...] = ()
    power_chain: PowerChainModel | None = None
    cooling_chain: CoolingChainModel | None = None
    phases: tuple[PhaseModel, ...] = ()
    commitments: tuple[CommitmentModel, ...] = ()
    devices: Names = ()
    agents: tuple[AgentModel, ...] = ()
    tenants: tuple[TenantModel, ...] = ()
    assignments_csv: Names = ()
    """CSV files with further tenants and assignments, beside the site file."""

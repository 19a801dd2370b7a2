# SPDX-License-Identifier: Apache-2.0
"""`power_chain:` and `cooling_chain:` of the site file, as they are written."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rackwatt.collector.site.fields import Efficiency

PowerKind = Literal[
    "utility", "genset", "transformer", "board", "ups", "sts", "busway", "rack_pdu", "power_shelf"
]
CoolingKind = Literal["chiller", "dry_cooler", "cooling_tower", "header", "pump", "cdu", "crah"]
Side = Literal["A", "B"]

POWER_ROOTS = frozenset({"utility", "genset"})
COOLING_ROOTS = frozenset({"chiller", "dry_cooler", "cooling_tower"})


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Natural = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PowerAssetModel(_Model):
    """One asset of the power chain, or several by pattern."""

    id: str
    kind: PowerKind
    group: str = ""
    rated_volt_amperes: _Positive | None = None
    no_load_loss_watts: _Natural | None = None
    load_loss_watts: _Natural | None = None
    common: bool = False


class CoolingAssetModel(_Model):
    """One asset of the cooling chain, or several by pattern; `watts` of heat."""

    id: str
    kind: CoolingKind
    group: str = ""
    watts: _Positive | None = None
    pumps: int = Field(default=0, ge=0, le=100)
    pumps_needed: int = Field(default=0, ge=0, le=100)
    common: bool = False


class PowerEdgeModel(_Model):
    """One asset feeds another, or several others.

    A rating is in amperes per phase or in W; it needs its continuous derating beside it.
    """

    source: str = Field(alias="from")
    target: _Names = Field(alias="to")
    amperes: _Positive | None = None
    watts: _Positive | None = None
    volts: _Positive | None = None
    phases: Literal[1, 3] = 3
    derating: Efficiency | None = None
    side: Side | None = None
    meter: str = ""
    ohms: _Natural | None = None
    standby: bool = False

    @model_validator(mode="after")
    def _stated(self) -> Self:
        rated = self.amperes is not None or self.watts is not None
        if rated and self.derating is None:
            msg = (
                "a rating without its continuous derating: add 'derating: 0.8' (continuous loads"
                " after NEC 210.20) or 'derating: 1.0' (equipment rated for it)"
            )
            raise ValueError(msg)
        if self.amperes is not None and self.volts is None:
            msg = "a rating in amperes needs 'volts' (between lines, with three phases)"
            raise ValueError(msg)
        return self


class CoolingEdgeModel(_Model):
    """One asset cools another, or several others."""

    source: str = Field(alias="from")
    target: _Names = Field(alias="to")
    side: Side | None = None


class GroupModel(_Model):
    """A redundancy group: how many of its assets are needed."""

    id: str
    needed: int = Field(ge=1, le=10_000)


class ThermalMassModel(_Model):
    """What warms up in a rack when nothing takes its heat away."""

    racks: _Names
    coolant_kilograms: _Natural
    coolant_joules_per_kilogram_kelvin: _Positive = 3_900.0
    metal_kilograms: _Natural = 0.0
    metal_joules_per_kilogram_kelvin: _Positive = 385.0
    limit_celsius: float = Field(gt=0, le=120)


class PowerChainModel(_Model):
    """`power_chain:`."""

    assets: tuple[PowerAssetModel, ...]
    edges: tuple[PowerEdgeModel, ...]
    groups: tuple[GroupModel, ...] = ()


class CoolingChainModel(_Model):
    """`cooling_chain:`."""

    assets: tuple[CoolingAssetModel, ...]
    edges: tuple[CoolingEdgeModel, ...]
    groups: tuple[GroupModel, ...] = ()
    thermal_mass: tuple[ThermalMassModel, ...] = ()

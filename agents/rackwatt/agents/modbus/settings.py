# SPDX-License-Identifier: Apache-2.0
"""The `modbus:` section of an agent's configuration."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rackwatt.agents.modbus.registermap import load_map, shipped_maps
from rackwatt.agents.rows import DeviceName, Host, doubled, map_errors, rows_of
from rackwatt.wire.config import ConfigError, Document, Duration, nearest


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DeviceRow(_Strict):
    """One device."""

    device: DeviceName
    """Name on the wire, as in the site file."""
    map: str
    """Name of a shipped map, or the path of a `.yaml` file (from the configuration's folder)."""
    host: Host
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    unit: Annotated[int, Field(ge=0, le=255)] | None = None
    """Unit (slave) number; default: the map's."""
    scale: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """Ratio of a current transformer that the meter does not know: multiplies currents, powers
    and energies."""
    invert: bool = False
    """The meter is wired the other way round: import and export, charge and discharge change
    places, and the signs of phase powers."""

    @field_validator("map")
    @classmethod
    def _known(cls, value: str) -> str:
        names = shipped_maps()
        if not value.endswith((".yaml", ".yml")) and value not in names:
            raise ValueError(f"unknown map ({nearest(value, names)})")
        return value


class Settings(_Strict):
    """All devices of an agent, and how to talk to them."""

    devices: tuple[DeviceRow, ...]
    timeout: Duration = Field(default=1.0, ge=0.05, le=60)
    """For connecting and for each request."""
    gap: Annotated[int, Field(ge=0, le=100)] = 16
    """Unused registers that are read along to save a request. 0 for devices that refuse them;
    a refusal is also noticed, and the request split for good."""
    max_registers: Annotated[int, Field(ge=2, le=125)] = 125
    """Registers in one request; a map may allow fewer."""
    retry_first: Duration = Field(default=0.5, ge=0.05, le=60)
    """Wait after a failure: for a connection, and for a unit that does not answer. It doubles with
    each further failure."""
    retry_cap: Duration = Field(default=30.0, ge=0.05, le=3600)
    """Longest wait."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        # Not a minimal length: where every row is wrong, pydantic would also call the list empty.
        if not self.devices:
            raise ValueError("devices: at least one is needed")
        if self.retry_cap < self.retry_first:
            raise ValueError("retry_cap must not be less than retry_first")
        return self


def misfits(document: Document) -> Iterator[ConfigError]:
    """What rows show only together or with their map files: a name twice, a meter read twice."""
    rows = rows_of(document, "modbus")
    yield from doubled(
        document,
        rows,
        "device",
        lambda row: row.get("device"),
        "device '{name}' stands twice: see line {line}",
    )
    yield from doubled(
        document,
        rows,
        "device",
        _registers,
        "'{name}' reads the same meter as '{other}' (line {line}): same host, port, unit and map",
    )
    yield from map_errors(document, rows, load_map)


def _registers(row: Mapping[str, Any]) -> tuple[object, ...] | None:
    if not row.get("host") or not row.get("map"):
        return None
    return (row["host"], row.get("port", 502), row.get("unit"), row["map"])

# SPDX-License-Identifier: Apache-2.0
"""What an agent knows of its devices: who made them, and how their registers count."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Register(BaseModel):
    """How an energy register counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modulus_watt_hours: float | None = None
    """The register rolls over to 0 here, in Wh; None: not known, or never in practice."""
    resolution_watt_hours: float | None = None
    """The smallest step, in Wh."""


class InventoryItem(BaseModel):
    """One device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str
    model: str = ""
    serial: str = ""
    uuid: str = ""
    firmware: str = ""
    registers: dict[str, Register] = Field(default_factory=dict)
    """Field name (`energy_import_watt_hours`) to its register."""


class Inventory(BaseModel):
    """The retained message on `…/inventory`; `version` is the hash of the devices."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str
    time: Annotated[int, Field(ge=0)]
    devices: tuple[InventoryItem, ...]

    @staticmethod
    def of(items: Sequence[InventoryItem], time_ms: int) -> "Inventory":
        """The inventory of `items`, its version made from their content alone."""
        import hashlib

        devices = tuple(sorted(items, key=lambda item: item.device))
        digest = hashlib.sha256()
        for item in devices:
            digest.update(item.model_dump_json().encode())
        return Inventory(version=digest.hexdigest()[:16], time=time_ms, devices=devices)

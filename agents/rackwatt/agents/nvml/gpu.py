# SPDX-License-Identifier: Apache-2.0
"""One GPU: its state, its fields from raw to ours, and what to say when it cannot be read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rackwatt.agents.nvml.binding import (
    DRIVER_NOT_LOADED,
    GPU_IS_LOST,
    GPU_NOT_FOUND,
    LIB_RM_VERSION_MISMATCH,
    LIBRARY_NOT_FOUND,
    NO_PERMISSION,
    RESET_REQUIRED,
    Handle,
    quality_of,
)
from rackwatt.agents.nvml.calls import FAST, MILLIJOULES_PER_WATT_HOUR, Failure, Raw, fields_of
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.inventory import InventoryItem, Register
from rackwatt.wire.readings import FIELDS, Quality
from rackwatt.wire.sample import Sample

SPECS: Final = FIELDS["gpu"]
"""The contract's fields of a GPU."""
FAST_FIELDS: Final = fields_of(FAST)
"""The fields of every round."""
_EXPLANATIONS: Final = {
    DRIVER_NOT_LOADED: "the NVIDIA kernel driver is not loaded",
    LIBRARY_NOT_FOUND: "libnvidia-ml.so.1 is not there: this machine has no NVIDIA driver",
    LIB_RM_VERSION_MISMATCH: (
        "the NVML library and the kernel driver differ, as after a driver update: "
        "restart the agent once the new driver is loaded"
    ),
    NO_PERMISSION: "no permission to talk to the NVIDIA driver (/dev/nvidiactl)",
    GPU_IS_LOST: "the GPU is lost: it has fallen off the bus or cannot be reached",
    RESET_REQUIRED: "the GPU needs a reset before it can be used again",
    GPU_NOT_FOUND: "the GPU is no longer there",
}
_REGISTER: Final = Register(resolution_watt_hours=1 / MILLIJOULES_PER_WATT_HOUR)
"""64 bits of millijoules never roll over; the counter starts again when the driver is loaded."""


def own_device(node: str) -> str:
    """The device of events that are no single GPU's: not the node, which the host agent reports."""
    return f"{node}/nvml"


def explain(code: int) -> str:
    """A sentence for a person about an NVML return code."""
    return _EXPLANATIONS.get(code, f"the NVIDIA driver answers with NVML code {code}")


class DriverDownError(Exception):
    """The driver as a whole cannot be used.

    Attributes:
        code: the NVML return code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(explain(code))
        self.code = code


def blank(device: str, quality: Quality, fields: Sequence[str] = FAST_FIELDS) -> Sample:
    """A reading of a GPU that could not be read: every field null, each with its reason."""
    return Sample(
        kind="gpu",
        device=device,
        values=dict.fromkeys(fields),
        quality=dict.fromkeys(fields, quality),
    )


@dataclass(slots=True)
class Gpu:
    """One GPU and what we know of its state."""

    device: str
    uuid: str
    backoff: Backoff
    name: str = ""
    serial: str = ""
    handle: Handle | None = None
    """None while the GPU is lost."""
    lost: bool = False
    """The loss has been reported and the return has not."""
    retry_at: float = 0.0
    """Monotonic seconds from which a lost GPU is looked for again."""
    unsupported: dict[str, int] = field(default_factory=dict)
    """Calls that the GPU does not support for now, with their codes; asked again when slow."""


def value_of(
    name: str, convert: Callable[[float], float], raw: Raw
) -> tuple[float | None, Quality | None]:
    """One field: its value, or None and the reason."""
    if isinstance(raw, Failure):
        return None, quality_of(raw.code)
    value = convert(raw)
    spec = SPECS[name]
    if not spec.low <= value <= spec.high:
        return None, Quality.OUT_OF_RANGE
    return value, None


def item_of(gpu: Gpu, driver: str) -> InventoryItem:
    """What the inventory says about `gpu`."""
    return InventoryItem(
        device=gpu.device,
        model=gpu.name,
        serial=gpu.serial,
        uuid=gpu.uuid,
        firmware=f"driver {driver}" if driver else "",
        registers={"energy_import_watt_hours": _REGISTER},
    )

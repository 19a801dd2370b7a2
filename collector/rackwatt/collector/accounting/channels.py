# SPDX-License-Identifier: Apache-2.0
"""Which fields of which meters feed which flow.

| role    | flow            | power field           | register field               |
|---------|-----------------|-----------------------|------------------------------|
| pv, wind, hydro, genset | source | power_watts | energy_import_watt_hours     |
| grid    | source grid     | power_watts           | energy_import_watt_hours     |
| grid    | sink export     | power_export_watts    | energy_export_watt_hours     |
| battery | charge          | power_charge_watts    | energy_charge_watt_hours     |
| battery | discharge       | power_discharge_watts | energy_discharge_watt_hours  |
| loads   | sink            | power_watts           | energy_import_watt_hours     |
| loads, at a UPS's output | sink | power_output_watts | energy_output_watt_hours |

A grid meter need not measure export: a meter that never names the field has no such term.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol


@dataclass(frozen=True, slots=True)
class Channel:
    """One direction of a meter: its power field and its register field."""

    power: str
    energy: str


FORWARD: Final = Channel("power_watts", "energy_import_watt_hours")
REVERSE: Final = Channel("power_export_watts", "energy_export_watt_hours")
CHARGE: Final = Channel("power_charge_watts", "energy_charge_watt_hours")
DISCHARGE: Final = Channel("power_discharge_watts", "energy_discharge_watt_hours")
OUTPUT: Final = Channel("power_output_watts", "energy_output_watt_hours")
CHANNELS: Final = (FORWARD, REVERSE, CHARGE, DISCHARGE, OUTPUT)

ON_BATTERY: Final = "on_battery_ratio"
STATE_OF_CHARGE: Final = "state_of_charge_ratio"

BOOKED_FIELDS: Final = frozenset(
    {name for channel in CHANNELS for name in (channel.power, channel.energy)}
    | {ON_BATTERY, STATE_OF_CHARGE}
)
"""Fields of power readings that the books use."""


class TermLike(Protocol):
    """One physical meter of a role, with the sign it counts with."""

    @property
    def meter_id(self) -> str:
        """The device's name on the wire."""

    @property
    def sign(self) -> int:
        """+1 or -1."""


class TermsLike(Protocol):
    """The physical meters of each role at one time; virtual meters are already expanded."""

    @property
    def roles(self) -> Mapping[Any, Sequence[TermLike]]:  # a mapping's key type is invariant
        """By role."""

    @property
    def pue_category(self) -> int | None:
        """1, 2 or 3, or ``None`` if it is not stated."""


@dataclass(frozen=True, slots=True)
class Tap:
    """One physical term of one flow.

    Attributes:
        flow: ``pv``, ``it``, ``charge``, ``discharge``, ``export``, ...
        device: The meter.
        channel: Its direction.
        sign: +1 or -1.
        optional: Not a term at all where the meter does not know the fields.
    """

    flow: str
    device: str
    channel: Channel
    sign: int = 1
    optional: bool = False


def taps(terms: TermsLike, outputs: Collection[str] = ()) -> tuple[Tap, ...]:
    """Return the physical terms of all flows of a site, in a stable order.

    Where IT is metered at the UPS output (PUE category 1), a UPS that counts as IT is read at its
    output, and so is its output where another load takes it off (losses = UPS - IT).

    Args:
        terms: The meters by role.
        outputs: The devices that measure their output.
    """
    members = [(str(role), m.meter_id, m.sign) for role, some in terms.roles.items() for m in some]
    halved: set[str] = set()
    if terms.pue_category == 1:
        halved = {device for role, device, _ in members if role == "it" and device in outputs}
    found: list[Tap] = []
    for role, device, sign in members:
        if role == "battery":
            found.append(Tap("charge", device, CHARGE, sign))
            found.append(Tap("discharge", device, DISCHARGE, sign))
            continue
        at_output = device in halved and (role == "it" or sign < 0)
        found.append(Tap(role, device, OUTPUT if at_output else FORWARD, sign))
        if role == "grid":
            found.append(Tap("export", device, REVERSE, sign, optional=True))
    return tuple(sorted(found, key=lambda t: (t.flow, t.device, t.channel.power, t.sign)))

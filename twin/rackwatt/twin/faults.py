# SPDX-License-Identifier: Apache-2.0
"""Faults on demand: what real devices do to their readers.

| name | target | effect |
|---|---|---|
| `dead` | meter, CDU, PDU | does not answer: the reader runs into its time-out |
| `exception` | meter, CDU | answers every request with Modbus exception 4 (device failure) |
| `stuck` | meter, CDU, PDU, probe | shows the same values for ever |
| `reset` | meter, CDU, PDU | its energy registers start again at 0, once |
| `rollover` | meter, PDU | its main register jumps to `value` Wh (20) below its modulus, once |
| `bias` | meter, PDU | measures `value` times the truth (default 1.02), energies from now on too |
| `leak` | CDU | its leak detector is wet |
| `pump` | CDU | `value` pumps (default 1) stand still; flow and pressure fall with them |
| `flow` | CDU | its facility water has stopped: flow 0 |
| `level` | CDU | its coolant stands at `value` (default 0.4, a ratio) |
| `warm` | CDU | its supply is `value` K (default 6) warmer |
| `gpu_lost` | GPU | falls off the bus; other GPUs of the node go on |
| `gpu_reset` | GPU | the driver was reloaded: its energy counter starts again at 0, once |
| `xid` | GPU | the driver reports XID `value` (default 79), once |

What befalls a CDU is what its sensors show: no rack of the simulation gets warmer by it.

A GPU is named `{node}/{index}` or `{node}/{uuid}`. Without a duration a fault stays until
`clear`; those marked "once" have none. `rollover` at run time is a jump of the register, as when
a meter is swapped for a used one; for a roll-over without a jump give the meter a
`start_watt_hours` just below its modulus in the site's file.

Not here, because they are not the devices': a skewed clock (run the agent under libfaketime) and
late data (stop the agent or the broker with SIGSTOP, then SIGCONT).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rackwatt.wire.config import nearest

ONCE: Final = frozenset({"reset", "rollover", "gpu_reset", "xid"})
CDU_FAULTS: Final = frozenset({"leak", "pump", "flow", "level", "warm"})
LASTING: Final = frozenset({"dead", "exception", "stuck", "bias", "gpu_lost"}) | CDU_FAULTS
GPU_FAULTS: Final = frozenset({"gpu_lost", "gpu_reset", "xid"})
ALIASES: Final = {"silent": "dead", "meter_reset": "reset", "timeout": "dead"}


class FaultError(ValueError):
    """A fault that cannot be injected: unknown name or target."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that is on."""

    name: str
    target: str
    until: float | None
    """UTC seconds; None: until it is cleared."""
    value: float | None = None


class Faults:
    """The faults that are on; the clock comes with each call."""

    def __init__(
        self, devices: Iterable[str], gpus: Iterable[str], cdus: Iterable[str] = ()
    ) -> None:
        self._devices = frozenset(devices)
        self._cdus = frozenset(cdus)
        self._gpus = frozenset(gpus)
        self._active: dict[tuple[str, str], Fault] = {}

    def check(self, name: str, target: str) -> str:
        """The fault's own name.

        Raises:
            FaultError: no such fault, or it does not befall such a target.
        """
        real = ALIASES.get(name, name)
        if real not in ONCE | LASTING:
            raise FaultError(f"no fault {name!r} ({nearest(name, ONCE | LASTING)})")
        known = self._gpus if real in GPU_FAULTS else self._devices
        known = self._cdus if real in CDU_FAULTS else known
        if target not in known:
            raise FaultError(f"no target {target!r} for {real!r} ({nearest(target, known)})")
        return real

    def add(self, fault: Fault) -> None:
        """Switch a lasting fault on; a second one of its name on the target replaces the first."""
        self._active[(fault.name, fault.target)] = fault

    def clear(self, name: str | None = None, target: str | None = None) -> list[Fault]:
        """Switch faults off, and say which; None stands for any."""
        gone = [
            fault
            for fault in self._active.values()
            if name in (None, fault.name) and target in (None, fault.target)
        ]
        for fault in gone:
            del self._active[(fault.name, fault.target)]
        return gone

    def expire(self, now: float) -> list[Fault]:
        """Switch off what has ended by `now` (UTC seconds), and say what."""
        over = [f for f in self._active.values() if f.until is not None and f.until <= now]
        for fault in over:
            del self._active[(fault.name, fault.target)]
        return over

    def get(self, name: str, target: str) -> Fault | None:
        """The fault, if it is on."""
        return self._active.get((name, target))

    @property
    def active(self) -> tuple[Fault, ...]:
        """All that are on."""
        return tuple(self._active.values())

# SPDX-License-Identifier: Apache-2.0
"""The simulated site as one thing that moves: world, displays, GPUs, faults, truth and memory.

No socket and no clock here: `tick(now)` is all that time does to it.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from rackwatt.twin import state
from rackwatt.twin.devices import Device, catalogue
from rackwatt.twin.faults import ONCE, Fault, FaultError, Faults
from rackwatt.twin.gpufile import Layout
from rackwatt.twin.gpus import GpuWriter, make_layout, targets
from rackwatt.twin.kit import Kit
from rackwatt.twin.panel import Panel
from rackwatt.twin.spec import TwinSpec
from rackwatt.twin.truth import TruthWriter
from rackwatt.twin.world import Almanac, World

_log = logging.getLogger(__name__)

_SYNC_EVERY: Final = 10
_MOST_STEPS: Final = 2_000
_LONGEST_REPLAY: Final = 7 * 86_400.0
_DEFAULT_XID: Final = 79.0
_DEFAULT_ROLLOVER: Final = 20.0
_MAIN_REGISTERS: Final = ("energy_import_watt_hours", "energy_charge_watt_hours")

Modulus = Callable[[str, str], float | None]
"""Device and field to where its register rolls over, Wh."""


def downtime_steps(seconds: float) -> Iterator[float]:
    """Steps through a downtime: a second each at first, coarser then, 2,000 at most.

    What exceeds a week is passed in one stride, at the weather of its middle: nobody waits for a
    year to be simulated, and the registers still move on.
    """
    left = seconds
    if left > _LONGEST_REPLAY:
        yield left - _LONGEST_REPLAY
        left = _LONGEST_REPLAY
    fine = min(left, 120.0)
    count = 0
    while fine > 0:
        step = min(1.0, fine)
        yield step
        fine, left, count = fine - step, left - step, count + 1
    if left > 1e-9:
        steps = min(int(left / 10.0) + 1, _MOST_STEPS - count)
        for _ in range(steps):
            yield left / steps


def almanac_directory(spec: TwinSpec, data_dir: Path) -> Path:
    """Where the child leaves sun and turbine; another place for other panels."""
    parts = (spec.site, spec.pv, spec.wind)
    text = "".join(part.model_dump_json() for part in parts)
    return data_dir / "twin" / f"almanac-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def days_between(start: float, end: float) -> list[date]:
    """The UTC days from `start` to `end` (seconds), sixteen at most, the newest of them."""
    first = datetime.fromtimestamp(min(start, end), UTC).date()
    last = datetime.fromtimestamp(end, UTC).date()
    first = max(first, last - timedelta(days=15))
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


class SimulatedSite:
    """Everything that `tick` moves.

    Args:
        spec: the site.
        kit: what was built for it.
        start: UTC seconds, whole; the present.
        almanac: the sun and the turbine.

    Raises:
        FaultError: the spec's schedule names an unknown fault or target.
        ValueError: the saved state is of another site or version.
    """

    def __init__(self, spec: TwinSpec, kit: Kit, start: float, almanac: Almanac) -> None:
        self.spec = spec
        self._data_dir = kit.data_dir
        saved = state.load(kit.data_dir)
        # Without a state the world begins a step back, so that the first tick has a width.
        begin = start - 1.0 if saved is None else float(saved["world"]["time"])
        self.world = World(spec, begin, almanac)
        listed = catalogue(spec, self.world.floor)
        self.devices: dict[str, Device] = {device.id: device for device in listed.all}
        self.layout: Layout = make_layout(spec, self.world.floor)
        cdus = [device.id for device in listed.all if device.kind == "coolant"]
        self.faults = Faults(self.devices, targets(self.layout), cdus)
        self.panel = Panel(self.world, self.devices, self.faults)
        self.modulus: Modulus | None = None
        """Set by who knows the maps: needed for `rollover`."""
        self._ticks = 0
        self._start = start
        for planned in spec.faults:
            self.faults.check(planned.name, planned.target)
        self._planned = sorted(spec.faults, key=lambda planned: planned.at)
        if saved is not None:
            self.world.restore(saved["world"])
            self.panel.restore(saved["panel"])
        self.gpus = GpuWriter(spec, self.world, self.layout, kit.gpu_file, self.faults)
        if saved is not None:
            self.gpus.restore(saved["gpus"])
        self._truth = TruthWriter(kit.data_dir)
        self._catch_up(start)

    def _catch_up(self, now: float) -> None:
        """Let the world pass through the time in which nobody ran it."""
        for seconds in downtime_steps(max(now - self.world.time, 0.0)):
            self.world.step(seconds)
        self._show()

    @property
    def last_state(self) -> float:
        """UTC seconds at which the world stands."""
        return self.world.time

    def tick(self, now: float) -> None:
        """Advance to `now`, whole UTC seconds; a late tick is one longer step, none is made up.

        A clock that was set back lets the world wait, for a minute at most: then it takes the new
        time, its registers as they are.
        """
        seconds = now - self.world.time
        if seconds < -60.0:
            _log.warning("the clock was set back by %.0f s: the twin follows", -seconds)
            self.world.time = now
            return
        if seconds <= 0:
            return
        self.world.step(seconds)
        self._run_schedule(now)
        for fault in self.faults.expire(now):
            _log.info("fault over: %s of %s", fault.name, fault.target)
        self._show()

    def _show(self) -> None:
        # Nobody can read between these lines: the state is on file before the registers show.
        self.panel.refresh()
        self.save(sync=self._ticks % _SYNC_EVERY == 0)
        self.gpus.write()
        self._truth.write(self.world)
        self._ticks += 1

    def save(self, *, sync: bool = False) -> None:
        """Write the state."""
        content = {
            "world": self.world.snapshot(),
            "panel": self.panel.snapshot(),
            "gpus": self.gpus.snapshot(),
        }
        state.save(self._data_dir, content, sync=sync)

    def _run_schedule(self, now: float) -> None:
        while self._planned and self._start + self._planned[0].at <= now:
            planned = self._planned.pop(0)
            value = None if planned.value is None else float(planned.value)
            self.inject(planned.name, planned.target, planned.duration, value)

    # faults

    def inject(
        self, name: str, target: str, duration: float | None = None, value: float | None = None
    ) -> None:
        """Let a fault befall a device or GPU; see `faults`.

        Raises:
            FaultError: unknown name or target, or a register without a known modulus.
        """
        real = self.faults.check(name, target)
        _log.info("fault: %s of %s", real, target)
        if real in ONCE:
            self._once(real, target, value)
            self._show_now()
            return
        if duration is not None and duration <= 0:
            raise FaultError(f"a duration must be above 0 s, got {duration}")
        if real == "stuck":
            self.panel.freeze(target)
        until = None if duration is None else self.world.time + duration
        self.faults.add(Fault(real, target, until, value))
        if real == "bias":
            self.panel.bias(target)
        self._show_now()

    def _show_now(self) -> None:
        self.panel.refresh()
        self.save()
        self.gpus.write()

    def _once(self, name: str, target: str, value: float | None) -> None:
        if name == "reset":
            self.panel.reset(target)
        elif name == "gpu_reset":
            self.gpus.reset(target)
        elif name == "xid":
            self.gpus.xid(target, int(_DEFAULT_XID if value is None else value))
        else:
            self._roll_over(target, _DEFAULT_ROLLOVER if value is None else value)

    def _roll_over(self, device: str, left: float) -> None:
        shown = self.panel.values(device)
        field = next((name for name in _MAIN_REGISTERS if name in shown), None)
        modulus = self.modulus(device, field) if field and self.modulus else None
        if field is None or modulus is None:
            raise FaultError(f"the register of {device!r} has no known modulus")
        self.panel.show(device, field, modulus - left)

    def clear(self, name: str | None = None, target: str | None = None) -> list[Fault]:
        """Mend lasting faults; None stands for any."""
        gone = self.faults.clear(name, target)
        self._show_now()
        return gone

    def active(self) -> tuple[Fault, ...]:
        """The faults that are on."""
        return self.faults.active

    def close(self) -> None:
        """Write the state for good and let go of the files."""
        self.save(sync=True)
        self._truth.close()
        self.gpus.close()

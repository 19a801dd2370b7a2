# SPDX-License-Identifier: Apache-2.0
"""One machine as Linux shows it: which file holds which field."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rackwatt.agents.host import parsers
from rackwatt.wire.readings import FIELDS, Quality

_SPECS: Final = FIELDS["host"]
_CPU_MODEL: Final = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
_PACKAGE: Final = re.compile(r"intel-rapl:\d+")
"""Packages only: `intel-rapl:0:0` is a part of one, `intel-rapl-mmio` the same one again."""
_PACKAGE_LABELS: Final = {
    "coretemp": re.compile(r"Package id \d+"),
    "k10temp": re.compile(r"Tdie|Tctl"),
    "zenpower": re.compile(r"Tdie"),
    "cpu_thermal": re.compile(r".*"),
}
"""hwmon driver to the labels of its package sensors; for others see the thermal zones."""
_ZONE_TYPES: Final = re.compile(r"x86_pkg_temp|(cpu|soc)[-_]?thermal.*|acpitz")


@dataclass(frozen=True, slots=True)
class Found:
    """One field as read, or why it could not be."""

    field: str
    where: str
    raw: str
    value: float | None
    quality: Quality | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """Fields that come from one place and fail together."""

    fields: tuple[str, ...]
    where: str
    read: Callable[[float], Iterable[Found]]


class Machine:
    """Reads /proc and /sys below `root`; blocking, and with a memory for what needs a difference.

    Args:
        root: where `proc` and `sys` lie.
        disk: the file system whose use is read, seen from `root`.
    """

    def __init__(self, root: Path, disk: Path) -> None:
        self._root = root.absolute()
        self._disk = self._root / disk.relative_to(disk.anchor)
        self._cpu: parsers.CpuTimes | None = None
        self._rapl: dict[str, int] = {}
        self._rapl_time = 0.0
        self._energy_microjoules = 0
        self._groups = (
            _Group(("cpu_utilization_ratio",), "proc/stat", self._read_cpu),
            _Group(("load_average_1m_number",), "proc/loadavg", self._read_load),
            _Group(("memory_used_bytes", "memory_total_bytes"), "proc/meminfo", self._read_memory),
            _Group(("temperature_celsius",), "sys/class/hwmon", self._read_temperature),
            _Group(
                ("power_watts", "energy_import_watt_hours"), "sys/class/powercap", self._read_energy
            ),
            _Group(("uptime_seconds",), "proc/uptime", self._read_uptime),
            _Group(("disk_used_bytes", "disk_total_bytes"), str(self._disk), self._read_disk),
            _Group(
                ("network_received_bytes_total", "network_sent_bytes_total"),
                "proc/net/dev",
                self._read_network,
            ),
        )

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that are read."""
        return tuple(name for group in self._groups for name in group.fields)

    def has_energy(self) -> bool:
        """There are RAPL packages, be they readable or not."""
        return bool(self._packages())

    def read(self, now: float) -> list[Found]:
        """All fields at monotonic time `now` (seconds); what fails is null, the others go on."""
        found: list[Found] = []
        for group in self._groups:
            try:
                found += [_bounded(item) for item in group.read(now)]
            except OSError as error:
                found += _failed(group, _quality(error), error.strerror or str(error))
            except ValueError as error:
                found += _failed(group, Quality.EXCEPTION, str(error))
        return found

    def describe(self) -> tuple[str, str, str]:
        """Model, serial number and kernel; "" for what is not known."""
        model = self._text_or_empty("sys/class/dmi/id/product_name")
        if not model:
            cpu = re.search(
                r"^model name\s*:\s*(.+)$", self._text_or_empty("proc/cpuinfo"), re.MULTILINE
            )
            model = cpu[1] if cpu else ""
        serial = self._text_or_empty("sys/class/dmi/id/product_serial")
        return model, serial, self._text_or_empty("proc/sys/kernel/osrelease")

    # one method per group

    def _read_cpu(self, now: float) -> Iterable[Found]:
        del now
        times = parsers.cpu_times(self._text("proc/stat"))
        before, self._cpu = self._cpu, times
        value = parsers.utilization(before, times) if before is not None else None
        if value is None:  # the first reading: there is no difference yet, and nothing failed
            return
        yield Found("cpu_utilization_ratio", "proc/stat", f"{times.busy}/{times.total}", value)

    def _read_load(self, now: float) -> Iterable[Found]:
        del now
        text = self._text("proc/loadavg")
        value = parsers.first_number(text)
        yield Found("load_average_1m_number", "proc/loadavg", text.strip(), value)

    def _read_uptime(self, now: float) -> Iterable[Found]:
        del now
        text = self._text("proc/uptime")
        yield Found("uptime_seconds", "proc/uptime", text.strip(), parsers.first_number(text))

    def _read_memory(self, now: float) -> Iterable[Found]:
        del now
        used, total = parsers.memory(self._text("proc/meminfo"))
        yield Found("memory_used_bytes", "proc/meminfo", f"{used // 1024} kB", float(used))
        yield Found("memory_total_bytes", "proc/meminfo", f"{total // 1024} kB", float(total))

    def _read_network(self, now: float) -> Iterable[Found]:
        del now
        interfaces = self._root.glob("sys/class/net/*/device")
        physical = {path.parent.name for path in interfaces}
        received, sent = parsers.network(self._text("proc/net/dev"), physical)
        raw = ", ".join(sorted(physical)) or "all but lo"
        yield Found("network_received_bytes_total", "proc/net/dev", raw, float(received))
        yield Found("network_sent_bytes_total", "proc/net/dev", raw, float(sent))

    def _read_disk(self, now: float) -> Iterable[Found]:
        del now
        disk = os.statvfs(self._disk)
        where = f"statvfs {self._disk}"
        used, total = disk.f_blocks - disk.f_bfree, disk.f_blocks
        yield Found("disk_used_bytes", where, f"{used} blocks", float(used * disk.f_frsize))
        yield Found("disk_total_bytes", where, f"{total} blocks", float(total * disk.f_frsize))

    def _read_temperature(self, now: float) -> Iterable[Found]:
        """The hottest package sensor."""
        del now
        values: list[tuple[int, Path]] = []
        failed: OSError = FileNotFoundError(2, "no package temperature sensor")
        for path in list(self._hwmon_sensors()) or list(self._thermal_zones()):
            try:
                values.append((int(path.read_text()), path))
            except OSError as error:  # one package of several: the others still count
                failed = error
        if not values:
            raise failed
        milli, path = max(values)
        where = str(path.relative_to(self._root))
        yield Found("temperature_celsius", where, f"{milli} m°C", milli / 1000.0)

    def _hwmon_sensors(self) -> Iterable[Path]:
        for chip in sorted(self._root.glob("sys/class/hwmon/hwmon*")):
            pattern = _PACKAGE_LABELS.get(self._text_or_empty(chip / "name"))
            if pattern is None:
                continue
            labelled = {
                self._text_or_empty(chip / path.name.replace("_input", "_label")): path
                for path in sorted(chip.glob("temp*_input"))
            }
            if "Tdie" in labelled:  # Tctl is Tdie plus an offset for the fan curve
                yield labelled["Tdie"]
            else:
                yield from (path for label, path in labelled.items() if pattern.fullmatch(label))

    def _thermal_zones(self) -> Iterable[Path]:
        for zone in sorted(self._root.glob("sys/class/thermal/thermal_zone*")):
            if _ZONE_TYPES.fullmatch(self._text_or_empty(zone / "type")):
                yield zone / "temp"

    def _read_energy(self, now: float) -> Iterable[Found]:
        """RAPL: the processor packages, unrolled one by one and added up."""
        zones = self._packages()
        if not zones:
            raise FileNotFoundError(2, "no RAPL package")
        counters = {zone.name: int((zone / "energy_uj").read_text()) for zone in zones}
        seconds = now - self._rapl_time
        first = not self._rapl
        step = 0
        for zone in zones:
            before = self._rapl.get(zone.name)
            if before is not None:
                modulus = int((zone / "max_energy_range_uj").read_text())
                step += parsers.counter_step(before, counters[zone.name], modulus, seconds)
        if first:
            self._energy_microjoules = sum(counters.values())
        self._energy_microjoules += step
        self._rapl, self._rapl_time = counters, now
        raw = " + ".join(f"{value} uJ" for value in counters.values())
        where = f"sys/class/powercap/{','.join(counters)}/energy_uj"
        if not first and seconds > 0:
            yield Found("power_watts", where, f"{step} uJ in {seconds:.3f} s", step / 1e6 / seconds)
        energy = self._energy_microjoules / parsers.MICROJOULES_PER_WATT_HOUR
        yield Found("energy_import_watt_hours", where, raw, energy)

    def _packages(self) -> list[Path]:
        return [
            zone
            for zone in sorted(self._root.glob("sys/class/powercap/intel-rapl:*"))
            if _PACKAGE.fullmatch(zone.name)
            and self._text_or_empty(zone / "name").startswith("package")
        ]

    # files

    def _text(self, path: str | Path) -> str:
        return (self._root / path).read_text()

    def _text_or_empty(self, path: str | Path) -> str:
        try:
            return self._text(path).strip()
        except OSError:
            return ""


def _bounded(item: Found) -> Found:
    spec = _SPECS[item.field]
    if item.value is None or spec.low <= item.value <= spec.high:
        return item  # NaN is in no range
    return Found(item.field, item.where, item.raw, None, Quality.OUT_OF_RANGE)


def _failed(group: _Group, quality: Quality, text: str) -> list[Found]:
    return [Found(name, group.where, text, None, quality) for name in group.fields]


def _quality(error: OSError) -> Quality:
    """A machine without the sensor, or no right to read it, is a property of the machine."""
    absent = (FileNotFoundError, PermissionError, NotADirectoryError)
    return Quality.NOT_SUPPORTED if isinstance(error, absent) else Quality.EXCEPTION

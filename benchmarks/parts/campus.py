# SPDX-License-Identifier: Apache-2.0
"""The reference campus as its messages: 45,720 trays of 4 GPUs, 2,540 racks, 500 meters.

Each tray and each rack is sent every 10 s, a tenth of them in each second; each meter each second.
A rack is two messages: its two PDUs, and its 38 sensors. 5,588 messages a second, 9.6 MB.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rackwatt.collector.ingest.spool import Record
from rackwatt.collector.site import Site, site_of
from rackwatt.wire.config import Document

START_MS: Final = 1_790_000_040_000
HALL: Final = "hall-a"
GPUS: Final = 4
SENSORS: Final = 38
PERIOD: Final = 10
ROLES: Final = {"grid": 4, "pv": 96, "wind": 50, "cooling": 250, "other": 100}
"""The meters by what they measure."""
_GPU: Final = (
    '{{"device":"{node}/GPU-{node}-{gpu}","power_watts":{watts!r},"power_min_watts":{low!r},'
    '"power_max_watts":{high!r},"power_instant_watts":{watts!r},"power_limit_watts":1200.0,'
    '"energy_import_watt_hours":{energy!r},"temperature_celsius":{celsius!r},'
    '"memory_temperature_celsius":71.0,"utilization_ratio":0.{load},'
    '"memory_utilization_ratio":0.61,"memory_used_bytes":151397597184.0,'
    '"memory_total_bytes":206158430208.0,"sm_clock_hertz":1965000000.0,'
    '"memory_clock_hertz":3996000000.0,"clock_event_reasons_bitmask":4.0,'
    '"ecc_corrected_errors_total":0.0,"ecc_uncorrected_errors_total":0.0,'
    '"remapped_rows_total":0.0,"pcie_replays_total":0.0,"performance_state_number":0.0}}'
)
_METER: Final = (
    '{{"device":"{name}","power_watts":{watts!r},"power_min_watts":{low!r},'
    '"power_max_watts":{high!r},"power_export_watts":0.0,"energy_import_watt_hours":{energy!r},'
    '"energy_export_watt_hours":0.0,"voltage_l1_volts":229.4,"voltage_l2_volts":230.8,'
    '"voltage_l3_volts":229.9,"power_factor_ratio":0.98}}'
)
_AIR: Final = '{{"device":"{name}","temperature_celsius":{celsius!r}}}'
_MESSAGE: Final = '{{"epoch":7331,"seq":{seq},"time":{time},"readings":[{body}]}}'


@dataclass(frozen=True, slots=True)
class Size:
    """How large the campus is; a part of it keeps the meters."""

    racks: int = 2540
    trays: int = 45_720


def campus(size: Size) -> Site:
    """The site."""
    last = f"{size.racks:04d}"
    meters = "\n".join(
        f"- {{id: {name}, role: {role}, cadence: 1s}}" for name, role, _ in _meters(size)
    )
    text = f"""
site: {{id: campus, timezone: UTC, country: MA}}
meters:
{meters}
- {{id: it, role: it, position: pdu_output, sum: ['r[0001-{last}]-pdu-[a-b]']}}
halls:
- id: {HALL}
  rows:
  - id: row-1
    racks: 'r[0001-{last}]'
    nodes: '{{rack}}-n[01-18]'
    pdus: '{{rack}}-pdu-[a-b]'
    sensors: {{inlet: '{{rack}}-air-00', outlet: '{{rack}}-air-01'}}
"""
    return site_of(Document("site.yaml", text))


def _meters(size: Size) -> Iterator[tuple[str, str, float]]:
    """Name, role and power of each meter: the sources give what the loads take."""
    it = size.trays * GPUS * 800.0
    part = {"grid": 0.5 * it, "pv": 0.4 * it, "wind": 0.25 * it, "cooling": 0.1 * it,
            "other": 0.05 * it}  # fmt: skip
    for role, count in ROLES.items():
        for number in range(count):
            yield f"{role}-{number:03d}", role, part[role] / count


class Feed:
    """What a spool would hold of a second of the campus."""

    def __init__(self, size: Size) -> None:
        self._size = size
        self._meters = list(_meters(size))
        self._id = 0

    def second(self, second: int) -> list[Record]:
        """The messages of that second."""
        time_ms = START_MS + second * 1000
        size, part, turn = self._size, second % PERIOD, second // PERIOD + 1
        found = [
            self._message(f"node-{node}", HALL, node, "gpu", turn, time_ms)
            for number in range(part, size.trays, PERIOD)
            for node in [_node(number)]
        ]
        for rack in range(part, size.racks, PERIOD):
            name = f"r{rack + 1:04d}"
            found.append(self._message("pdus", HALL, name, "power", 2 * turn, time_ms))
            found.append(self._message("air", HALL, name, "climate", 2 * turn + 1, time_ms))
        found += [
            self._message("meter", "site", str(number), "power", second + 1, time_ms)
            for number in range(len(self._meters))
        ]
        return found

    def _message(
        self, what: str, hall: str, name: str, kind: str, seq: int, time_ms: int
    ) -> Record:
        second = (time_ms - START_MS) // 1000
        if kind == "gpu":
            agent, body = name, _gpus(name, second)
        elif what == "air":
            agent = f"edge-{name}"
            body = ",".join(
                _AIR.format(name=f"{name}-air-{at:02d}", celsius=22.0 + at / 4 + second % 3 / 10)
                for at in range(SENSORS)
            )
        elif what == "pdus":
            agent = f"edge-{name}"
            watts = self._size.trays * GPUS * 800.0 / (2 * self._size.racks)
            body = ",".join(_meter(f"{name}-pdu-{side}", watts, second) for side in "ab")
        else:
            own, _, watts = self._meters[int(name)]
            agent, body = f"edge-{own}", _meter(own, watts, second)
        self._id += 1
        payload = _MESSAGE.format(seq=seq, time=time_ms, body=body).encode()
        topic = f"rackwatt/v1/campus/{hall}/{agent}/{kind}"
        return Record(self._id, time_ms + 150, topic, payload)


def _node(number: int) -> str:
    return f"r{number // 18 + 1:04d}-n{number % 18 + 1:02d}"


def _gpus(node: str, second: int) -> str:
    watts = 800.0 + second % 17
    return ",".join(
        _GPU.format(
            node=node,
            gpu=gpu,
            watts=watts + gpu,
            low=watts - 90.5,
            high=watts + 120.25,
            energy=2e6 + 800.0 * second / 3600 + gpu,
            celsius=60.0 + gpu + second % 5,
            load=80 + second % 19,
        )
        for gpu in range(GPUS)
    )


def _meter(name: str, watts: float, second: int) -> str:
    now = watts * (1 + (second % 7) / 1000)
    energy = 1e8 + watts * 1.003 * second / 3600
    return _METER.format(name=name, watts=now, low=now * 0.99, high=now * 1.01, energy=energy)

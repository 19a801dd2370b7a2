# SPDX-License-Identifier: Apache-2.0
"""GPUs: a single one goes to the remediation queue, and pages nobody.

A fleet of 183,000 loses tens a day. Many at once in one place have one cause, and that pages.
"""

from typing import Final

from rackwatt.alerts.alert import Alert, Severity
from rackwatt.alerts.thresholds import Limits

_NODES: Final = "rackwatt_gpu_nodes"
_AWAY: Final = f'sum by (site, rack) ({_NODES}{{state!="online"}})'
_ALL: Final = "rackwatt_gpus_number"


def _of(name: str, expr: str, severity: Severity, wait: str = "", keep: str = "") -> Alert:
    return Alert(name=name, expr=expr, severity=severity, owner="IT", board="gpus",
                 wait=wait, keep=keep)  # fmt: skip


def _single(name: str, trouble: str, wait: str = "") -> Alert:
    """One GPU's trouble: a ticket for the queue of those who swap trays."""
    return Alert(name=name, expr=f'rackwatt_gpu_trouble{{trouble="{trouble}"}} == 1',
                 severity="ticket", owner="IT", board="gpus", wait=wait, keep="15m",
                 labels={"queue": "remediation"})  # fmt: skip


def alerts(limits: Limits) -> list[Alert]:
    """Those of this family."""
    return [*_many(limits), *_singles(limits)]


def _many(limits: Limits) -> list[Alert]:
    slowed = 'sum by (site, hall) (rackwatt_gpu_troubles_number{trouble=~"thermal_.*|power_brake"})'
    silent = f'sum by (site, hall) ({_ALL}{{state="silent"}})'
    hall = f"sum by (site, hall) ({_ALL})"
    many = limits.bad("gpus_many_number")  # 2 % of a small hall is a single one
    return [
        _of("GpusLostInHall",
            f"{silent} / {hall} {limits.bad('gpus_lost_ratio')}\nand {silent} {many}\n",
            "page", "20s", "2m"),
        _of("GpuNodesLost",
            f"{_AWAY} - {_AWAY.replace('})', '} offset 10m)')} {limits.bad('nodes_lost_number')}",
            "page", "20s", "2m"),
        _of("GpusSlowedInHall",
            f"{slowed} / {hall} {limits.bad('gpus_slowed_ratio')}\nand {slowed} {many}\n",
            "page", "20s", "2m"),
        _of("NodeSilentRackPowered",
            f"{_AWAY} * on (site, rack) group_left (hall, row)\n"
            "  (max by (site, hall, row, rack) (rackwatt_rack_power_watts)"
            f" >= bool {limits['rack_powered_watts'].bad:g}) > 0\n", "ticket", "10m", "10m"),
    ]  # fmt: skip


def _singles(limits: Limits) -> list[Alert]:
    return [
        _single("GpuLost", "lost", "5m"),
        _single("GpuXidFatal", "xid_fatal"),
        _single("GpuEccUncorrected", "ecc_uncorrected"),
        _single("GpuRowRemap", "row_remap"),
        _single("GpuThermalSlowdown", "thermal_slowdown", "5m"),
        _single("GpuPowerBrake", "power_brake", "5m"),
        _of("GpuMemoryHot",
            f"rackwatt_gpu_memory_temperature_max_celsius {limits.bad('gpu_memory_celsius')}",
            "ticket", "10m", "10m"),
    ]  # fmt: skip

# SPDX-License-Identifier: Apache-2.0
"""Trees of /proc and /sys to read from: captured ones, and some made from the documentation."""

import shutil
from pathlib import Path
from typing import Any

CAPTURES = sorted((Path(__file__).parent / "test_host_captures").iterdir())
NET = """\
Inter-|   Receive                       |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop ...
    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
 bond0: 30 1 0 0 0 0 0 0 3 1 0 0 0 0 0 0
  eth0: 10 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
  eth1:20 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0
"""
TWO_SOCKETS = {
    "sys/class/powercap/intel-rapl/enabled": 1,
    "sys/class/powercap/intel-rapl:0/name": "package-0",
    "sys/class/powercap/intel-rapl:0/energy_uj": 262_143_000_000,
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": 262_143_328_850,
    "sys/class/powercap/intel-rapl:0:0/name": "dram",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": 999,
    "sys/class/powercap/intel-rapl:1/name": "package-1",
    "sys/class/powercap/intel-rapl:1/energy_uj": 1_000_000,
    "sys/class/powercap/intel-rapl:1/max_energy_range_uj": 262_143_328_850,
    "sys/class/powercap/intel-rapl:2/name": "psys",
    "sys/class/powercap/intel-rapl:2/energy_uj": 5,
    "sys/class/powercap/intel-rapl-mmio:0/name": "package-0",
    "sys/class/powercap/intel-rapl-mmio:0/energy_uj": 7,
}


def put(root: Path, files: dict[str, Any]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def take(root: Path, capture: Path) -> None:
    shutil.copytree(capture, root, dirs_exist_ok=True)

# SPDX-License-Identifier: Apache-2.0
"""A small site with a file, and real books of it for commands to read and change."""

from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from collector.books import BEGIN, HOUR, MINUTE, hour_of
from typer.testing import CliRunner, Result

from rackwatt.collector.ledger import InputRecord
from rackwatt.collector.ledger.commands import ledger_app
from rackwatt.collector.ledger.commands.writing import open_ledger
from rackwatt.collector.site import load_site

SITE = """\
site: {id: demo, name: Demo, timezone: Africa/Casablanca, country: MA, latitude: 35, longitude: -5}
battery: {capacity_wh: 1000, charge_efficiency: 0.9, discharge_efficiency: 0.9}
supply: {pv: {attributes: unissued}}
meters:
  - {id: g, role: grid, class: 0.5, cadence: 10s}
  - {id: p, role: pv, class: 0.5, cadence: 10s}
  - {id: b, role: battery, cadence: 10s}
  - {id: i, role: it, position: pdu_output, cadence: 10s}
"""


def make(folder: Path, records: Iterable[InputRecord], until_ms: int, site: str = SITE) -> Path:
    """Books of some readings, closed up to a time; returns the folder for `--data`."""
    (folder / "site.yaml").write_text(site)
    with closing(open_ledger(folder / "ledger.db", load_site(folder / "site.yaml"))) as book:
        book.apply(list(records), 1)
        book.close_intervals(until_ms + MINUTE)
    return folder


def two_hours(folder: Path) -> Path:
    """Two hours: 500 W of PV, 1000 W of grid, 300 W charge, 1200 W of IT."""
    return make(folder, hour_of(range(0, 7211, 10)), BEGIN + 2 * HOUR)


def steady(watts: float, start: str, end: str) -> list[InputRecord]:
    """A grid meter and the IT behind it, read each hour."""
    first, last = (round(datetime.fromisoformat(text).timestamp() * 1000) for text in (start, end))
    found: list[InputRecord] = []
    for time_ms in range(first, last + 1, HOUR):
        energy = watts * (time_ms - first + HOUR) / HOUR
        for device in ("g", "i"):
            values = {"energy_import_watt_hours": energy, "power_watts": watts}
            found.append(InputRecord(device, time_ms, values, time_ms + 500))
    return found


def call(*arguments: str) -> Result:
    """Call `rackwatt ledger`."""
    return CliRunner().invoke(ledger_app, list(arguments))

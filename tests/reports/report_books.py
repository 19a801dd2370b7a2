# SPDX-License-Identifier: Apache-2.0
"""A month of a small site with two tenants, closed and final, in a real ledger."""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

from typer.testing import CliRunner, Result

from rackwatt.collector.ledger import InputRecord
from rackwatt.collector.ledger.commands.writing import open_ledger
from rackwatt.collector.ledger.counters import CounterRecord
from rackwatt.collector.ledger.samples import SampleRecord
from rackwatt.collector.site import load_site
from rackwatt.reports.cli import app

HOUR = 3_600_000
SITE = """\
site: {id: demo, name: Demo, timezone: Africa/Casablanca, country: MA}
carbon: {factors: {grid: {direct: 500, life_cycle: 600}}}
meters:
  - {id: g, role: grid, class: 0.5}
  - {id: p, role: pv, class: 0.5}
  - {id: o, role: cooling}
  - {id: it, role: it, position: pdu_output, sum: ["r[1-2]-01-pdu"]}
halls:
  - id: hall-a
    rows: [{id: row-1, racks: r1-01, nodes: "{rack}-n[1-2]", pdus: "{rack}-pdu"}]
  - id: hall-b
    rows: [{id: row-2, racks: r2-01, nodes: "{rack}-n1", pdus: "{rack}-pdu"}]
tenants:
  - {id: lab, name: The Lab, kind: researcher, country: MA, assignments: [{nodes: r1-01-n1}]}
  - {id: shop, kind: company, country: FR, assignments: [{racks: r2-01}]}
"""
WATTS = {"g": 800.0, "p": 400.0, "o": 150.0, "r1-01-pdu": 700.0, "r2-01-pdu": 300.0}
COUNTED = {"r1-01-n1": 300.0, "r1-01-n2": 100.0, "r2-01-n1": 200.0}
FEBRUARY = ("2026-02-01T00:00:00+01:00", "2026-03-01T00:00:00+00:00")
"""Morocco leaves its offset for Ramadan on 15 February 2026: the month has 673 hours."""
LATER = "2026-03-05T00:00:00+00:00"


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def fill(
    folder: Path,
    span: tuple[str, str] = FEBRUARY,
    *,
    settle: bool = True,
    site_file: str = SITE,
    samples: Sequence[SampleRecord] = (),
) -> Path:
    """Books of steady power, read each hour."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.yaml").write_text(site_file)
    start, end = at(span[0]), at(span[1])
    times = range(start - HOUR, end + HOUR + 1, HOUR)
    records = [
        InputRecord(
            device,
            time,
            {"energy_import_watt_hours": watts * (time - start + 2 * HOUR) / HOUR},
            time + 500,
        )
        for time in times
        for device, watts in WATTS.items()
    ]
    counters = [
        CounterRecord(f"{node}/GPU-0", time, watts * (time - start + 2 * HOUR) / HOUR, time)
        for time in range(start - HOUR, end + HOUR + 1, HOUR // 2)
        for node, watts in COUNTED.items()
    ]
    site = load_site(folder / "site.yaml")
    with closing(open_ledger(folder / "ledger.db", site)) as book:
        book.apply(records, 1, counters=counters, samples=samples)
        book.close_intervals(end + 120_000)
        if settle:
            book.settle_months(at(LATER), site.timezone)
    return folder


def call(*arguments: object) -> Result:
    """Call `rackwatt report`."""
    return CliRunner().invoke(app, [str(one) for one in arguments])

# SPDX-License-Identifier: Apache-2.0
"""Files of flows for `rackwatt ledger import`, and its ledger read back."""

import csv
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from typer.testing import CliRunner, Result

from rackwatt.collector.ledger.commands import ledger_app

HEADER = (
    "time,interval_seconds,pv,wind,grid_import,genset,battery_discharge,battery_charge,"
    "grid_export,load_it,load_cooling,load_other"
)
FIXED = HEADER.split(",")
GOLDEN = (
    "2026-10-01T00:00:00+01:00,3600,100000,50000,50000,0,0,56000,0,120000,20000,4000",
    "2026-10-01T01:00:00+01:00,3600,0,40000,60000,0,44000,0,0,120000,20000,4000",
)
SITE = """\
site: {id: campus, name: Campus, timezone: Africa/Casablanca, latitude: 35.57, longitude: -5.37}
carbon:
  factors:
    pv: {life_cycle: 48}
    wind: {life_cycle: 11}
    grid: {life_cycle: 619.71, direct: 554.24}
    genset: {life_cycle: 900, direct: 766}
battery: {charge_efficiency: 0.9, discharge_efficiency: 1.0, initial_wh: 0}
"""
START = datetime(2026, 10, 1, tzinfo=UTC)


def text_of(lines: Iterable[str], header: Iterable[str] = FIXED) -> str:
    """A file of lines below a header."""
    return "\n".join([",".join(header), *lines]) + "\n"


def line_of(
    index: int, values: Mapping[str, float | None], header: Iterable[str] = FIXED, seconds: int = 60
) -> str:
    """The index-th line of consecutive ones; what is not given is 0, ``None`` is unknown."""
    cells: list[str] = []
    for column in header:
        if column == "time":
            cells.append((START + timedelta(seconds=index * seconds)).isoformat())
        elif column == "interval_seconds":
            cells.append(str(seconds))
        else:
            value = values.get(column, 0.0)
            cells.append("" if value is None else repr(value))
    return ",".join(cells)


def run(folder: Path, text: str | bytes, *options: str, site: str = SITE) -> Result:
    """Import a text, with `flows.csv`, `site.yaml` and `ledger.csv` in a folder."""
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "flows.csv").write_bytes(data)
    (folder / "site.yaml").write_text(site)
    where = ["--site", str(folder / "site.yaml"), "--out", str(folder / "ledger.csv")]
    return CliRunner().invoke(ledger_app, ["import", str(folder / "flows.csv"), *where, *options])


def ledger(folder: Path, text: str | bytes, *, site: str = SITE) -> list[dict[str, str]]:
    """Import a text that is right, and read the ledger."""
    done = run(folder, text, site=site)
    assert done.exit_code == 0, done.output
    return rows(folder)


def rows(folder: Path) -> list[dict[str, str]]:
    """The ledger that was written."""
    with (folder / "ledger.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def complaints(folder: Path, text: str | bytes) -> list[str]:
    """What an import says of a text that is wrong; names without the folder."""
    done = run(folder, text)
    assert done.exit_code == 2, done.output
    assert not (folder / "ledger.csv").exists()
    assert not list(folder.glob(".*"))
    return done.stderr.replace(f"{folder}/", "").splitlines()

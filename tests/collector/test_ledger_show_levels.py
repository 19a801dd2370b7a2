# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger show --by`: halls, racks, nodes, GPUs and tenants add up to the site."""

import json
from contextlib import closing
from math import fsum
from pathlib import Path
from typing import Any

import pytest
from collector.books import BEGIN, HOUR, MINUTE
from collector.command_books import call

from rackwatt.collector.ledger import InputRecord
from rackwatt.collector.ledger.commands.writing import open_ledger
from rackwatt.collector.ledger.counters import CounterRecord
from rackwatt.collector.site import load_site

SITE = """\
site: {id: demo, timezone: Africa/Casablanca, country: MA}
meters:
  - {id: g, role: grid}
  - {id: it, role: it, position: pdu_output, sum: ["r[1-2]-01-pdu"]}
halls:
  - id: hall-a
    rows: [{id: row-1, racks: r1-01, nodes: "{rack}-n[1-2]", pdus: "{rack}-pdu"}]
  - id: hall-b
    rows: [{id: row-2, racks: r2-01, nodes: "{rack}-n1", pdus: "{rack}-pdu"}]
tenants:
  - {id: lab, kind: researcher, country: MA, assignments: [{nodes: r1-01-n1}]}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours: 900 W of IT in two racks, three nodes with a GPU each."""
    folder = tmp_path_factory.mktemp("levels")
    (folder / "site.yaml").write_text(SITE)
    times = range(BEGIN, BEGIN + 2 * HOUR + MINUTE, 10_000)
    records = [
        InputRecord(device, time, {"energy_import_watt_hours": watts * (time - BEGIN) / HOUR}, time)
        for time in times
        for device, watts in (("g", 900.0), ("r1-01-pdu", 600.0), ("r2-01-pdu", 300.0))
    ]
    counters = [
        CounterRecord(f"{node}/GPU-0", time, watts * (time - BEGIN) / HOUR, time)
        for time in times
        for node, watts in (("r1-01-n1", 300.0), ("r1-01-n2", 100.0), ("r2-01-n1", 200.0))
    ]
    with closing(open_ledger(folder / "ledger.db", load_site(folder / "site.yaml"))) as book:
        book.apply(records, 1, counters=counters)
        book.close_intervals(BEGIN + 2 * HOUR + MINUTE)
    return folder


def rows(data: Path, level: str, every: str = "1h") -> list[dict[str, Any]]:
    found = call("show", "--data", str(data), "--by", level, "--every", every, "--json")
    assert found.exit_code == 0, found.output
    listed: list[dict[str, Any]] = json.loads(found.stdout)["rows"]
    return listed


@pytest.mark.parametrize("level", ["hall", "rack", "node", "gpu", "tenant"])
def test_the_members_of_a_level_add_up_to_the_site(data: Path, level: str) -> None:
    site = rows(data, "site")
    members = rows(data, level)
    for whole in site[:2]:
        own = [row["it"] for row in members if row["start"] == whole["start"]]
        assert fsum(own) == pytest.approx(whole["it"], rel=1e-9)
    assert len({row[level] for row in members}) == len(members) / 2


def test_members_have_their_names_and_parts(data: Path) -> None:
    assert {row["gpu"] for row in rows(data, "gpu")} == {
        "r1-01-n1/GPU-0",
        "r1-01-n2/GPU-0",
        "r2-01-n1/GPU-0",
    }
    lab = next(row for row in rows(data, "tenant") if row["tenant"] == "lab")
    assert (lab["kind"], lab["country"], lab["quarters"]) == ("researcher", "MA", 4)
    assert lab["it"] == pytest.approx(300.0 + 200.0 / 2)  # what GPUs do not count by GPU time
    quarter = rows(data, "rack", "15m")[0]
    assert quarter["carbon"]["life_cycle"] > 0.0


def test_a_table_of_tenants_and_a_csv_of_racks(data: Path) -> None:
    text = call("show", "--data", str(data), "--by", "tenant", "--every", "1d").stdout
    assert "not a legal billing meter" in text
    assert "operator" in text
    assert call("show", "--data", str(data), "--by", "rack", "--csv").stdout.startswith(
        "start,end,label,rack,quarters,it,carbon.life_cycle,carbon.operational\n"
    )


def test_nodes_need_the_site_file(data: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes((data / "ledger.db").read_bytes())
    found = call("show", "--data", str(tmp_path), "--by", "node")
    assert found.exit_code == 2
    assert "name the site file with --site" in found.stderr
    assert call("show", "--data", str(tmp_path), "--by", "rack").exit_code == 0

# SPDX-License-Identifier: Apache-2.0
"""Whole runs: the ledger against the truth, the same run twice, refusals, and being stopped."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from math import fsum
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rackwatt.collector.ledger.reading import LedgerReader
from rackwatt.collector.ledger.verify import verify
from rackwatt.collector.site import load_site
from rackwatt.collector.store import InfluxSpec
from rackwatt.collector.store.files import files_in
from rackwatt.collector.store.read import read, store_directories
from rackwatt.collector.store.tables import tables_of
from rackwatt.twin.cli import app
from rackwatt.twin.simulate import (
    Outcome,
    Plan,
    SimulationFailed,
    SimulationProblem,
    Wish,
    carry_out,
    plan,
)
from rackwatt.twin.simulate.span import HOUR_MS
from rackwatt.wire.database import connect
from servers.fixtures import InfluxBucket, influx_bucket, influxdb

__all__ = ["influx_bucket", "influxdb"]  # fixtures

SMALL = """
site: {id: small, name: Small, timezone: Africa/Casablanca, country: MA}
battery: {capacity_wh: 20000, initial_wh: 5000}
contracts: [{id: wind-far, claim: ppa_wind, meter: wind-far}]
certificates: [bought.csv]
meters:
- {id: grid-1, role: grid, class: 0.5}
- {id: pv-1, role: pv, class: 0.5}
- {id: battery-1, role: battery, class: 0.5}
- {id: chiller-1, role: cooling}
- {id: it, role: it, position: pdu_output, sum: ["r-[1-2]-pdu"]}
halls:
- {id: h, rows: [{id: r, racks: "r-[1-2]", nodes: "{rack}-n1", pdus: "{rack}-pdu",
                  sensors: {inlet: "{rack}-in", outlet_top: "{rack}-out"}}]}
tenants:
- {id: lab, kind: researcher, assignments: [{racks: ["r-1"], valid_to: 2026-10-01T06:30:00+01:00}]}
"""
BOUGHT = (
    "registry,serial,source,from,to,wh,retired_on,beneficiary,contract\n"
    "EX,1,wind,2026-10-01T00:00:00+01:00,2026-11-01T00:00:00+01:00,500000,,,wind-far\n"
)


def nothing(_: str, __: int) -> None:
    """Tell nobody."""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A site file with two racks; and another file that it names."""
    (tmp_path / "bought.csv").write_text(BOUGHT, encoding="utf-8")
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Wish, Plan, Outcome]:
    """The default site over the end of Ramadan: 23 and 24 hours."""
    folder = tmp_path_factory.mktemp("simulate")
    wish = Wish(folder / "days", "2026-03-22", 2, truth=folder / "truth.csv")
    made = plan(wish)
    return wish, made, carry_out(wish, made, nothing)


def truth_rows(path: Path) -> list[dict[str, float]]:
    with path.open(encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if name != "time"}
            for row in csv.DictReader(file)
        ]


def ledger_rows(wish: Wish, made: Plan) -> list[Any]:
    with LedgerReader(wish.data / "ledger.db") as reader:
        return list(reader.rows(made.span.start_ms, made.span.end_ms))


def test_the_ledger_agrees_with_the_truth(two_days: tuple[Wish, Plan, Outcome]) -> None:
    wish, made, outcome = two_days
    truth = truth_rows(wish.truth or Path())
    rows = ledger_rows(wish, made)
    assert len(truth) == len(rows) == made.span.minutes == 47 * 60
    pairs = [("sources", "pv", "pv", 0.5), ("sources", "wind", "wind", 0.5),
             ("sources", "grid", "grid_import", 0.5), ("sinks", "it", "load_it", 1.0),
             ("sinks", "cooling", "load_cooling", 1.0)]  # fmt: skip
    for part, name, true_name, meter_class in pairs:
        true = fsum(row[true_name] for row in truth)
        booked = fsum(row.data[part][name] for row in rows)
        assert booked == pytest.approx(true, rel=meter_class / 100)
    load = fsum(row["load"] for row in truth)
    booked_load = fsum(row.data["load"] for row in rows)
    for origin in ("pv", "wind", "grid", "unknown"):
        true = fsum(row[f"origin_{origin}"] for row in truth) / load
        share = fsum(row.data["origins"][origin] for row in rows) / booked_load
        assert share == pytest.approx(true, abs=0.001)
    stock = fsum(rows[-1].data["battery"]["stock"].values())
    assert stock == pytest.approx(truth[-1]["battery_stock_wh"], rel=0.02)
    true_pue = fsum(row["boundary"] for row in truth) / fsum(row["load_it"] for row in truth)
    assert outcome.figures.pue.value == pytest.approx(true_pue, abs=0.003)
    assert outcome.comparison.shares < 0.1
    assert outcome.figures.completeness == 1.0
    assert not any("provisional" in row.data["metering"] for row in rows)


def test_every_minute_of_the_truth_closes(two_days: tuple[Wish, Plan, Outcome]) -> None:
    truth = truth_rows(two_days[0].truth or Path())
    for row in truth:
        given = row["pv"] + row["wind"] + row["genset"] + row["grid_import"]
        given += row["battery_discharge"]
        taken = row["load"] + row["load_campus"] + row["battery_charge"] + row["grid_export"]
        assert given == pytest.approx(taken, rel=1e-9)
        origins = fsum(value for name, value in row.items() if name.startswith("origin_"))
        assert origins == pytest.approx(row["load"], rel=1e-9)
        assert row["battery_stock_wh"] == pytest.approx(
            fsum(row[f"battery_stock_{n}_wh"] for n in ("pv", "wind", "grid", "genset", "unknown")),
            abs=1e-3,
        )


def test_the_books_are_sound(two_days: tuple[Wish, Plan, Outcome]) -> None:
    wish, made, _ = two_days
    found = verify(wish.data / "ledger.db", site=made.site)
    assert not found.findings
    with LedgerReader(wish.data / "ledger.db") as reader:
        causes = Counter(row.cause for row in reader.rows(made.span.start_ms, made.span.end_ms))
    assert causes == {"closed": made.span.minutes}  # nothing had to be booked twice


def count(places: list[Path], measurement: str) -> int:
    found = 0
    for file in (file for place in places for file in files_in(place)):
        with closing(connect(file.path, read_only=True)) as connection:
            if measurement in tables_of(connection):
                query = f'SELECT count(*) FROM "{measurement}"'  # noqa: S608
                found += connection.execute(query).fetchone()[0]
    return found


def test_the_store_holds_rollups_copies_and_late_readings(
    two_days: tuple[Wish, Plan, Outcome],
) -> None:
    wish, made, outcome = two_days
    places = store_directories(wish.data)
    start, end = made.span.start_ms, made.span.end_ms

    assert count(places, "gpu_1m") == 128 * made.span.minutes
    assert count(places, "gpu_1h") == 128 * 47
    assert count(places, "power_1m") == 39 * made.span.minutes
    assert count(places, "climate_1h") == 32 * 47
    assert count(places, "coolant_1m") == made.span.minutes
    assert count(places, "site_figures") == made.span.minutes
    assert count(places, "site_figures_1d") == 2
    assert count(places, "tenant_energy_1d") == 2 * 4
    assert count(places, "power") == 39 * made.span.minutes  # 47 hours: all within the last 48
    first = next(iter(read(places, "gpu_1m")))
    assert first.time_ms == start
    assert set(first.tags) == {"device", "hall", "rack", "row", "site"}
    least, mean = first.fields["power_min_watts"], first.fields["power_watts"]
    assert float(least) <= float(mean)
    hours = [row.time_ms for row in read(places, "energy_balance_1h") if row.tags["origin"] == "pv"]
    assert (hours[0], hours[-1], len(hours)) == (start, end - HOUR_MS, 47)
    day = list(read(places, "site_figures_1d"))[-1]
    assert day.fields["completeness_ratio"] == 1.0
    assert outcome.facts["copies"]["refused"] == 0


def test_the_site_file_beside_the_books_has_slow_meters(
    two_days: tuple[Wish, Plan, Outcome],
) -> None:
    site = load_site(two_days[1].site_file)
    assert site.simulated
    meters = site.meters_at(two_days[1].span.start_ms)
    assert {m.cadence_seconds for m in meters.values() if not m.virtual} == {60.0}
    assert site.terms_at(0).roles["it"]


def test_the_same_wish_gives_the_same_ledger(small: Path, tmp_path: Path) -> None:
    heads = []
    for name in ("one", "two"):
        wish = Wish(tmp_path / name, "2026-10-01", 1, small, rollups_only=True, seed=5)
        made = plan(wish)
        heads.append(carry_out(wish, made, nothing).facts["books"]["head"])
        assert (wish.data / "bought.csv").exists()
        assert not list((wish.data / "store").glob("raw-*"))
    assert heads[0] == heads[1]


def test_a_site_of_ones_own(small: Path, tmp_path: Path) -> None:
    wish = Wish(tmp_path / "out", "2026-10-01", 1, small, truth=tmp_path / "truth.jsonl")
    made = plan(wish)
    outcome = carry_out(wish, made, nothing)
    lines = (tmp_path / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    first = json.loads(lines[0])
    assert len(lines) == 1440
    assert first["time"] == "2026-09-30T23:00:00Z"
    # The opening stock is of unknown origin, and leaves in the evening.
    assert max(json.loads(line)["origin_unknown"] for line in lines) > 0
    assert first["wind-far"] >= 0
    assert outcome.comparison.shares < 0.1
    assert outcome.figures.matched.value is not None
    assert outcome.figures.matched.value > 0
    tenants = {row.tags["tenant"] for row in read(store_directories(wish.data), "tenant_energy_1d")}
    assert tenants == {"lab", "operator"}
    sensors = {row.tags["device"] for row in read(wish.data / "store", "climate_1h")}
    assert sensors == {"r-1-in", "r-2-in", "r-1-out", "r-2-out"}


def test_books_are_not_begun_twice(two_days: tuple[Wish, Plan, Outcome], tmp_path: Path) -> None:
    wish = two_days[0]
    before = (wish.data / "site.yaml").read_bytes()
    with pytest.raises(SimulationProblem, match="holds books already"):
        plan(Wish(wish.data, "2026-10-01", 1))
    assert (wish.data / "site.yaml").read_bytes() == before
    (tmp_path / "accountant").mkdir()
    with pytest.raises(SimulationProblem, match="of 'rackwatt up'"):
        plan(Wish(tmp_path, "2026-10-01", 1))


def test_a_child_that_fails_says_why(small: Path, tmp_path: Path) -> None:
    wish = Wish(tmp_path / "out", "2026-10-01", 1, small)
    made = plan(wish)
    (wish.data / "store").write_text("in the way", encoding="utf-8")
    with pytest.raises(SimulationFailed, match=r"store: FileExistsError"):
        carry_out(wish, made, nothing)
    with pytest.raises(SimulationProblem, match="cannot be continued"):
        plan(wish)


def test_into_an_influxdb(
    small: Path, tmp_path: Path, influx_bucket: InfluxBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACKWATT_INFLUX_TOKEN", influx_bucket.token)
    bucket = influx_bucket.bucket
    spec = InfluxSpec(influx_bucket.url, influx_bucket.org, bucket, bucket)
    wish = Wish(tmp_path / "out", "2026-10-01", 1, small, spec)
    outcome = carry_out(wish, plan(wish), nothing)
    assert outcome.facts["store"]["refused"] == 0
    assert influx_bucket.count("gpu_1m", "power_watts") == 8 * 1440
    assert influx_bucket.count("power_1h", "power_watts") == 6 * 24
    assert influx_bucket.count("site_figures", "pue_ratio_known") == 1440
    assert influx_bucket.count("tenant_energy_1d", "revision") == 2
    assert not (wish.data / "store").exists()


# --- the command -------------------------------------------------------------------------------


def test_the_command_tells_where_things_are(small: Path, tmp_path: Path) -> None:
    words = ["simulate", "--site", str(small), "--from", "2026-10-01", "--days", "1"]
    done = CliRunner().invoke(app, [*words, "--data", str(tmp_path / "out"), "--rollups-only"])
    assert done.exit_code == 0, done.output
    assert "2026-10-01 to 2026-10-01 (Africa/Casablanca)" in done.output
    assert "PUE" in done.output
    assert f"rackwatt ledger verify --data {tmp_path / 'out'}" in done.output
    again = CliRunner().invoke(app, [*words, "--data", str(tmp_path / "out")])
    assert again.exit_code == 2
    assert "choose another folder" in again.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "soon"], "--from: expects a date"),
        (["--from", "2026-10-01", "--days", "0"], "--days: must be at least 1"),
        (["--from", "2026-10-01", "--truth", "t.txt"], "--truth: expects a file .csv or .jsonl"),
        (["--from", "2026-10-01", "--site", "none.yaml"], "none.yaml"),
        (["--from", "2026-10-01", "--site", "docs/examples/site-mesh.yaml"], "several buses"),
        (["--from", "2026-10-01", "--influx", "http://127.0.0.1:9"], "token"),
    ],
)
def test_wrong_words_leave_nothing_behind(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RACKWATT_INFLUX_TOKEN", raising=False)
    done = CliRunner().invoke(app, ["simulate", "--data", str(tmp_path / "out"), *words])
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert not (tmp_path / "out").exists()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A long simulation whose books are open."""
    data = tmp_path / "out"
    words = ["twin", "simulate", "--from", "2026-10-01", "--days", "300", "--data", str(data)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from rackwatt.collector.cli import main; main()", *words],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "the books are open (0 %)\n"
    try:
        yield process, data
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(data, ignore_errors=True)


def test_ctrl_c_leaves_a_word_and_no_process(
    running: tuple[subprocess.Popen[str], Path],
) -> None:
    process, data = running
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)  # ends only when no child holds the pipe
    assert process.returncode == 1
    assert "cannot be continued: remove it with 'rm -r" in said
    assert "Traceback" not in said
    with pytest.raises(SimulationProblem, match="stopped or still runs"):
        plan(Wish(data, "2026-10-01", 1))


def test_no_process_outlives_a_killed_parent(
    running: tuple[subprocess.Popen[str], Path],
) -> None:
    process, _ = running
    process.kill()
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said

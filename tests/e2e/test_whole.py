# SPDX-License-Identifier: Apache-2.0
"""First light, end to end: real agents, protocols, broker, spool, store, ledger and page.

One system serves all tests of this file, in order: what is hurt in one is healed in the next.
"""

import contextlib
import json
import math
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.whole import Key, Whole, wait_for

from rackwatt.collector.ingest.state import watches_in
from rackwatt.collector.store import StoredRow, measurements, read
from rackwatt.collector.store.read import store_directories
from rackwatt.twin.truth import lines, true_pue
from rackwatt.wire.readings import KINDS

pytestmark = pytest.mark.e2e

SITE = "demo"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    system = Whole(tmp_path_factory.mktemp("whole") / "data")
    try:
        yield system
    finally:
        system.close()


def stored(folder: Path) -> dict[Key, float]:
    """Every reading in the embedded store."""
    directory = folder / "collector" / "store"
    found: dict[Key, float] = {}
    kinds = measurements(directory)
    assert "power" in kinds
    for kind in kinds.keys() & set(KINDS):
        for row in read(directory, kind):
            for name, value in row.fields.items():
                if isinstance(value, float):
                    found[row.tags["device"], name, row.time_ms] = value
    return found


def assert_nothing_lost(whole: Whole) -> None:
    """What the outboxes hold is stored with equal values, and the gap watch has it all."""
    sent, kept = whole.sent(), stored(whole.folder)
    assert len(sent) > 1000
    missing = [key for key in sent if key not in kept]
    assert not missing, f"{len(missing)} of {len(sent)} values lost, e.g. {missing[:3]}"
    changed = [key for key, value in sent.items() if kept[key] != value]
    assert not changed, changed[:3]
    extra = [key for key in kept if key not in sent]
    assert not extra, extra[:3]
    with contextlib.closing(sqlite3.connect(whole.folder / "collector" / "spool.db")) as db:
        agents = watches_in(db)
        assert db.execute("SELECT count(*) FROM losses").fetchone() == (0,)
    watch = {
        (agent.name, epoch): (list(at.received), list(at.lost))
        for agent in agents
        for epoch, at in agent.epochs.items()
    }
    taken = whole.sent_through()
    assert len(taken) >= 36
    for key, last in taken.items():
        assert watch[key] == ([(1, last)], []), key


def quiet(whole: Whole) -> bool:
    """Whether nothing is missing, and every agent is there."""
    metrics = whole.metrics()
    if "rackwatt_agent_up" not in metrics:
        return False  # no collector at the moment
    up, missing = metrics["rackwatt_agent_up"], metrics["rackwatt_messages_missing"]
    return all(value == 1 for value in up.values()) and not any(missing.values())


def everything_sent_is_here(whole: Whole) -> bool:
    """Whether the gap watch has all that the outboxes held when this was asked, without a gap."""
    taken = whole.sent_through()
    with contextlib.closing(sqlite3.connect(whole.folder / "collector" / "spool.db")) as db:
        agents = watches_in(db)
    watch = {
        (agent.name, epoch): list(at.received)
        for agent in agents
        for epoch, at in agent.epochs.items()
    }
    return all(
        [low for low, _ in watch.get(key, [])] == [1] and watch[key][0][1] >= last - 1
        for key, last in taken.items()
    )


def settled(whole: Whole) -> bool:
    """Whether every agent has spoken twice since the last start, and all of it is here.

    What the broker lost while the collector was still coming is then back by a replay; what is
    sent from here on has a subscriber.
    """
    newest: dict[str, tuple[int, int]] = {}
    for (agent, epoch), last in whole.sent_through().items():
        newest[agent] = max(newest.get(agent, (0, 0)), (epoch, last))
    spoken = all(last >= 2 for _, last in newest.values())
    return spoken and everything_sent_is_here(whole)


def test_a_page_within_moments(whole: Whole) -> None:
    assert whole.start() < 30


def test_figures_agree_with_the_truth(whole: Whole) -> None:
    wait_for("PUE", lambda: whole.value("rackwatt_pue_ratio", window="15m"), 60)
    wait_for("45 s of PUE", lambda: _pue_span_seconds(whole) > 45, 60)
    frame = whole.frame()
    truth = true_pue(whole.folder, frame["pue"]["since"], frame["pue"]["until"])
    assert truth is not None
    assert 1.0 < truth < 2.0
    assert frame["pue"]["value"] == pytest.approx(truth, rel=0.01)

    metrics = whole.metrics()
    shares = metrics["rackwatt_source_share_ratio"]
    assert math.fsum(shares.values()) == pytest.approx(1.0, abs=1e-9)
    at = round(metrics["rackwatt_figures_timestamp_seconds"][(("site", SITE),)] * 1000)
    powers = {dict(k)["source"]: v for k, v in metrics["rackwatt_source_power_watts"].items()}
    near = list(lines(whole.folder, at - 2500, at + 1000))
    assert near
    names = {"pv": "pv", "wind": "wind", "grid": "grid_import", "battery": "discharge"}
    for source, name in names.items():
        truths = [line["powers"][name] for line in near]
        slack = 2e-3 * max(truths) + 20  # the meters' resolution
        assert any(abs(powers[source] - value) <= slack for value in truths), (source, truths)
    assert abs(metrics["rackwatt_balance_residual_ratio"][(("site", SITE),)]) < 0.05
    assert metrics["rackwatt_completeness_ratio"][(("site", SITE),)] == 1.0
    assert set(metrics["rackwatt_carbon_intensity_grams_per_kilowatt_hour"]) == {
        (("series", "life_cycle"), ("site", SITE)),
        (("series", "operational"), ("site", SITE)),
    }


def _pue_span_seconds(whole: Whole) -> float:
    frame = whole.frame()
    since, until = frame["pue"]["since"], frame["pue"]["until"]
    return 0.0 if since is None or until is None else float(until - since) / 1000


def test_everything_is_there(whole: Whole) -> None:
    wait_for("every agent", lambda: quiet(whole), 60)
    frame = whole.frame()
    assert frame["site"]["simulated"]
    assert frame["state"] == "live"
    assert len(frame["racks"]) == 16
    assert all(rack["power_watts"] > 0 for rack in frame["racks"])
    assert all(15 < rack["inlet_celsius"] < 40 for rack in frame["racks"])
    assert frame["gpus"]["reporting"] == 128
    assert frame["nodes"] == {"total": 32, "online": 32}
    assert frame["hosts"], "this machine's own readings"
    assert frame["hosts"][0]["memory_total_bytes"] > 1e8
    assert frame["coolant"]
    assert frame["quality"]["store_up"]
    assert frame["quality"]["delay_seconds"] <= 2.5


@pytest.mark.parametrize(("lang", "direction"), [("fr", "ltr"), ("en", "ltr"), ("ar", "rtl")])
def test_the_first_html_carries_figures(whole: Whole, lang: str, direction: str) -> None:
    for path in (f"/?lang={lang}", f"/wall?lang={lang}"):
        page = whole.get(path)
        assert f'lang="{lang}"' in page
        assert f'dir="{direction}"' in page
        assert "PUE" in page
        value = whole.frame()["pue"]["value"]
        shown = f"{value:.2f}"[:3]
        assert shown in page or shown.replace(".", ",") in page


def test_a_second_supervisor_is_refused(whole: Whole) -> None:
    command = [sys.executable, "-m", "rackwatt.collector.cli", "up", "--data", str(whole.folder),
               "--port", str(whole.port + 1)]  # fmt: skip
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert "in use by another 'rackwatt up'" in refused.stderr
    assert "--data" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_closed_minutes_are_copied_and_readings_rolled_up(whole: Whole) -> None:
    """The ledger's rows, and minutes of readings, are in the store soon after their minute."""
    folders = store_directories(whole.folder)
    wait_for("a minute's balance", lambda: _known_minutes(folders), 200)
    wait_for("minutes of power", lambda: list(read(folders, "power_1m")), 60)
    with contextlib.closing(sqlite3.connect(whole.folder / "accountant" / "ledger.db")) as db:
        latest = "SELECT row FROM journal WHERE kind = 'interval' AND start_ms = ? ORDER BY seq"
        first = _known_minutes(folders)[0]
        texts = db.execute(latest, (first.time_ms,)).fetchall()
    booked = [json.loads(text)["load"] for (text,) in texts]
    assert first.fields["load_watt_hours"] in booked
    origins = [row for row in read(folders, "energy_balance") if row.time_ms == first.time_ms]
    parts = [row.fields.get("energy_watt_hours", 0.0) for row in origins]
    assert math.fsum(map(float, parts)) == pytest.approx(first.fields["load_watt_hours"])
    assert whole.value("rackwatt_ledger_copy_up") == 1


def _known_minutes(folders: list[Path]) -> list[StoredRow]:
    """Minutes whose load is known: the first one is not complete."""
    rows = read(folders, "site_figures")
    return [row for row in rows if row.fields["load_watt_hours_known"] == 1.0]


def test_kills_lose_nothing(whole: Whole) -> None:
    whole.kill_child("collector")
    wait_for("everything after a kill", lambda: everything_sent_is_here(whole), 120)
    # What is sent now the broker alone has taken, and it dies with that.
    whole.freeze_child("collector")
    sent = sum(whole.sent_through().values())
    wait_for("messages to a deaf collector", lambda: _more_than(whole, sent + 20), 30)
    whole.kill_child("broker")
    whole.kill_child("collector")
    wait_for("everything after the kills", lambda: everything_sent_is_here(whole), 150)
    wait_for("every agent", lambda: quiet(whole), 60)
    assert _came_again(whole) > 0, "nothing was sent again: the test hurt nobody"


def _more_than(whole: Whole, number: int) -> bool:
    return sum(whole.sent_through().values()) > number


def _came_again(whole: Whole) -> float:
    recovered = whole.value("rackwatt_messages_recovered_total") or 0
    return recovered + (whole.value("rackwatt_messages_duplicate_total") or 0)


def test_the_whole_tree_is_killed_and_continues(whole: Whole) -> None:
    before = whole.frame()
    whole.kill_all()
    killed_ms = round(time.time() * 1000)
    assert whole.start() < 40
    wait_for("everything", lambda: everything_sent_is_here(whole), 150)
    wait_for("every agent", lambda: quiet(whole), 60)
    wait_for("PUE", lambda: whole.value("rackwatt_pue_ratio", window="15m"), 90)
    assert whole.value("rackwatt_messages_lost_total") == 0
    # The window goes back to before the gap where what was read bridges that (a slow start makes it
    # too long for coarse registers), else it begins after it: never within it.
    since = whole.frame()["pue"]["since"]
    assert since <= before["time"] or since >= killed_ms


def test_ctrl_c_leaves_nothing_behind_and_nothing_is_lost(whole: Whole) -> None:
    wait_for("a settled system", lambda: settled(whole), 150)
    assert whole.stop(signal.SIGINT) == 0
    assert whole.nothing_left()
    assert_nothing_lost(whole)
    text = whole.output.read_text(encoding="utf-8")
    assert "Traceback" not in text
    assert shutil.disk_usage(whole.folder).free > 0
    for log in (whole.folder / "logs").glob("*.log"):
        assert "Traceback" not in log.read_text(encoding="utf-8"), log

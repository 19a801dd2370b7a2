# SPDX-License-Identifier: Apache-2.0
"""A shift on a whole simulated site, with a real Alertmanager: what is said, shown and handed over.

One system serves all tests of this file, in order.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from e2e.whole import Whole, wait_for

from servers.alertmanager import Alertmanager, Webhook

pytestmark = pytest.mark.e2e

WHO = ("--author", "N. Idrissi")


class Watch:
    """The people, their commands, and what they look at."""

    def __init__(self, folder: Path, whole: Whole, alertmanager: Alertmanager) -> None:
        self.whole = whole
        self.alertmanager = alertmanager
        self._data = folder / "data"
        self.page = f"http://127.0.0.1:{whole.port}"

    def call(self, *arguments: str, code: int = 0) -> str:
        """Type a command; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "rackwatt.collector.cli", *arguments, "--data", str(self._data)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stdout if code != 2 else done.stderr

    def handover(self, *arguments: str, code: int = 0) -> str:
        there = ("--alertmanager", self.alertmanager.url, "--page", self.page)
        return self.call("handover", "--shift", *there, *arguments, code=code)

    def chain(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.whole.get("/api/chain"))
        return found

    def post(self, path: str, body: object) -> None:
        """Tell Alertmanager something, as an agent or a person at its page does."""
        request = urllib.request.Request(
            self.alertmanager.url + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            assert answer.status == 200


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    folder = tmp_path_factory.mktemp("watch")
    whole = Whole(folder / "data")
    with Webhook() as webhook, Alertmanager(folder / "am", webhook.url) as alertmanager:
        try:
            whole.start()
            watch = Watch(folder, whole, alertmanager)
            wait_for("look at the chains", lambda: watch.chain()["time"], 120)
            yield watch
        finally:
            whole.close()


def alert(name: str, severity: str, summary: str, **labels: str) -> dict[str, Any]:
    found = {"alertname": name, "severity": severity, "site": "demo", **labels}
    return {"labels": found, "annotations": {"summary": summary}}


def test_alertmanager_has_alerts_and_a_mute(watch: Watch) -> None:
    leak = alert("SafetyLeak", "critical", "cdu-a1: leak detected", device="cdu-a1")
    residual = alert("BalanceResidual", "warning", "residual above 2 %")
    elsewhere = alert("Elsewhere", "critical", "another site")
    elsewhere["labels"]["site"] = "other"
    beat = alert("SafetyHeartbeat", "none", "watching", **{"class": "safety-heartbeat"})
    watch.post("/api/v2/alerts", [leak, residual, elsewhere, beat])
    end = datetime.now(UTC) + timedelta(hours=3)
    mute = {
        "matchers": [{"name": "alertname", "value": "BalanceResidual", "isRegex": False,
                      "isEqual": True}],
        "startsAt": datetime.now(UTC).isoformat(), "endsAt": end.isoformat(),
        "createdBy": "A. Amrani", "comment": "grid meter is being replaced",
    }  # fmt: skip
    watch.post("/api/v2/silences", mute)
    states = {one["labels"]["alertname"]: one["status"]["state"] for one in _alerts(watch)}
    assert len(states) == 4


def _alerts(watch: Watch) -> list[dict[str, Any]]:
    wait_for("alerts", lambda: len(watch.alertmanager.alerts()) == 4, 30)
    return watch.alertmanager.alerts()


def test_maintenance_is_seen_by_all_within_seconds(watch: Watch) -> None:
    assert "has the watch" in watch.call("shift", "begin", *WHO, "--with", "S. Tazi")
    why = ("--reason", "batteries, ticket 4711")
    said = watch.call("maintenance", "start", "ups-b", "--for", "2h", *WHO, *why)
    begun = time.monotonic()
    assert "ups-b is out" in said
    wait_for("maintenance on the page", lambda: watch.whole.frame()["maintenance"], 20)
    (row,) = watch.whole.frame()["maintenance"]
    assert (row["asset"], row["author"]) == ("ups-b", "N. Idrissi")
    assert row["reason"] == "batteries, ticket 4711"

    def is_out() -> bool:
        assets = {one["id"]: one for one in watch.chain()["power"]["assets"]}
        return bool(assets["ups-b"]["maintenance"])

    wait_for("maintenance in the chains", is_out, 30)
    print(f"maintenance was on page and diagram {time.monotonic() - begun:.1f} s later")
    groups = {one["id"]: one["state"] for one in watch.chain()["groups"]}
    assert groups["ups"] == "N"
    for path in ("/?lang=fr", "/wall?lang=fr"):
        page = watch.whole.get(path)
        assert "En maintenance" in page
        assert "ups-b" in page
    again = watch.call("maintenance", "start", "ups-b", "--for", "1h", *WHO, *why, code=2)
    assert "already" in again


def test_an_acknowledgement_needs_an_alert_that_is_on(watch: Watch) -> None:
    there = ("--alertmanager", watch.alertmanager.url, *WHO, "--note", "on my way")
    wrong = watch.call("ack", "SafetyLeek", *there, code=2)
    assert "did you mean 'SafetyLeak'?" in wrong
    other = watch.call("ack", "SafetyLeak", "--label", "device=cdu-a2", *there, code=2)
    assert "see its labels" in other
    assert "(1 on)" in watch.call("ack", "SafetyLeak", "--label", "device=cdu-a1", *there)
    leak = next(a for a in _alerts(watch) if a["labels"]["alertname"] == "SafetyLeak")
    assert leak["status"]["state"] != "suppressed", "it mutes nothing"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("# Shift handover", "[critical]", "MUTED", "## Redundancy lost", "is at it")),
        ("fr", ("# Relève d’équipe", "[critique]", "EN SOURDINE", "s’en occupe jusqu’à")),
        ("ar", ("تسليم النوبة", "[حرج]", "مكتوم", "يتولّاه")),
    ],
)
def test_a_handover_in_each_language(watch: Watch, language: str, words: tuple[str, ...]) -> None:
    text = watch.handover("--lang", language)
    for said in (
        *words, "SafetyLeak cdu-a1", "on my way", "BalanceResidual", "A. Amrani",
        "grid meter is being replaced", "ups-b", "ticket 4711", "r1-01", "S. Tazi",
    ):  # fmt: skip
        assert said in text, said
    assert "Elsewhere" not in text
    assert "SafetyHeartbeat" not in text


def test_a_signed_handover_begins_the_next_shift(watch: Watch) -> None:
    found = json.loads(watch.handover("--sign", "N. Idrissi", "--to", "L. Alaoui", "--json"))
    assert [one["labels"]["alertname"] for one in found["alerts"]] == [
        "SafetyLeak", "BalanceResidual",
    ]  # fmt: skip
    assert found["alerts"][1]["silenced_by"] == [found["silences"][0]["id"]]
    assert found["unknown"] == []
    assert "L. Alaoui" in watch.handover()
    why = ("--reason", "batteries are new")
    assert "back in service" in watch.call("maintenance", "end", "ups-b", *WHO, *why)
    wait_for("no maintenance", lambda: not watch.whole.frame()["maintenance"], 20)
    names = [line["name"] for line in json.loads(watch.call("shift", "log", "--json"))]
    assert names == ["handover", "maintenance_end"]


def test_who_does_not_answer_is_named(watch: Watch) -> None:
    watch.alertmanager.stop()
    text = watch.handover(code=1)
    assert "NOT KNOWN" in text
    assert f"{watch.alertmanager.url} does not answer" in text
    assert "No alert is on" not in text


def test_the_books_are_marked_and_sound(watch: Watch) -> None:
    def marked() -> bool:
        minutes = json.loads(watch.call("ledger", "show", "--every", "1m", "--json"))
        return "maintenance" in json.dumps(minutes)

    wait_for("marked minute", marked, 150)
    assert "sound" in watch.call("ledger", "verify").lower()

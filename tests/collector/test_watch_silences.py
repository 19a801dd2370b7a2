# SPDX-License-Identifier: Apache-2.0
"""Maintenance mutes what it explains, in a real Alertmanager, and never a matter of safety."""

import json
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from collector.command_books import two_hours
from typer.testing import CliRunner, Result

from rackwatt.collector.cli import app
from rackwatt.collector.site.loader import load_site
from rackwatt.collector.site.topology import Site
from rackwatt.collector.watchkeeping import silences
from rackwatt.collector.watchkeeping.remotes import Remote, silences_of
from servers.alertmanager import Alertmanager

NOW = 1_790_000_000_000
HOME = {"site": "demo", "hall": "hall-a", "severity": "page"}


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(Path("docs/examples/site-demo.yaml"))


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    folder = tmp_path_factory.mktemp("silences")
    with Alertmanager(folder, "http://127.0.0.1:1") as server:
        yield server


def post(server: Alertmanager, *alerts: Mapping[str, str]) -> None:
    end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = [{"labels": dict(labels), "endsAt": end} for labels in alerts]
    request = urllib.request.Request(
        f"{server.url}/api/v2/alerts",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(request, timeout=10).close()


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def muted(server: Alertmanager) -> set[tuple[str, str]]:
    """Name and thing of alerts that are silenced."""
    found: set[tuple[str, str]] = set()
    for alert in server.alerts():
        if alert["status"]["silencedBy"]:
            labels: dict[str, Any] = alert["labels"]
            thing = labels.get("feed") or labels.get("row") or labels.get("rack") or ""
            found.add((labels["alertname"], thing or labels.get("device", "")))
    return found


def in_order(alerts: Iterable[Mapping[str, str]]) -> list[list[tuple[str, str]]]:
    return sorted(sorted(labels.items()) for labels in alerts)


def begin(server: Alertmanager, site: Site, asset: str) -> None:
    wanted = silences.matchers(site, asset, NOW)
    now = round(datetime.now(UTC).timestamp() * 1000)
    remote = [Remote(server.url)]
    comment = f"{silences.mark(asset)}why"
    silences.begin(remote, wanted, (now, now + 3_600_000), "N. Idrissi", comment)


def test_an_ups_mutes_its_feeds_and_their_meters_and_nothing_else(
    alertmanager: Alertmanager, site: Site
) -> None:
    lost = "ups-b>row-1-busway-b"
    absent = [
        {**HOME, "alertname": "FeedLost", "feed": lost, "row": "row-1", "side": "B"},
        {**HOME, "alertname": "FeedLost", "feed": "board-b>ups-b", "side": "B"},
        {**HOME, "alertname": "FeedMeterSilent", "row": "row-2", "side": "B"},
        {**HOME, "alertname": "RedundancyUsed", "group": "ups", "rack": "x"},
    ]
    loud = [
        {**HOME, "alertname": "FeedLost", "feed": "ups-a>row-1-busway-a", "side": "A"},
        {**HOME, "alertname": "FeedMeterSilent", "row": "row-2", "side": "A"},
        {**HOME, "alertname": "EdgeOverloaded", "feed": lost, "side": "B"},
        {**HOME, "alertname": "FeedLost", "feed": lost, "severity": "safety", "row": "r"},
        {**HOME, "alertname": "FeedLost", "feed": lost, "class": "safety", "row": "r"},
        {**HOME, "alertname": "SafetyLeak", "class": "safety", "device": "ups-b"},
        {**HOME, "site": "other", "alertname": "FeedLost", "feed": lost, "side": "B"},
    ]
    post(alertmanager, *absent, *loud)
    begin(alertmanager, site, "ups-b")
    found = [a for a in alertmanager.alerts() if a["status"]["silencedBy"]]
    assert in_order(alert["labels"] for alert in found) == in_order(absent)
    assert silences.end([Remote(alertmanager.url)], site, "ups-b") == len(
        silences.matchers(site, "ups-b", NOW)
    )
    assert muted(alertmanager) == set()


@pytest.mark.parametrize(
    "asset",
    [
        "ups-b",
        "row-1-busway-a",
        "r1-01",
        "r1-01-n1",
        "r1-01-pdu-a",
        "cdu-a1",
        "grid-1",
        "utility-a",
    ],
)
def test_no_silence_can_match_a_matter_of_safety(site: Site, asset: str) -> None:
    found = silences.matchers(site, asset, NOW)
    names = {m.value for own in found for m in own if m.name == "alertname"}
    assert {name for value in names for name in value.split("|")} <= silences.MUTABLE
    for own in found:
        assert silences.Matcher("site", "demo") in own
        assert silences.Matcher("severity", "safety", equal=False) in own
        assert len(own) >= 5, "a name and a thing"


def test_coolant_units_are_never_muted(site: Site) -> None:
    """What their maintenance hides would be a leak."""
    for own in silences.matchers(site, "cdu-a1", NOW):
        assert not {"device", "hall"} & {one.name for one in own}


def test_what_may_be_muted_is_an_alert_of_the_rules_and_none_of_safety() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in sorted(Path("alerts/rules").glob("*")))
    for name in silences.MUTABLE:
        assert f"alert: {name}\n" in text, name


def test_the_commands_make_prolong_and_end_silences(
    tmp_path: Path, alertmanager: Alertmanager
) -> None:
    data = two_hours(tmp_path)
    where = ["--data", str(data), "--author", "A", "--reason", "why"]
    told = [*where, "--alertmanager", alertmanager.url]
    done = invoke("maintenance", "start", "p", "--for", "1h", *told)
    assert done.exit_code == 0, done.output
    assert "of absence only" in done.output
    (first, *_) = silences_of([Remote(alertmanager.url)])
    assert first.comment == "rackwatt maintenance of p: why"
    count = len(silences_of([Remote(alertmanager.url)]))
    done = invoke("maintenance", "extend", "p", "--for", "3h", *told)
    assert done.exit_code == 0, done.output
    found = silences_of([Remote(alertmanager.url)])
    assert len(found) == count
    assert all(one.until_ms > first.until_ms for one in found)
    done = invoke("maintenance", "end", "p", *told)
    assert f"{count} silences ended" in done.output
    assert silences_of([Remote(alertmanager.url)]) == []


def test_an_alertmanager_that_is_away_is_said(tmp_path: Path) -> None:
    data = two_hours(tmp_path)
    done = invoke(
        "maintenance", "start", "p", "--for", "1h", "--data", str(data), "--author", "A",
        "--reason", "why", "--alertmanager", "http://127.0.0.1:1",
    )  # fmt: skip
    assert done.exit_code == 1
    assert "recorded, but nothing is muted" in done.stderr

# SPDX-License-Identifier: Apache-2.0
"""The committed rules: made by the code, valid, tested by promtool, and no page for one GPU."""

import re
import subprocess
from datetime import timedelta

import pytest
import yaml
from typer.testing import CliRunner

from rackwatt.alerts.alert import Alert
from rackwatt.alerts.cases import family_cases
from rackwatt.alerts.cli import app
from rackwatt.alerts.rules import HOME, all_families
from rackwatt.alerts.rules import files as rule_files
from rackwatt.alerts.thresholds import Limit, OwnLimit, Settings, limits
from servers.programs import require

GIVEN = limits(Settings())
FAMILIES = all_families(GIVEN)
ALERTS = [(family.key, alert) for family in FAMILIES for alert in family.alerts]
NAMES = [alert.name for _, alert in ALERTS]
PAGE_WAITS = timedelta(seconds=60)
ROOT = HOME.parent
ROW = re.compile(r"^\| `(\w+)` \| \w+ \| ([^|]*) \|", re.MULTILINE)
METRICS = {
    name: set(re.findall(r"`(\w+)`", labels))
    for name, labels in ROW.findall((ROOT / "docs/metrics.md").read_text("utf-8"))
} | {"up": {"job", "instance"}}
"""Labels by metric, from the generated page."""
SCRAPED = {"site", "job", "instance"}
"""Labels that Prometheus adds to what it reads."""


def seconds(span: str) -> float:
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return float(span[:-1]) * unit[span[-1]] if span else 0.0


def test_there_are_alerts_of_all_families() -> None:
    assert [family.key for family in FAMILIES] == [
        "electrical", "gpu", "pipeline", "sustainability", "thermal",
    ]  # fmt: skip
    assert len(NAMES) > 60
    assert len(set(NAMES)) == len(NAMES)


def test_the_committed_files_are_what_the_code_makes() -> None:
    done = CliRunner().invoke(app, ["check"])
    assert done.exit_code == 0, done.output
    assert done.output == "10 files of alerts, all up to date\n"


def test_promtool_takes_the_rules() -> None:
    paths = sorted(str(path) for path in (HOME / "rules").glob("*.yaml"))
    assert len(paths) == len(FAMILIES)
    done = subprocess.run(
        [require("promtool"), "check", "rules", *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(map(int, re.findall(r"SUCCESS: (\d+) rules", done.stdout))) == len(NAMES)


@pytest.mark.parametrize("family", [family.key for family in FAMILIES])
def test_each_rule_fires_is_silent_and_bears_missing_data(family: str) -> None:
    path = HOME / "tests" / f"{family}.yaml"
    asked = {test["alert_rule_test"][0]["alertname"] for test in yaml.safe_load(path.read_text())[
        "tests"]}  # fmt: skip
    assert asked == {alert.name for key, alert in ALERTS if key == family}
    done = subprocess.run(
        [require("promtool"), "test", "rules", str(path)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("family", "alert"), ALERTS, ids=NAMES)
class TestAlert:
    def test_its_cases_say_what_they_are_for(self, family: str, alert: Alert) -> None:
        cases = family_cases(family).alerts[alert.name]
        assert cases.fires.alerts
        assert cases.missing.at
        if alert.name == "DeadMansSwitch":
            return  # it is never silent
        assert cases.silent
        assert all(case.why and not case.alerts for case in cases.silent)

    def test_its_metrics_exist_with_these_labels(self, family: str, alert: Alert) -> None:
        if alert.name != "DeadMansSwitch":
            names = set(re.findall(r"\b(?:rackwatt_\w+|up)\b", alert.expr))
            assert names
            assert names <= set(METRICS)
        cases = family_cases(family).alerts[alert.name]
        told = [series for _, case in cases.named() for series in case.series]
        for series in told:
            name, labels = re.fullmatch(r"(\w+)\{(.*)\}", series).groups()  # type: ignore[union-attr]
            assert name in METRICS, series
            used = set(re.findall(r"(\w+)=\"", labels))
            assert used <= METRICS[name] | SCRAPED, series

    def test_a_page_waits_less_than_a_minute(self, family: str, alert: Alert) -> None:
        if alert.severity in {"page", "safety"}:
            assert seconds(alert.wait) <= PAGE_WAITS.total_seconds()
            # One that ended a moment ago and begins again must not ring twice.
            assert alert.keep

    def test_a_single_gpu_pages_nobody(self, family: str, alert: Alert) -> None:
        if "rackwatt_gpu_trouble{" in alert.expr:
            assert alert.severity == "ticket"
            assert alert.labels["queue"] == "remediation"

    def test_its_dashboard_exists(self, family: str, alert: Alert) -> None:
        made = ROOT / "dashboards/generated/en" / f"{alert.board}.json"
        assert f'"uid": "rackwatt-{alert.board}-en"' in made.read_text("utf-8")


def moved(limit: Limit) -> OwnLimit:
    """Other bounds, in the right order."""
    away = 1 if limit.when == "above" else -1
    return OwnLimit(warn=limit.warn + away * 0.125, bad=limit.bad + away * 0.25)


@pytest.mark.parametrize("name", sorted(GIVEN.used))
def test_a_limit_stands_in_one_place(name: str) -> None:
    """Whoever sets a limit of a site changes the rule, and what it tells."""
    before = rule_files(Settings())
    after = rule_files(Settings(thresholds={name: moved(GIVEN.held[name])}))
    changed = [
        line
        for key in before
        for old, line in zip(before[key].splitlines(), after[key].splitlines(), strict=True)
        if old != line
    ]
    assert changed


def test_no_rule_holds_a_number_of_its_own() -> None:
    """Bounds are 0, 1 or a limit; 24 * 3600 and 60 are units."""
    bounds = {f"{bound:.12g}" for one in GIVEN.held.values() for bound in (one.warn, one.bad)}
    found = 0
    for _, alert in ALERTS:
        for bound in re.findall(r"(?:[<>]=?(?: bool)?|==|!=) (-?[\d.]+)", alert.expr):
            found += 1
            assert bound in bounds | {"0", "1", "24"}, alert.name
    assert found > len(NAMES) // 2

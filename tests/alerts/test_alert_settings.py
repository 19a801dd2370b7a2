# SPDX-License-Identifier: Apache-2.0
"""A site's own thresholds and addresses, and what is said when they are wrong."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rackwatt.alerts.alert import Alert
from rackwatt.alerts.cli import app
from rackwatt.alerts.texts import filled
from rackwatt.alerts.thresholds import Limit, Limits, Settings, SettingsError, limits


def built(folder: Path, text: str, *more: str) -> tuple[int, str]:
    settings = folder / "site-alerts.yaml"
    settings.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(
        app, ["build", "--settings", str(settings), "--out", str(folder / "rules"), *more]
    )
    return done.exit_code, done.output.replace(str(folder), "")


def rule(folder: Path, family: str, name: str) -> dict[str, str]:
    groups = yaml.safe_load((folder / "rules" / f"{family}.yaml").read_text("utf-8"))["groups"]
    return next(one for one in groups[0]["rules"] if one["alert"] == name)


def test_a_site_has_its_own_limits_and_addresses(tmp_path: Path) -> None:
    text = """
runbooks: https://wiki.example.net/runbooks
grafana: https://grafana.example.net
thresholds: {feed_load_ratio: {bad: 1.1}, frequency_low_hertz: {warn: 59.8, bad: 59.5}}
"""
    assert built(tmp_path, text) == (0, "5 files in /rules, 5 changed\n")
    made = rule(tmp_path, "electrical", "EdgeOverloaded")
    assert made["expr"] == "rackwatt_feed_load_ratio >= 1.1"
    told = made["annotations"]
    assert "limit 110 %" in told["description"]  # type: ignore[index]
    assert told["runbook_url"] == "https://wiki.example.net/runbooks/EdgeOverloaded.md"  # type: ignore[index]
    assert "< 59.5" in rule(tmp_path, "electrical", "FrequencyOutOfBand")["expr"]
    assert built(tmp_path, text) == (0, "5 files in /rules, 0 changed\n")


def test_of_someones_own_rules_nothing_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "own.yaml").write_text("groups: []\n", encoding="utf-8")
    assert built(tmp_path, "{}")[0] == 0
    assert (folder / "own.yaml").read_text("utf-8") == "groups: []\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thresholds: {feed_load: {bad: 2}}", "thresholds.feed_load: no such limit; there are "),
        (
            "thresholds: {feed_load_ratio: {bad: 0.5}}",
            "thresholds.feed_load_ratio: warn must be at most bad (0.5)",
        ),
        (
            "thresholds: {ups_runtime_seconds: {warn: 60}}",
            "thresholds.ups_runtime_seconds: warn must be at least bad (300)",
        ),
        ("thresholds: {feed_load_ratio: {bad: lots}}", "/site-alerts.yaml: thresholds.feed_load"),
        ("grafana: grafana", "/site-alerts.yaml: grafana: String should match"),
        ("color: red", "/site-alerts.yaml: color: Extra inputs are not permitted"),
        ("a: [", "/site-alerts.yaml:1:5: "),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(tmp_path: Path, text: str, said: str) -> None:
    code, output = built(tmp_path, text)
    assert code == 2
    assert output.startswith(f"rackwatt: {said}"), output
    assert not (tmp_path / "rules").exists()


def test_settings_do_not_touch_the_shipped_rules(tmp_path: Path) -> None:
    settings = tmp_path / "site-alerts.yaml"
    settings.write_text("{}", encoding="utf-8")
    done = CliRunner().invoke(app, ["build", "--settings", str(settings)])
    assert done.exit_code == 2
    assert "--settings needs --out DIR" in done.output
    missing = CliRunner().invoke(app, ["list", "--settings", str(tmp_path / "none.yaml")])
    assert missing.exit_code == 2
    assert "No such file" in missing.output


def test_check_prints_how_a_file_differs(tmp_path: Path) -> None:
    assert built(tmp_path, "{}")[0] == 0
    path = tmp_path / "rules" / "gpu.yaml"
    path.write_text(path.read_text("utf-8").replace("0.02", "0.2"), encoding="utf-8")
    done = CliRunner().invoke(app, ["check", "--out", str(tmp_path / "rules")])
    assert done.exit_code == 1
    assert ">= 0.02" in done.output
    assert "gpu.yaml: out of date; run 'rackwatt alerts build'" in done.output


def test_list_names_each_alert() -> None:
    done = CliRunner().invoke(app, ["list"])
    assert done.exit_code == 0
    assert "  FeedLost                     page    electrical      10s\n" in done.output


@given(st.sampled_from(["above", "below"]), st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_bounds_in_order_are_taken_and_others_refused(side: str, bad: float, apart: float) -> None:
    warn = bad - apart if side == "above" else bad + apart
    settings = Settings.model_validate(
        {"thresholds": {"feed_load_ratio": {"warn": min(warn, bad), "bad": max(warn, bad)}}}
    )
    assert limits(settings)["feed_load_ratio"].bad >= limits(settings)["feed_load_ratio"].warn
    if warn != bad:
        turned = {"feed_load_ratio": {"warn": max(warn, bad), "bad": min(warn, bad)}}
        with pytest.raises(SettingsError, match="warn must be at most bad"):
            limits(Settings.model_validate({"thresholds": turned}))


def test_limits_in_texts() -> None:
    held = Limits({"load": Limit(when="above", warn=0.9, bad=1.05, why="because")})
    assert filled("[[load.warn%]], [[load.bad]]", held) == "90 %, 1.05"
    assert held.used == {"load"}
    assert (held.warn("load"), held.bad("load")) == (">= 0.9", ">= 1.05")
    with pytest.raises(KeyError):
        filled("[[other.bad]]", held)


@pytest.mark.parametrize(
    ("name", "wait"), [("feedLost", ""), ("FeedLost", "0s"), ("FeedLost", "20")]
)
def test_an_alert_has_a_name_and_spans(name: str, wait: str) -> None:
    with pytest.raises(ValueError):
        Alert(name=name, expr="up", severity="page", owner="IT", board="now", wait=wait)

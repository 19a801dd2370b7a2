# SPDX-License-Identifier: Apache-2.0
"""Routing as it stands and with each sample; safety is never inhibited, each alert is heard."""

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from servers.fixtures import require

ALERTS: Final = Path(__file__).resolve().parents[2] / "alerts"
SHIPPED: Final = ALERTS / "alertmanager.yaml"
SAMPLES: Final = sorted((ALERTS / "samples").glob("*.yaml"))
LOUD: Final = ({"severity": "safety"}, {"class": "safety", "severity": "critical"})
RECEIVERS: Final = {
    "on-call", "page-electrical", "page-mechanical", "page-it", "remediation", "heartbeat",
    "tickets", "digest",
}  # fmt: skip


def document(path: Path = SHIPPED) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def rules() -> list[dict[str, Any]]:
    files = sorted((ALERTS / "rules").glob("*.yaml"))
    assert len(files) >= 5
    groups = (group for path in files for group in document(path)["groups"])
    return [rule for group in groups for rule in group["rules"]]


def amtool(*arguments: str) -> str:
    done = subprocess.run(
        [require("amtool"), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def receiver_of(**labels: str) -> str:
    pairs = [f"{name}={value}" for name, value in labels.items()]
    return amtool("config", "routes", "test", f"--config.file={SHIPPED}", *pairs).strip()


def test_the_shipped_file_is_right() -> None:
    assert "SUCCESS" in amtool("check-config", str(SHIPPED))


def test_there_are_samples_for_all_ways() -> None:
    assert {path.stem for path in SAMPLES} == {
        "email", "opsgenie", "pagerduty", "slack", "webhook",
    }  # fmt: skip


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_each_sample_takes_the_receivers_place(sample: Path, tmp_path: Path) -> None:
    receivers = document(sample)["receivers"]
    assert {one["name"] for one in receivers} == RECEIVERS
    whole = tmp_path / "alertmanager.yaml"
    whole.write_text(yaml.safe_dump({**document(), "receivers": receivers}), encoding="utf-8")
    assert "SUCCESS" in amtool("check-config", str(whole))


@pytest.mark.parametrize("path", [SHIPPED, *SAMPLES], ids=lambda path: path.stem)
def test_no_secret_stands_in_a_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    secret = r"(routing_key|service_key|api_key|api_url|password|credentials|bearer_token):"
    assert not re.search(secret, text)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"severity": "safety", "owner": "mechanical"}, "on-call"),
        ({"class": "safety", "severity": "warning"}, "on-call"),
        ({"class": "safety-heartbeat", "severity": "none"}, "heartbeat"),
        ({"class": "heartbeat", "severity": "none"}, "heartbeat"),
        ({"severity": "page", "owner": "electrical"}, "page-electrical"),
        ({"severity": "page", "owner": "mechanical"}, "page-mechanical"),
        ({"severity": "page", "owner": "IT"}, "page-it"),
        ({"severity": "page", "owner": "platform"}, "page-it"),
        ({"severity": "page", "owner": "nobody"}, "page-it"),
        ({"severity": "ticket", "owner": "IT", "queue": "remediation"}, "remediation"),
        ({"severity": "ticket", "owner": "electrical"}, "tickets"),
        ({"severity": "digest", "owner": "sustainability"}, "digest"),
        ({"alertname": "SomethingElse"}, "tickets"),
    ],
)
def test_severity_and_owner_say_who_hears_it(labels: dict[str, str], receiver: str) -> None:
    assert receiver_of(**labels) == receiver


def test_every_alert_of_the_rules_goes_where_its_severity_says() -> None:
    wanted = {
        "safety": {"on-call"},
        "page": {"page-electrical", "page-mechanical", "page-it"},
        "ticket": {"tickets", "remediation"},
        "digest": {"digest"},
        "none": {"heartbeat"},
    }
    kinds = {tuple(sorted(rule["labels"].items())) for rule in rules()}
    assert len(kinds) > 5
    for kind in kinds:
        labels = dict(kind)
        assert receiver_of(**labels) in wanted[labels["severity"]], labels


def _matches(matcher: str, labels: dict[str, str]) -> bool:
    found = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher)
    assert found is not None, matcher
    name, sign, value = found.groups()
    own = labels.get(name, "")
    same = re.fullmatch(value, own) is not None if "~" in sign else own == value
    return not same if sign.startswith("!") else same


def test_nothing_of_safety_is_ever_inhibited() -> None:
    found = document()["inhibit_rules"]
    assert len(found) > 5
    names = {rule["alert"] for rule in rules()} | {"SafetyLeak", "SafetyPumpRedundancyLost"}
    for rule in found:
        for labels in LOUD:
            for name in names:
                target = {**labels, "alertname": name}
                assert not all(_matches(m, target) for m in rule["target_matchers"]), (rule, name)


def test_inhibition_names_alerts_that_there_are_and_none_inhibits_itself() -> None:
    names = {rule["alert"] for rule in rules()}
    for rule in document()["inhibit_rules"]:
        ends: list[set[str]] = []
        for key in ("source_matchers", "target_matchers"):
            texts = [m for m in rule[key] if m.startswith("alertname")]
            assert len(texts) == 1, rule
            ends.append(set(texts[0].split('"')[1].split("|")))
        assert ends[0] | ends[1] <= names, (ends[0] | ends[1]) - names
        assert not ends[0] & ends[1]
        assert "site" in rule["equal"]


def test_the_sample_of_prometheus_is_right() -> None:
    done = subprocess.run(
        [require("promtool"), "check", "config", str(ALERTS / "prometheus.yml")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr

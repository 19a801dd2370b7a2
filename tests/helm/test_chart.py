# SPDX-License-Identifier: Apache-2.0
"""The chart renders, is valid for Kubernetes, and stays what it was."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from helm.charts import CASES, CHART, KUBERNETES, ROOT, SITE, Manifest, helm, manifests, rendered

from servers.programs import require

GOLDEN = Path(__file__).with_name("golden")
NAMES = GOLDEN / "names-0.1.0.json"
LONGEST = {"StatefulSet": 52, "CronJob": 52}
"""Of names: Kubernetes makes labels of them, with something behind."""
CUSTOM = {"PrometheusRule", "ServiceMonitor", "PodMonitor"}
"""Of Prometheus' operator: their form is looked at here, since their schemas are not at hand."""


@pytest.mark.parametrize("case", CASES)
def test_lint(case: str) -> None:
    files = [part for path in CASES[case] for part in ("--values", path)]
    site = [] if case in {"small", "tetouan"} else SITE
    done = helm("lint", CHART, "--strict", "--kube-version", KUBERNETES, *files, *site)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES)
def test_every_manifest_is_valid(case: str) -> None:
    seen = set()
    for item in manifests(rendered(case)):
        seen.add(item["kind"])
        name = item["metadata"]["name"]
        assert len(name) <= LONGEST.get(item["kind"], 63), name
        if item["kind"] in CUSTOM:
            _custom(item)
        else:
            kubernetes_validate.validate(item, KUBERNETES.rpartition(".")[0], strict=True)
    assert {"StatefulSet", "Service", "ConfigMap", "NetworkPolicy", "ServiceAccount"} <= seen


def _custom(item: Manifest) -> None:
    spec = item["spec"]
    assert item["apiVersion"] == "monitoring.coreos.com/v1"
    if item["kind"] == "PrometheusRule":
        assert all(rule["expr"] for group in spec["groups"] for rule in group["rules"])
    else:
        ends = spec.get("endpoints", spec.get("podMetricsEndpoints"))
        assert ends
        assert all(end["path"] == "/metrics" and end["port"] for end in ends)
        assert spec["selector"]["matchLabels"]
        # Pods are asked by address: a certificate must be held against a name.
        assert all("serverName" in end["tlsConfig"] for end in ends if end.get("scheme") == "https")


def test_all_dashboards_and_alerts_are_in_it() -> None:
    found = manifests(rendered("everything"))
    boards = {
        name: json.loads(text)
        for item in found
        if item["metadata"].get("labels", {}).get("grafana_dashboard")
        for name, text in item["data"].items()
    }
    sources = sorted((ROOT / "dashboards" / "generated").glob("*/*.json"))
    assert len(boards) == len(sources) > 0
    for path in sources:
        assert boards[f"rackwatt-{path.parent.name}-{path.name}"] == json.loads(path.read_text())
    rules = [
        rule["alert"]
        for item in found
        if item["kind"] == "PrometheusRule"
        for group in item["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    written = [
        rule["alert"]
        for path in sorted((ROOT / "alerts" / "rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert sorted(rules) == sorted(written)
    assert rules


@pytest.mark.parametrize("case", ["small", "tetouan", "everything"])
def test_manifests_are_the_golden_ones(case: str) -> None:
    """To make them anew: RACKWATT_GOLDEN=write pytest tests/helm."""
    text = "---\n".join(
        yaml.safe_dump(item, sort_keys=True, width=120)
        for item in manifests(rendered(case, "--set", "dashboards.enabled=false"))
        if item["kind"] != "PrometheusRule"
    )
    path = GOLDEN / f"{case}.yaml"
    if os.environ.get("RACKWATT_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), (
        f"{path.name} differs: look at the change, then RACKWATT_GOLDEN=write pytest tests/helm"
    )


def test_an_upgrade_keeps_names_selectors_and_claims() -> None:
    """What Kubernetes does not let change, and volumes that hold the books."""
    found = {
        f"{item['kind']}/{item['metadata']['name']}": {
            "selector": item["spec"].get("selector"),
            "claims": [
                one["metadata"]["name"] for one in item["spec"].get("volumeClaimTemplates", ())
            ],
            "service": item["spec"].get("serviceName"),
        }
        for item in manifests(rendered("everything"))
        if item["kind"] in {"StatefulSet", "DaemonSet", "PersistentVolumeClaim", "Service"}
    }
    if os.environ.get("RACKWATT_GOLDEN") == "write" and not NAMES.exists():
        NAMES.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    before = json.loads(NAMES.read_text(encoding="utf-8"))
    assert before
    assert {name: found.get(name) for name in before} == before


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("colector.backfill", "all"),
        ("collector.shard", "x"),
        ("collector.shards[0].hall", "x"),
        ("accountant.ingress.hosts", "x"),
        ("gpuAgents.sampleevery", "1s"),
        ("report.languages[0]", "de"),
        ("broker.url", "tcp://broker:1883"),
        ("broker.url", "mqtts://user:secret@broker:8883"),
        ("image.agent.tag", "latest"),
        ("collector.volume.size", "lots"),
        ("collector.backfill", "yesterday"),
        ("gpuAgents.driver", "magic"),
    ],
)
def test_typos_are_refused(path: str, value: str) -> None:
    done = helm("template", "rackwatt", CHART, "--kube-version", KUBERNETES, *SITE,
                "--set-string", f"{path}={value}")  # fmt: skip
    assert done.returncode != 0
    key = re.sub(r"\[\d+\]", "", path).split(".")[-1]
    assert key in done.stderr or path.split(".", maxsplit=1)[0] in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "site.files: give the site file"),
        ([*SITE, "--set", "influx.url=http://i:8086"], "influx.tokenSecret: name the Secret"),
        (
            [*SITE, "--set", "collector.shards[0].name=a,collector.shards[1].name=b"],
            "a shard without 'halls' takes all of them",
        ),
        (
            [
                *SITE,
                "--set",
                "collector.shards[0].name=a,collector.shards[0].halls={x}",
                "--set",
                "collector.shards[1].name=b,collector.shards[1].halls={x}",
            ],
            "hall x is in a and in b",
        ),
        (
            [
                *SITE,
                "--set",
                "collector.shards[0].name=a,collector.shards[0].halls={x}",
                "--set",
                "gpuAgents.enabled=true",
            ],
            "no shard takes hall hall-a",
        ),
        (
            [*SITE, "--set", "collector.shards[0].name=a,collector.shards[0].passwordSecret=p"],
            "a passwordSecret needs its user",
        ),
    ],
)
def test_what_does_not_go_together_is_said(arguments: list[str], said: str) -> None:
    done = helm("template", "rackwatt", CHART, "--kube-version", KUBERNETES, *arguments)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_readme_is_of_these_values(tmp_path: Path) -> None:
    """To make it anew: helm-docs --chart-search-root helm --skip-version-footer."""
    for name in ("Chart.yaml", "values.yaml", "README.md.gotmpl"):
        shutil.copy(CHART / name, tmp_path / name)
    tool = str(require("helm-docs"))
    command = [tool, "--chart-search-root", str(tmp_path), "--skip-version-footer"]
    subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=tmp_path)
    assert (tmp_path / "README.md").read_text() == (CHART / "README.md").read_text()


def test_every_value_is_used_and_documented() -> None:
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    templates = "".join(path.read_text() for path in sorted((CHART / "templates").iterdir()))
    found = [path for path, _ in _leaves(yaml.safe_load(text)) if path[-2:] != ("nvml", "required")]
    assert len(found) > 50
    unused = [path for path in found if not re.search(rf"\.{re.escape(path[-1])}\b", templates)]
    assert not unused


def _leaves(value: object, path: tuple[str, ...] = ()):  # type: ignore[no-untyped-def]
    if isinstance(value, dict) and value and path[-1:] != ("resources",):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value

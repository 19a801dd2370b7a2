# SPDX-License-Identifier: Apache-2.0
"""The chart, rendered by the real helm."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from servers.programs import require

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "helm" / "rackwatt"
KUBERNETES: Final = "1.31.0"
"""Rendered for, and validated with the schemas of."""

Manifest = Mapping[str, Any]

EVERYTHING: Final = ROOT / "tests" / "helm" / "everything.yaml"
"""Values with which every template says all that it can."""
CASES: Final = {
    "small": [CHART / "values-small.yaml"],
    "tetouan": [CHART / "values-tetouan.yaml"],
    "everything": [EVERYTHING],
    "default": [],
}
SITE: Final = ["--set-string", "site.files.site\\.yaml=site: {}"]
"""What the default values cannot know."""


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm, which needs no cluster for this."""
    return subprocess.run(
        [str(require("helm")), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def rendered(case: str, *more: str) -> str:
    """The manifests of a case as helm writes them."""
    files = [part for path in CASES[case] for part in ("--values", path)]
    site = [] if case in {"small", "tetouan"} else SITE
    done = helm("template", "rackwatt", CHART, "--kube-version", KUBERNETES, *files, *site, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(text: str) -> list[Manifest]:
    """Each object of a rendered text."""
    found = [item for item in yaml.safe_load_all(text) if item]
    assert found
    return found


def pods(objects: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """The pod of each object that makes one, by the object's name."""
    for item in objects:
        spec = item.get("spec", {})
        if item["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield f"{item['kind']}/{item['metadata']['name']}", spec["template"]


def containers(pod: Manifest) -> Iterator[Manifest]:
    """All containers of a pod, those that come first included."""
    yield from pod["spec"].get("initContainers", ())
    yield from pod["spec"]["containers"]

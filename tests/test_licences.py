# SPDX-License-Identifier: Apache-2.0
"""Licences of what we depend on, and the bill of materials: `scripts/licences.py`, `sbom.py`."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def licences(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("licences")


def test_every_licence_is_allowed() -> None:
    command = [sys.executable, str(SCRIPTS / "licences.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(re.findall(r"(\d+) dependencies", done.stdout)[0]) > 60


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("EPL-2.0 OR BSD-3-Clause", True),
        ("Apache-2.0 AND MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (GPL-3.0-only OR ISC)", True),
        ("GPL-3.0-or-later", False),
        ("AGPL-3.0-only", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("SSPL-1.0", False),
    ],
)
def test_an_expression_must_leave_a_choice(
    licences: ModuleType, expression: str, allowed: bool
) -> None:
    assert licences.is_allowed(expression) is allowed


@pytest.mark.parametrize(
    ("licence", "advice"),
    [
        ("", "its metadata name no licence"),
        ("Proprietary, ask us", "is no SPDX expression"),
        ("GPL-3.0-only", "is not on the list. Replace it, or"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(
    licences: ModuleType, licence: str, advice: str
) -> None:
    found = importlib.import_module("dependencies").Dependency("pypi", "thing", "1.2", licence)
    for shipped, tools in (([found], []), ([], [found])):
        (said,) = licences.problems(shipped, tools)
        assert said.startswith("thing 1.2 (pypi): ")
        assert advice in said


def test_a_tool_that_may_not_be_passed_on_is_not(licences: ModuleType) -> None:
    make = importlib.import_module("dependencies").Dependency
    tool = make("pypi", "async-solipsism", "1", "GPL-3.0-or-later")
    assert list(licences.problems([], [tool])) == []
    assert len(list(licences.problems([tool], []))) == 1


def test_the_bill_names_what_is_installed_and_is_the_same_each_time(tmp_path: Path) -> None:
    texts = []
    for name in ("a.json", "b.json"):
        command = [sys.executable, "-W", "error", f"{SCRIPTS}/sbom.py", f"{tmp_path}/{name}"]
        subprocess.run(command, check=True, capture_output=True)
        texts.append((tmp_path / name).read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    bill = json.loads(texts[0])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "rackwatt"
    urls = {item["purl"] for item in bill["components"]}
    assert len(urls) == len(bill["components"])
    names = {re.split(r"[@?]", url)[0] for url in urls}
    assert {"pkg:pypi/aiomqtt", "pkg:pypi/cryptography", "pkg:npm/echarts"} <= names
    assert "pkg:pypi/pytest" not in names, "tools are not passed on"
    assert all(item["licenses"] for item in bill["components"])
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for url in urls:
        if url.startswith("pkg:pypi/"):
            assert re.search(rf"^{re.escape(url[9:].replace('@', '=='))}\b", lock, re.MULTILINE), (
                url
            )

# SPDX-License-Identifier: Apache-2.0
"""The house itself: what must never creep into the tree."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("wire", "agents", "collector", "twin", "dashboards", "alerts", "reports")


def tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in found.splitlines() if (ROOT / name).is_file()]


def test_no_room_hides_the_others() -> None:
    for room in ROOMS:
        assert (ROOT / room / "rackwatt" / room / "__init__.py").is_file()
        assert not (ROOT / room / "rackwatt" / "__init__.py").exists()


def test_test_folders_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("name", ["requirements.lock", "package-lock.json"])
def test_lock_files_hold_versions_and_hashes_but_no_address(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.search(r"sha(256|512)", text)
    assert not re.search(r"https?://|index-url|find-links|\"resolved\"|\"funding\"", text)


def test_python_files_stay_small_and_carry_their_license() -> None:
    files = tracked("*.py")
    assert len(files) > 50
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 400, f"{path} has {len(lines)} lines: split it"
        assert lines[0] == "# SPDX-License-Identifier: Apache-2.0", path


def test_no_third_party_asset_is_committed() -> None:
    names = [str(path.relative_to(ROOT)) for path in tracked()]
    assert names
    assert not [name for name in names if "/vendor/" in name or name.endswith((".woff2", ".ttf"))]

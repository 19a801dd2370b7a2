# SPDX-License-Identifier: Apache-2.0
"""What the page takes from outside, and its colours."""

import json
import re
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest

from rackwatt.collector.live.page.catalogue import STATIC

ROOT = Path(__file__).parents[2]
COLOURS = (STATIC / "css" / "colours.css").read_text()


def palettes() -> list[dict[str, str]]:
    """The light set, the dark one for the system's preference, the dark one of the switch."""
    blocks = re.findall(r"color-scheme: \w+;([^}]+)\}", COLOURS)
    return [dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in blocks]


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio as WCAG 2.2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_dark_colours_are_the_same_by_preference_and_by_switch() -> None:
    light, preferred, switched = palettes()
    assert preferred == switched
    assert light.keys() == preferred.keys()


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_as_wcag_aa_wants(dark: bool) -> None:
    colours = palettes()[dark]
    pairs = list(product(("ink", "ink-2", "ink-3"), ("bg", "surface", "surface-2")))
    pairs += [(tone, f"{tone}-soft") for tone in ("good", "warn", "bad")]
    pairs += list(product(("good", "warn", "bad"), ("bg", "surface")))
    pairs += [(f"{m}-ink-{n}", f"{m}-{n}") for m in ("power", "inlet") for n in range(9)]
    for text, ground in pairs:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


@pytest.mark.parametrize("dark", [False, True])
def test_sources_stand_out_from_their_card(dark: bool) -> None:
    colours = palettes()[dark]
    for source in ("pv", "wind", "hydro", "grid", "genset", "battery", "hatch-line"):
        assert contrast(colours[source], colours["surface"]) >= 2.9, source


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("metric", ["power", "inlet"])
def test_a_heat_scale_goes_one_way_in_lightness(metric: str, dark: bool) -> None:
    # So it can be read without telling hues apart.
    colours = palettes()[dark]
    steps = [luminance(colours[f"{metric}-{level}"]) for level in range(9)]
    assert steps == sorted(steps, reverse=not dark)


def test_the_lock_file_names_versions_and_hashes_and_no_address() -> None:
    text = (ROOT / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    assert {"node_modules/echarts", "node_modules/zrender"} <= packages.keys()
    assert "://" not in text
    for name, package in packages.items():
        assert "resolved" not in package
        assert "funding" not in package
        assert name == "" or package["integrity"].startswith("sha512-")


def test_versions_are_pinned() -> None:
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    for name, version in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == version


def test_without_node_one_plain_line_and_a_good_end(tmp_path: Path) -> None:
    for tool in ("bash", "cat", "cut", "dirname", "env", "sha256sum"):
        found = shutil.which(tool)
        assert found, tool
        (tmp_path / tool).symlink_to(found)
    done = subprocess.run(
        [ROOT / "scripts" / "build-assets", "--force"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert "Node.js is not installed" in done.stdout

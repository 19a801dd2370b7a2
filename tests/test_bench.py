# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: each is named in the table, has help, and is run by `make bench`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "benchmarks").glob("*.py"))


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "bench.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_benchmark_stands_in_the_table_and_has_help(file: Path) -> None:
    table = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert f"| `{file.stem}` |" in table
    assert f"`python benchmarks/{file.name}`" in table
    assert "ArgumentParser" in file.read_text(encoding="utf-8")


def test_an_unknown_name_is_said() -> None:
    done = bench("pages")
    assert done.returncode == 2
    assert "there is no benchmark 'pages'" in done.stderr


def test_a_result_is_a_line_and_a_file(tmp_path: Path) -> None:
    done = bench("attribution", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["benchmark"] == "attribution"
    assert (tmp_path / "attribution.json").read_text(encoding="utf-8") == done.stdout

# SPDX-License-Identifier: Apache-2.0
"""The stand-in of NVML's C library: built once per test file, driven in a process of its own.

It is `fakenvml/nvml.c`, under the unmodified binding: it proves our calls and our error handling,
and nothing about a real driver; `test_nvml_hardware.py` runs on machines that have one.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml
import pytest

HERE = Path(__file__).parent / "fakenvml"
GPU = [f"n1/GPU-a000000{i}-0000-4000-8000-00000000000{i}" for i in range(2)]
QUIET = {"events": False}
CODES = {
    name: code
    for name, code in vars(pynvml).items()
    if name.startswith("NVML_ERROR_") and isinstance(code, int)
}
Drive = Callable[..., list[Any]]


def build(target: Path, *flags: str) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        message = "no C compiler: NVML cannot be tested without a GPU on this machine"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    target.mkdir(exist_ok=True)
    subprocess.run(
        [
            compiler,
            *("-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O1", "-Wall", "-Wextra", "-Werror"),
            *("-shared", "-fPIC", "-pthread", *flags),
            *("-o", str(target / "libnvidia-ml.so.1"), str(HERE / "nvml.c")),
        ],
        check=True,
    )


def drive_with(library: Path, cases: list[dict[str, Any]], **environment: str) -> list[Any]:
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(HERE / "drive.py")],
        input=json.dumps(cases),
        env={**os.environ, "LD_LIBRARY_PATH": str(library), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return list(json.loads(ended.stdout))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("nvml")
    build(target)
    return target


@pytest.fixture(scope="module")
def drive(library: Path) -> Drive:
    """Runs one case: its steps, after `start`; returns what each step gave."""

    def run(*steps: list[Any], settings: dict[str, Any] | None = None) -> list[Any]:
        case = {"settings": QUIET if settings is None else settings, "steps": list(steps)}
        return list(drive_with(library, [case])[0])

    return run

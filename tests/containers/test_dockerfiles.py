# SPDX-License-Identifier: Apache-2.0
"""The Dockerfiles as BuildKit reads them, what they copy, and the steps that run without Docker."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from containers.readers_program import read

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "containers").glob("*.Dockerfile"))
LOCKS = ROOT / "containers" / "locks"


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def texts(stage: dict[str, Any], name: str) -> list[str]:
    return [item["text"] for item in stage["commands"] if item["name"] == name]


def test_both_are_there() -> None:
    assert [path.stem for path in FILES] == ["agent", "collector"]


def test_buildkit_reads_it_without_a_warning(path: Path) -> None:
    found = read("dockerfile", path)
    assert found["warnings"] == []
    assert len(found["stages"]) >= 2, "what builds is not what runs"


def test_buildkit_refuses_what_is_wrong_and_warns(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(text.replace("USER 10001", "USR 10001"), encoding="utf-8")
    with pytest.raises(ValueError, match="USR"):
        read("dockerfile", wrong)
    wrong.write_text(text.replace(" AS build", " as build"), encoding="utf-8")
    assert any("FromAsCasing" in said for said in read("dockerfile", wrong)["warnings"])


def test_bases_are_pinned_and_the_last_stage_is_not_root(path: Path) -> None:
    found = read("dockerfile", path)
    bases = dict(item.removeprefix("ARG ").split("=", 1) for item in found["arguments"])
    assert bases
    for image in bases.values():
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+-[a-z-]+(@sha256:[0-9a-f]{64})?", image), image
    assert {stage["base"].strip("${}") for stage in found["stages"]} == set(bases)
    last = found["stages"][-1]
    assert texts(last, "USER") == ["USER 10001:10001"]
    assert len(texts(last, "HEALTHCHECK")) == len(texts(last, "ENTRYPOINT")) == 1
    labels = " ".join(texts(last, "LABEL"))
    for name in ("title", "description", "licenses", "version", "revision", "vendor"):
        assert f"org.opencontainers.image.{name}=" in labels
    for stage in found["stages"]:
        for text in texts(stage, "RUN"):
            assert not re.search(r"curl|wget|apt-get|\bADD\b|--break-system", text)
            for install in re.findall(r"pip[^&]*install[^&]*", text):
                assert "--require-hashes" in install or "--no-index" in install, install


def test_what_is_copied_is_there_and_not_ignored(path: Path) -> None:
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert patterns[0] == "*", "nothing goes into an image that is not named"
    allowed = [line[1:] for line in patterns if line.startswith("!")]
    for name in allowed:
        assert (ROOT / name).exists(), name
    assert not [name for name in allowed if name.startswith((".git", ".venv", "data", "tests"))]
    copied = [
        word
        for stage in read("dockerfile", path)["stages"]
        for text in texts(stage, "COPY")
        if "--from" not in text
        for word in text.split()[1:-1]
    ]
    assert copied
    for word in copied:
        names = [word.replace("${PART}", part) for part in ("collector", "twin")]
        for name in names:
            good = name == "." or any(fnmatch(name, f"{path}*") for path in allowed)
            assert good, f"{name} is copied and ignored"
            assert (ROOT / name).exists()


def test_the_health_check_is_a_command_of_the_image(path: Path) -> None:
    last = read("dockerfile", path)["stages"][-1]
    line = next(line for line in path.read_text().splitlines() if line.startswith("    CMD ["))
    words = json.loads(line.strip().removeprefix("CMD "))
    assert texts(last, "HEALTHCHECK")
    if words[0] == "rackwatt-agent":
        command = [sys.executable, "-m", "rackwatt.agents.cli", words[1], "--help"]
    else:
        command = [sys.executable, *words[1:]]
    bare = {name: text for name, text in os.environ.items() if not name.startswith("RACKWATT_")}
    done = subprocess.run(command, capture_output=True, text=True, env=bare, check=False)
    assert done.returncode == (0 if words[0] == "rackwatt-agent" else 2)
    assert "No module" not in done.stderr


# what the images install


@pytest.fixture
def lock_parts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("lock_parts")


def names_in(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9][a-z0-9.-]*)==", lock, re.MULTILINE))


def test_parts_of_the_lock_are_current_and_hold_versions_and_hashes_of_the_whole(
    lock_parts: ModuleType,
) -> None:
    whole = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    made: dict[Path, str] = lock_parts.parts()
    assert {path.stem for path in made} == {"agent", "build", "collector", "twin"}
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run 'make fmt'"
        assert not re.search(r"https?://", text)
        body = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
        assert body
        for entry in body:
            assert entry in whole
            assert "--hash=sha256:" in entry


def test_each_image_gets_what_it_needs_and_no_test_tools() -> None:
    agent, collector, twin = (
        names_in((LOCKS / f"{part}.lock").read_text(encoding="utf-8"))
        for part in ("agent", "collector", "twin")
    )
    assert {"aiomqtt", "pymodbus", "pysnmp", "nvidia-ml-py", "bacpypes3", "httpx"} <= agent
    assert not agent & {"numpy", "typer", "starlette", "uvicorn", "influxdb-client", "rich"}
    assert {"typer", "uvicorn", "influxdb-client", "typst", "tzdata"} <= collector
    assert not collector & {"scipy", "pandas", "amqtt", "pymodbus"}
    assert agent | collector < twin
    assert not twin & {"pytest", "mypy", "ruff", "hypothesis", "hatchling"}


def test_the_agent_runs_on_nothing_but_its_part_of_the_lock(tmp_path: Path) -> None:
    """As in the image: only these distributions can be imported, and our wheel."""
    wheel = tmp_path / "wheel"
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheel)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    site = tmp_path / "site"
    for name in names_in((LOCKS / "agent.lock").read_text(encoding="utf-8")):
        link_distribution(name, site)
    (archive,) = wheel.glob("*.whl")
    shutil.unpack_archive(archive, site, "zip")
    program = f"import sys; sys.path[:0] = [{str(site)!r}]\n"

    def run(code: str) -> subprocess.CompletedProcess[str]:
        # -S: no site-packages; -I: no environment.
        command = [sys.executable, "-I", "-S", "-c", program + code]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    helped = run("from rackwatt.agents.cli import main; main(['--help'])")
    assert helped.returncode == 0, helped.stderr
    assert "healthy" in helped.stdout
    drivers = ("modbus", "snmp", "redfish", "bacnet", "nvml", "host")
    imported = run(
        f"import importlib\nfor name in {drivers}: "
        "importlib.import_module(f'rackwatt.agents.{name}')\nimport rackwatt.twin.nvml, pynvml"
    )
    assert imported.returncode == 0, imported.stderr
    collector = run("import rackwatt.collector.cli")
    assert "No module named 'typer'" in collector.stderr, "the collector's needs are not there"


def link_distribution(name: str, site: Path) -> None:
    """Put one installed distribution's files into a folder."""
    found = distribution(name)
    for file in found.files or ():
        if ".." in file.parts or "__pycache__" in file.parts:
            continue
        target = site / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to(Path(str(found.locate_file(file))))


def test_the_images_entrypoints_are_programs_of_the_wheel() -> None:
    scripts = {
        entry.name
        for entry in distribution("rackwatt").entry_points
        if entry.group == "console_scripts"
    }
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
        assert json.loads(entry)[0] in scripts
        assert shlex.split(text.split("LABEL ")[1].split("\n# ")[0].replace("\\\n", " "))

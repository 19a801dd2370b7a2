# SPDX-License-Identifier: Apache-2.0
"""What the chart calls is there: each command and option, each agent's file, each probe's path."""

import shlex
from pathlib import Path

import pytest
import typer
import yaml
from helm.charts import CASES, Manifest, containers, manifests, pods, rendered

from rackwatt.agents import cli as agents
from rackwatt.agents.settings import load_config
from rackwatt.collector.cli import app

PAGES = {"/healthz", "/readyz", "/metrics"}


@pytest.fixture(scope="module", params=CASES)
def objects(request: pytest.FixtureRequest) -> list[Manifest]:
    return manifests(rendered(request.param))


def options_of(command: str) -> set[str]:
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="rackwatt")
    found = group.get_command(context, command)  # type: ignore[attr-defined]
    assert found is not None, command
    return {name for one in found.params for name in (*one.opts, *one.secondary_opts)}


def test_each_option_exists(objects: list[Manifest]) -> None:
    called = set()
    for name, pod in pods(objects):
        for each in containers(pod):
            if each["name"] in {"agent", "prepare-outbox"}:
                continue
            words = each["args"]
            if each.get("command"):
                script = words[0].replace("\\\n", " ").split("rackwatt ", 1)[1].splitlines()[0]
                words = shlex.split(script)
            called.add(words[0])
            known = options_of(words[0])
            for word in words[1:]:
                assert word.startswith("--"), (name, word)
                assert word.partition("=")[0] in known, (name, word)
    assert {"collect", "account"} <= called


def test_probes_ask_what_is_served(objects: list[Manifest]) -> None:
    asked = 0
    for name, pod in pods(objects):
        for each in containers(pod):
            ports = {one["name"] for one in each.get("ports", ())}
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                if kind in each:
                    asked += 1
                    get = each[kind]["httpGet"]
                    assert get["path"] in PAGES, name
                    assert get["port"] in ports, name
    assert asked


def test_agents_files_are_right(objects: list[Manifest], tmp_path: Path) -> None:
    """Each is read by the agent's own loader, with secrets where they are mounted."""
    looked = 0
    for item in objects:
        if item["kind"] != "ConfigMap" or "agent.yaml" not in item["data"]:
            continue
        looked += 1
        folder = tmp_path / item["metadata"]["name"]
        folder.mkdir()
        for name, text in item["data"].items():
            (folder / name).write_text(text.replace("/etc/rackwatt", str(tmp_path)))
        for secret in _secrets(yaml.safe_load(item["data"]["agent.yaml"])):
            path = tmp_path / Path(secret).relative_to("/etc/rackwatt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("0123456789abcdef", encoding="ascii")
        name = "r1-01-n1" if "-gpu-" in folder.name else None
        loaded = load_config(folder / "agent.yaml", name)
        assert str(loaded.outbox_path) == "/var/lib/rackwatt/outbox.db"
    names = {item["kind"] for item in objects}
    assert looked or "DaemonSet" not in names


def _secrets(value: object) -> list[str]:
    if isinstance(value, dict):
        return [path for inner in value.values() for path in _secrets(inner)]
    if isinstance(value, list):
        return [path for inner in value for path in _secrets(inner)]
    is_path = isinstance(value, str) and value.startswith("/etc/rackwatt/")
    return [str(value)] if is_path else []


def test_arguments_of_agents_are_right(objects: list[Manifest]) -> None:
    for name, pod in pods(objects):
        for each in containers(pod):
            if each["name"] == "agent":
                options = agents._parser().parse_args(each["args"])
                assert options.command == "run", name
                mounts = {one["mountPath"] for one in each["volumeMounts"]}
                assert str(options.config[0].parent) in mounts, name

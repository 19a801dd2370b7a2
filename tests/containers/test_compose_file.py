# SPDX-License-Identifier: Apache-2.0
"""compose.yaml as `docker compose` itself reads it, and what must hold for every service."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from containers.readers_program import read
from containers.stack import COMPOSE, OURS, ROOT, interpolated, services

FILE = COMPOSE / "compose.yaml"
ONCE = {"init", "store-setup"}


def test_the_loader_of_docker_compose_takes_it_and_reads_what_our_tests_read() -> None:
    project = read("compose", FILE)
    ours = services()
    assert set(project["services"]) == set(ours)
    for name, service in project["services"].items():
        for key in ("command", "entrypoint"):
            said = [str(word) for word in ours[name].get(key) or []]
            # Dollars are told doubled, as the file has them.
            assert [word.replace("$$", "$") for word in service.get(key) or []] == said, name
        targets = {mount["target"] for mount in service.get("volumes", [])}
        assert targets == {text.split(":")[1] for text in ours[name].get("volumes", [])}


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("    read_only: false # its", "    read_onli: false # its", "read_onli"),
        ("networks: [core]", "networks: [cores]", "cores"),
        ("init: {condition: service_completed_successfully}", "inits: {condition: x}", "condition"),
    ],
)
def test_the_loader_refuses_what_is_wrong(good: str, bad: str, said: str, tmp_path: Path) -> None:
    text = FILE.read_text(encoding="utf-8")
    assert good in text
    path = tmp_path / "compose.yaml"
    path.write_text(text.replace(good, bad, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        read("compose", path)


@pytest.mark.parametrize(("name", "service"), sorted(services().items()))
def test_every_service_is_pinned_and_hardened(name: str, service: dict[str, Any]) -> None:
    image, _, tag = service["image"].partition(":")
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(-alpine)?", tag), f"{image}: {tag} floats"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "devices", "pid", "ipc"} & set(service)
    assert service["logging"]["options"]["max-size"]
    if name == "init":
        assert (service["user"], service["network_mode"]) == ("0:0", "none")
        assert service["cap_add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
    else:
        assert service["user"] == "10001:10001"
        assert "cap_add" not in service
    if image in OURS:
        assert service["read_only"] is True
        assert service["build"]["context"] == ".."
        assert (ROOT / service["build"]["dockerfile"]).is_file()
    if name not in ONCE:
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), port


def test_secrets_stand_in_files_and_mounts_are_there() -> None:
    for name, service in services().items():
        for key, text in service.get("environment", {}).items():
            if re.search("TOKEN|PASSWORD|SECRET", key):
                assert re.search("_FILE$", key), f"{name}: {key} is no name of a file"
                assert str(text).startswith("/keys/")
        for text in service.get("volumes", []):
            source = text.split(":")[0]
            assert not source.startswith(".") or (COMPOSE / source).exists(), f"{name}: {source}"
            if source.startswith("."):
                assert text.endswith(":ro"), f"{name} could write into the checkout: {text}"


def test_each_volume_is_declared_used_and_given_to_its_user_by_init() -> None:
    document = yaml.safe_load(interpolated(FILE.read_text(encoding="utf-8")))
    used = {
        name: {text.split(":")[0] for text in service.get("volumes", [])} - {""}
        for name, service in services().items()
    }
    named = {source for sources in used.values() for source in sources if source[0] not in "./"}
    assert named == set(document["volumes"])
    assert named <= used["init"]
    keys = {name: {s for s in sources if s.endswith("keys")} for name, sources in used.items()}
    assert keys["collector"] == {"collector-keys"}
    assert keys["accountant"] == {"accountant-keys"}
    assert keys["agents"] == {"agent-keys"}
    assert not keys["mosquitto"] | keys["twin"] | keys["prometheus"]
    assert "tokens" not in used["grafana"], "Grafana's token only reads"


def test_no_image_takes_an_empty_volume_from_its_user() -> None:
    """An engine gives an empty volume the owner of the folder that the image has there."""
    seen = 0
    for name, service in services().items():
        if service["image"].partition(":")[0] in OURS:
            continue
        for text in service.get("volumes", []):
            if text.split(":")[0].endswith(("-data", "influxdb-config")):
                assert text.endswith(":nocopy"), f"{name}: {text}"
                seen += 1
    assert seen == 6


def test_dependencies_are_there_and_wait_for_what_can_be_waited_for() -> None:
    all_of_them = services()
    seen = 0
    for name, service in all_of_them.items():
        for other, how in service.get("depends_on", {}).items():
            seen += 1
            ends = how["condition"] == "service_completed_successfully"
            assert ends == (other in ONCE), f"{name} waits for {other}"
    assert seen > 8


def test_the_example_of_the_environment_names_every_variable_with_its_default() -> None:
    text = FILE.read_text(encoding="utf-8")
    used = dict(re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", text))
    example = (COMPOSE / ".env.example").read_text(encoding="utf-8")
    named = dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    assert set(named) == set(used)
    for name, value in named.items():
        assert value == used[name] or name == "ALERTMANAGER_CONFIG"


def test_prometheus_is_the_shipped_one_but_for_addresses() -> None:
    shipped, here = (
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in (ROOT / "alerts/prometheus.yml", COMPOSE / "prometheus.yml")
    )
    jobs = {job["job_name"]: job for job in here["scrape_configs"]}
    assert here["global"] == shipped["global"]
    assert here["rule_files"] == shipped["rule_files"]
    for job in shipped["scrape_configs"]:
        mine = jobs.pop(job["job_name"])
        assert mine["honor_labels"] == job["honor_labels"]
        assert mine["static_configs"][0]["labels"] == job["static_configs"][0]["labels"]
    assert not jobs


def test_the_script_of_init_is_good_shell() -> None:
    script = COMPOSE / "init.sh"
    subprocess.run(["sh", "-n", str(script)], check=True)
    if (shellcheck := shutil.which("shellcheck")) is not None:
        done = subprocess.run([shellcheck, str(script)], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout.decode()

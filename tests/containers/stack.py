# SPDX-License-Identifier: Apache-2.0
"""The services of compose/compose.yaml as processes: what it says, without a container engine.

Commands, environments, mounts and addresses are read from the file. A mount's target becomes a
folder, a service's name and port a port of the loopback; nothing else is replaced.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from e2e.whole import wait_for

from rackwatt.wire.lifeline import VARIABLE
from servers.programs import HOST, free_port, require

ROOT: Final = Path(__file__).resolve().parents[2]
COMPOSE: Final = ROOT / "compose"
_BIN: Final = Path(sys.executable).parent
_PROGRAMS: Final[Mapping[str, tuple[str, ...]]] = {
    "eclipse-mosquitto": (),  # the command names it
    "influxdb": ("influxd",),
    "prom/prometheus": ("prometheus",),
    "prom/alertmanager": ("prometheus-alertmanager", "alertmanager"),
}
"""What the images of others start, under the names that it has here."""
OURS: Final[Mapping[str, str]] = {
    "rackwatt": "rackwatt",
    "rackwatt-twin": "rackwatt",
    "rackwatt-agent": "rackwatt-agent",
}
"""Our images, and the entrypoints that their Dockerfiles name."""
_EDGE: Final = r"(?![\w-]|\.\w)"


def interpolated(text: str) -> str:
    """Compose's variables with their defaults, and `$$` as `$`."""
    with_defaults = re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", text)
    assert not re.search(r"(?<!\$)\$[\w{]", with_defaults), "a variable without a default"
    return with_defaults.replace("$$", "$")


def services() -> dict[str, dict[str, Any]]:
    """What the file says of each service."""
    document = yaml.safe_load(interpolated((COMPOSE / "compose.yaml").read_text(encoding="utf-8")))
    found: dict[str, dict[str, Any]] = document["services"]
    return found


class Process:
    """One service that runs."""

    def __init__(self, name: str, command: Sequence[str], env: dict[str, str], log: Path) -> None:
        self.name, self.log = name, log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                command, env=env, cwd=log.parent, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output,
            )  # fmt: skip

    def said(self) -> str:
        """All of its output."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def alive(self) -> None:
        """Fail with its last words if it has ended."""
        assert self.popen.poll() is None, f"{self.name} ended:\n{self.said()[-3000:]}"

    def stop(self) -> int:
        """End it as an engine does; returns its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(30)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()


class Stack:
    """All of it, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.services = services()
        self.running: dict[str, Process] = {}
        listening = {8086, 8400, 8401, 8883, 9090, 9093}
        self.ports = {port: free_port() for port in listening}
        self.environment = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("RACKWATT_", "INFLUX")) and name != VARIABLE
        } | {"PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}", "no_proxy": HOST}
        for name in self.services:
            for place in self.mounts(name).values():
                if place.is_relative_to(folder):
                    place.mkdir(parents=True, exist_ok=True)

    def mounts(self, service: str) -> dict[str, Path]:
        """Where each mount's target lies here: a volume's folder, or the file of the checkout."""
        found = {}
        for text in self.services[service].get("volumes", ()):
            source, target = text.split(":")[:2]
            own = source.startswith(".")
            found[target] = (COMPOSE / source).resolve() if own else self.folder / source
        return found

    def mapped(self, service: str, text: str, more: Mapping[str, Path] | None = None) -> str:
        """A text of a service with its mounts and addresses as they are here."""
        mounts = {**self.mounts(service), **(more or {})}
        for target in sorted(mounts, key=len, reverse=True):
            text = re.sub(rf"(?<![\w./-]){re.escape(target)}{_EDGE}", str(mounts[target]), text)
        names = "|".join([*self.services, r"0\.0\.0\.0", r"127\.0\.0\.1"])
        for port, here in self.ports.items():
            text = re.sub(rf"(?<![\w.-])(?:{names}):{port}\b", f"{HOST}:{here}", text)
            text = text.replace(f"--port={port}", f"--port={here}")
        return text.replace("--host=0.0.0.0", f"--host={HOST}").replace(" 0.0.0.0 ", f" {HOST} ")

    def command(self, service: str) -> list[str]:
        """What its container runs: its entrypoint or its image's, and its command."""
        said = self.services[service]
        image = said["image"].partition(":")[0]
        words = [self.mapped(service, word) for word in said.get("command", ())]
        if "entrypoint" in said:
            words = [self.mapped(service, word) for word in said["entrypoint"]] + words
        elif image in OURS:
            words.insert(0, OURS[image])
        elif _PROGRAMS[image]:
            words.insert(0, str(require(*_PROGRAMS[image])))
        else:
            words[0] = str(require(words[0]))
        return words

    def env(self, service: str) -> dict[str, str]:
        """Its environment on top of ours."""
        said = self.services[service].get("environment", {})
        return self.environment | {k: self.mapped(service, str(v)) for k, v in said.items()}

    def start(self, service: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a service."""
        log = self.folder / f"{service}.log"
        found = Process(service, self.command(service), {**self.env(service), **(env or {})}, log)
        self.running[service] = found
        return found

    def once(self, service: str, command: Sequence[str] | None = None) -> str:
        """Run a service that ends by itself; returns what it said."""
        done = subprocess.run(
            command or self.command(service), env=self.env(service), cwd=self.folder, timeout=240,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{service}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def init(self) -> str:
        """The service `init`; paths that its script writes for others are theirs."""
        assert all(target == f"/out/{place.name}" for target, place in self.mounts("init").items()
                   if target.startswith("/out/"))  # fmt: skip
        more = {"/keys": self.mounts("agents")["/keys"], "/out": self.folder}
        more |= {k: v for k, v in self.mounts("mosquitto").items() if k.startswith("/mosquitto/")}
        script = self.folder / "init.sh"
        text = (COMPOSE / "init.sh").read_text(encoding="utf-8")
        script.write_text(self.mapped("init", text, more), encoding="utf-8")
        said = self.once("init", ["sh", str(script)])
        rules = self.mounts("mosquitto")["/mosquitto/config"] / "mosquitto.conf"
        written = rules.read_text(encoding="utf-8").replace(
            "listener 8883 ", f"listener {self.ports[8883]} "
        )
        if os.geteuid() == 0 and "user root" not in written:
            written += "user root\n"  # else it gives up its rights, and cannot read its key
        rules.write_text(written, encoding="utf-8")
        return said

    def health(self, service: str) -> int:
        """The exit code of its own health check."""
        said = self.services[service]["healthcheck"]["test"]
        words = [self.mapped(service, word) for word in said[1:]]
        command = ["sh", "-c", *words] if said[0] == "CMD-SHELL" else words
        done = subprocess.run(
            command, env=self.env(service), cwd=self.folder, capture_output=True, check=False
        )
        return done.returncode

    def wait_healthy(self, service: str, seconds: float = 120) -> None:
        """Wait as `depends_on: {condition: service_healthy}` does."""

        def good() -> bool:
            self.running[service].alive()
            return self.health(service) == 0

        wait_for(f"healthy {service} (see {self.running[service].log})", good, seconds)

    def close(self) -> None:
        """Leave nothing running."""
        for process in reversed(self.running.values()):
            process.stop()

# SPDX-License-Identifier: Apache-2.0
"""`rackwatt up`: the whole system on one machine, each part its own process."""

import asyncio
import json
import logging
import platform
import random
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from rackwatt.collector.access import Access
from rackwatt.collector.roles.arguments import (
    UsageProblem,
    check_agent_files,
    free_address,
    writable_folder,
)
from rackwatt.collector.roles.children import Command, Family
from rackwatt.collector.roles.lock import DataLock
from rackwatt.collector.roles.options import file_options
from rackwatt.collector.site import load_site
from rackwatt.collector.store.open import RAW_BUCKET
from rackwatt.wire.clock import Clock
from rackwatt.wire.ports import FOR_SUPERVISOR, free_ports
from rackwatt.wire.session import BrokerSettings

_log = logging.getLogger(__name__)

TOKEN_VARIABLE: Final = "RACKWATT_INTERNAL_TOKEN"  # noqa: S105 - a name
DEFAULT_SCENARIO: Final = "default"
_WEB_TOKEN: Final = "--web-token-file"  # noqa: S105 - a name
_DRIVER_FILE: Final = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What `rackwatt up` was asked for."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8400
    broker: BrokerSettings | None = None
    """None: an embedded broker is started."""
    site_file: Path | None = None
    """None: the twin simulates a site."""
    agent_files: Sequence[Path] = ()
    scenario: str = DEFAULT_SCENARIO
    alertmanagers: Sequence[str] = ()
    """That the simulated site's agents of coolant units tell, past broker and collector."""
    influx: Sequence[str] = ()
    """Options of the InfluxDB store, for collector and accountant alike; empty: embedded."""
    influx_bucket: str = RAW_BUCKET
    access: Access = field(default_factory=Access)
    """Who may read the page and the metrics."""
    web_files: Mapping[str, Path | None] = field(default_factory=dict)
    """Files for children: those that `access` was made of, and the key that signs, by option."""
    seconds: float | None = None
    """Stop by itself after so long; None: run until stopped."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The children of a run."""

    broker: Command | None
    twin: Command | None
    collector: Command
    accountant: Command
    agents: Sequence[Command]

    @property
    def early(self) -> list[Command]:
        """All but the agents: at once, since each spends its first second with imports."""
        first = [item for item in (self.broker, self.twin) if item is not None]
        return [*first, self.collector, self.accountant]

    @property
    def stopping(self) -> list[list[Command]]:
        """In stopping order: those of one list together, sources first."""
        twin = [] if self.twin is None else [self.twin]
        broker = [] if self.broker is None else [self.broker]
        return [list(self.agents), twin, [self.collector], [self.accountant], broker]


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def _rackwatt(*arguments: str) -> list[str]:
    return _module("rackwatt.collector.cli", *arguments)


def make_plan(options: UpOptions) -> Plan:
    """Choose ports, write the configuration files, and say what to start.

    Raises:
        ConfigErrors: the scenario or the site file is wrong.
        OSError: the data folder cannot be written.
    """
    token = secrets.token_urlsafe(32)
    environment = {TOKEN_VARIABLE: token}
    chance = random.Random()  # noqa: S311 - ports are no secret
    broker_free, collector_port = free_ports(2, socket.SOCK_STREAM, FOR_SUPERVISOR, chance)
    broker_port = broker_free if options.broker is None else None
    settings = options.broker or BrokerSettings(url=f"mqtt://127.0.0.1:{broker_port}")
    broker = None
    if broker_port is not None:
        arguments = _module("rackwatt.collector.roles.broker", "--port", str(broker_port))
        broker = Command("broker", arguments, port=broker_port)
    data = options.data.resolve()
    twin = None
    if options.site_file is None:
        site_file, groups = _build_twin(options, data, settings.url)
        twin = Command("twin", _rackwatt("twin", "run", "--data", str(data)))
    else:
        site_file, groups = options.site_file.resolve(), {"agents": list(options.agent_files)}
    if has_identity(settings):
        _log.info(
            "this machine's own readings need a name of their own at the broker: run "
            "'rackwatt-agent' with a file for them, and name it with --agent"
        )
    else:
        groups["agents-here"] = _local_agents(data, load_site(site_file).id, settings)
    collector_url = f"http://127.0.0.1:{collector_port}"
    collector = Command(
        "collector",
        _rackwatt(
            "collect",
            *("--site", str(site_file), "--data", str(data / "collector")),
            *broker_options(settings),
            *("--port", str(collector_port), "--backfill", "all", *options.influx),
            # Loopback, and only for the accountant: no TLS.
            *file_options({_WEB_TOKEN: options.web_files.get(_WEB_TOKEN)}),
            *(("--influx-bucket", options.influx_bucket) if options.influx else ()),
        ),
        environment,
        collector_port,
    )
    accountant = Command(
        "accountant",
        _rackwatt(
            "account",
            *("--site", str(site_file), "--collector", collector_url),
            *("--data", str(data / "accountant"), "--host", options.host),
            *("--port", str(options.port), "--with-collector-metrics", *options.influx),
            *file_options(options.web_files),
            *(text for name in options.access.names for text in ("--web-name", name)),
        ),
        environment,
        options.port if options.host in {"127.0.0.1", "0.0.0.0", "localhost"} else None,  # noqa: S104
    )
    agents = [
        Command(name, _module("rackwatt.agents.cli", "run", *map(str, files)))
        for name, files in groups.items()
        if files
    ]
    return Plan(broker, twin, collector, accountant, agents)


def has_identity(broker: BrokerSettings) -> bool:
    """Whether the broker is told who we are; if so, its rules tie names in topics to it."""
    return broker.username is not None or broker.certificate_file is not None


def broker_options(broker: BrokerSettings) -> list[str]:
    """What the collector is told of the broker: names of files, never what stands in them."""
    files = {
        "--broker-password-file": broker.password_file,
        "--broker-ca-file": broker.ca_file,
        "--broker-certificate-file": broker.certificate_file,
        "--broker-key-file": broker.key_file,
    }
    user = [] if broker.username is None else ["--broker-user", broker.username]
    return ["--broker", broker.url, *user, *file_options(files)]


def _build_twin(
    options: UpOptions, data: Path, broker_url: str
) -> tuple[Path, dict[str, list[Path]]]:
    """Have the twin write the files of its site, in a process of its own.

    Raises:
        UsageProblem: the scenario is wrong, or the twin is not installed.
    """
    arguments = ("--data", str(data), "--scenario", options.scenario, "--broker", broker_url)
    told = [f"--alertmanager={url}" for url in options.alertmanagers]
    built = subprocess.run(
        _rackwatt("twin", "build", *arguments, *told, "--json"),
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        why = built.stderr.strip() or "the twin could not be built"
        raise UsageProblem(why if why.startswith("--") else f"--scenario: {why}")
    kit: dict[str, Any] = json.loads(built.stdout)
    return Path(kit["site_file"]), {
        "agents-field": [Path(name) for name in kit["field_agent_files"]],
        "agents-gpu": [Path(name) for name in kit["node_agent_files"]],
    }


def machine_name() -> str:
    """This machine's name, fit for a topic."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", platform.node()).strip("-._")
    return (name or "this-machine")[:80]


def _local_agents(data: Path, site_id: str, broker: BrokerSettings) -> list[Path]:
    """Agents of this very machine: its host readings, and its GPUs where a driver is loaded."""
    reach = {"url": broker.url}
    if broker.ca_file is not None:
        reach["ca_file"] = str(broker.ca_file.resolve())
    name = machine_name()
    sections: dict[str, dict[str, object]] = {f"host-{name}": {"source": "host", "host": {}}}
    if _DRIVER_FILE.exists():
        sections[f"gpu-{name}"] = {
            "source": "nvml",
            "nvml": {"node": name, "required": False},
        }
    files: list[Path] = []
    for agent, section in sections.items():
        path = data / "agents" / f"{agent}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        config = {
            "agent": {
                "site": site_id,
                "hall": "site",
                "name": agent,
                "node": name,
                "sample_every": "1s",
                "send_every": "5s",
            },
            "broker": reach,
            "outbox": {"path": f"{agent}/outbox.db"},
            **section,
        }
        path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        files.append(path)
    return files


def check_options(options: UpOptions) -> None:
    """Say what is wrong before a child is started that would only end again and again.

    Raises:
        UsageProblem: an option does not do, or does not go with another.
        ConfigErrors: the site file, or an agent's place in it, is wrong.
    """
    broker = options.broker
    if options.site_file is None:
        if broker is not None and (has_identity(broker) or broker.ca_file is not None):
            raise UsageProblem(
                "--broker-user and the --broker-…-file options need --site: the agents of a "
                "simulated site have no names at your broker"
            )
        if options.agent_files:
            raise UsageProblem("--agent needs --site: a simulated site brings its own agents")
    elif options.scenario != DEFAULT_SCENARIO:
        raise UsageProblem("--scenario is for a simulated site: leave it out, or leave --site out")
    elif options.alertmanagers:
        raise UsageProblem(
            "--alertmanager is for a simulated site: yours stand in the agents' files (safety:)"
        )
    else:
        if options.agent_files and broker is None:
            raise UsageProblem(
                "--agent needs --broker: the broker to which the agents' files send, "
                "for example --broker mqtt://127.0.0.1:1883"
            )
        check_agent_files(options.agent_files, load_site(options.site_file))
    free_address(options.host, options.port)
    writable_folder("--data", options.data)


async def up(options: UpOptions, clock: Clock, say: Callable[[str], None]) -> None:
    """Run everything until cancelled, or for `options.seconds`; then stop in order.

    Raises:
        Busy: the data folder is in use.
        UsageProblem: what was asked for cannot be done as it stands.
        ConfigErrors: a file is wrong.
    """
    await asyncio.to_thread(check_options, options)
    async with DataLock(options.data) as lock:
        plan = await asyncio.to_thread(make_plan, options)
        inherit = [] if lock.children is None else [lock.children]
        family = Family(options.data / "logs", clock, inherit)
        try:
            async with asyncio.TaskGroup() as tasks:
                keepers = [
                    tasks.create_task(family.keep(command), name=command.name)
                    for command in plan.early
                ]
                await _answering(family, plan.broker)
                # Not before: a broker that is not there yet is looked for again only later.
                keepers += [
                    tasks.create_task(family.keep(command), name=command.name)
                    for command in plan.agents
                ]
                await _answering(family, plan.collector)
                await _answering(family, plan.accountant)
                _greet(options, say)
                try:
                    await _wait(options.seconds)
                finally:
                    await _stop(family, plan, say)
                    for keeper in keepers:
                        keeper.cancel()
        finally:
            family.close()


async def _answering(family: Family, command: Command | None) -> None:
    """Wait until a child answers; one that does not is looked into by whoever reads the log."""
    if command is not None and command.port is not None and not await family.ready(command):
        _log.error("%s does not answer: see %s", command.name, family.log_file(command.name))


def _greet(options: UpOptions, say: Callable[[str], None]) -> None:
    host = f"[{options.host}]" if ":" in options.host else options.host
    base = f"{'https' if options.access.tls else 'http'}://{host}:{options.port}"
    say("Rackwatt is up.")
    say(f"  operators' page   {base}/")
    say(f"  public wall       {base}/wall")
    say(f"  metrics           {base}/metrics")
    say(f"  state             {options.data}  (logs in {options.data / 'logs'})")
    say("Ctrl-C stops it; the next start continues where this one ends.")


async def _wait(seconds: float | None) -> None:
    if seconds is None:
        await asyncio.get_running_loop().create_future()
    else:
        await asyncio.sleep(seconds)


async def _stop(family: Family, plan: Plan, say: Callable[[str], None]) -> None:
    """Sources first, so that what they sent last still finds its way."""
    say("stopping …")
    family.stop_restarting()
    for group in plan.stopping:
        await asyncio.gather(*(family.stop(command.name) for command in group))
    say("stopped; nothing is left running.")

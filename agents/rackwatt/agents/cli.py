# SPDX-License-Identifier: Apache-2.0
"""`rackwatt-agent`: run, probe and check agents. Exit codes: 0 done, 1 failed, 2 bad input."""

import argparse
import asyncio
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from rackwatt.agents import healthy, unit
from rackwatt.agents.agent import Agent
from rackwatt.agents.safety import command as safety
from rackwatt.agents.settings import Loaded, load_configs
from rackwatt.agents.source import ProbeRow, StartError
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.config import ConfigErrors
from rackwatt.wire.lifeline import parent_gone, supervised
from rackwatt.wire.outbox import Outbox

_EPILOG = """\
examples: (in this order for a new device)
  rackwatt-agent check meters.yaml            is the file right?
  rackwatt-agent probe meters.yaml            hold this against the device's own display
  rackwatt-agent run   meters.yaml            Ctrl-C stops it
  rackwatt-agent run   node1.yaml node2.yaml  several agents in one process

exit codes:
  0 done    1 failed: nothing could be read, a port is taken    2 wrong file or usage

Every driver's folder has a README with its options and an example.yaml that loads.
"""

_RUN = """\
Sample, keep everything in the outbox, and send it over MQTT until stopped (Ctrl-C or SIGTERM).
The broker need not be there yet: what was read meanwhile is sent later.
"""
_RUN_MORE = """\
examples:
  rackwatt-agent run meters.yaml
  rackwatt-agent -v run meters.yaml           every detail
  rackwatt-agent run node1.yaml node2.yaml    several agents in one process
  rackwatt-agent run --name "$(hostname)" gpu.yaml    one file for all nodes

exit codes:
  0 stopped
  1 an outbox cannot be opened, or the address of `metrics` is taken
  2 a wrong file, or something that a person must mend is missing (a secret, a driver)
"""
_PROBE = """\
Read every device once and print what it answered beside what becomes of it, with the register,
OID or call. Hold it against the device's own display. Nothing is sent or kept: needs no broker.
"""
_PROBE_MORE = """\
examples:
  rackwatt-agent probe meters.yaml

exit codes:
  0 every agent has read something
  1 an agent has read nothing
  2 a wrong file
"""
_CHECK = """\
Check configuration files, and the map files that they name, without touching any device. Each
error names file, line, key and the nearest valid one; all are shown at once.
"""
_CHECK_MORE = """\
examples:
  rackwatt-agent check meters.yaml
  rackwatt-agent check agents/*.yaml          also finds what two agents must not share

exit codes:
  0 all files are right
  2 one is wrong
"""
_COMMANDS = (
    ("run", "sample and send until stopped", _RUN, _RUN_MORE),
    ("probe", "read every device once: raw and decoded values side by side", _PROBE, _PROBE_MORE),
    ("check", "check files without touching any device", _CHECK, _CHECK_MORE),
    ("healthy", "say whether running agents still keep what they read", healthy.TEXT, healthy.MORE),
    ("install-unit", "a systemd service that runs these files", unit.TEXT, unit.MORE),
    ("safety", "alarms of the safety rules: show, reset, drill", safety.TEXT, safety.MORE),
)
"""Name, help in the list, description, and what comes below the options."""
_NAMED = frozenset({"run", "probe", "check"})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rackwatt-agent",
        description="Reads power, temperature and GPU use at the edge and sends them over MQTT.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="log every detail; stands before COMMAND"
    )
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND"
    )
    for name, text, description, more in _COMMANDS:
        command = commands.add_parser(
            name,
            help=text,
            description=description,
            epilog=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument(
            "config", nargs="+", type=Path, metavar="FILE", help="an agent's YAML file"
        )
        if name == "safety":
            safety.add_options(command)
        if name in _NAMED:
            command.add_argument(
                "--name", help="the agent's name, in place of the file's: one file for many nodes"
            )
        if name == "install-unit":
            unit.add_options(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in ("pymodbus", "pysnmp", "mqtt", "asyncio", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        if options.command == "healthy":
            return healthy.command(options.config, SYSTEM_CLOCK)
        name = getattr(options, "name", None)
        if name is not None and len(options.config) > 1:
            print("rackwatt-agent: --name is for one FILE: two agents need two", file=sys.stderr)
            return 2
        loaded = load_configs(options.config, name)
        if options.command == "check":
            return _check(loaded)
        if options.command == "install-unit":
            return unit.command(loaded, options)
        if options.command == "safety":
            return safety.command(loaded, options)
        if options.command == "probe":
            return asyncio.run(_probe(loaded))
        return asyncio.run(_run(loaded))
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def _check(loaded: Sequence[Loaded]) -> int:
    for item in loaded:
        agent = item.config.agent
        item.create_source()  # touches no device
        print(
            f"{item.path}: ok: agent {agent.name} of {agent.site}/{agent.hall}, "
            f"source {item.config.source}, samples every {agent.sample_every:g} s, "
            f"sends every {agent.send_every:g} s to {item.config.broker.url}"
        )
        for loop in item.config.safety.loops if item.config.safety is not None else ():
            print(f"  safety: {loop.device}: {', '.join(loop.rules)}")
    return 0


async def _probe(loaded: Sequence[Loaded]) -> int:
    good = True
    for item in loaded:
        source = item.create_source()
        print(f"# {item.config.agent.name} ({item.config.source})")
        try:
            await source.start()
            rows = await source.probe()
        except StartError as error:
            print(f"{item.path}: {error}", file=sys.stderr)
            good = False
            continue
        finally:
            await source.aclose()
        print(_table(rows))
        good = good and any(row.value is not None for row in rows)
    return 0 if good else 1


def _table(rows: Sequence[ProbeRow]) -> str:
    header = ("device", "field", "where", "raw", "value", "unit", "quality")
    lines = [header] + [
        (
            row.device,
            row.field,
            row.where,
            row.raw,
            "-" if row.value is None else f"{row.value:.10g}",
            row.unit,
            row.quality.value if row.quality else "good",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def make_agent(loaded: Loaded) -> Agent:
    """The agent of a configuration file, not started.

    Raises:
        OSError: the outbox has no place.
    """
    settings = loaded.config.outbox
    folder = loaded.outbox_path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{loaded.path}: no outbox in {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise OSError(f"{loaded.path}: no outbox in {folder}: it cannot be written to")
    outbox = Outbox(
        loaded.outbox_path,
        keep_seconds=settings.keep,
        max_bytes=settings.max_bytes,
        clock=SYSTEM_CLOCK,
    )
    source, rules = loaded.create_source(), loaded.create_safety()
    return Agent(loaded.config, source, outbox, loaded.context.errors, safety=rules)


async def _run(loaded: Sequence[Loaded]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Ctrl-C reaches the whole process group: under a supervisor, that one says when to stop.
    loop.add_signal_handler(signal.SIGINT, stop.set if not supervised() else lambda: None)
    code = 0
    try:
        await _run_until(stop, loaded)
    except* (StartError, ConfigErrors) as wrong:
        code = _complain(wrong, 2)
    except* (sqlite3.Error, OSError) as broken:
        code = _complain(broken, 1)
    return code


async def _run_until(stop: asyncio.Event, loaded: Sequence[Loaded]) -> None:
    from rackwatt.agents.metrics import serve

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_lifeline(stop), name="lifeline")]
        for item in loaded:
            agent = make_agent(item)
            if item.config.metrics is not None:
                serve(agent, item.config.metrics.listen, item.metrics_token)
            running.append(tasks.create_task(agent.run(), name=item.config.agent.name))
        await stop.wait()
        for task in running:
            task.cancel()


def _complain(group: BaseExceptionGroup[BaseException], code: int) -> int:
    """Print every error of the group, one a line; returns `code`."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            _complain(error, code)
        else:
            print(f"rackwatt-agent: {error}", file=sys.stderr)
    return code


async def _lifeline(stop: asyncio.Event) -> None:
    """Stop as well when the supervisor that started us is gone."""
    await parent_gone()
    stop.set()


if __name__ == "__main__":
    sys.exit(main())

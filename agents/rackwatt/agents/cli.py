# SPDX-License-Identifier: Apache-2.0
"""`rackwatt-agent`: run, probe and check agents. Exit codes: 0 done, 1 failed, 2 bad input."""

import argparse
import asyncio
import logging
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from rackwatt.agents.agent import Agent
from rackwatt.agents.settings import Loaded, load_config
from rackwatt.agents.source import ProbeRow, StartError
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.config import ConfigErrors
from rackwatt.wire.lifeline import parent_gone, supervised
from rackwatt.wire.outbox import Outbox

_EPILOG = """\
examples:
  rackwatt-agent check  meters.yaml            is the file right? names file, line and key if not
  rackwatt-agent probe  meters.yaml            read every device once: raw and decoded side by side
  rackwatt-agent run    meters.yaml            sample, keep in the outbox, send over MQTT
  rackwatt-agent run    node1.yaml node2.yaml  several agents in one process

Every driver's folder has a README with its options and an example.yaml that works.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rackwatt-agent",
        description="Reads power, temperature and GPU use at the edge and sends them over MQTT.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log every detail")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("run", "sample and send until stopped"),
        ("probe", "read once and print raw and decoded values side by side"),
        ("check", "check configuration files without touching any device"),
    ):
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        command.add_argument("config", nargs="+", type=Path, help="an agent's YAML file")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in ("pymodbus", "pysnmp", "mqtt", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        loaded = _load_all(options.config)
        if options.command == "check":
            return _check(loaded)
        if options.command == "probe":
            return asyncio.run(_probe(loaded))
        return asyncio.run(_run(loaded))
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def _load_all(paths: Sequence[Path]) -> list[Loaded]:
    """Load every file.

    Raises:
        ConfigErrors: of all files together.
    """
    loaded: list[Loaded] = []
    errors: list[ConfigErrors] = []
    for path in paths:
        try:
            loaded.append(load_config(path))
        except ConfigErrors as error:
            errors.append(error)
    if errors:
        raise ConfigErrors([item for group in errors for item in group.errors])
    return loaded


def _check(loaded: Sequence[Loaded]) -> int:
    for item in loaded:
        agent = item.config.agent
        item.create_source()  # no I/O: finds what is wrong in a register map of one's own
        print(
            f"{item.path}: ok: agent {agent.name} of {agent.site}/{agent.hall}, "
            f"source {item.config.source}, samples every {agent.sample_every:g} s, "
            f"sends every {agent.send_every:g} s to {item.config.broker.url}"
        )
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
    """The agent of a configuration file, not started."""
    settings = loaded.config.outbox
    outbox = Outbox(
        loaded.outbox_path,
        keep_seconds=settings.keep,
        max_bytes=settings.max_bytes,
        clock=SYSTEM_CLOCK,
    )
    return Agent(loaded.config, loaded.create_source(), outbox, loaded.context.errors)


async def _run(loaded: Sequence[Loaded]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Ctrl-C reaches the whole process group: under a supervisor, that one says when to stop.
    loop.add_signal_handler(signal.SIGINT, stop.set if not supervised() else lambda: None)
    code = 0
    try:
        await _run_until(stop, loaded)
    except* StartError as wrong:
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
                serve(agent, item.config.metrics.listen)
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

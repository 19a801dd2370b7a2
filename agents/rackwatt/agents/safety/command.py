# SPDX-License-Identifier: Apache-2.0
"""`rackwatt-agent safety`: what is on, an operator's reset, and a drill of the whole path."""

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rackwatt.agents.safety.book import Book, StateError, order_file
from rackwatt.agents.safety.courier import timestamp
from rackwatt.agents.safety.engine import ALARMS
from rackwatt.agents.safety.post import PostError, Target
from rackwatt.agents.safety.settings import SafetySettings
from rackwatt.agents.safety.watch import state_file
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock
from rackwatt.wire.config import nearest

if TYPE_CHECKING:
    from rackwatt.agents.settings import Loaded

TEXT: Final = """\
Show the alarms of the safety rules that are on, end one that an operator has looked after, or send
a drill through the whole path: agent, Alertmanager, and whoever is called.
"""
MORE: Final = """\
examples:
  rackwatt-agent safety cdus.yaml                                   what is on
  rackwatt-agent safety cdus.yaml --reset cdu-a1/leak --by "A. Nejjar"
  rackwatt-agent safety cdus.yaml --drill                           does the phone ring?

A reset goes to the running agent, which refuses it while the newest value is bad or missing.
The drill is an alert SafetyDrill of the same class and severity; it ends by itself in a minute.

exit codes:
  0 shown, reset, or taken by every Alertmanager
  1 the reset was refused, no agent took it, or an Alertmanager did not take the drill
  2 a wrong file or usage
"""
_WAIT_SECONDS: Final = 15.0
_DRILL_SECONDS: Final = 60.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--reset", metavar="DEVICE/RULE", help="end this alarm")
    parser.add_argument("--by", metavar="NAME", help="who resets it: a person's name")
    parser.add_argument("--note", metavar="TEXT", default="", help="what was found")
    parser.add_argument(
        "--drill", action="store_true", help="send a drill to every Alertmanager of the files"
    )


def command(loaded: "Sequence[Loaded]", options: argparse.Namespace) -> int:
    """Carry out the command; returns its exit code."""
    watching = [(item, item.config.safety) for item in loaded if item.config.safety is not None]
    if not watching:
        return _usage("none of these files has a safety: section")
    if options.drill:
        return max([asyncio.run(drill(item, settings)) for item, settings in watching])
    if options.reset is None:
        return max([_show(item, settings) for item, settings in watching])
    device, _, rule = options.reset.rpartition("/")
    if not device or rule not in ALARMS:
        hint = nearest(rule, ALARMS)
        return _usage(f"--reset: {options.reset!r} is no DEVICE/RULE ({hint})")
    if not (options.by or "").strip():
        return _usage("--reset needs --by NAME: who has looked")
    for item, settings in watching:
        if any(loop.device == device for loop in settings.loops):
            order = {"device": device, "rule": rule, "by": options.by, "note": options.note}
            return _order(_state(item, settings), order)
    names = [loop.device for _, settings in watching for loop in settings.loops]
    return _usage(f"--reset: no loop {device!r} ({nearest(device, names)})")


def _usage(text: str) -> int:
    print(f"rackwatt-agent: {text}", file=sys.stderr)
    return 2


def _state(item: "Loaded", settings: SafetySettings) -> Path:
    agent = item.config.agent.name
    return state_file(settings, agent, item.context.config_dir, item.outbox_path)


def _read(file: Path) -> Book:
    book = Book([])
    with contextlib.suppress(FileNotFoundError):
        book.load(file.read_text(encoding="utf-8"))
    return book


def _show(item: "Loaded", settings: SafetySettings) -> int:
    file = _state(item, settings)
    print(f"# {item.config.agent.name} ({file})")
    try:
        book = _read(file)
    except (OSError, StateError) as error:
        print(f"rackwatt-agent: {file}: {error}", file=sys.stderr)
        return 1
    for alarm in book.active.values():
        since = datetime.fromtimestamp(alarm.since_ms / 1000, UTC).isoformat(timespec="seconds")
        print(f"{alarm.severity:8}  {alarm.device}/{alarm.rule}  since {since}  {alarm.text}")
    if not book.active:
        print("nothing is on, as far as the agent has written it down")
    return 0


def _order(state: Path, order: dict[str, str]) -> int:
    """Leave an order for the running agent, and wait for what becomes of it."""
    order["id"] = secrets.token_hex(8)
    file = order_file(state)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"rackwatt-agent: another order waits in {file}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"rackwatt-agent: {file}: {error.strerror}", file=sys.stderr)
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(order, stream)
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            last = _read(state).last_order
        except (OSError, StateError):
            last = {}
        if last.get("id") == order["id"]:
            if "refused" in last:
                print(f"rackwatt-agent: refused: {last['refused']}", file=sys.stderr)
                return 1
            print(f"{order['device']}/{order['rule']} is over, reset by {order['by']}")
            return 0
        time.sleep(0.1)
    file.unlink(missing_ok=True)
    print("rackwatt-agent: no running agent took the order", file=sys.stderr)
    return 1


async def drill(item: "Loaded", settings: SafetySettings, clock: Clock = SYSTEM_CLOCK) -> int:
    """Send the drill to every Alertmanager of an agent; returns the exit code."""
    agent = item.config.agent
    now = clock.now_ms()
    alert: dict[str, Any] = {
        "labels": {
            "alertname": "SafetyDrill", "class": "safety", "severity": "critical",
            "site": agent.site, "hall": agent.hall, "agent": agent.name,
            "drill": secrets.token_hex(4),
        },
        "annotations": {
            "summary": f"{agent.name}: DRILL of the safety path, nothing has happened",
            "description": "Somebody sent this with rackwatt-agent safety --drill.",
        },
        "startsAt": timestamp(now),
        "endsAt": timestamp(now + round(_DRILL_SECONDS * 1000)),
    }  # fmt: skip
    code = 0
    for row in settings.alertmanagers:
        begun = clock.monotonic()
        try:
            await Target(row, item.context.config_dir, settings.timeout).post([alert])
        except (PostError, OSError) as error:
            print(f"{row.url}: NOT taken: {error}", file=sys.stderr)
            code = 1
        else:
            print(f"{row.url}: taken in {clock.monotonic() - begun:.3f} s")
    if not settings.alertmanagers:
        print(f"{item.path}: no Alertmanager is named", file=sys.stderr)
        code = 1
    return code

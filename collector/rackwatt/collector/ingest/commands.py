# SPDX-License-Identifier: Apache-2.0
"""`rackwatt deadletter`: look at what was refused, put it back, or drop it."""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.ingest import deadletters
from rackwatt.collector.ingest.advice import advice
from rackwatt.collector.ingest.deadletters import Action, Choice, Letter, Order
from rackwatt.collector.ingest.losses import lost_ranges
from rackwatt.collector.ingest.state import SPOOL_FILE, SpoolBusy, SpoolLock
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.codec import Reason
from rackwatt.wire.config import ConfigErrors, nearest, parse_duration

WAIT_SECONDS: Final = 10.0
"""For the collector to carry an order out."""

letters_app = typer.Typer(
    help="Refused messages: list, show, replay, drop; what is lost.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
)

Data = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", help="The collector's folder, or that of 'rackwatt up'."),
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="NAME", help="Only of this reason.")
]
AgentOption = Annotated[
    str | None, typer.Option("--agent", metavar="NAME", help="Only from this agent.")
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="TIME", help="Only since then: 2h, 3d, or 2026-10-01T00:00:00+01:00."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Numbers = Annotated[
    list[int] | None, typer.Argument(metavar="NUMBER", help="Letters; see list --each.")
]
AllOption = Annotated[bool, typer.Option("--all", help="All letters.")]


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"rackwatt: {message}", err=True)
    raise typer.Exit(code)


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        _fail(f"the spool cannot be read or written: {error}", 1)


def spool_file(data: Path) -> Path:
    """The spool below a folder."""
    for path in (data / SPOOL_FILE, data / "collector" / SPOOL_FILE):
        if path.is_file():
            return path
    _fail(f"--data: no {SPOOL_FILE} in {data} or {data / 'collector'}", 2)


def _since(text: str | None) -> int | None:
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        return SYSTEM_CLOCK.now_ms() - round(float(str(parse_duration(text))) * 1000)
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return round(moment.timestamp() * 1000)
    _fail(f"--since: expects 2h, 3d, or a time with its offset, not {text!r}", 2)


def _choice(
    numbers: Sequence[int], reason: str | None, agent: str | None, since: str | None
) -> Choice:
    if reason is not None and reason not in set(Reason):
        hint = nearest(reason, [str(item) for item in Reason])
        _fail(f"--reason: no reason {reason!r}{f' ({hint})' if hint else ''}", 2)
    return Choice(tuple(numbers), reason, agent, _since(since))


def _when(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def plain(text: str) -> str:
    """What came from outside, so that no terminal takes it for a command."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


# -- looking -------------------------------------------------------------------------------------


@letters_app.command(
    "list",
    epilog=more(
        "rackwatt deadletter list",
        "rackwatt deadletter list --data /var/lib/rackwatt --reason unknown_field --since 2h",
        "rackwatt deadletter list --each --agent snmp-a",
        failed="the spool cannot be read",
    ),
)
def list_command(
    data: Data = Path("data"),
    reason: ReasonOption = None,
    agent: AgentOption = None,
    since: SinceOption = None,
    each: Annotated[bool, typer.Option("--each", help="One line a letter.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List refused messages: reason, count, newest, size."""
    with _plain_errors():
        found = deadletters.choose(spool_file(data), _choice((), reason, agent, since))
    rows = [_line([item]) for item in reversed(found)] if each else _groups(found)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif not rows:
        typer.echo("no dead letters")
    else:
        _table(rows)


def _line(same: Sequence[Letter]) -> dict[str, Any]:
    newest = same[-1]
    return {
        "reason": newest.reason,
        "count": len(same),
        "newest": _when(newest.received_ms),
        "number": newest.id,
        "topic": newest.topic,
        "agent": newest.agent,
        "bytes": sum(item.size for item in same),
        "detail": newest.detail,
    }


def _groups(found: Sequence[Letter]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[Letter]] = {}
    for item in found:
        groups.setdefault((item.reason, item.topic), []).append(item)
    rows = [_line(same) for same in groups.values()]
    return sorted(rows, key=lambda row: (-row["count"], row["reason"], row["topic"]))


_COLUMNS: Final = ("reason", "count", "newest", "number", "bytes", "topic")
_NUMERIC: Final = frozenset({"count", "number", "bytes", "epoch", "first", "last"})


def _table(rows: Sequence[dict[str, Any]], names: Sequence[str] = _COLUMNS) -> None:
    lines = [tuple(names), *(tuple(plain(str(row[name]))[:100] for name in names) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    for line in lines:
        cells = [
            cell.rjust(width) if name in _NUMERIC else cell.ljust(width)
            for name, cell, width in zip(names, line, widths, strict=True)
        ]
        typer.echo("  ".join(cells).rstrip())


@letters_app.command(
    "show",
    epilog=more(
        "rackwatt deadletter show 17",
        "rackwatt deadletter show 17 --json",
        failed="there is no such letter, or the spool cannot be read",
    ),
)
def show_command(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="See list.")],
    data: Data = Path("data"),
    as_json: JsonOption = False,
) -> None:
    """Show a letter, why it was refused and what to do."""
    with _plain_errors():
        found = deadletters.letter(spool_file(data), number)
    if found is None:
        _fail(f"no dead letter {number}", 1)
    if as_json:
        text = found.payload.decode(errors="backslashreplace")
        line = _line([found]) | {"what_to_do": advice(found.reason), "payload": text}
        typer.echo(json.dumps(line, indent=2))
        return
    typer.echo(f"letter      {found.id}, {_when(found.received_ms)}")
    typer.echo(f"topic       {plain(found.topic)}")
    typer.echo(f"reason      {plain(found.reason)}: {plain(found.detail)}")
    typer.echo(f"what to do  {advice(found.reason)}")
    kept = "" if found.size == len(found.payload) else f", the first {len(found.payload)} kept"
    typer.echo(f"payload     {found.size} bytes{kept}")
    for shown in pretty(found.payload):
        typer.echo(f"  {shown}")


def pretty(payload: bytes) -> list[str]:
    """A payload for a person: JSON is laid out, all else is escaped."""
    try:
        return json.dumps(json.loads(payload), indent=2).splitlines()
    except (ValueError, RecursionError):
        text = plain(payload[:4000].decode(errors="backslashreplace"))
        return [text[at : at + 96] for at in range(0, len(text), 96)]


@letters_app.command(
    "lost",
    epilog=more(
        "rackwatt deadletter lost",
        "rackwatt deadletter lost --data /var/lib/rackwatt --agent snmp-a --since 2h",
        failed="the spool cannot be read",
    ),
)
def lost_command(
    data: Data = Path("data"),
    agent: AgentOption = None,
    since: SinceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List messages that will never come: agent, epoch, range, reason.

    Each was handed to a broker that lost it, and its agent no longer has it.
    """
    with _plain_errors():
        found = lost_ranges(spool_file(data), agent, _since(since))
    rows = [
        {"agent": item.agent, "epoch": item.epoch, "first": item.low, "last": item.high,
         "count": item.count, "reason": item.reason, "closed": _when(item.closed_ms)}
        for item in found
    ]  # fmt: skip
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif not rows:
        typer.echo("nothing is lost")
    else:
        _table(rows, ("agent", "epoch", "first", "last", "count", "reason", "closed"))


# -- deciding ------------------------------------------------------------------------------------


@letters_app.command(
    "replay",
    epilog=more(
        "rackwatt deadletter replay 17 18",
        "rackwatt deadletter replay --reason unknown_field --data /var/lib/rackwatt",
        "rackwatt deadletter replay --all --site site.yaml",
        failed="a letter was refused again, or nobody has carried it out yet",
    ),
)
def replay_command(
    numbers: Numbers = None,
    data: Data = Path("data"),
    reason: ReasonOption = None,
    agent: AgentOption = None,
    since: SinceOption = None,
    everything: AllOption = False,
    site: Annotated[
        Path | None,
        typer.Option(
            "--site", metavar="FILE", help="Do it now where no collector runs, by this site file."
        ),
    ] = None,
) -> None:
    """Put messages back through the collector's checks.

    After an upgrade, or with a corrected site file (start the collector again first). A running
    collector does it within a second; where none runs, the next one does at its start, or this
    command with --site. Each letter goes once: what is refused again stays where it lies.
    """
    path = spool_file(data)
    chosen = _chosen(path, numbers, reason, agent, since, everything=everything)
    order = _ask(path, "replay", [item.id for item in chosen], site)
    outcome = order.outcome
    typer.echo(f"{outcome.replayed} replayed, {outcome.refused} refused again, {outcome.gone} gone")
    for why, count in outcome.why.items():
        typer.echo(f"  {count} x {plain(why)}")
    if order.state == "waiting":
        typer.echo(
            f"order {order.number} waits for {len(order.letters)} more: the collector carries it "
            "out when it runs and, for rows of the store, when its store answers"
        )
    if outcome.refused or order.state == "waiting":
        raise typer.Exit(1)


@letters_app.command(
    "drop",
    epilog=more(
        "rackwatt deadletter drop 17",
        "rackwatt deadletter drop --reason out_of_range --yes",
        "rackwatt deadletter drop --all",
        failed="nobody has carried it out yet, or you said no",
    ),
)
def drop_command(
    numbers: Numbers = None,
    data: Data = Path("data"),
    reason: ReasonOption = None,
    agent: AgentOption = None,
    since: SinceOption = None,
    everything: AllOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Drop letters for good; they are counted."""
    path = spool_file(data)
    chosen = _chosen(path, numbers, reason, agent, since, everything=everything)
    if not yes and not typer.confirm(f"drop {len(chosen)} dead letters for good?"):
        raise typer.Exit(1)
    order = _ask(path, "drop", [item.id for item in chosen], None)
    typer.echo(f"{order.outcome.dropped} dropped, {order.outcome.gone} gone")
    if order.state == "waiting":
        typer.echo(f"order {order.number} waits: the collector is busy")
        raise typer.Exit(1)


def _chosen(
    path: Path,
    numbers: Sequence[int] | None,
    reason: str | None,
    agent: str | None,
    since: str | None,
    *,
    everything: bool,
) -> list[Letter]:
    said = bool(numbers) or any(item is not None for item in (reason, agent, since))
    if said == everything:
        _fail("say which letters: NUMBER …, --reason, --agent, --since, or --all", 2)
    with _plain_errors():
        found = deadletters.choose(path, _choice(numbers or (), reason, agent, since))
    if not found:
        _fail("no such dead letters", 2)
    return found


def _ask(path: Path, action: Action, numbers: Sequence[int], site: Path | None) -> Order:
    """Place an order, and see that it is carried out."""
    with _plain_errors():
        order = deadletters.place_order(path, action, numbers, SYSTEM_CLOCK.now_ms())
        try:
            lock = SpoolLock(path)
        except SpoolBusy:
            return _wait_for(path, order)
        try:
            if action == "drop" or site is not None:
                asyncio.run(_carry_out(path, site))
        finally:
            lock.release()
        return _found(path, order)


def _found(path: Path, number: int) -> Order:
    order = deadletters.look_up(path, number)
    if order is None:
        _fail(f"order {number} is gone: the spool was replaced meanwhile", 1)
    return order


def _wait_for(path: Path, number: int) -> Order:
    until = time.monotonic() + WAIT_SECONDS
    while (order := _found(path, number)).state == "waiting" and time.monotonic() < until:
        time.sleep(0.1)
    return order


async def _carry_out(path: Path, site: Path | None) -> None:
    """Do what a collector would do; without a site file only drops."""
    from rackwatt.collector.ingest.orders import open_orders
    from rackwatt.collector.site import load_site

    try:
        places = None if site is None else load_site(site)
    except ConfigErrors as errors:
        typer.echo(str(errors), err=True)
        raise typer.Exit(2) from None
    async with open_orders(path, places, SYSTEM_CLOCK) as orders:
        await orders.carry_out()

# SPDX-License-Identifier: Apache-2.0
"""`rackwatt shift`: who has the watch, and what happened."""

from dataclasses import asdict
from typing import Annotated, Final

import typer

from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.ledger.commands.forms import Column, print_table, write_json
from rackwatt.collector.ledger.commands.options import DATA, AsJson, Author, DataFolder, SiteFile
from rackwatt.collector.ledger.commands.times import local
from rackwatt.collector.ledger.upkeep import ENDED, EXTENDED, STARTED
from rackwatt.collector.site.console import console, stop
from rackwatt.collector.watchkeeping.assets import need_asset
from rackwatt.collector.watchkeeping.commands.recording import WRITING_FAILED, Desk
from rackwatt.collector.watchkeeping.log import ACK, BEGUN, HANDED_OVER, NOTED
from rackwatt.collector.watchkeeping.times import duration_ms

shift_app = typer.Typer(
    help="The log of the watch: begin, note, read.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
)

WORDS: Final = {
    STARTED: "maintenance planned or begun",
    EXTENDED: "maintenance extended",
    ENDED: "maintenance ended",
    ACK: "acknowledged",
    BEGUN: "shift begun",
    NOTED: "note",
    HANDED_OVER: "handed over",
}


@shift_app.command(
    "begin",
    epilog=more(
        "rackwatt shift begin --author 'N. Idrissi' --with 'A. Amrani' --with 'S. Tazi'",
        failed=WRITING_FAILED,
    ),
)
def begin_command(
    author: Annotated[str, typer.Option("--author", metavar="NAME", help="Who leads it.")],
    crew: Annotated[
        list[str] | None, typer.Option("--with", metavar="NAME", help="Who else; repeatable.")
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What to know.")] = "",
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """Take the watch. 'rackwatt handover --sign' does it for who takes over."""
    desk = Desk.of(data, site)
    names = [name.strip() for name in crew or () if name.strip()]
    seq = desk.record(BEGUN, {"crew": names}, author, note.strip() or "shift begun")
    console().print(f"{author.strip()} has the watch: entry {seq}.")


@shift_app.command(
    "note",
    epilog=more(
        "rackwatt shift note 'vendor on site for ups-b' --author 'N. Idrissi' --asset ups-b",
        failed=WRITING_FAILED,
    ),
)
def note_command(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What happened.")],
    author: Author,
    asset: Annotated[
        str | None, typer.Option("--asset", metavar="ASSET", help="What it is about.")
    ] = None,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """Write a line into the log. It stays as it is: correct it by another one."""
    if not text.strip():
        stop("TEXT: must not be empty: say what happened")
    desk = Desk.of(data, site)
    about = {} if asset is None else {"asset": need_asset(desk.site, asset, desk.now_ms)}
    seq = desk.record(NOTED, about, author, text)
    console().print(f"Noted: entry {seq}.")


@shift_app.command(
    "log",
    epilog=more("rackwatt shift log", "rackwatt shift log --last 24h --json"),
)
def log_command(
    last: Annotated[
        str | None,
        typer.Option("--last", metavar="TIME", help="24h, 7d …; default: this shift, or 12h."),
    ] = None,
    as_json: AsJson = False,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """Show what was said on watch."""
    desk = Desk.of(data, site)
    log = desk.log()
    shift = log.shift(desk.now_ms)
    if last is not None:
        since = desk.now_ms - duration_ms("--last", last)
    else:
        since = desk.now_ms - 12 * 3_600_000 if shift is None else shift.since_ms
    lines = log.between(since, desk.now_ms)
    if as_json:
        write_json([asdict(line) for line in lines])
        return
    zone = desk.site.timezone
    if not lines:
        console().print(f"Nothing was said since {local(since, zone)}.")
        return
    untils = ["" if n.until_ms is None else local(n.until_ms, zone) for n in lines]
    print_table(
        f"Log since {local(since, zone)}, by the site's clocks",
        [
            Column("Time", [local(line.time_ms, zone) for line in lines], left=True),
            Column("By", [line.author for line in lines], left=True),
            Column("What", [WORDS[line.name] for line in lines], left=True),
            Column("Of", [line.subject for line in lines], left=True),
            Column("Until", untils, left=True),
            Column("Words", [line.text for line in lines], left=True),
        ],
    )

# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger restate` and `release`: what a person decides, with author and reason."""

from collections.abc import Sequence
from typing import Annotated

import typer

from rackwatt.collector.helptext import more
from rackwatt.collector.ledger.commands.app import ledger_app
from rackwatt.collector.ledger.commands.forms import Column, print_table
from rackwatt.collector.ledger.commands.options import (
    DATA,
    Author,
    DataFolder,
    From,
    Reason,
    SiteFile,
    To,
    booked_span,
    find_site,
    ledger_file,
    need_site,
    reading,
)
from rackwatt.collector.ledger.commands.times import instant, span_of, utc
from rackwatt.collector.ledger.commands.writing import Wish, carry_out
from rackwatt.collector.ledger.held import Held
from rackwatt.collector.ledger.orders import RELEASE, RESTATE
from rackwatt.collector.site.console import console, stop
from rackwatt.collector.site.problems import near

_REFUSED = "the ledger cannot be written, or the accountant did not answer in 30 s"

_MOST_SHIFT_SECONDS = 10 * 366 * 86400.0


def signed(author: str, reason: str) -> tuple[str, str]:
    """Author and reason, which the journal keeps.

    Raises:
        typer.Exit: one of them is empty.
    """
    for option, value in (("--author", author), ("--reason", reason)):
        if not value.strip():
            stop(f"{option}: must not be empty: the journal keeps who decides, and why")
    return author.strip(), reason.strip()


@ledger_app.command(
    "restate",
    epilog=more(
        "rackwatt ledger restate --from 2026-10-01 --to 2026-10-02 \\\n"
        "      --author 'A. Amrani' --reason 'grid factor of 2025 published'",
        done="booked again, or the accountant does it now",
        failed=_REFUSED,
        wrong="wrong input or usage, or nothing is booked in that span; nothing was changed",
    ),
)
def restate_command(
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="From this time on.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Up to this time, excluded.")],
    author: Author,
    reason: Reason,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """Book a span again by today's site file and factors.

    Rows that come out as they were keep their revision; the others get a new one, with you as
    its author, and the change goes forward through the battery. Final months that the span
    reaches are opened again. The decision is recorded in the journal.
    """
    who, why = signed(author, reason)
    path = ledger_file(data)
    loaded = need_site(site, data)
    with reading(path) as reader:
        booked = booked_span(reader)
        final = reader.final_through_ms() or 0
    if booked is None:
        stop("the ledger is empty: there is nothing to restate")
    low, high = span_of(start, end, loaded.timezone, booked)
    if low >= booked[1] or high <= booked[0]:
        stop(
            f"nothing is booked from {utc(low)} to {utc(high)}: "
            f"the books reach from {utc(booked[0])} to {utc(booked[1])}"
        )
    order = {"start_ms": low, "end_ms": high}
    outcome = carry_out(path, loaded, Wish(RESTATE, order, who, why))
    out = console()
    low, high = max(low, booked[0]), min(high, booked[1])
    out.print(f"Restated from {utc(low)} to {utc(high)}: entry {outcome.data['seq']}.")
    if low < final:
        out.print(f"Months that were final up to {utc(final)} are open again from there.")
    if outcome.restated is None:
        out.print("The accountant books it again now; 'rackwatt ledger show' has it in a moment.")
    else:
        count = outcome.restated
        carried = ", those included that the battery carries it on to" if count else ""
        out.print(f"{_minutes(count)} came out differently{carried}.")


@ledger_app.command(
    "release",
    epilog=more(
        "rackwatt ledger release --list",
        "rackwatt ledger release --agent modbus-site --from 2026-10-01T06:00+01:00 \\\n"
        "      --to 2026-10-01T07:00+01:00 --shift -600 \\\n"
        "      --author 'A. Amrani' --reason 'clock was 10 min fast, see ticket 17'",
        done="booked, or what is held was listed",
        failed=_REFUSED,
        wrong="wrong input or usage, or nothing is held there; nothing was changed",
    ),
)
def release_command(
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="Whose readings.")
    ] = None,
    start: From = None,
    end: To = None,
    shift: Annotated[
        float,
        typer.Option("--shift", metavar="SECONDS", help="Add this to the readings' own time."),
    ] = 0.0,
    author: Author = "",
    reason: Reason = "",
    only_list: Annotated[
        bool, typer.Option("--list", help="Only say what is held; so does leaving --from out.")
    ] = False,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """Book readings that were held for their agent's clock.

    Readings of an agent whose clock is off are kept and not booked until somebody has judged the
    clock. --from and --to are by the clock of that agent; --shift corrects it: -600 for one that
    was 10 minutes fast. The decision is recorded in the journal.
    """
    path = ledger_file(data)
    with reading(path) as reader:
        held = reader.held()
    if only_list or start is None:
        _show_held(held, agent)
        return
    if agent is None or end is None:
        stop(f"{'--agent' if agent is None else '--to'}: is missing; see 'release --list'")
    who, why = signed(author, reason)
    if not abs(shift) <= _MOST_SHIFT_SECONDS:
        stop(f"--shift: expects seconds, of ten years at most, not {shift:g}")
    known = find_site(site, data)
    loaded = need_site(site, data) if known is None else known
    own = _of_agent(held, agent)
    low, high = (
        instant("--from", start, loaded.timezone),
        instant("--to", end, loaded.timezone),
    )
    if low >= high:
        stop(f"--from {start} is not before --to {end}: the span would be empty")
    if not any(one.first_ms < high and one.last_ms >= low for one in own):
        first, last = min(one.first_ms for one in own), max(one.last_ms for one in own)
        stop(
            f"nothing of agent {agent!r} is held from {utc(low)} to {utc(high)}: "
            f"what is held of it lies between {utc(first)} and {utc(last)}, by its own clock"
        )
    order = {"agent": agent, "start_ms": low, "end_ms": high, "shift_ms": round(shift * 1000)}
    outcome = carry_out(path, loaded, Wish(RELEASE, order, who, why))
    done = outcome.data
    out = console()
    moved = f", moved by {shift:+g} s" if shift else ""
    out.print(
        f"Released {done['readings']} readings of {agent} from {utc(done['first_ms'])} "
        f"to {utc(done['last_ms'])}{moved}."
    )
    if outcome.restated is None:
        out.print("The accountant books them now.")
    else:
        were = "was" if outcome.restated == 1 else "were"
        out.print(f"{_minutes(outcome.restated)} {were} restated.")


def _minutes(count: int) -> str:
    return "No minute" if count == 0 else "1 minute" if count == 1 else f"{count:,} minutes"


def _of_agent(held: Sequence[Held], agent: str) -> list[Held]:
    own = [one for one in held if one.agent == agent]
    if not own:
        names = sorted({one.agent for one in held})
        hint = f" ({near(agent, names)})" if names else ": nothing is held of any agent"
        stop(f"--agent: nothing is held of agent {agent!r}{hint}")
    return own


def _show_held(held: Sequence[Held], agent: str | None) -> None:
    shown = list(held) if agent is None else _of_agent(held, agent)
    if not shown:
        console().print("No reading is held: all clocks were good.")
        return
    columns = [
        Column("Agent", [one.agent or "?" for one in shown], left=True),
        Column("Device", [one.device for one in shown], left=True),
        Column("Readings", [one.readings for one in shown], digits=0),
        Column("First, by its clock", [utc(one.first_ms) for one in shown], left=True),
        Column("Last, by its clock", [utc(one.last_ms) for one in shown], left=True),
    ]
    print_table("Held until somebody judges the agent's clock", columns)

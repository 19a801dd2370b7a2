# SPDX-License-Identifier: Apache-2.0
"""`rackwatt maintenance`: take an asset out, and bring it back."""

from typing import Annotated, Any, Final

import typer

from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.ledger.commands.forms import Column, print_table, write_json
from rackwatt.collector.ledger.commands.options import (
    DATA,
    AsJson,
    Author,
    DataFolder,
    Reason,
    SiteFile,
)
from rackwatt.collector.ledger.commands.times import local
from rackwatt.collector.ledger.upkeep import ENDED, EXTENDED, STARTED, Outage
from rackwatt.collector.site.console import console, stop
from rackwatt.collector.watchkeeping.assets import need_asset
from rackwatt.collector.watchkeeping.commands.muting import Mutes
from rackwatt.collector.watchkeeping.commands.options import (
    AlertmanagerCa,
    Alertmanagers,
    AlertmanagerToken,
)
from rackwatt.collector.watchkeeping.commands.recording import WRITING_FAILED, Desk
from rackwatt.collector.watchkeeping.times import end_of, moment_of

maintenance_app = typer.Typer(
    help="Take assets out of service on purpose, for all to see.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
)

_DAYS: Final = 30
"""How long ended maintenance is listed without `--all`."""

Asset = Annotated[
    str, typer.Argument(metavar="ASSET", help="As the site file names it: asset, rack or device.")
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="18:00, or 2026-11-23T18:00+01:00."),
]
Lasting = Annotated[str | None, typer.Option("--for", metavar="TIME", help="90min, 4h …")]


@maintenance_app.command(
    "start",
    epilog=more(
        "rackwatt maintenance start cdu-a2 --until 18:00 \\\n"
        "      --author 'N. Idrissi' --reason 'filter of pump 2'",
        "rackwatt maintenance start ups-b --from 2026-11-24T06:00+01:00 --for 4h \\\n"
        "      --author 'N. Idrissi' --reason 'batteries, ticket 4711'",
        failed=WRITING_FAILED,
        wrong="no such asset, it is out already, or wrong usage; nothing was recorded",
    ),
)
def start_command(
    asset: Asset,
    author: Author,
    reason: Reason,
    until: Until = None,
    lasting: Lasting = None,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Since when, or from when on; default: now."),
    ] = None,
    data: DataFolder = DATA,
    site: SiteFile = None,
    alertmanagers: Alertmanagers = None,
    alertmanager_token_file: AlertmanagerToken = None,
    alertmanager_ca_file: AlertmanagerCa = None,
) -> None:
    """Say that an asset is out of service on purpose.

    The page, the wall and the diagram of the chains show it at once, its redundancy group counts
    without it, and the intervals of the books are marked. It stays out until 'maintenance end':
    after the planned end it is shown as overdue. With --alertmanager, alerts that it is not there
    are muted until the planned end; none of safety, and none of a measured value.
    """
    mutes = Mutes.of(alertmanagers, alertmanager_token_file, alertmanager_ca_file)
    desk = Desk.of(data, site)
    zone = desk.site.timezone
    need_asset(desk.site, asset, desk.now_ms)
    start = desk.now_ms
    if since is not None:
        start = moment_of("--from", since, zone, desk.now_ms, ahead=False)
    end = end_of(until, lasting, start, desk.now_ms, zone)
    record = {"asset": asset, "start_ms": start, "until_ms": end}
    seq = desk.record(STARTED, record, author, reason)
    verb = "will be" if start > desk.now_ms else "is"
    span = f"from {local(start, zone)} to {local(end, zone)}"
    console().print(f"{asset} {verb} out for maintenance {span}: entry {seq}.")
    mutes.begin(desk, asset, (start, end), author, reason)


@maintenance_app.command(
    "extend",
    epilog=more(
        "rackwatt maintenance extend cdu-a2 --until 20:00 \\\n"
        "      --author 'N. Idrissi' --reason 'gasket was not in stock'",
        failed=WRITING_FAILED,
        wrong="the asset is not out, or wrong usage; nothing was recorded",
    ),
)
def extend_command(
    asset: Asset,
    author: Author,
    reason: Reason,
    until: Until = None,
    lasting: Lasting = None,
    data: DataFolder = DATA,
    site: SiteFile = None,
    alertmanagers: Alertmanagers = None,
    alertmanager_token_file: AlertmanagerToken = None,
    alertmanager_ca_file: AlertmanagerCa = None,
) -> None:
    """Plan another end. With --for, counted from now."""
    mutes = Mutes.of(alertmanagers, alertmanager_token_file, alertmanager_ca_file)
    desk = Desk.of(data, site)
    zone = desk.site.timezone
    outage = _open(desk, asset)
    start = max(outage.start_ms, desk.now_ms)
    end = end_of(until, lasting, start, desk.now_ms, zone)
    seq = desk.record(EXTENDED, {"asset": asset, "until_ms": end}, author, reason)
    console().print(f"{asset} is out for maintenance to {local(end, zone)}: entry {seq}.")
    mutes.begin(desk, asset, (start, end), author, reason)


@maintenance_app.command(
    "end",
    epilog=more(
        "rackwatt maintenance end cdu-a2 --author 'N. Idrissi' --reason 'filter new, flow 12 L/s'",
        failed=WRITING_FAILED,
        wrong="the asset is not out, or wrong usage; nothing was recorded",
    ),
)
def end_command(
    asset: Asset,
    author: Author,
    reason: Reason,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Since when it is back; default: now."),
    ] = None,
    data: DataFolder = DATA,
    site: SiteFile = None,
    alertmanagers: Alertmanagers = None,
    alertmanager_token_file: AlertmanagerToken = None,
    alertmanager_ca_file: AlertmanagerCa = None,
) -> None:
    """Say that an asset is back in service.

    Before its planned start, the maintenance is called off. With --alertmanager, what it muted is
    heard again.
    """
    mutes = Mutes.of(alertmanagers, alertmanager_token_file, alertmanager_ca_file)
    desk = Desk.of(data, site)
    zone = desk.site.timezone
    outage = _open(desk, asset)
    end = desk.now_ms
    if at is not None:
        end = moment_of("--at", at, zone, desk.now_ms, ahead=False)
        if end > desk.now_ms:
            stop(f"--at: {at} has not come yet; say it when the asset is back")
    seq = desk.record(ENDED, {"asset": asset, "end_ms": end}, author, reason)
    said = f"is back in service since {local(end, zone)}"
    if end <= outage.start_ms:
        said = "stays in service: its maintenance is called off"
    console().print(f"{asset} {said}: entry {seq}.")
    mutes.end(desk, asset)


@maintenance_app.command("list", epilog=more("rackwatt maintenance list --all --json"))
def list_command(
    everything: Annotated[
        bool, typer.Option("--all", help=f"Ended ones too, not only of {_DAYS} days.")
    ] = False,
    as_json: AsJson = False,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """List what is out, what is planned, and what was out lately."""
    desk = Desk.of(data, site)
    since = 0 if everything else desk.now_ms - _DAYS * 86_400_000
    found = [o for o in desk.log().outages if o.end_ms is None or o.end_ms >= since]
    found.sort(key=lambda o: (o.end_ms is not None, o.start_ms))
    if as_json:
        write_json([as_dict(outage, desk.now_ms) for outage in found])
        return
    if not found:
        console().print("Nothing is out for maintenance.")
        return
    zone = desk.site.timezone
    print_table(
        "Maintenance, by the site's clocks",
        [
            Column("Asset", [o.asset for o in found], left=True),
            Column("State", [state_of(o, desk.now_ms) for o in found], left=True),
            Column("From", [local(o.start_ms, zone) for o in found], left=True),
            Column("To", [local(o.end_ms or o.until_ms, zone) for o in found], left=True),
            Column("By", [o.author for o in found], left=True),
            Column("Reason", [o.reason for o in found], left=True),
            Column("Ended by", [o.ended_by for o in found], left=True),
        ],
    )


def state_of(outage: Outage, now_ms: int) -> str:
    """`planned`, `out`, `overdue`, `ended` or `called off`."""
    if outage.end_ms is not None:
        return "ended" if outage.end_ms > outage.start_ms else "called off"
    if outage.planned(now_ms):
        return "planned"
    return "overdue" if outage.overdue(now_ms) else "out"


def as_dict(outage: Outage, now_ms: int) -> dict[str, Any]:
    """An outage as JSON has it."""
    return {
        "asset": outage.asset,
        "state": state_of(outage, now_ms),
        "start_ms": outage.start_ms,
        "until_ms": outage.until_ms,
        "end_ms": outage.end_ms,
        "author": outage.author,
        "reason": outage.reason,
        "ended_by": outage.ended_by,
        "ended_why": outage.ended_why,
        "entry": outage.seq,
    }


def _open(desk: Desk, asset: str) -> Outage:
    running = [o for o in desk.log().outages if o.end_ms is None]
    for outage in running:
        if outage.asset == asset:
            return outage
    names = ", ".join(o.asset for o in running)
    return stop(f"{asset} is not out for maintenance" + (f"; out are: {names}" if names else ""))

# SPDX-License-Identifier: Apache-2.0
"""`rackwatt handover`: what the next shift must know, in its language."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final

import typer

from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.ledger.commands.forms import write_json
from rackwatt.collector.ledger.commands.options import (
    DATA,
    AsJson,
    DataFolder,
    SiteFile,
    reading,
)
from rackwatt.collector.meters.register import COMMISSIONED
from rackwatt.collector.roles.running import plain_errors
from rackwatt.collector.site.console import console, stop
from rackwatt.collector.watchkeeping.calibrations import calibrations_of
from rackwatt.collector.watchkeeping.commands.options import (
    AlertmanagerCa,
    Alertmanagers,
    AlertmanagerToken,
    PageCa,
    PageToken,
    PageUrl,
)
from rackwatt.collector.watchkeeping.commands.recording import Desk
from rackwatt.collector.watchkeeping.document import LANGUAGES, Writer, write
from rackwatt.collector.watchkeeping.handover import Handover, Lost, due_of, lost_of, with_acks
from rackwatt.collector.watchkeeping.log import HANDED_OVER, Log
from rackwatt.collector.watchkeeping.remotes import NoAnswer, Remote, alerts_of, silences_of
from rackwatt.collector.watchkeeping.times import duration_ms
from rackwatt.wire.config import nearest

handover_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)

PAGE: Final = "http://127.0.0.1:8400"
_DEFAULT_MS: Final = 12 * 3_600_000
_STALE_MS: Final = 60_000
_PARTS: Final = frozenset({"groups", "pumps", "power", "capacity"})
"""Of /api/chain, what is read here."""


@handover_app.command(
    "handover",
    context_settings=NARROW,
    epilog=more(
        "rackwatt handover --shift --alertmanager http://127.0.0.1:9093",
        "rackwatt handover --shift --lang ar --alertmanager http://127.0.0.1:9093",
        "rackwatt handover --shift --alertmanager http://127.0.0.1:9093 \\\n"
        "      --sign 'N. Idrissi' --to 'S. Tazi'",
        done="written; signed, if that was asked for",
        failed="Alertmanager or the page did not answer, or the ledger cannot be read: what is\n"
        "     missing is named at the top; or it could not be signed",
    ),
)
def handover_command(
    shift: Annotated[
        bool, typer.Option("--shift", help="Of the shift that is on; else of the last 12 h.")
    ] = False,
    last: Annotated[
        str | None, typer.Option("--last", metavar="TIME", help="Of the last 8h, 24h …")
    ] = None,
    language: Annotated[str, typer.Option("--lang", metavar="CODE", help="en, fr or ar.")] = "en",
    alertmanagers: Alertmanagers = None,
    alertmanager_token_file: AlertmanagerToken = None,
    alertmanager_ca_file: AlertmanagerCa = None,
    page: PageUrl = PAGE,
    page_token_file: PageToken = None,
    page_ca_file: PageCa = None,
    sign: Annotated[
        str | None, typer.Option("--sign", metavar="NAME", help="Who hands over; recorded.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="NAME", help="Who takes over; with --sign.")
    ] = None,
    as_json: AsJson = False,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """Write what the next shift must know.

    Open alerts and mutes as Alertmanager lists them, acknowledgements, redundancy that is lost,
    maintenance, work due and the log. With --sign and --to it is recorded as an act in the
    ledger, and the next shift begins.
    """
    if language not in LANGUAGES:
        stop(f"--lang: no language {language!r} ({nearest(language, LANGUAGES)})")
    if shift and last is not None:
        stop("--shift and --last: choose one")
    if (sign is None) != (to is None) or (
        sign is not None and not (sign.strip() and to and to.strip())
    ):
        stop("--sign and --to belong together: who hands over, and who takes over")
    with plain_errors():
        token, authority = alertmanager_token_file, alertmanager_ca_file
        servers = [
            Remote.of("--alertmanager", url, token, authority) for url in alertmanagers or ()
        ]
        remote = Remote.of("--page", page, page_token_file, page_ca_file)
    desk = Desk.of(data, site)
    log = desk.log()
    since = _since(desk, log, last, shift=shift)
    found = gather(desk, log, since, servers, remote, language)
    if sign is not None and to is not None:
        found = replace(found, to=to.strip())
        kept = {"to": to.strip(), "handover": found.signed()}
        seq = desk.record(HANDED_OVER, kept, sign, f"handed over to {to.strip()}")
        console(err=True).print(f"Signed by {sign.strip()}: entry {seq}.")
    if as_json:
        write_json(found.as_dict())
    else:
        sys.stdout.write(write(found, language))
    if found.unknown:
        raise typer.Exit(1)


def _since(desk: Desk, log: Log, last: str | None, *, shift: bool) -> int:
    on = log.shift(desk.now_ms)
    if shift and on is not None:
        return on.since_ms
    return desk.now_ms - (_DEFAULT_MS if last is None else duration_ms("--last", last))


def gather(
    desk: Desk, log: Log, since_ms: int, servers: Sequence[Remote], page: Remote, language: str
) -> Handover:
    """Ask everybody, and put together what they say."""
    now, site = desk.now_ms, desk.site
    writer = Writer(language, site.timezone, now)
    unknown: list[str] = []
    alerts = silences = None
    if not servers:
        unknown.append(writer.say("unknown.alertmanager", reason_=writer.say("unknown.not_named")))
    try:
        if servers:
            alerts = with_acks(alerts_of(servers, site.id), log, now)
            silences = silences_of(servers)
    except NoAnswer as error:
        unknown.append(writer.say("unknown.alertmanager", reason=error))
    lost: Lost | None = None
    has_chains = bool(site.chains.power or site.chains.cooling)
    if has_chains:
        try:
            lost = lost_of(_overview(page, now, writer), site, log, now)
        except NoAnswer as error:
            unknown.append(writer.say("unknown.page", reason=error))
    on = log.shift(now)
    with reading(desk.path) as books:
        calibrations = calibrations_of(site, now, books.acts(COMMISSIONED))
    return Handover(
        site=site.name,
        zone=site.timezone,
        since_ms=since_ms,
        until_ms=now,
        author="" if on is None else on.author,
        crew=() if on is None else on.crew,
        alerts=alerts,
        silences=silences,
        acks=[ack for ack in log.acks if ack.until_ms >= since_ms],
        outages=[o for o in log.outages if o.end_ms is None or o.end_ms >= since_ms],
        lost=lost,
        due=due_of(log, calibrations, now, site.timezone),
        lines=log.between(since_ms, now),
        unknown=unknown,
        has_chains=has_chains,
    )


def _overview(page: Remote, now_ms: int, writer: Writer) -> dict[str, Any]:
    """What the accountant sees of the chains, if it has looked at them lately.

    Raises:
        NoAnswer: it does not answer as it does, or has not looked.
    """
    found = page.get("/api/chain")
    if not isinstance(found, dict) or not found.keys() >= _PARTS:
        raise NoAnswer(f"{page.url}/api/chain answers, but not as Rackwatt's page")
    time_ms = found.get("time")
    if time_ms is None:
        raise NoAnswer(writer.say("unknown.not_yet"))
    if now_ms - time_ms > _STALE_MS:
        raise NoAnswer(writer.say("unknown.stale", time=writer.full(time_ms)))
    return found

# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ack`: somebody has seen an alert and is at it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer

from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.ledger.commands.options import DATA, DataFolder, SiteFile
from rackwatt.collector.ledger.commands.times import local
from rackwatt.collector.roles.running import plain_errors
from rackwatt.collector.site.console import console, stop
from rackwatt.collector.watchkeeping.commands.options import (
    AlertmanagerCa,
    Alertmanagers,
    AlertmanagerToken,
)
from rackwatt.collector.watchkeeping.commands.recording import WRITING_FAILED, Desk
from rackwatt.collector.watchkeeping.log import ACK, ACK_MINUTES, Ack
from rackwatt.collector.watchkeeping.remotes import NoAnswer, Remote, alerts_of
from rackwatt.collector.watchkeeping.times import duration_ms
from rackwatt.wire.config import nearest

ack_app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
_MOST_MS: Final = ACK_MINUTES * 60_000


@ack_app.command(
    "ack",
    context_settings=NARROW,
    epilog=more(
        "rackwatt ack SafetyLeak --label device=cdu-a1 --for 20min \\\n"
        "      --author 'N. Idrissi' --note 'on my way with the kit'",
        "rackwatt ack SafetyLeak --alertmanager http://127.0.0.1:9093 \\\n"
        "      --author 'N. Idrissi' --note 'sensor is wet, no leak seen'",
        failed=f"{WRITING_FAILED};\n     or no Alertmanager answers",
        wrong="no such alert is on, or wrong usage; nothing was recorded",
    ),
)
def ack_command(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="Its alertname.")],
    author: Annotated[str, typer.Option("--author", metavar="NAME", help="Who is at it.")],
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What they do.")],
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME=VALUE", help="Only with this label; repeatable."),
    ] = None,
    lasting: Annotated[
        str, typer.Option("--for", metavar="TIME", help=f"At most {ACK_MINUTES}min.")
    ] = f"{ACK_MINUTES}min",
    alertmanagers: Alertmanagers = None,
    alertmanager_token_file: AlertmanagerToken = None,
    alertmanager_ca_file: AlertmanagerCa = None,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """Acknowledge an alert: who is at it, doing what, until when.

    It mutes nothing, resets nothing and ends by itself, at most half an hour later: then it is
    given again, or somebody else looks. With --alertmanager, such an alert must be on.
    """
    length = duration_ms("--for", lasting)
    if length > _MOST_MS:
        stop(
            f"--for: an acknowledgement holds at most {ACK_MINUTES} min, so that somebody looks "
            "again; give it again then. To mute an alert for work, make a silence in Alertmanager"
        )
    wanted = _labels(labels or ())
    with plain_errors():
        token, authority = alertmanager_token_file, alertmanager_ca_file
        servers = [
            Remote.of("--alertmanager", url, token, authority) for url in alertmanagers or ()
        ]
    desk = Desk.of(data, site)
    until = desk.now_ms + length
    count = _that_are_on(desk, Ack(alert, wanted, author, note, desk.now_ms, until), servers)
    seq = desk.record(ACK, {"alert": alert, "labels": wanted, "until_ms": until}, author, note)
    about = "" if count is None else f" ({count} on)"
    console().print(
        f"{alert}{about} acknowledged by {author.strip()} "
        f"until {local(until, desk.site.timezone)}: entry {seq}."
    )


def _labels(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not name.strip() or not sign:
            stop(f"--label: expects NAME=VALUE like device=cdu-a1, not {text!r}")
        found[name.strip()] = value.strip().strip('"')
    return found


def _that_are_on(desk: Desk, ack: Ack, servers: Sequence[Remote]) -> int | None:
    """How many alerts it is about; ``None``: nobody was asked."""
    if not servers:
        return None
    try:
        alerts = alerts_of(servers, desk.site.id)
    except NoAnswer as error:
        stop(f"{error}; without --alertmanager the acknowledgement is taken unchecked", 1)
    count = sum(ack.fits(alert.labels) for alert in alerts)
    if count == 0:
        names: Mapping[str, None] = dict.fromkeys(alert.name for alert in alerts)
        hint = nearest(ack.alert, names) if ack.alert not in names else "see its labels"
        stop(f"no alert {ack.alert} with these labels is on" + (f" ({hint})" if hint else ""))
    return count

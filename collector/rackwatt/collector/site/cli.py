# SPDX-License-Identifier: Apache-2.0
"""`rackwatt site`: look at a site file before a site depends on it."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.netbox.commands import import_app
from rackwatt.collector.site.check import summary
from rackwatt.collector.site.console import load_or_stop, stop
from rackwatt.collector.site.problems import near
from rackwatt.collector.store.open import DEFAULT_ORG, RAW_BUCKET, ROLLUPS_BUCKET
from rackwatt.wire.clock import SYSTEM_CLOCK

site_app = typer.Typer(
    help="Check a site file, see what it says, and move devices.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
)

site_app.add_typer(import_app, name="import")

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="The site file (YAML).", show_default=False)
]


@site_app.command(
    "check",
    epilog=more(
        "rackwatt site check site.yaml",
        done="the file is good",
        failed="",
        wrong="it is not: each error names file, line, key and the nearest valid one",
    ),
)
def check_command(file: File) -> None:
    """Say what a site file holds, or what is wrong with it.

    All errors are shown at once. Values that come from shipped defaults are named.
    """
    console = Console(soft_wrap=True, highlight=False)
    for line in summary(load_or_stop(file), SYSTEM_CLOCK.now_ms()).splitlines():
        head, colon, rest = line.partition(":")
        console.print(Text(head, style="bold").append(colon + rest, style="not bold"))


@site_app.command(
    "show",
    epilog=more(
        "rackwatt site show site.yaml r1-01-pdu-a",
        failed="",
        wrong="no such device, or the file is wrong",
    ),
)
def show_command(
    file: File,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="A device, node or meter.")],
) -> None:
    """Say where a device stands and what it is metered for."""
    site = load_or_stop(file)
    now = SYSTEM_CLOCK.now_ms()
    meter = site.meters_at(now).get(device)
    place = site.place(device, now)
    console = Console(soft_wrap=True, highlight=False)
    if place is None and meter is None:
        known = {*site.places.fixed, *site.places.dated, *site.meters_at(now)}
        hint = near(device, known)
        stop(f"unknown device {device!r}" + (f" ({hint})" if hint else ""))
    if place is not None:
        where = " / ".join(part for part in (place.hall, place.row, place.rack) if part)
        console.print(Text(f"{device}: {where}"))
    if meter is not None:
        console.print(Text(f"meter: {_meter_text(virtual=meter.virtual, accuracy=meter.accuracy)}"))
    for role, terms in site.terms_at(now).roles.items():
        for term in terms:
            if term.meter_id == device:
                sign = "counted in" if term.sign > 0 else "taken off"
                console.print(Text(f"{sign} role {role}"))


@site_app.command(
    "move",
    epilog=more(
        "rackwatt site move r1-03-n2 --to hall-b/row-2/r2-07 --since 2026-10-01T09:30+01:00 \\\n"
        "      --author 'A. Amrani' --reason 'board replaced' --site site.yaml --data data",
        "rackwatt site move r1-03-n2 --to hall-b/row-2/r2-07 --since 2026-10-01 --dry-run \\\n"
        "      --author 'A. Amrani' --reason 'board replaced'",
        done="moved; what was not changed was said",
        failed="a file, the ledger or the store cannot be written; call it again",
        wrong="no such device or rack, or wrong usage; nothing was changed",
    ),
)
def move_command(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="A device or node.")],
    to: Annotated[str, typer.Option("--to", metavar="HALL/ROW/RACK", help="Where it goes.")],
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="2026-10-01T09:30+01:00, or a date.")
    ],
    author: Annotated[str, typer.Option(metavar="NAME", help="Who decides it.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why.")],
    site: Annotated[
        Path | None,
        typer.Option("--site", metavar="FILE", help="The site file; default: DIR/site.yaml."),
    ] = None,
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the books and of the embedded store.")
    ] = Path("data"),
    without_ledger: Annotated[
        bool, typer.Option("--without-ledger", help="Do not record it in a ledger.")
    ] = False,
    influx: Annotated[
        str | None, typer.Option("--influx", metavar="URL", help="Correct this InfluxDB, too.")
    ] = None,
    influx_org: Annotated[str, typer.Option(metavar="NAME", help="Its organization.")] = (
        DEFAULT_ORG
    ),
    influx_bucket: Annotated[
        str, typer.Option(metavar="NAME", help="Its bucket for readings.")
    ] = RAW_BUCKET,
    influx_rollups_bucket: Annotated[
        str, typer.Option(metavar="NAME", help="Its bucket for rollups.")
    ] = ROLLUPS_BUCKET,
    influx_token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Token that may read, write and delete there."),
    ] = None,
    influx_ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CA of its certificate.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; count what would be changed.")
    ] = False,
) -> None:
    """Say that a device stands in another rack since a time.

    The move is added to a file beside the site file (site.moves.yaml), and recorded in the
    journal; energy and carbon are attributed by it from that time on. A node takes its GPUs
    along. Rows that are stored already get the new hall, row and rack: in the embedded store
    below --data, and in --influx if one is named. May be called again.
    """
    from rackwatt.collector.ledger.commands.options import ledger_file
    from rackwatt.collector.site.moving import Asked, move, open_influx
    from rackwatt.collector.store.read import store_directories

    for option, value in (("--author", author), ("--reason", reason)):
        if not value.strip():
            stop(f"{option}: must not be empty: the journal keeps who decides, and why")
    file = data / "site.yaml" if site is None else site
    if site is None and not file.is_file():
        stop(f"--site: name the site file; there is no {file}")
    ledger = None if without_ledger else ledger_file(data)
    folders = [] if data.is_file() else [f for f in store_directories(data) if f != data]
    with ExitStack() as stack:
        place = None
        if influx is not None:
            buckets = (influx_bucket, influx_rollups_bucket)
            files = (influx_token_file, influx_ca_file)
            place = open_influx(stack, influx, influx_org, buckets, *files)
        move(
            Asked(
                device=device,
                to=to,
                since=since,
                author=author.strip(),
                reason=reason.strip(),
                site_file=file,
                ledger=ledger,
                stores=folders,
                influx=place,
                dry_run=dry_run,
            )
        )


def _meter_text(*, virtual: bool, accuracy: float) -> str:
    return "virtual" if virtual else f"class {accuracy:g} %"

# SPDX-License-Identifier: Apache-2.0
"""`rackwatt site`: look at a site file before a site depends on it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.site.check import summary
from rackwatt.collector.site.loader import load_site
from rackwatt.collector.site.problems import near
from rackwatt.collector.site.topology import Site
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.config import ConfigErrors

site_app = typer.Typer(
    help="Check a site file, and see what it says.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
)

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="The site file (YAML).", show_default=False)
]


def _load(path: Path) -> Site:
    try:
        return load_site(path)
    except ConfigErrors as errors:
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        for error in errors.errors:
            text = Text(f"{error.file}:{error.line}:", style="bold")
            text.append(f" {error.key}:" if error.key else "", style="cyan")
            text.append(f" {error.message}", style="red")
            text.append(f" ({error.hint})" if error.hint else "", style="green")
            console.print(text)
        raise typer.Exit(2) from errors


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
    for line in summary(_load(file), SYSTEM_CLOCK.now_ms()).splitlines():
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
    site = _load(file)
    now = SYSTEM_CLOCK.now_ms()
    meter = site.meters_at(now).get(device)
    place = site.place(device, now)
    console = Console(soft_wrap=True, highlight=False)
    if place is None and meter is None:
        known = {*site.places.fixed, *site.places.dated, *site.meters_at(now)}
        hint = near(device, known)
        Console(stderr=True, soft_wrap=True, highlight=False).print(
            Text(f"unknown device {device!r}" + (f" ({hint})" if hint else ""), style="red")
        )
        raise typer.Exit(2)
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


def _meter_text(*, virtual: bool, accuracy: float) -> str:
    return "virtual" if virtual else f"class {accuracy:g} %"

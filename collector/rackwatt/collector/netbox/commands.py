# SPDX-License-Identifier: Apache-2.0
"""`rackwatt site import netbox`."""

import difflib
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.netbox.mapping import Plan, Roles, plan_of, settle
from rackwatt.collector.netbox.regions import RegionError, body, put
from rackwatt.collector.netbox.writing import (
    DEVICES,
    HALLS,
    POWER,
    TENANTS,
    devices_text,
    halls_text,
    power_text,
    tenants_text,
    word,
)
from rackwatt.collector.roles.arguments import (
    UsageProblem,
    http_url,
    read_secret,
    usable_authority,
)
from rackwatt.collector.site import Site, load_site
from rackwatt.collector.site.console import console, show_errors, stop
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.config import ConfigErrors

import_app = typer.Typer(
    help="Make or update a site file from another system.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
)
_MOST_SHOWN = 40


@import_app.callback()
def import_group() -> None:
    """Make or update a site file from another system."""


@import_app.command(
    "netbox",
    epilog=more(
        "rackwatt site import netbox site.yaml --url https://netbox.example.org --site campus \\\n"
        "      --token-file netbox.token",
        "rackwatt site import netbox site.yaml --url URL --site campus --token-file FILE --write",
        done="nothing differs, or it was written",
        failed="it differs and nothing was written; or NetBox does not answer or refuses",
        wrong="wrong usage, or NetBox has what a site file cannot say; nothing was written",
    ),
)
def netbox_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The site file; made if absent.")],
    url: Annotated[str, typer.Option("--url", metavar="URL", help="NetBox' address.")],
    slug: Annotated[str, typer.Option("--site", metavar="SLUG", help="The site in NetBox.")],
    token_file: Annotated[
        Path, typer.Option("--token-file", metavar="FILE", help="A token that may read.")
    ],
    ca_file: Annotated[
        Path | None,
        typer.Option("--ca-file", metavar="FILE", help="CA of its certificate."),
    ] = None,
    node_roles: Annotated[
        list[str] | None,
        typer.Option("--node-role", metavar="SLUG", help="Devices that are GPU nodes; repeatable."),
    ] = None,
    pdu_roles: Annotated[
        list[str] | None,
        typer.Option("--pdu-role", metavar="SLUG", help="Devices that are PDUs; repeatable."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="When changed tenancies hold; default: now."),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write what is shown.")] = False,
) -> None:
    """Make or update a site file from NetBox.

    Halls, rows, racks, nodes, PDUs, devices, power feeds and tenants, between marks; all else in
    the file stays as it is. The difference is shown, and written only with --write, and only if
    the result is a good site file. What tenants hold is dated; what has moved wants
    'rackwatt site move' first.
    """
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    plan, site = _read(url, slug, token_file, ca_file, _roles(node_roles, pdu_roles))
    moment = _moment(since)
    if before:
        _settle(plan, file)
    _refuse(plan)
    try:
        after = _with(before or _head(site, slug), plan, moment if before else None)
    except RegionError as error:
        stop(f"{file}: {error}")
    _check(file, after)
    out = console()
    for note in plan.notes:
        out.print(Text(f"note: {note}"))
    if after == before:
        out.print(Text(f"{file}: as NetBox says"))
        return
    _show(before, after, file)
    if not write:
        out.print(Text("nothing was written: call it again with --write"))
        raise typer.Exit(1)
    _write(file, after)
    out.print(Text(f"{file}: written" + ("; what it was is in " + _old(file).name) * bool(before)))


def _roles(nodes: list[str] | None, pdus: list[str] | None) -> Roles:
    default = Roles()
    return Roles(
        frozenset(nodes) if nodes else default.nodes, frozenset(pdus) if pdus else default.pdus
    )


def _read(
    url: str, slug: str, token_file: Path, ca_file: Path | None, roles: Roles
) -> tuple[Plan, Any]:
    try:
        from rackwatt.collector.netbox.reading import NetBoxError, Server, read_site
    except ImportError as error:
        stop(f"{error.name} is missing: pip install 'rackwatt[netbox]'")
    try:
        usable_authority("--ca-file", ca_file)
        server = Server(
            http_url("--url", url).rstrip("/"), read_secret("--token-file", token_file), ca_file
        )
    except UsageProblem as error:
        stop(str(error))
    progress = console(err=True)
    try:
        with progress.status(f"reading {slug} …") as status:
            inventory = read_site(
                server, slug, lambda what, count: status.update(f"{count:,} {what} …")
            )
            return plan_of(inventory, roles), inventory.site
    except NetBoxError as error:
        stop(str(error), 1)
    except (KeyError, TypeError, AttributeError) as error:
        stop(f"NetBox at {url}: an object is not as its API says: {error!r}", 1)


def _moment(since: str | None) -> datetime:
    if since is None:
        return datetime.fromtimestamp(SYSTEM_CLOCK.now_ms() // 60_000 * 60, UTC)
    try:
        found = datetime.fromisoformat(since)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        stop(f"--since: expects a time with its offset, 2026-10-01T00:00+01:00, not {since!r}")
    return found


def _settle(plan: Plan, file: Path) -> None:
    try:
        site = load_site(file)
    except ConfigErrors as errors:
        show_errors(errors)
        stop(f"{file} is wrong as it is: mend it first")
    plan.problems += settle(plan, _first_racks(site), _racks_now(site))


def _first_racks(site: Site) -> dict[str, str]:
    found = {name: place.rack for name, place in site.places.fixed.items()}
    for name, spans in site.places.dated.items():
        found[name] = min(spans, key=lambda span: span[0].start_ms)[1].rack
    return {name: rack for name, rack in found.items() if rack}


def _racks_now(site: Site) -> dict[str, str]:
    now = SYSTEM_CLOCK.now_ms()
    names = {*site.places.fixed, *site.places.dated}
    places = {name: site.place(name, now) for name in names}
    return {name: place.rack for name, place in places.items() if place is not None and place.rack}


def _refuse(plan: Plan) -> None:
    if not plan.problems:
        return
    err = console(err=True)
    for problem in plan.problems[:_MOST_SHOWN]:
        err.print(Text(problem, style="red"))
    more_of = len(plan.problems) - _MOST_SHOWN
    stop("mend this first; nothing was written" + (f" (and {more_of} more)" if more_of > 0 else ""))


def _head(site: Any, slug: str) -> str:
    zone = site.get("time_zone")
    if not zone:
        stop(f"site {slug} has no time zone in NetBox: set it, it forms days and months")
    lines = [f"site:\n  id: {slug}", f"  timezone: {zone}"]
    if site.get("name"):
        lines.insert(1, f"  name: {word(str(site['name']))}")
    places = ("latitude", "longitude")
    lines += [f"  {key}: {site[key]}" for key in places if site.get(key) is not None]
    note = "# Meters with roles, country and factors are yours to add: docs/examples/site.yaml."
    return "\n".join([*lines, "", note]) + "\n"


def _with(text: str, plan: Plan, since: datetime | None) -> str:
    tenants = tenants_text(plan.tenants, body(text, TENANTS), since)
    return put(
        text,
        {
            HALLS: halls_text(plan.halls),
            DEVICES: devices_text(plan.devices),
            POWER: power_text(plan),
            TENANTS: tenants,
        },
    )


def _check(file: Path, text: str) -> None:
    """See that it loads, beside the files that it names.

    Raises:
        typer.Exit: It does not; what is wrong was said.
    """
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=file.parent, prefix=f".{file.stem}-", suffix=".yaml"
    ) as trial:
        trial.write(text)
        trial.flush()
        try:
            load_site(Path(trial.name))
        except ConfigErrors as errors:
            show_errors(errors)
            stop("the result is no good site file (lines are those of the result); nothing written")


def _show(before: str, after: str, file: Path) -> None:
    out = console()
    name = str(file)
    for line in difflib.unified_diff(
        before.splitlines(), after.splitlines(), name, name, lineterm=""
    ):
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        out.print(Text(line, style=style))


def _old(file: Path) -> Path:
    return file.with_name(file.name + ".old")


def _write(file: Path, text: str) -> None:
    """Replace the file as a whole, and keep what it was beside it."""
    try:
        partial = file.with_name(f".{file.name}.new")
        with partial.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        if file.exists():
            partial.chmod(file.stat().st_mode & 0o777)
            _old(file).write_bytes(file.read_bytes())
        partial.replace(file)
    except OSError as error:
        stop(f"{error.filename or file} cannot be written: {error.strerror}", 1)

# SPDX-License-Identifier: Apache-2.0
"""`rackwatt pki`: certificates for the broker and its clients, where a site has no PKI."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.pki.authority import LEAF_DAYS, MAX_NAME_LETTERS
from rackwatt.collector.pki.broker import STATE, acl, configuration
from rackwatt.collector.pki.folder import ACL, BROKER, Folder, PkiError, write
from rackwatt.collector.signing.commands import (
    SIGN_KEY_EPILOG,
    VERIFY_EPILOG,
    sign_key_command,
    verify_command,
)
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.topics import check_name

pki_app = typer.Typer(
    help="Certificates and broker rules where a site has no PKI.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
)

_ADDRESS = re.compile(r"[A-Za-z0-9.:%_-]{1,253}")

Dir = Annotated[Path, typer.Option("--dir", metavar="DIR", help="The authority's folder.")]
Days = Annotated[
    int, typer.Option("--days", metavar="N", min=1, max=3650, help="How long it holds.")
]
Names = Annotated[list[str], typer.Argument(metavar="NAME…", show_default=False)]

_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.IGNORECASE)
_LONGEST_HOST: Final = 253


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except PkiError as error:
        typer.echo(f"rackwatt: {error}", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"rackwatt: {error.filename or 'stdout'}: {error.strerror}", err=True)
        raise typer.Exit(2) from None


def _now() -> datetime:
    return datetime.fromtimestamp(SYSTEM_CLOCK.now_ms() / 1000, UTC)


def _name(what: str, name: str) -> str:
    try:
        check_name(name, what)
    except ValueError as error:
        raise PkiError(str(error)) from None
    return name


@pki_app.command(
    "init",
    epilog=more(
        "rackwatt pki init --site campus", wrong="there is an authority already, or wrong usage"
    ),
)
def init_command(
    site: Annotated[str, typer.Option("--site", metavar="ID", help="The site's id.")],
    folder: Dir = Path("pki"),
) -> None:
    """Make a certificate authority for a site.

    Its private key, ca.key, can sign for any name: keep the folder on a machine that nothing else
    runs on, and a copy of it off line.
    """
    with _plain_errors():
        made = Folder(folder)
        if len(_name("site", site)) > MAX_NAME_LETTERS - len("Rackwatt CA of "):
            raise PkiError(f"--site: {site!r} is too long for the authority's certificate")
        made.create(site, _now())
        typer.echo(f"authority  {made.certificate_file}  (give it to the broker and every agent)")
        typer.echo(f"its key    {folder / 'ca.key'}  (keep it here, readable by you alone)")
        typer.echo("next       rackwatt pki broker --site ID HOST")


@pki_app.command(
    "agent",
    epilog=more("rackwatt pki agent snmp-hall-a modbus-site", "rackwatt pki agent r1-01-n1"),
)
def agent_command(names: Names, folder: Dir = Path("pki"), days: Days = LEAF_DAYS) -> None:
    """Sign a certificate for each agent, by its name in topics.

    Called again it signs a new one: the old one holds until it expires or is revoked.
    """
    _sign("agent", names, folder, days)


@pki_app.command("collector", epilog=more("rackwatt pki collector collector-1"))
def collector_command(names: Names, folder: Dir = Path("pki"), days: Days = LEAF_DAYS) -> None:
    """Sign a certificate for each collector.

    The broker's rules must name it too: 'rackwatt pki broker --collector NAME'.
    """
    _sign("collector", names, folder, days)


def _sign(purpose: str, names: list[str], folder: Path, days: int) -> None:
    with _plain_errors():
        for name in [_name(purpose, name) for name in names]:
            made = Folder(folder)
            with made.locked():
                certificate, key = made.client(purpose, name, _now(), days)
            typer.echo(f"{name}  {certificate}  {key}")


@pki_app.command(
    "broker", epilog=more("rackwatt pki broker --site campus broker.example.org 10.0.0.5")
)
def broker_command(
    hosts: Annotated[list[str], typer.Argument(metavar="HOST…", show_default=False)],
    site: Annotated[str, typer.Option("--site", metavar="ID", help="The site's id.")],
    collectors: Annotated[
        list[str] | None,
        typer.Option("--collector", metavar="NAME", help="A collector; may be repeated."),
    ] = None,
    address: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS", help="Where the broker listens.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="PORT", min=1, max=65535)] = 8883,
    installed: Annotated[
        Path | None,
        typer.Option(
            "--installed", metavar="DIR", help="Where the broker will find the folder it is given."
        ),
    ] = None,
    state: Annotated[
        Path,
        typer.Option("--data", metavar="DIR", help="Where the broker keeps sessions, messages."),
    ] = STATE,
    folder: Dir = Path("pki"),
    days: Days = LEAF_DAYS,
) -> None:
    """Sign the broker's certificate; write Mosquitto's rules.

    Its configuration too, which names them.

    HOST is each name or address by which agents and collectors reach it. Copy the folder 'broker',
    and nothing else, to the broker's machine: the authority's key stays here.
    """
    with _plain_errors():
        if not _ADDRESS.fullmatch(address):
            raise PkiError(f"--listen: {address!r} is no address")
        names = [_name("collector", name) for name in collectors or ["collector"]]
        _name("site", site)
        made = Folder(folder)
        with made.locked():
            for name in names:
                made.refuse_second("collector", name, _now())
            certificate, key = made.server(hosts, _now(), days)
            rules, file = certificate.with_name(ACL), certificate.with_name("mosquitto.conf")
            write(rules, acl(site, names).encode())
            place = installed or certificate.parent.resolve()
            write(file, configuration(place, port, address, state).encode())
        for label, path in (
            ("certificate", certificate),
            ("its key", key),
            ("rules", rules),
            ("configuration", file),
        ):
            typer.echo(f"{label:13}  {path}")
        typer.echo(f"{'collectors':13}  {', '.join(names)}  (rackwatt pki collector NAME)")


@pki_app.command(
    "server",
    epilog=more(
        "rackwatt pki server collector-1-web collector-1.example.org 10.0.0.7",
        "rackwatt pki server page rackwatt.example.org",
    ),
)
def server_command(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    hosts: Annotated[list[str], typer.Argument(metavar="HOST…", show_default=False)],
    folder: Dir = Path("pki"),
    days: Days = LEAF_DAYS,
) -> None:
    """Sign a certificate for the page or a collector.

    For --web-certificate-file and --web-key-file; HOST is each name or address by which it is
    reached. Browsers, Prometheus and --collector-ca-file trust it by the authority, ca.crt.
    """
    with _plain_errors():
        made = Folder(folder)
        with made.locked():
            if _name("server", name) == BROKER:
                raise PkiError("the broker's certificate is made by 'rackwatt pki broker'")
            certificate, key = made.server(hosts, _now(), days, name)
        typer.echo(f"{name}  {certificate}  {key}")


@pki_app.command("revoke", epilog=more("rackwatt pki revoke r1-01-n1"))
def revoke_command(names: Names, folder: Dir = Path("pki")) -> None:
    """Revoke every certificate of a name.

    The broker must then be restarted with the new list: the last line says which file. Until then
    an open connection stays open. Agents ask no list: a broker whose key was taken is shut out by
    a new authority only.
    """
    with _plain_errors():
        made = Folder(folder)
        with made.locked():
            for name in names:
                count = made.revoke(name, _now())
                typer.echo(f"{name}  {count} revoked")
        typer.echo(f"now copy {folder / 'revoked.crl'} to the broker and restart it")


@pki_app.command("list", epilog=more("rackwatt pki list"))
def list_command(folder: Dir = Path("pki")) -> None:
    """List what was signed, and until when it holds."""
    with _plain_errors():
        for item in Folder(folder).issued():
            state = f"revoked {item.revoked}" if item.revoked else f"until {item.expires}"
            typer.echo(f"{item.purpose:9}  {item.name:24}  {state}")


pki_app.command("sign-key", epilog=SIGN_KEY_EPILOG)(sign_key_command)
pki_app.command("verify", epilog=VERIFY_EPILOG)(verify_command)

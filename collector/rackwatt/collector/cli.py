# SPDX-License-Identifier: Apache-2.0
"""`rackwatt`: everything but the edge. Exit codes: 0 done, 1 failed, 2 bad input or usage."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from rackwatt.collector.roles.up import TOKEN_VARIABLE, UpOptions, UsageProblem, up
from rackwatt.collector.service import configure_logging, run_until_stopped
from rackwatt.collector.site.cli import site_app
from rackwatt.collector.store.cli import store_app
from rackwatt.collector.store.open import RAW_BUCKET, TokenError, read_token
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.config import ConfigErrors, parse_duration

app = typer.Typer(
    name="rackwatt",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Follows every watt-hour of a data center from its source to the GPU.\n\n"
        "Begin with 'rackwatt up': a simulated site on this machine, live at "
        "http://127.0.0.1:8400/."
    ),
)
app.add_typer(site_app, name="site")
app.add_typer(store_app, name="store")


def _add_groups() -> None:
    """Add the command groups that installed rooms bring; one whose extra is missing stays away."""
    for group in entry_points(group="rackwatt.commands"):
        try:
            app.add_typer(group.load(), name=group.name)
        except ModuleNotFoundError as error:
            if error.name is not None and error.name.startswith("rackwatt"):
                raise


T = TypeVar("T")

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every detail.")]
SiteFile = Annotated[Path, typer.Option("--site", help="The site file (YAML).")]
InfluxUrl = Annotated[
    str | None,
    typer.Option("--influx", metavar="URL", help="Store in InfluxDB at this address instead."),
]
InfluxOrg = Annotated[str, typer.Option("--influx-org", help="Organisation in InfluxDB.")]
InfluxBucket = Annotated[str, typer.Option("--influx-bucket", help="Bucket in InfluxDB.")]
InfluxTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--influx-token-file",
        help="File with InfluxDB's token; default: the variable RACKWATT_INFLUX_TOKEN.",
    ),
]


def _duration(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return float(str(seconds))


def _run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a service until it is stopped; what goes wrong becomes one plain line and exit code."""
    try:
        asyncio.run(run_until_stopped(work))
    except BaseExceptionGroup as group:
        for error in _leaves(group):
            if isinstance(error, ConfigErrors):
                typer.echo(str(error), err=True)
                raise typer.Exit(2) from None
            if isinstance(error, UsageProblem):
                typer.echo(f"rackwatt: {error}", err=True)
                raise typer.Exit(2) from None
            if not isinstance(error, OSError | sqlite3.Error | RuntimeError):
                raise
            typer.echo(f"rackwatt: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _token() -> str:
    """The token between collector and accountant."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    if len(token) < 16:
        typer.echo(
            f"rackwatt: set {TOKEN_VARIABLE} to the same secret of at least 16 characters "
            "for collector and accountant",
            err=True,
        )
        raise typer.Exit(2)
    return token


def _checked_token(file: Path | None) -> None:
    """Say at once, and not in a child's log, that InfluxDB's token is missing."""
    try:
        read_token(file)
    except TokenError as error:
        typer.echo(f"rackwatt: {error}", err=True)
        raise typer.Exit(2) from None


@app.command("up")
def up_command(
    data: Annotated[Path, typer.Option(help="Folder for all state; continued next time.")] = Path(
        "data"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of page and metrics.")] = 8400,
    host: Annotated[str, typer.Option(help="Address of page and metrics.")] = "127.0.0.1",
    broker: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An MQTT broker; default: an embedded one."),
    ] = None,
    site: Annotated[
        Path | None, typer.Option("--site", help="A real site's file; default: a simulated site.")
    ] = None,
    agents: Annotated[
        list[Path] | None, typer.Option("--agent", help="A real site's agent file; repeatable.")
    ] = None,
    scenario: Annotated[
        str, typer.Option(help="What to simulate: default, tetouan, or a YAML file.")
    ] = "default",
    influx: InfluxUrl = None,
    influx_org: InfluxOrg = "rackwatt",
    influx_bucket: InfluxBucket = RAW_BUCKET,
    influx_token_file: InfluxTokenFile = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Stop after 90s, 10min, 2h …")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Start everything on this machine: broker, twin or your agents, collector, page.

    Without options it simulates a site of 16 racks and 128 GPUs, read by real agents over real
    Modbus, SNMP and MQTT, beside this machine's own readings.
    """
    configure_logging(verbose=verbose)
    store: list[str] = []
    if influx is not None:
        _checked_token(influx_token_file)
        store = ["--influx", influx, "--influx-org", influx_org, "--influx-bucket", influx_bucket]
        if influx_token_file is not None:
            store += ["--influx-token-file", str(influx_token_file.resolve())]
    options = UpOptions(
        data=data,
        host=host,
        port=port,
        broker_url=broker,
        site_file=site,
        agent_files=[path.resolve() for path in agents or []],
        scenario=scenario,
        influx=store,
        seconds=_duration(duration),
    )
    _run(lambda: up(options, SYSTEM_CLOCK, typer.echo))


@app.command("collect")
def collect_command(
    site: SiteFile,
    broker: Annotated[str, typer.Option(metavar="URL", help="mqtt://host:1883")],
    data: Annotated[Path, typer.Option(help="Folder for spool and embedded store.")],
    host: Annotated[str, typer.Option(help="Address of metrics and spool.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Their port.")] = 8401,
    halls: Annotated[
        list[str] | None, typer.Option("--hall", help="A hall of this shard; default: all.")
    ] = None,
    backfill: Annotated[
        str, typer.Option(help="Ask new agents for the past: none, all, or 2h.")
    ] = "none",
    broker_user: Annotated[str | None, typer.Option(help="MQTT user name.")] = None,
    broker_password_file: Annotated[
        Path | None, typer.Option(help="File with the MQTT password.")
    ] = None,
    broker_ca_file: Annotated[
        Path | None, typer.Option(help="CA of the broker's certificate, for mqtts://.")
    ] = None,
    accountant: Annotated[
        bool, typer.Option(help="Keep messages until an accountant has booked them.")
    ] = True,
    influx: InfluxUrl = None,
    influx_org: InfluxOrg = "rackwatt",
    influx_bucket: InfluxBucket = RAW_BUCKET,
    influx_token_file: InfluxTokenFile = None,
    verbose: Verbose = False,
) -> None:
    """Take readings from MQTT: check, keep durably, acknowledge, store, ask for what is missing."""
    from rackwatt.collector.roles.collect import CollectOptions, collect
    from rackwatt.collector.site import load_site
    from rackwatt.collector.store import EmbeddedSpec, InfluxSpec, open_store
    from rackwatt.wire.session import BrokerSettings

    configure_logging(verbose=verbose)
    loaded = _loaded(lambda: load_site(site))
    try:
        settings = BrokerSettings(
            url=broker,
            username=broker_user,
            password_file=broker_password_file,
            ca_file=broker_ca_file,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--broker") from error
    spec: EmbeddedSpec | InfluxSpec = EmbeddedSpec(data / "store")
    if influx is not None:
        spec = InfluxSpec(influx, influx_org, influx_bucket, token_file=influx_token_file)
        _checked_token(influx_token_file)
    store = open_store(spec)
    seconds = {"none": 0.0, "all": None}.get(backfill, -1.0)
    options = CollectOptions(
        broker=settings,
        data=data,
        host=host,
        port=port,
        token=_token(),
        halls=tuple(halls) if halls else None,
        backfill_seconds=_duration(backfill) if seconds == -1.0 else seconds,
        with_accountant=accountant,
    )
    _run(lambda: collect(loaded, store, options, SYSTEM_CLOCK))


@app.command("account")
def account_command(
    site: SiteFile,
    data: Annotated[Path, typer.Option(help="Folder for ledger.db.")],
    collectors: Annotated[
        list[str], typer.Option("--collector", metavar="URL", help="A collector; repeatable.")
    ],
    host: Annotated[str, typer.Option(help="Address of page and metrics.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Their port.")] = 8400,
    with_collector_metrics: Annotated[
        bool, typer.Option(help="Serve the collectors' metrics on /metrics as well.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Keep the books: read the collectors' spools, write ledger.db, serve figures and page."""
    from rackwatt.collector.roles.account import AccountOptions, account
    from rackwatt.collector.site import load_site

    configure_logging(verbose=verbose)
    loaded = _loaded(lambda: load_site(site))
    options = AccountOptions(
        collectors=tuple(collectors),
        data=data,
        host=host,
        port=port,
        token=_token(),
        with_collector_metrics=with_collector_metrics,
    )
    _run(lambda: account(loaded, options, SYSTEM_CLOCK))


def _loaded(load: Callable[[], T]) -> T:
    try:
        return load()
    except ConfigErrors as errors:
        typer.echo(str(errors), err=True)
        raise typer.Exit(2) from None


def main() -> None:
    """The program."""
    if sys.platform == "win32":
        typer.echo("rackwatt runs on Linux and macOS", err=True)
        sys.exit(2)
    _add_groups()
    app()


if __name__ == "__main__":
    main()

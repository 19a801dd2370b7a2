# SPDX-License-Identifier: Apache-2.0
"""`rackwatt dashboards`: build and check Grafana's dashboards, and bring them to a Grafana."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from rackwatt.collector.generated import compare, write
from rackwatt.collector.helptext import NARROW, more

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
    help="Dashboards for Grafana 11.3 and later: build, check, push.",
)

TOKEN_VARIABLE = "RACKWATT_GRAFANA_TOKEN"  # noqa: S105 - the name, not the token

Folder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where they lie; default: in the checkout."),
]


class LanguageOption(StrEnum):
    """Which edition."""

    EN = "en"
    FR = "fr"


class InfluxOption(StrEnum):
    """Which InfluxDB."""

    TWO = "2"
    THREE = "3"


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"rackwatt: {message}", err=True)
    raise typer.Exit(code)


@app.command(
    "build",
    epilog=more(
        "rackwatt dashboards build",
        "rackwatt dashboards build --out /tmp/dashboards",
        failed="a file cannot be written",
        wrong="wrong usage, or no checkout and no --out",
    ),
)
def build_command(out: Folder = None) -> None:
    """Write every dashboard in every language as JSON.

    The files of provisioning too. In a checkout, what is no generated file is removed.
    """
    from rackwatt.dashboards.editions import stale

    # Of someone's own folder nothing is removed.
    write(_wanted(out), stale, remove=out is None)


@app.command(
    "check",
    epilog=more(
        "rackwatt dashboards check",
        failed="a file is out of date, missing or a stranger; the difference is printed",
        wrong="wrong usage, or no checkout and no --out",
    ),
)
def check_command(out: Folder = None) -> None:
    """Say whether the files are what the code makes, or how they differ."""
    from rackwatt.dashboards.editions import stale

    compare(_wanted(out), stale, kind="dashboards", command="rackwatt dashboards build")


def _wanted(out: Path | None) -> dict[Path, Mapping[str, str]]:
    """Per folder, its files."""
    from rackwatt.dashboards.editions import GENERATED, files
    from rackwatt.dashboards.provisioning import FOLDER, provisioning

    if out is not None:
        return {out / "generated": files(), out / "provisioning": provisioning()}
    if not GENERATED.is_dir():
        _fail(f"no {GENERATED}: say where with --out DIR", 2)
    return {GENERATED: files(), FOLDER: provisioning()}


@app.command(
    "push",
    epilog=more(
        "rackwatt dashboards push --grafana http://127.0.0.1:3000 --dry-run",
        "rackwatt dashboards push --grafana URL --grafana-token-file FILE --language fr",
        "rackwatt dashboards push --grafana URL --influx http://influxdb:8086 \\\n"
        "      --influx-token-file tokens/influx-read.token --prometheus http://prometheus:9090",
        done="everything is there as it should be (with --dry-run: this was found out)",
        failed="Grafana cannot be reached or refuses; what was done until then stays",
        wrong="wrong input or usage; nothing was changed",
    ),
)
def push_command(
    grafana: Annotated[str, typer.Option(metavar="URL", help="Grafana's address.")],
    grafana_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Token of a service account; without it {TOKEN_VARIABLE} holds it.",
        ),
    ] = None,
    language: Annotated[
        list[LanguageOption] | None, typer.Option(help="Only this edition; may be repeated.")
    ] = None,
    influx: Annotated[
        str, typer.Option(metavar="URL", help="InfluxDB as Grafana reaches it; makes its sources.")
    ] = "",
    influx_version: Annotated[
        InfluxOption, typer.Option(help="Which InfluxDB that is.")
    ] = InfluxOption.TWO,
    influx_token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Token that may read it: influx-read.token."),
    ] = None,
    raw_bucket: Annotated[str, typer.Option(metavar="NAME")] = "rackwatt_raw",
    rollups_bucket: Annotated[str, typer.Option(metavar="NAME")] = "rackwatt_rollups",
    prometheus: Annotated[str, typer.Option(metavar="URL", help="Prometheus, likewise.")] = "",
    alertmanager: Annotated[str, typer.Option(metavar="URL", help="Alertmanager, likewise.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; print what would change.")
    ] = False,
    new_secrets: Annotated[
        bool,
        typer.Option(
            "--new-secrets", help="Send tokens again: Grafana does not say if they differ."
        ),
    ] = False,
) -> None:
    """Bring folders, data sources and dashboards to a Grafana.

    It may be run as often as one likes: what is there stays, what differs is corrected, and each
    thing is named. Data sources are only brought where an address is given for them.
    """
    import time

    from rackwatt.collector.roles.arguments import UsageProblem, http_url
    from rackwatt.collector.store.open import TokenError, read_token
    from rackwatt.dashboards.cargo import cargo
    from rackwatt.dashboards.datasources import Places
    from rackwatt.dashboards.push import Pusher, PushError, connected

    try:
        address = http_url("--grafana", grafana)
        for option, url in (("--influx", influx), ("--prometheus", prometheus),
                            ("--alertmanager", alertmanager)):  # fmt: skip
            if url:
                http_url(option, url)
        token = _grafana_token(grafana_token_file)
        influx_token = read_token(influx_token_file) if influx else ""
    except (UsageProblem, TokenError) as error:
        _fail(str(error), 2)
    places = Places(influx, influx_token, influx_version.value, raw_bucket, rollups_bucket,
                    prometheus, alertmanager)  # fmt: skip
    load = cargo(places, [one.value for one in language or LanguageOption])
    with connected(address, token) as api:
        try:
            counts = Pusher(api, typer.echo, time.sleep, dry_run, new_secrets).push(load)
        except PushError as error:
            _fail(str(error), 1)
    what = "would be made" if dry_run else "made"
    changed = "would change" if dry_run else "changed"
    typer.echo(f"{counts['made']} {what}, {counts['changed']} {changed}, {counts['there']} there")


def _grafana_token(file: Path | None) -> str:
    import os

    from rackwatt.collector.store.open import TokenError, read_token

    if file is not None:
        return read_token(file)
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise TokenError(f"no token for Grafana: name its file, or set {TOKEN_VARIABLE}")
    return token

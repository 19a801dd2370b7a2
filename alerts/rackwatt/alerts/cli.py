# SPDX-License-Identifier: Apache-2.0
"""`rackwatt alerts`: build and check the rules for Prometheus, with a site's own thresholds."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rackwatt.collector.generated import compare, write
from rackwatt.collector.helptext import NARROW, more

if TYPE_CHECKING:
    from rackwatt.alerts.thresholds import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
    help="Alert rules for Prometheus: build, check, list.",
)

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="Where the rules lie; default: the checkout's, with its tests."
    ),
]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="YAML of the site: runbooks (URL), grafana (URL), thresholds: {NAME: {warn, bad}}.",
    ),
]


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"rackwatt: {message}", err=True)
    raise typer.Exit(code)


@app.command(
    "build",
    epilog=more(
        "rackwatt alerts build",
        "rackwatt alerts build --settings site-alerts.yaml --out /etc/prometheus/rackwatt",
        failed="a file cannot be written",
        wrong="wrong settings or usage, or no checkout and no --out; nothing was written",
    ),
)
def build_command(out: Out = None, settings: SettingsFile = None) -> None:
    """Write the rules, one file per family.

    In a checkout their tests for promtool, too. Prometheus reads them anew at a SIGHUP.
    """
    write(_wanted(out, settings), _stale, remove=True)


@app.command(
    "check",
    epilog=more(
        "rackwatt alerts check",
        "rackwatt alerts check --settings site-alerts.yaml --out /etc/prometheus/rackwatt",
        failed="a file is out of date, missing or a stranger; the difference is printed",
        wrong="wrong settings or usage, or no checkout and no --out",
    ),
)
def check_command(out: Out = None, settings: SettingsFile = None) -> None:
    """Say whether the files are what the code makes, or how they differ."""
    compare(_wanted(out, settings), _stale, kind="alerts", command="rackwatt alerts build")


@app.command(
    "list",
    epilog=more(
        "rackwatt alerts list",
        "rackwatt alerts list --settings site-alerts.yaml",
        failed="",
        wrong="wrong settings or usage",
    ),
)
def list_command(settings: SettingsFile = None) -> None:
    """Every alert: severity, owner, how long it lasts, what it asks."""
    from rackwatt.alerts.rules import all_families
    from rackwatt.alerts.thresholds import SettingsError, limits

    try:
        families = all_families(limits(_settings(settings)))
    except SettingsError as error:
        _fail(str(error), 2)
    for family in families:
        typer.echo(f"{family.key} ({len(family.alerts)})")
        for alert in family.alerts:
            head = f"  {alert.name:<28} {alert.severity:<7} {alert.owner:<15} {alert.wait or '0s'}"
            typer.echo(head)
            for line in alert.expr.splitlines():
                typer.echo(f"      {line}")


def _settings(file: Path | None) -> "Settings":
    from rackwatt.alerts.thresholds import Settings, read_settings

    return Settings() if file is None else read_settings(file)


def _wanted(out: Path | None, settings: Path | None) -> dict[Path, Mapping[str, str]]:
    """Per folder, its files."""
    from rackwatt.alerts import cases, rules
    from rackwatt.alerts.thresholds import SettingsError

    if out is None and settings is not None:
        _fail("--settings needs --out DIR: the checkout's rules are the shipped ones", 2)
    try:
        given = _settings(settings)
        made = rules.files(given)
    except SettingsError as error:
        _fail(str(error), 2)
    if out is not None:
        return {out: made}
    if not (rules.HOME / "runbooks").is_dir():
        _fail(f"no {rules.HOME / 'runbooks'}: say where with --out DIR", 2)
    return {rules.HOME / "rules": made, rules.HOME / "tests": cases.files(given)}


def _stale(folder: Path, texts: Mapping[str, str]) -> Iterator[tuple[Path, str | None]]:
    """Files that are out of date, with what they should hold; None: nothing, they are strangers."""
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield path, text
    for path in sorted(folder.glob("*.yaml")):
        if path.name not in texts and _ours(path):
            yield path, None


def _ours(path: Path) -> bool:
    """Whether it was made by us: of someone's own files nothing is removed."""
    from rackwatt.alerts.rules import HEAD

    return path.read_text(encoding="utf-8").startswith(HEAD)

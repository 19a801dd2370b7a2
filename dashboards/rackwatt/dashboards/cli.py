# SPDX-License-Identifier: Apache-2.0
"""`rackwatt dashboards`: build and check Grafana's dashboards, and bring them to a Grafana."""

import difflib
from pathlib import Path
from typing import Annotated

import typer

from rackwatt.collector.helptext import NARROW, more

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
    help="Dashboards for Grafana 11.3 and later: build, check, push.",
)

Folder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where they lie; default: in the checkout."),
]


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
    """Write every dashboard in every language as JSON, and remove what is none."""
    from rackwatt.dashboards.editions import files, stale

    folder = _folder(out)
    try:
        changed = 0
        for path, text in stale(folder):
            if text is None:
                if out is not None:
                    continue  # someone's own folder: nothing of theirs is removed
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            changed += 1
    except OSError as error:
        typer.echo(f"rackwatt: {error.filename}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{len(files())} dashboards in {folder}, {changed} changed")


@app.command(
    "check",
    epilog=more(
        "rackwatt dashboards check",
        failed="a file is out of date, missing or a stranger; the difference is printed",
        wrong="wrong usage, or no checkout and no --out",
    ),
)
def check_command(out: Folder = None) -> None:
    """Say whether the files are what the code makes; print how they differ."""
    from rackwatt.dashboards.editions import files, stale

    folder = _folder(out)
    found = list(stale(folder))
    for path, text in found:
        name = path.relative_to(folder)
        if text is None:
            typer.echo(f"{name}: no dashboard; only generated files lie here", err=True)
            continue
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        for line in difflib.unified_diff(
            before.splitlines(), text.splitlines(), f"{name} (there)", f"{name} (made)", lineterm=""
        ):
            typer.echo(line)
        typer.echo(f"{name}: out of date; run 'rackwatt dashboards build'", err=True)
    if found:
        raise typer.Exit(1)
    typer.echo(f"{len(files())} dashboards, all up to date")


def _folder(out: Path | None) -> Path:
    from rackwatt.dashboards.editions import GENERATED

    if out is not None:
        return out
    if not GENERATED.is_dir():
        typer.echo(f"rackwatt: no {GENERATED}: say where with --out DIR", err=True)
        raise typer.Exit(2)
    return GENERATED

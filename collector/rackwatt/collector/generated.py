# SPDX-License-Identifier: Apache-2.0
"""Files that code makes and that are committed: written anew, or compared with what is there."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import typer

Wanted = Mapping[Path, Mapping[str, str]]
"""Per folder, its files: name and text."""
Stale = Callable[[Path, Mapping[str, str]], Iterable[tuple[Path, str | None]]]
"""Of a folder what is out of date, with what it should hold; None: nothing, it is a stranger."""


def write(wanted: Wanted, stale: Stale, *, remove: bool) -> None:
    """Bring folders up to date, and say how much was changed.

    Args:
        wanted: what should be there.
        stale: tells what is not.
        remove: whether strangers go.

    Raises:
        typer.Exit: a file cannot be written.
    """
    for folder, texts in wanted.items():
        changed = 0
        try:
            for path, text in stale(folder, texts):
                if text is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8")
                elif remove:
                    path.unlink()
                else:
                    continue
                changed += 1
        except OSError as error:
            typer.echo(f"rackwatt: {error.filename}: {error.strerror}", err=True)
            raise typer.Exit(1) from None
        typer.echo(f"{len(texts)} files in {folder}, {changed} changed")


def compare(wanted: Wanted, stale: Stale, *, kind: str, command: str) -> None:
    """Print how files differ from what the code makes.

    Args:
        wanted: what should be there.
        stale: tells what is not.
        kind: of the files, like `dashboards`.
        command: that mends it.

    Raises:
        typer.Exit: some differ.
    """
    found = [item for folder, texts in wanted.items() for item in stale(folder, texts)]
    for path, text in found:
        if text is None:
            typer.echo(f"{path}: none of {kind}; only generated files lie here", err=True)
            continue
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        names = (f"{path} (there)", f"{path} (made)")
        for line in difflib.unified_diff(
            before.splitlines(), text.splitlines(), *names, lineterm=""
        ):
            typer.echo(line)
        typer.echo(f"{path}: out of date; run '{command}'", err=True)
    if found:
        raise typer.Exit(1)
    typer.echo(f"{sum(map(len, wanted.values()))} files of {kind}, all up to date")

# SPDX-License-Identifier: Apache-2.0
"""What commands say when what they were given does not do: one plain line each, exit code 2."""

from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from rackwatt.collector.site.loader import load_site
from rackwatt.collector.site.topology import Site
from rackwatt.wire.config import ConfigErrors


def console(*, err: bool = False) -> Console:
    """A console that wraps nothing and colours only what it is told to."""
    return Console(stderr=err, soft_wrap=True, highlight=False)


def stop(message: str, code: int = 2) -> NoReturn:
    """Say why a command ends here.

    Raises:
        typer.Exit: always.
    """
    console(err=True).print(Text(f"rackwatt: {message}", style="red" if code else ""))
    raise typer.Exit(code)


def show_errors(errors: ConfigErrors) -> None:
    """Print what is wrong in a file as compilers do, in colours."""
    out = console(err=True)
    for error in errors.errors:
        text = Text(f"{error.file}:{error.line}:", style="bold")
        text.append(f" {error.key}:" if error.key else "", style="cyan")
        text.append(f" {error.message}", style="red")
        text.append(f" ({error.hint})" if error.hint else "", style="green")
        out.print(text)


def load_or_stop(path: Path) -> Site:
    """Read a site file.

    Raises:
        typer.Exit: it is wrong; what is was said.
    """
    try:
        return load_site(path)
    except ConfigErrors as errors:
        show_errors(errors)
        raise typer.Exit(2) from errors

# SPDX-License-Identifier: Apache-2.0
"""How the long-running commands start, end and fail: plain lines and exit codes."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import typer

from rackwatt.collector.roles.arguments import UsageProblem, read_secret
from rackwatt.collector.roles.up import TOKEN_VARIABLE
from rackwatt.collector.service import run_until_stopped
from rackwatt.collector.store.open import TokenError
from rackwatt.wire.config import ConfigErrors, parse_duration

_LEAST: Final = 16


def seconds_of(text: str, option: str) -> float:
    """Seconds, above 0."""
    try:
        seconds = float(str(parse_duration(text)))
    except ValueError as error:
        raise UsageProblem(f"{option}: {error}, not {text!r}") from None
    if seconds <= 0:
        raise UsageProblem(f"{option}: must be more than 0")
    return seconds


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """What is wrong with the arguments becomes a plain line or a few, and exit code 2."""
    try:
        yield
    except ConfigErrors as errors:
        typer.echo(str(errors), err=True)
    except (UsageProblem, TokenError) as error:
        typer.echo(f"rackwatt: {error}", err=True)
    else:
        return
    raise typer.Exit(2)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
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


def internal_token(file: Path | None = None) -> str:
    """The token between collector and accountant: in the file, or else in the environment.

    Raises:
        UsageProblem: there is none, or it is too short.
    """
    if file is not None:
        return read_secret("--internal-token-file", file, _LEAST)
    token = os.environ.get(TOKEN_VARIABLE, "")
    if len(token) < _LEAST:
        raise UsageProblem(
            f"set {TOKEN_VARIABLE} to the same secret of at least {_LEAST} characters "
            "for collector and accountant, or name its file with --internal-token-file"
        )
    return token

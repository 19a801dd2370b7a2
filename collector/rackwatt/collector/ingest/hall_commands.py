# SPDX-License-Identifier: Apache-2.0
"""`rackwatt hall`: take a hall from one collector to another, and ask for nothing twice."""

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Annotated, Final, NoReturn

import msgspec
import typer

from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.ingest.commands import spool_file
from rackwatt.collector.ingest.moving import HallState, UnknownHall, export_hall, import_hall
from rackwatt.collector.ingest.spool import Spool
from rackwatt.collector.ingest.state import SPOOL_FILE, SpoolBusy, SpoolLock
from rackwatt.wire.clock import SYSTEM_CLOCK

_ANY_SIZE: Final = 2**62

hall_app = typer.Typer(
    help="Take a hall from one collector to another.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
)

Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="The collector's folder.")]


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"rackwatt: {message}", err=True)
    raise typer.Exit(code)


@hall_app.command(
    "export",
    epilog=more(
        "rackwatt hall export hall-b --data /var/lib/rackwatt --out hall-b.json",
        failed="the spool cannot be read, or the file cannot be written",
        wrong="no spool, or no agent of that hall in it",
    ),
)
def export_command(
    hall: Annotated[str, typer.Argument(metavar="HALL", help="The hall's id in the site file.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it.")],
) -> None:
    """Write what a collector knows of a hall's agents to a file.

    The collector may be running, or dead: only its folder is read. It goes on as before; start it
    without the hall once the other collector has it. See docs/operations.md.
    """
    try:
        state = export_hall(spool_file(data), hall, SYSTEM_CLOCK.now_ms())
        _write(out, msgspec.json.format(msgspec.json.encode(state), indent=1))
    except UnknownHall as error:
        _fail(str(error), 2)
    except (sqlite3.Error, OSError) as error:
        _fail(f"{data} to {out}: {error}", 1)
    agents = len(state.agents)
    typer.echo(f"{out}: {agents} agents of {hall}, {state.messages():,} messages known as taken")


@hall_app.command(
    "import",
    epilog=more(
        "rackwatt hall import hall-b.json --data /var/lib/rackwatt",
        failed="the spool is in use, or cannot be written",
        wrong="no such file, or it is no hall's state; nothing was changed",
    ),
)
def import_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What 'hall export' wrote.")],
    data: Data,
) -> None:
    """Give a collector what another one knows of a hall.

    The collector must be stopped; it need never have run. Start it with --hall HALL afterwards: it
    asks the agents for what neither of the two has.
    """
    try:
        state = msgspec.json.decode(file.read_bytes(), type=HallState)
    except OSError as error:
        _fail(f"{file}: {error.strerror}", 2)
    except (msgspec.MsgspecError, ValueError) as error:
        _fail(f"{file} is no file of 'rackwatt hall export': {error}", 2)
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = SpoolLock(data / SPOOL_FILE)
        try:
            asyncio.run(_import(data / SPOOL_FILE, state))
        finally:
            lock.release()
    except (SpoolBusy, sqlite3.Error, OSError) as error:
        _fail(str(error), 1)
    typer.echo(f"{data}: knows {len(state.agents)} agents of {state.hall}; start it with "
               f"--hall {state.hall}")  # fmt: skip


async def _import(path: Path, state: HallState) -> None:
    spool = Spool(path, max_bytes=_ANY_SIZE, clock=SYSTEM_CLOCK)
    try:
        await spool.start()
        await spool.adopt(lambda db: import_hall(db, state))
    finally:
        await spool.aclose()


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing, and on the disk: the next step may delete what it was made from."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(data + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)

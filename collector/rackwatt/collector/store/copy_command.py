# SPDX-License-Identifier: Apache-2.0
"""`rackwatt store copy`: from the embedded store to InfluxDB."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from rackwatt.collector.roles.arguments import UsageProblem
from rackwatt.collector.roles.options import store_of
from rackwatt.collector.site.console import console, stop
from rackwatt.collector.store.base import StoreError, StoreUnavailable
from rackwatt.collector.store.copying import MARKS, Copied, Marks, Moved, copy_store
from rackwatt.collector.store.influx import InfluxStore
from rackwatt.collector.store.open import DEFAULT_ORG, RAW_BUCKET, ROLLUPS_BUCKET, TokenError
from rackwatt.collector.store.read import measurements, store_directories
from rackwatt.wire.backoff import Backoff

_TRIES: Final = 8
"""In a row without an answer, with growing pauses: two minutes or so."""


def copy_command(
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Folder with the embedded store.")
    ],
    influx: Annotated[str, typer.Option("--influx", metavar="URL", help="InfluxDB's address.")],
    influx_org: Annotated[
        str, typer.Option("--influx-org", metavar="NAME", help="Its organization.")
    ] = DEFAULT_ORG,
    influx_bucket: Annotated[
        str, typer.Option("--influx-bucket", metavar="NAME", help="Its bucket for readings.")
    ] = RAW_BUCKET,
    influx_rollups_bucket: Annotated[
        str,
        typer.Option("--influx-rollups-bucket", metavar="NAME", help="Its bucket for the rest."),
    ] = ROLLUPS_BUCKET,
    influx_token_file: Annotated[
        Path | None,
        typer.Option("--influx-token-file", metavar="FILE", help="File that holds the token."),
    ] = None,
    influx_ca_file: Annotated[
        Path | None,
        typer.Option("--influx-ca-file", metavar="FILE", help="CA of its certificate."),
    ] = None,
) -> None:
    """Copy the embedded store's rows into InfluxDB.

    Readings, rollups and the ledger's copy, which may be in use meanwhile. Run it, restart the
    roles with --influx, and run it once more for what came in between. One that was broken off goes
    on where it was: DIR/store-copy.json remembers.
    """
    folders = store_directories(data)
    if not folders or not measurements(folders):
        stop(f"--data: no embedded store in {data}: name the folder of 'rackwatt up' or of a role")
    buckets = (influx_bucket, influx_rollups_bucket)
    try:
        store = store_of(data, influx, influx_org, buckets, influx_token_file, influx_ca_file)
    except (UsageProblem, TokenError) as error:
        stop(str(error))
    if not isinstance(store, InfluxStore):
        raise TypeError(store)
    try:
        marks = Marks(data / MARKS, store.identity())
    except (ValueError, OSError) as error:
        stop(f"{data / MARKS}: {error}; delete it to begin anew: nothing is doubled by it")
    try:
        done = asyncio.run(_copy(folders, store, marks))
    except (StoreError, sqlite3.Error, OSError, json.JSONDecodeError) as error:
        stop(f"{error}; run it again, and it goes on where it is", 1)
    out = console()
    for name, count in done.rows.items():
        if count:
            out.print(f"{name:<28}{count:>14,} rows")
    out.print(f"{sum(done.rows.values()):,} rows copied to {influx}")
    if done.refused:
        stop(f"{done.refused:,} rows were refused, the first: {done.reason}", 1)


async def _copy(folders: list[Path], store: InfluxStore, marks: Marks) -> Copied:
    with Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        console=console(err=True),
        transient=True,
    ) as progress:
        task = progress.add_task("", total=len(measurements(folders)), rows=0)

        def told(moved: Moved) -> None:
            progress.update(task, description=moved.measurement, completed=moved.number - 1,
                            rows=moved.rows)  # fmt: skip

        backoff = Backoff(first=1.0, cap=30.0)
        tries = 0
        try:
            while True:
                try:
                    await store.start()
                    found = await copy_store(folders, store, marks, told)
                except StoreUnavailable:
                    tries += 1
                    if tries >= _TRIES:
                        raise
                    await asyncio.sleep(backoff.next())
                else:
                    return found
        finally:
            await store.aclose()

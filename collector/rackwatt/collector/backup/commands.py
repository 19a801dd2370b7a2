# SPDX-License-Identifier: Apache-2.0
"""`rackwatt backup` and `rackwatt restore`."""

import sqlite3
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from rackwatt.collector.backup.archive import (
    BackupError,
    Manifest,
    read_manifest,
    restore_backup,
    write_backup,
)
from rackwatt.collector.backup.contents import Part, contents
from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.ledger.reading import OlderLedger
from rackwatt.collector.ledger.schema import NewerLedger
from rackwatt.collector.site.console import load_or_stop, stop
from rackwatt.wire.clock import SYSTEM_CLOCK

backup_app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=NARROW)
restore_app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=NARROW)


@backup_app.command(
    "backup",
    epilog=more(
        "rackwatt backup --data data --out /backup/rackwatt-2026-10-01.tar.gz",
        "rackwatt backup --data /var/lib/rackwatt --site site.yaml --out FILE --with-store",
        failed="something cannot be copied or written; no file was made",
        wrong="nothing to back up there, the file exists, or wrong usage",
    ),
)
def backup_command(
    data: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Of 'rackwatt up', a collector or the accountant."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The archive; not there yet.")],
    site: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The site file, copied with what it names."),
    ] = None,
    with_store: Annotated[
        bool, typer.Option("--with-store", help="The embedded store too, 48 h of readings.")
    ] = False,
) -> None:
    """Copy the books, spools and the site file into one archive.

    All of it may be in use: nothing is stopped. Where collectors run on machines of their own,
    back each of them up before the accountant. Not in it: keys, tokens, certificates, InfluxDB's
    data and agents' outboxes. Prove a restored ledger with 'rackwatt ledger verify'.
    """
    if out.exists():
        stop(f"--out: {out} is there already: a backup is never written over another one")
    if not data.is_dir():
        stop(f"--data: there is no folder {data}")
    if site is None and (data / "site.yaml").is_file():
        site = data / "site.yaml"
    loaded = None if site is None else load_or_stop(site)
    sources = contents(data, site, loaded, with_store=with_store)
    if not any(source.part in (Part.SPOOL, Part.LEDGER) for source in sources):
        stop(
            f"--data: neither a ledger nor a spool in {data}: name the folder of 'rackwatt up', "
            "'rackwatt collect' or 'rackwatt account'"
        )
    made = datetime.fromtimestamp(SYSTEM_CLOCK.now_ms() / 1000, UTC).isoformat(timespec="seconds")
    try:
        manifest = write_backup(sources, out, made, version("rackwatt"), typer.echo)
    except (BackupError, NewerLedger, OlderLedger, sqlite3.Error, OSError) as error:
        stop(str(error), 1)
    size = out.stat().st_size
    typer.echo(f"{out}: {len(manifest.files)} files, {size / 1e6:,.1f} MB{_ledger(manifest)}")
    if loaded is None:
        typer.echo("without a site file: give it with --site, the books are proved with it")


@restore_app.command(
    "restore",
    epilog=more(
        "rackwatt restore /backup/rackwatt-2026-10-01.tar.gz --data data",
        "rackwatt restore FILE --list",
        failed="the archive is damaged, or the folder cannot be written; it is as it was",
        wrong="no backup, the folder is not empty, or wrong usage",
    ),
)
def restore_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What 'rackwatt backup' wrote.")],
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Empty, or not there yet.")
    ] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Only say what is in it.")] = False,
) -> None:
    """Put a backup into an empty folder, proved by its hashes.

    The site file and what it names come into the folder 'site' there. Then start as before: what
    arrived after the backup is asked for again from the agents, which keep a day.
    """
    try:
        if only_list:
            manifest = read_manifest(file)
            for entry in manifest.files:
                typer.echo(f"{entry.part:<14} {entry.name}  {entry.bytes / 1e6:,.1f} MB")
            typer.echo(f"made {manifest.made} by rackwatt {manifest.software}{_ledger(manifest)}")
            return
        if data is None:
            stop("--data: say where to restore it, or --list to look into it")
        read_manifest(file)
    except BackupError as error:
        stop(str(error))
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        stop(f"--data: {data} is not empty: name a folder that is, or that is not there yet")
    try:
        manifest = restore_backup(file, data, typer.echo)
    except (BackupError, sqlite3.Error, OSError) as error:
        stop(str(error), 1)
    typer.echo(f"{data}: as of {manifest.made}{_ledger(manifest)}")
    if manifest.ledger is not None:
        typer.echo(f"now prove it: rackwatt ledger verify --data {data}{_site(manifest, data)}")


def _ledger(manifest: Manifest) -> str:
    if manifest.ledger is None:
        return ""
    return f"; the ledger ends with entry {manifest.ledger.seq}, {manifest.ledger.hash[:16]}"


def _site(manifest: Manifest, data: Path) -> str:
    names = [
        entry.name
        for entry in manifest.files
        if entry.part == Part.SITE and entry.name.endswith((".yaml", ".yml"))
    ]
    own = [name for name in names if not name.endswith(".moves.yaml")]
    return f" --site {data / own[0]}" if own else ""

# SPDX-License-Identifier: Apache-2.0
"""`rackwatt store`: set InfluxDB up, and look into a store."""

import os
import sqlite3
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.roles.arguments import UsageProblem, http_url, usable_authority
from rackwatt.collector.store.base import StoreError
from rackwatt.collector.store.copy_command import copy_command
from rackwatt.collector.store.dump import (
    Dump,
    Selection,
    dump_embedded,
    dump_influx,
    write_dump,
)
from rackwatt.collector.store.open import (
    DEFAULT_ORG,
    RAW_BUCKET,
    ROLLUPS_BUCKET,
    TOKEN_VARIABLE,
    TokenError,
    read_token,
)
from rackwatt.collector.store.read import measurements, store_directories
from rackwatt.collector.store.setup import RAW_SECONDS, Plan, set_up
from rackwatt.collector.store.thinning import LEAST_DAYS, thin
from rackwatt.wire.config import nearest, parse_duration
from rackwatt.wire.readings import KINDS

if TYPE_CHECKING:
    from rackwatt.collector.store.http import InfluxHttp

store_app = typer.Typer(
    help="Set up InfluxDB, and look into a store.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
)


class DumpFormat(StrEnum):
    """How a dump is written."""

    CSV = "csv"
    JSONL = "jsonl"


Url = Annotated[str, typer.Option("--influx", metavar="URL", help="InfluxDB's address.")]
OptionalUrl = Annotated[
    str | None, typer.Option("--influx", metavar="URL", help="Read this InfluxDB.")
]
Org = Annotated[str, typer.Option("--influx-org", metavar="NAME", help="Its organization.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--influx-token-file",
        metavar="FILE",
        help=f"File that holds the token; without it {TOKEN_VARIABLE} does.",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--influx-ca-file", metavar="FILE", help="CA of its certificate; default: the system's."
    ),
]


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"rackwatt: {message}", err=True)
    raise typer.Exit(code)


def _connect(url: str, org: str, token_file: Path | None, ca_file: Path | None) -> "InfluxHttp":
    from rackwatt.collector.store.http import InfluxHttp

    try:
        usable_authority("--influx-ca-file", ca_file)
        authority = None if ca_file is None else str(ca_file)
        return InfluxHttp(http_url("--influx", url), org, read_token(token_file), authority)
    except (TokenError, UsageProblem) as error:
        _fail(str(error), 2)


def _seconds(text: str) -> int:
    if text == "forever":
        return 0
    seconds = _duration(text)
    if seconds is None or seconds < 3600 or seconds % 3600:
        _fail(f"--raw-keep: expects whole hours, like 720h or 30d, or 'forever', not {text!r}", 2)
    return int(seconds)


def _duration(text: str) -> float | None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return None
    return seconds if isinstance(seconds, float) else None


def _moment(option: str, text: str) -> int:
    example = "like 2026-10-01T00:00:00+01:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _fail(f"{option}: expects a time {example}, not {text!r}", 2)
    if moment.tzinfo is None:
        _fail(f"{option}: a time needs its offset, {example}", 2)
    return round(moment.timestamp() * 1000)


@store_app.command(
    "setup",
    epilog=more(
        "rackwatt store setup --influx http://127.0.0.1:8086 --token-dir tokens",
        "rackwatt store setup --influx URL --token-dir tokens --raw-keep 30d",
        failed="InfluxDB cannot be reached or refuses, or a token cannot be written",
        wrong="wrong input or usage; nothing was changed",
    ),
)
def setup_command(
    influx: Url,
    token_dir: Annotated[
        Path, typer.Option("--token-dir", metavar="DIR", help="Where the tokens are written.")
    ],
    influx_org: Org = DEFAULT_ORG,
    influx_token_file: TokenFile = None,
    influx_ca_file: CaFile = None,
    raw_bucket: Annotated[
        str, typer.Option(metavar="NAME", help="Bucket for readings.")
    ] = RAW_BUCKET,
    rollups_bucket: Annotated[
        str, typer.Option(metavar="NAME", help="Bucket for rollups and the ledger's copy.")
    ] = ROLLUPS_BUCKET,
    raw_keep: Annotated[
        str, typer.Option(metavar="TIME", help="How long readings stay: 720h, 30d or forever.")
    ] = f"{RAW_SECONDS // 3600}h",
) -> None:
    """Make buckets, mappings and least-right tokens in InfluxDB 2.x.

    Needs an operator's token, for this once, in RACKWATT_INFLUX_TOKEN or a file. May be run
    again at any time: what is there stays, what differs is corrected, and each thing is named.
    The tokens go into files that only you can read.
    """
    plan = Plan(token_dir, raw_bucket, rollups_bucket, _seconds(raw_keep))
    with _connect(influx, influx_org, influx_token_file, influx_ca_file) as server:
        try:
            set_up(server, plan, typer.echo)
        except StoreError as error:
            _fail(str(error), 1)
        except OSError as error:
            _fail(f"{error.filename or 'token'} cannot be written: {error.strerror}", 1)


@store_app.command(
    "dump",
    epilog=more(
        "rackwatt store dump power --data data | head",
        "rackwatt store dump energy_balance --data data --format jsonl",
        "rackwatt store dump gpu --data data --device r1-01-n1/GPU-0 --format jsonl",
        "rackwatt store dump power --influx http://127.0.0.1:8086 --influx-token-file FILE \\\n"
        "      --from 2026-10-01T00:00:00+01:00 --to 2026-10-02T00:00:00+01:00 --out day.csv",
        failed="the store cannot be read, or the file cannot be written",
        wrong="no such measurement or store, or wrong usage",
    ),
)
def dump_command(
    measurement: Annotated[
        str,
        typer.Argument(
            metavar="MEASUREMENT",
            help=f"One of {', '.join(KINDS)}, a rollup, or one of the ledger's copy.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Read the embedded store below this folder."),
    ] = None,
    influx: OptionalUrl = None,
    influx_org: Org = DEFAULT_ORG,
    influx_bucket: Annotated[
        str | None,
        typer.Option(
            "--influx-bucket",
            metavar="NAME",
            help=f"The bucket to read; default: {RAW_BUCKET} for readings, else {ROLLUPS_BUCKET}.",
        ),
    ] = None,
    influx_token_file: TokenFile = None,
    influx_ca_file: CaFile = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="Only this device.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="From this time on.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Up to this time, excluded.")
    ] = None,
    form: Annotated[DumpFormat, typer.Option("--format", help="How to write.")] = DumpFormat.CSV,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write here, not to the terminal.")
    ] = None,
) -> None:
    """Write a measurement's rows as CSV or JSON lines.

    Unknown values are empty in CSV and left out in JSON; they are never 0.
    """
    if (data is None) == (influx is None):
        _fail("name one store: --data DIR or --influx URL", 2)
    selection = Selection(
        measurement,
        device,
        None if start is None else _moment("--from", start),
        None if end is None else _moment("--to", end),
    )
    with ExitStack() as stack:
        try:
            if data is not None:
                dump, known = _from_files(_store_directories(data), selection)
            else:
                server = stack.enter_context(
                    _connect(influx or "", influx_org, influx_token_file, influx_ca_file)
                )
                bucket = influx_bucket or (RAW_BUCKET if measurement in KINDS else ROLLUPS_BUCKET)
                dump, known = dump_influx(server, bucket, selection), list(KINDS)
            if dump is None:
                hint = nearest(measurement, known)
                _fail(f"no measurement {measurement!r} here{f' ({hint})' if hint else ''}", 2)
            _write(dump, form, out)
        except OSError as error:
            _fail(f"{error.filename or out or 'stdout'}: {error.strerror}", 1)
        except (StoreError, sqlite3.Error) as error:
            _fail(str(error), 1)


def _from_files(directory: list[Path], selection: Selection) -> tuple[Dump | None, list[str]]:
    dump = dump_embedded(directory, selection)
    return dump, list(measurements(directory)) if dump is None else []


def _write(dump: Dump, form: DumpFormat, out: Path | None) -> None:
    if out is not None:
        with out.open("w", encoding="utf-8", newline="") as file:
            count = write_dump(dump, file, form.value)
        typer.echo(f"{count} rows in {out}")
        return
    try:
        write_dump(dump, sys.stdout, form.value)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough (`| head`); nothing more may go to the pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _store_directories(data: Path) -> list[Path]:
    """The folders to read: readings, and the ledger's copy."""
    found = store_directories(data)
    if not found:
        _fail(f"no folder {data}", 2)
    return found


store_app.command(
    "copy",
    epilog=more(
        "rackwatt store copy --data data --influx http://127.0.0.1:8086 \\\n"
        "      --influx-token-file tokens/influx-write.token",
        failed="InfluxDB does not answer, or refused rows; what was copied is remembered",
        wrong="no embedded store there, or wrong usage",
    ),
)(copy_command)


@store_app.command(
    "thin",
    epilog=more(
        "rackwatt store thin --influx http://127.0.0.1:8086 --minutes-keep 90d \\\n"
        "      --influx-token-file tokens/influx-write.token",
        failed="InfluxDB does not answer or refuses; run it again",
        wrong="wrong input or usage; nothing was deleted",
    ),
)
def thin_command(
    influx: Url,
    minutes_keep: Annotated[
        str, typer.Option(metavar="TIME", help=f"How long minutes stay: {LEAST_DAYS}d or more.")
    ],
    influx_org: Org = DEFAULT_ORG,
    influx_rollups_bucket: Annotated[
        str, typer.Option("--influx-rollups-bucket", metavar="NAME", help="Bucket for rollups.")
    ] = ROLLUPS_BUCKET,
    influx_token_file: TokenFile = None,
    influx_ca_file: CaFile = None,
) -> None:
    """Delete old minutes of readings from InfluxDB; hours stay.

    What the accountant wrote (the ledger's copy, chains, racks and halls) stays, too. Call it by
    cron, each day: minutes are the most of what is kept for ever.
    """
    seconds = _duration(minutes_keep)
    if seconds is None or seconds < LEAST_DAYS * 86_400:
        _fail(f"--minutes-keep: expects {LEAST_DAYS}d or more, not {minutes_keep!r}", 2)
    before = datetime.now(UTC) - timedelta(seconds=seconds)
    with _connect(influx, influx_org, influx_token_file, influx_ca_file) as server:
        try:
            end = thin(server, influx_rollups_bucket, before, typer.echo)
        except StoreError as error:
            _fail(f"{error}; run it again", 1)
    typer.echo("no minutes that old" if end is None else f"no minutes before {end:%Y-%m-%d} now")

# SPDX-License-Identifier: Apache-2.0
"""`rackwatt report`: the monthly report that someone signs, its proof and its signatures."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.ledger.commands.options import (
    DATA,
    SITE,
    DataFolder,
    SiteFile,
    ledger_file,
    need_site,
)
from rackwatt.collector.ledger.reading import OlderLedger
from rackwatt.collector.roles.options import (
    InfluxCaFile,
    InfluxOrg,
    InfluxRollups,
    InfluxTokenFile,
)
from rackwatt.collector.signing.keys import KeyProblem, PublicKey, SigningKey
from rackwatt.collector.signing.sealed import SealProblem, check, seal, sign
from rackwatt.collector.site import Site
from rackwatt.collector.site.console import console, stop
from rackwatt.collector.store.open import DEFAULT_ORG, ROLLUPS_BUCKET
from rackwatt.reports.books import BooksAt
from rackwatt.reports.checking import Verdict, check_report
from rackwatt.reports.copycli import Place, ReadInflux, copy_at
from rackwatt.reports.copymaking import compare_with_copy, make_from_copy
from rackwatt.reports.document import Report
from rackwatt.reports.filing import (
    Filed,
    FileProblem,
    read_filed,
    write_file,
)
from rackwatt.reports.folder import file_report
from rackwatt.reports.making import NothingBooked, Wanted, make
from rackwatt.reports.tariff import BadTariff, Tariff, read_tariff
from rackwatt.reports.times import BadPeriod, before, month_at, span_named
from rackwatt.wire.clock import SYSTEM_CLOCK

LANGUAGES: Final = ("en", "fr", "ar")
ROLES: Final = ("prepared", "reviewed", "approved")

app = typer.Typer(
    name="report",
    help=(
        "Make, prove and sign the monthly report.\n\n"
        "From the book of record alone: the same books give the same bytes, whenever and wherever "
        "it is called. A report that is not final says so, and why."
    ),
    invoke_without_command=True,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
    epilog=more(
        "rackwatt report --month 2026-10 --data data --out reports",
        "rackwatt report --month 2026-10 --lang fr --lang ar --out reports --tariff tariff.yaml",
        "rackwatt report --month last --data data --out reports      # by cron, each day",
        "rackwatt report --year 2026 --out reports",
        "rackwatt report verify reports/rackwatt-demo-2026-10-en.json --data data",
        done="done; a preliminary report too, which says why it is one",
    ),
)

LAST: Final = "last"
"""The month that ended last by the site's clocks: what a calendar's job asks for."""

Tariffs = Annotated[
    Path | None,
    typer.Option("--tariff", metavar="FILE", help="What tenants pay: YAML, see docs/report.md."),
]


@app.callback()
def report_command(
    context: typer.Context,
    month: Annotated[
        str | None,
        typer.Option("--month", metavar="MONTH", help="Like 2026-10; 'last' ended last."),
    ] = None,
    year: Annotated[str | None, typer.Option("--year", metavar="YEAR", help="Like 2026.")] = None,
    languages: Annotated[
        list[str] | None,
        typer.Option("--lang", metavar="LANG", help="en, fr or ar; repeatable."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")] = Path(
        "reports"
    ),
    tariff: Tariffs = None,
    data: DataFolder = DATA,
    site: SiteFile = None,
    influx: ReadInflux = None,
    influx_org: InfluxOrg = DEFAULT_ORG,
    influx_rollups_bucket: InfluxRollups = ROLLUPS_BUCKET,
    influx_token_file: InfluxTokenFile = None,
    influx_ca_file: InfluxCaFile = None,
) -> None:
    """Make the report of a month or a year: PDF, CSV and JSON, with tenants' statements."""
    if context.invoked_subcommand is not None:
        return
    if (month is None) == (year is None):
        stop("name what to report: --month 2026-10 or --year 2026")
    chosen = languages or ["en"]
    for language in chosen:
        if language not in LANGUAGES:
            stop(f"--lang: no language {language!r}: choose {', '.join(LANGUAGES)}")
    loaded = need_site(site, data)
    label, option = (month or year or "").strip(), "--month" if month else "--year"
    if month is not None and label == LAST:
        label = before(month_at(SYSTEM_CLOCK.now_ms(), loaded.timezone))
    _check_label(option, label, loaded)
    prices = _tariff(tariff)
    if influx is not None:
        if year is not None:
            stop("--year: sums of a year are in the book of record alone: --data, without --influx")
        place = Place(influx, influx_org, influx_rollups_bucket, influx_token_file, influx_ca_file)
        with copy_at(place, loaded) as copy:
            made = make_from_copy(copy, loaded, Wanted(label, prices))
    else:
        path = ledger_file(data)
        with _plainly(path), _progress(label) as told, BooksAt(path) as books:
            made = make(books, loaded, Wanted(label, prices, site or data / SITE, told))
    try:
        for language in dict.fromkeys(chosen):
            file_report(out, language, made)
    except FileProblem as error:
        stop(str(error), 1)
    _say(made)


@app.command(
    "verify",
    epilog=more(
        "rackwatt report verify reports/rackwatt-demo-2026-10-en.json --data data",
        "rackwatt report verify FILE.json --data copy.db --site site.yaml --key auditor.pub",
        done="every figure is what the books give",
        failed="a figure is not, the journal was changed, or a signature is wrong",
    ),
)
def verify_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The report's JSON.")],
    keys: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="A public key that you trust; repeatable."),
    ] = None,
    tariff: Tariffs = None,
    data: DataFolder = DATA,
    site: SiteFile = None,
    influx: ReadInflux = None,
    influx_org: InfluxOrg = DEFAULT_ORG,
    influx_rollups_bucket: InfluxRollups = ROLLUPS_BUCKET,
    influx_token_file: InfluxTokenFile = None,
    influx_ca_file: InfluxCaFile = None,
) -> None:
    """Compute a report again from the journal.

    Every figure, from the entry of the journal that the report names; what was restated since is
    told. With --key the signatures are checked too.
    """
    try:
        filed = read_filed(file)
        trusted = [PublicKey.read(path) for path in keys or []]
    except (FileProblem, KeyProblem) as error:
        stop(str(error))
    report = filed.report
    if tariff is None and any(one.currency is not None for one in report.tenants):
        stop(f"{file} was made with a tariff: name the same one with --tariff")
    loaded = need_site(site, data)
    _check_label("FILE", report.period.label, loaded)
    if influx is not None:
        place = Place(influx, influx_org, influx_rollups_bucket, influx_token_file, influx_ca_file)
        with copy_at(place, loaded) as copy:
            again = make_from_copy(copy, loaded, Wanted(report.period.label, _tariff(tariff)))
        verdict = compare_with_copy(report, again)
        wrong = [*verdict.findings, *_signatures(filed, trusted)]
        _tell(report, verdict, wrong)
        console().print("compared with the latest revisions in the copy alone: it has no proof")
        raise typer.Exit(1 if wrong else 0)
    if report.proof.source == "copy":
        stop(f"{file} was made from the copy: compare it with --influx, or make it from --data")
    path = ledger_file(data)
    with (
        _plainly(path),
        _progress(report.period.label) as told,
        BooksAt(path, report.proof.entry) as books,
    ):
        verdict = check_report(
            books,
            loaded,
            report,
            Wanted(report.period.label, _tariff(tariff), site or data / SITE, told),
        )
    wrong = [*verdict.findings, *_signatures(filed, trusted)]
    _tell(report, verdict, wrong)
    raise typer.Exit(1 if wrong else 0)


@app.command(
    "sign",
    epilog=more(
        "rackwatt report sign reports/rackwatt-demo-2026-10-en.json --role prepared \\\n"
        "      --signer 'A. Amrani' --key pki/signing/amrani.key",
        done="signed: the report is frozen",
        failed="it may not be signed: it is preliminary, or from the copy",
    ),
)
def sign_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The report's JSON.")],
    role: Annotated[
        str, typer.Option("--role", metavar="ROLE", help="prepared, reviewed or approved.")
    ],
    signer: Annotated[str, typer.Option("--signer", metavar="NAME", help="Who signs.")],
    key: Annotated[
        Path,
        typer.Option("--key", metavar="FILE", help="Your key: 'rackwatt pki sign-key NAME'."),
    ],
    time: Annotated[
        str | None,
        typer.Option("--time", metavar="TIME", help="When, ISO 8601 with offset; default: now."),
    ] = None,
) -> None:
    """Sign a final report, which freezes it.

    With Ed25519, by your key. From then on a change in the books makes a revision with a table of
    differences; the signed one stays in revisions/.
    """
    if role not in ROLES:
        stop(f"--role: no role {role!r}: choose {', '.join(ROLES)}")
    if not signer.strip():
        stop("--signer: say who signs")
    when = _moment(time)
    try:
        filed, secret = read_filed(file), SigningKey.read(key)
    except (FileProblem, KeyProblem) as error:
        stop(str(error))
    report = filed.report
    if report.proof.source != "ledger":
        stop(f"{file} is from the copy, which proves nothing: make it with --data, then sign", 1)
    if report.state != "final":
        reasons = "; ".join(one.text for one in report.reasons)
        stop(f"{file} is preliminary and may not be signed: {reasons}", 1)
    if any(one.get("role") == role for one in filed.signatures):
        stop(f"{file} is signed as {role} already", 1)
    document = seal(report.model_dump(mode="json"))["document"]
    made = sign(document, secret, role=role, signer=signer.strip(), time=when)
    try:
        write_file(file, Filed(report, [*filed.signatures, made]).text.encode())
    except FileProblem as error:
        stop(str(error), 1)
    typer.echo(f"signed   {file} as {role}, by {signer.strip()}")
    typer.echo(f"key      {secret.public.id}")
    typer.echo("The PDF shows it when the report is made again; the month is frozen.")


def _say(report: Report) -> None:
    out = console()
    if report.state == "final":
        out.print(f"{report.period.label} is final: it can be signed.")
        return
    out.print(Text(f"{report.period.label} is preliminary:", style="yellow"))
    for one in report.reasons:
        out.print(Text(f"  {one.text}"))


def _tell(report: Report, verdict: Verdict, wrong: list[str]) -> None:
    out = console()
    out.print(f"entry       {report.proof.entry} of the journal, revision {report.revision}")
    out.print(f"values      {verdict.compared} computed again")
    if verdict.restated:
        said = ", ".join(
            f"{count} by {cause} ({author})" for (cause, author), count in verdict.causes.items()
        )
        out.print(f"since then  {verdict.restated} minutes of the period were restated: {said}")
    else:
        out.print("since then  nothing of the period was restated")
    for text in wrong:
        out.print(Text(text, style="red"))
    out.print("sound: nothing is wrong" if not wrong else f"{len(wrong)} findings")


def _signatures(filed: Filed, keys: list[PublicKey]) -> list[str]:
    """What is wrong with the signatures, by the keys that are trusted."""
    if not keys:
        return []
    sealed = seal(filed.report.model_dump(mode="json"), filed.signatures)
    try:
        _, found = check(sealed, keys)
    except SealProblem as error:
        return [str(error)]
    wrong = [
        f"the signature as {one.role} by {one.signer} is wrong: the report was changed"
        for one in found
        if one.known and not one.valid
    ]
    if not any(one.valid for one in found):
        wrong.append("no signature is by a key that was given")
    return wrong


def _tariff(path: Path | None) -> Tariff | None:
    try:
        return None if path is None else read_tariff(path)
    except BadTariff as error:
        stop(f"--tariff: {error}")


def _check_label(option: str, label: str, site: Site) -> None:
    if option == "--year" and "-" in label:
        stop(f"--year: expects a year like 2026, not {label!r}")
    if option == "--month" and "-" not in label:
        stop(f"--month: expects a month like 2026-10, not {label!r}")
    try:
        span_named(label, site.timezone)
    except BadPeriod as error:
        stop(f"{option}: {error}")


def _moment(text: str | None) -> str:
    if text is None:
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        stop(f"--time: expects a time like 2026-11-03T10:00:00+01:00, not {text!r}")
    if found.tzinfo is None:
        stop(f"--time: {text!r} has no offset")
    return found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _progress(label: str) -> Iterator[Any]:
    """Say how far it is, on a terminal."""
    out = Console(stderr=True)
    if not sys.stderr.isatty():
        yield lambda _time_ms: None
        return
    with out.status(f"reading the books of {label}") as status:

        def told(time_ms: int) -> None:
            day = datetime.fromtimestamp(time_ms / 1000, UTC).date()
            status.update(f"reading the books of {label}: {day}")

        yield told


@contextmanager
def _plainly(path: Path) -> Iterator[None]:
    """Say in one line why a ledger cannot be read, or holds nothing."""
    try:
        yield
    except NothingBooked as error:
        stop(str(error))
    except OlderLedger as error:
        stop(str(error), 1)
    except sqlite3.DatabaseError as error:
        stop(f"{path} cannot be read: {error}; is it a ledger?", 1)

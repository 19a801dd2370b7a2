# SPDX-License-Identifier: Apache-2.0
"""`rackwatt meter`: how meters stand, and the checks by which one goes into service."""

from datetime import date
from typing import Annotated, Any, Final

import typer

from rackwatt.collector.accounting.commissioning.findings import (
    Finding,
    Probe,
    may_be_accepted,
    power,
)
from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.ledger.commands.forms import Column, print_table, write_json
from rackwatt.collector.ledger.commands.options import (
    DATA,
    AsJson,
    Author,
    DataFolder,
    SiteFile,
    reading,
)
from rackwatt.collector.ledger.commands.times import local
from rackwatt.collector.meters.checking import Asked, Checked, check, page_of
from rackwatt.collector.meters.register import (
    COMMISSIONED,
    Commissioning,
    Status,
    commissionings,
    statuses,
)
from rackwatt.collector.site.console import console, stop
from rackwatt.collector.site.problems import near
from rackwatt.collector.watchkeeping.commands.options import PageCa, PageToken
from rackwatt.collector.watchkeeping.commands.recording import WRITING_FAILED, Desk

meter_app = typer.Typer(
    help="How meters stand; check one against live readings.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
)

PAGE: Final = "http://127.0.0.1:8400"
_MARKS: Final = {
    "passed": "passed",
    "failed": "FAILED",
    "undecided": "cannot tell",
    "not_measured": "not measured",
}
_STATES: Final = ("planned", "installed", "commissioned", "in_service", "out")

MeterId = Annotated[str, typer.Argument(metavar="METER", help="As the site file names it.")]


def _register(desk: Desk) -> tuple[dict[str, Status], dict[str, list[Commissioning]]]:
    with reading(desk.path) as books:
        known = commissionings(books.acts(COMMISSIONED))
    return statuses(desk.site, known, desk.now_ms), known


def _today(desk: Desk) -> date:
    return desk.site.local(desk.now_ms).date()


def _found(known: dict[str, Status], desk: Desk, meter: str) -> Status:
    status = known.get(meter)
    if status is None:
        if meter in desk.site.meters_at(desk.now_ms):
            stop(f"{meter!r} is a virtual meter: it has its members' states, name one of them")
        hint = near(meter, known)
        stop(f"unknown meter {meter!r}" + (f" ({hint})" if hint else ""))
    return status


@meter_app.command(
    "list",
    epilog=more(
        "rackwatt meter list",
        "rackwatt meter list --overdue",
        "rackwatt meter list --state installed --json",
        failed="",
        wrong="no ledger, no site file, or wrong usage",
    ),
)
def list_command(
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help=f"Only these: {', '.join(_STATES)}.")
    ] = None,
    overdue: Annotated[
        bool, typer.Option("--overdue", help="Only those whose calibration has run out.")
    ] = False,
    as_json: AsJson = False,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """List meters: state, commissioning, calibration.

    Only meters in service enter signed figures; what another one measures is unknown in them.
    """
    desk = Desk.of(data, site)
    if state is not None and state not in _STATES:
        stop(f"--state: no state {state!r} ({near(state, _STATES) or ', '.join(_STATES)})")
    known, _ = _register(desk)
    today = _today(desk)
    shown = [
        one
        for one in known.values()
        if (state is None or one.meter.state == state) and (not overdue or one.overdue(today))
    ]
    if as_json:
        write_json([_json(one, today) for one in shown])
        return
    if not shown:
        console().print("No such meter." if state or overdue else "The site file has no meters.")
        return
    columns = [
        Column("Meter", [one.meter.id for one in shown], left=True),
        Column("Role", [one.meter.role or "" for one in shown], left=True),
        Column("State", [one.meter.state for one in shown], left=True),
        Column("Class", [f"{one.meter.accuracy:g} %" for one in shown], left=True),
        Column("Commissioned", [_commissioned(one, desk) for one in shown], left=True),
        Column("Certificate", [_certificate(one) for one in shown], left=True),
        Column("Calibrated", [one.calibrated or "" for one in shown], left=True),
        Column("Until", [one.due or "" for one in shown], left=True),
        Column("", ["overdue" if one.overdue(today) else "" for one in shown], left=True),
    ]
    print_table("Meters", columns)


@meter_app.command(
    "show",
    epilog=more(
        "rackwatt meter show hall-2",
        failed="",
        wrong="no such meter, no ledger, or wrong usage",
    ),
)
def show_command(
    meter: MeterId,
    as_json: AsJson = False,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """Show one meter, and each time that it was commissioned."""
    desk = Desk.of(data, site)
    known, history = _register(desk)
    status, today = _found(known, desk, meter), _today(desk)
    past = history.get(meter, [])
    if as_json:
        write_json({**_json(status, today), "commissionings": [_past(one) for one in past]})
        return
    out, own = console(), status.meter
    role = f", role {own.role}" if own.role else ""
    out.print(f"{own.id}: {own.state}{role}, class {own.accuracy:g} %")
    if own.parent:
        out.print(f"behind {own.parent}")
    late = ": OVERDUE, have it calibrated and commission it again" if status.overdue(today) else ""
    out.print(f"calibrated {status.calibrated or 'unknown'}, good until {status.due or '?'}{late}")
    for one in past:
        when = local(one.time_ms, desk.site.timezone)
        out.print(f"commissioned {when} by {one.author}: {one.certificate} (entry {one.seq})")
    if not past:
        out.print("never commissioned")


@meter_app.command(
    "commission",
    epilog=more(
        "rackwatt meter commission hall-2 --author 'N. Idrissi' --certificate LNE-2026-4711 \\\n"
        "      --calibrated 2026-10-02 --due 2028-10-01",
        "rackwatt meter commission grid-2 --reference-watts 1.24e6 --dry-run",
        done="the meter passed; unless --dry-run, the journal has it",
        failed=f"it did not pass: each check says what to do;\n     or {WRITING_FAILED}",
        wrong="no such meter, its page does not answer, or wrong usage; nothing was recorded",
    ),
)
def commission_command(
    meter: MeterId,
    author: Author = "",
    certificate: Annotated[
        str, typer.Option(metavar="TEXT", help="Number of its calibration certificate.")
    ] = "",
    calibrated: Annotated[
        str, typer.Option(metavar="DATE", help="When it was calibrated: 2026-10-02.")
    ] = "",
    due: Annotated[
        str, typer.Option("--due", metavar="DATE", help="The last day on which that is good.")
    ] = "",
    reference: Annotated[
        float | None,
        typer.Option(
            "--reference-watts", metavar="WATTS", help="What an instrument beside it reads, in W."
        ),
    ] = None,
    parent_feeds_more: Annotated[
        bool, typer.Option("--parent-feeds-more", help="Its parent feeds unmetered loads, too.")
    ] = False,
    feeds_more: Annotated[
        bool, typer.Option("--feeds-more", help="It feeds unmetered loads beside its children.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=600, help="How long to read.")
    ] = 10.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and record nothing; needs no author.")
    ] = False,
    as_json: AsJson = False,
    page: Annotated[
        str,
        typer.Option("--page", metavar="URL", help="The accountant's page: it has the readings."),
    ] = PAGE,
    page_token_file: PageToken = None,
    page_ca_file: PageCa = None,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """Check a meter against what it and its neighbours read now; record that it passed.

    Checked are the sign of each phase, the order of phases, the transformers' ratio, the sums
    with its parent and its children in the site file, and the clock. Load all phases first.
    """
    desk = Desk.of(data, site)
    known, _ = _register(desk)
    status = _found(known, desk, meter)
    if status.meter.state in ("planned", "out"):
        stop(f"{meter} is {status.meter.state}: write state: installed in the site file first")
    record = {} if dry_run else _paper(author, certificate, calibrated, due)
    asked = Asked(meter, seconds, reference, parent_feeds_more, feeds_more)
    checked = check(desk.site, page_of(page, page_token_file, page_ca_file), asked)
    accepted = may_be_accepted(checked.findings)
    seq = None
    if accepted and not dry_run:
        act = {"meter": meter, **record, **_evidence(checked)}
        seq = desk.record(COMMISSIONED, act, author, f"commissioned, {certificate.strip()}")
    if as_json:
        write_json({"meter": meter, "accepted": accepted, "entry": seq, **_evidence(checked)})
    else:
        _print(checked, status, accepted=accepted, seq=seq)
    if not accepted:
        raise typer.Exit(1)


def _paper(author: str, certificate: str, calibrated: str, due: str) -> dict[str, str]:
    for option, text in (("--author", author), ("--certificate", certificate)):
        if not text.strip():
            stop(f"{option}: is missing: the journal keeps it (--dry-run only checks)")
    done, end = _day("--calibrated", calibrated), _day("--due", due)
    if end <= done:
        stop(f"--due {end} is not after --calibrated {done}")
    return {
        "certificate": certificate.strip(),
        "calibrated": done.isoformat(),
        "calibration_due": end.isoformat(),
    }


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        stop(f"{option}: expects a day like 2026-10-02, not {text!r}")


def _evidence(checked: Checked) -> dict[str, Any]:
    """What the checks found, and by which readings."""
    family = checked.family
    kin = [*([family.parent] if family.parent else []), *family.siblings, *family.children]
    return {
        "checks": [
            {"check": f.check, "state": f.state, "text": f.text, "phases": list(f.phases)}
            for f in checked.findings
        ],
        "watts": checked.probe.watts,
        "phase_watts": checked.probe.phase_watts,
        "reference_watts": family.reference_watts,
        "compared": {one.meter: one.watts for one in kin},
        "readings": checked.readings,
    }


def _print(checked: Checked, status: Status, *, accepted: bool, seq: int | None) -> None:
    out, meter = console(), status.meter.id
    out.print(f"{meter}: {_power(checked.probe)}, {checked.readings} readings")
    for found in checked.findings:
        out.print(_line(found))
    if not accepted:
        out.print(f"{meter} is not accepted; nothing was recorded.")
        return
    out.print(f"{meter} is accepted" + (f": entry {seq}." if seq is not None else "."))
    if seq is not None and status.meter.state != "in_service":
        out.print(
            "It enters signed figures once the site file says so, from a time on:\n"
            f"  {{id: {meter}, state: in_service, state_since: 2026-10-02T10:00:00+01:00, …}}"
        )


def _power(probe: Probe) -> str:
    return "no power" if probe.watts is None else power(probe.watts)


def _line(found: Finding) -> str:
    return f"  {found.check.replace('_', ' '):<12} {_MARKS[found.state]:<13} {found.text}"


def _commissioned(status: Status, desk: Desk) -> str:
    one = status.commissioning
    return "" if one is None else f"{local(one.time_ms, desk.site.timezone)}, {one.author}"


def _certificate(status: Status) -> str:
    return "" if status.commissioning is None else status.commissioning.certificate


def _json(status: Status, today: date) -> dict[str, Any]:
    own, one = status.meter, status.commissioning
    return {
        "meter": own.id,
        "role": own.role,
        "state": own.state,
        "class": own.accuracy,
        "parent": own.parent or None,
        "commissioning": None if one is None else _past(one),
        "calibrated": None if status.calibrated is None else status.calibrated.isoformat(),
        "calibration_due": None if status.due is None else status.due.isoformat(),
        "overdue": status.overdue(today),
    }


def _past(one: Commissioning) -> dict[str, Any]:
    return {
        "entry": one.seq,
        "time": one.time_ms,
        "author": one.author,
        "certificate": one.certificate,
        "calibrated": None if one.calibrated is None else one.calibrated.isoformat(),
        "calibration_due": None if one.due is None else one.due.isoformat(),
    }

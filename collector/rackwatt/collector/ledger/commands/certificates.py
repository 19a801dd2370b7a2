# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger certificates`: evidence of production, hour by hour."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, fsum
from typing import Annotated, Any, Final

import typer

from rackwatt.collector.accounting.calendar import spans
from rackwatt.collector.accounting.vocabulary import HOUR_MS, RENEWABLE
from rackwatt.collector.helptext import more
from rackwatt.collector.ledger.commands.app import ledger_app
from rackwatt.collector.ledger.commands.devices import Devices
from rackwatt.collector.ledger.commands.figures import in_spans
from rackwatt.collector.ledger.commands.forms import Column, print_table, write_csv, write_json
from rackwatt.collector.ledger.commands.options import (
    DATA,
    AsCsv,
    AsJson,
    DataFolder,
    From,
    SiteFile,
    To,
    booked_span,
    ledger_file,
    need_site,
    one_form,
    reading,
)
from rackwatt.collector.ledger.commands.times import span_of, utc
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.reading import LedgerReader
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.site import Site
from rackwatt.collector.site.console import console, stop
from rackwatt.wire.config import nearest

TECHNOLOGY: Final = {"pv": "solar_pv", "wind": "wind", "hydro": "hydro"}
LATER: Final = (
    "storage: what the battery gave back has no certificate yet (first-in-first-out by origin "
    "comes later); only production is listed"
)
_MINUTES: Final = HOUR_MS // INTERVAL_MS
_DOUBTS: Final = frozenset({"estimated", "shape_estimated", "provisional"})
_HEAD: Final = (
    "certificate_id",
    "energy_carrier",
    "energy_source",
    "production_device_id",
    "production_starting_interval",
    "production_ending_interval",
    "face_value_watt_hours",
)


@dataclass(frozen=True, slots=True)
class _Excluded:
    """An hour without a certificate, and why."""

    source: str
    start_ms: int
    reason: str

    def as_dict(self) -> dict[str, str]:
        return {"energy_source": self.source, "start": utc(self.start_ms), "reason": self.reason}


@ledger_app.command(
    "certificates",
    epilog=more(
        "rackwatt ledger certificates --from 2026-10-01 --to 2026-11-01 --site site.yaml",
        "rackwatt ledger certificates --from 2026-10-01 --to 2026-11-01 --source pv --csv",
        failed="the ledger cannot be read",
    ),
)
def certificates_command(
    start: From = None,
    end: To = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="SOURCE", help="pv, wind or hydro; all.")
    ] = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """List evidence of production per UTC hour.

    In the manner of EnergyTag's granular certificates: one line for each source and hour, whole
    Wh, rounded down. An issuer issues certificates on it; this is none. Hours in which the
    production is unknown or estimated are left out and listed. What the battery gave back has no
    line yet.
    """
    one_form(as_json=as_json, as_csv=as_csv)
    if source is not None and source not in RENEWABLE:
        stop(f"--source: no source {source!r} ({nearest(source, RENEWABLE)})")
    path = ledger_file(data)
    loaded = need_site(site, data)
    with reading(path) as reader, Devices(path, loaded) as devices:
        booked = booked_span(reader)
        low, high = span_of(start, end, loaded.timezone, _last_day(booked))
        if low % HOUR_MS or high % HOUR_MS:
            stop("--from and --to: certificates are per UTC hour: begin and end on one")
        wanted = (source,) if source else RENEWABLE
        found = list(_hours(reader, devices, loaded, wanted, (low, high)))
        head = {"entry": reader.head_seq(), "hash": reader.head()}
    lines = [one for one in found if not isinstance(one, _Excluded)]
    excluded = [one for one in found if isinstance(one, _Excluded)]
    if as_json:
        write_json(
            {
                "site": loaded.id,
                "from": utc(low),
                "to": utc(high),
                "ledger": head,
                "note": LATER,
                "certificates": lines,
                "excluded": [one.as_dict() for one in excluded],
            }
        )
    elif as_csv:
        write_csv(lines, _HEAD)
    else:
        _print(lines)
    if not as_json:
        _say_excluded(excluded, lines)


def _last_day(booked: tuple[int, int] | None) -> tuple[int, int]:
    """The last 24 whole hours."""
    if booked is None:
        return 0, 0
    high = booked[1] // HOUR_MS * HOUR_MS
    return max(high - 24 * HOUR_MS, booked[0] // HOUR_MS * HOUR_MS), high


def _hours(
    reader: LedgerReader,
    devices: Devices,
    site: Site,
    sources: Sequence[str],
    span: tuple[int, int],
) -> Iterator[dict[str, Any] | _Excluded]:
    rows = reader.rows(*span)
    for hour, some in in_spans(rows, spans(*span, "1h", site.timezone), lambda r: r.start_ms):
        inside = list(some)
        for source in sources:
            if not any(source in row.data["sources"] for row in inside):
                continue
            reason = _doubt(source, inside, devices)
            if reason:
                yield _Excluded(source, hour.start_ms, reason)
                continue
            produced = fsum(row.data["sources"][source] for row in inside)
            if floor(produced) > 0:
                yield _line(site, devices, source, inside, floor(produced))


def _doubt(source: str, rows: Sequence[LedgerRow], devices: Devices) -> str:
    """Why an hour has no certificate; empty if nothing speaks against it."""
    if len(rows) < _MINUTES:
        return f"only {len(rows)} of {_MINUTES} minutes are booked"
    unknown = sum(row.data["sources"].get(source) is None for row in rows)
    if unknown:
        return f"production is unknown in {unknown} minutes"
    if all(_DOUBTS.isdisjoint(row.data["metering"]) for row in rows):
        return ""
    # The mark says that some meter was estimated: perhaps another one.
    meters = devices.hour(source, rows[0].start_ms)
    if meters is None:
        return "a meter of the site was estimated, and readings that tell which are not kept"
    for device, energies in meters.items():
        for mark in sorted(_DOUBTS):
            count = sum(getattr(energy, mark) for energy in energies)
            if count:
                return f"production of {device} is {mark} in {count} minutes"
    return ""


def _line(
    site: Site, devices: Devices, source: str, rows: Sequence[LedgerRow], watt_hours: int
) -> dict[str, Any]:
    start = rows[0].start_ms
    supply = site.supply.get(source)
    attributes = "retained" if supply is None else supply.attributes
    meters = sorted(tap.device for tap in devices.taps(source, start))
    return {
        "certificate_id": f"{site.id}-{source}-{utc(start)}",
        "energy_carrier": "electricity",
        "energy_source": TECHNOLOGY[source],
        "production_device_id": f"{site.id}-{source}",
        "production_device_name": f"{site.name}, {source}",
        "production_device_meters": meters,
        "production_starting_interval": utc(start),
        "production_ending_interval": utc(start + HOUR_MS),
        "face_value_watt_hours": watt_hours,
        "issued_from": "production",
        "issued_after_energy_carrier_conversion": False,
        "attributes": attributes,
        "country": site.country,
        "latitude": site.latitude,
        "longitude": site.longitude,
        "ledger_last_entry": max(row.seq for row in rows),
        "ledger_restated_minutes": sum(row.restated for row in rows),
    }


def _print(lines: Sequence[Mapping[str, Any]]) -> None:
    if not lines:
        console().print("No hour with known production is booked in that span.")
        return
    columns = [
        Column("Hour, UTC", [line["production_starting_interval"] for line in lines], left=True),
        Column("Source", [line["energy_source"] for line in lines], left=True),
        Column("Device", [line["production_device_id"] for line in lines], left=True),
        Column("Whole Wh", [line["face_value_watt_hours"] for line in lines], digits=0),
        Column("Attributes", [line["attributes"] for line in lines], left=True),
    ]
    print_table("Evidence of production per hour", columns)


def _say_excluded(excluded: Sequence[_Excluded], lines: Sequence[Mapping[str, Any]]) -> None:
    out = console(err=True)
    total = sum(line["face_value_watt_hours"] for line in lines)
    out.print(f"{len(lines):,} certificates, {total:,} Wh; {len(excluded):,} hours left out")
    for one in excluded:
        out.print(f"left out: {utc(one.start_ms)} {one.source}: {one.reason}")
    out.print(LATER)

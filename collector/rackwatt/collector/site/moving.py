# SPDX-License-Identifier: Apache-2.0
"""What `rackwatt site move` does: the move's file, the books, and the rows in a store."""

import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import typer

from rackwatt.collector.ledger.commands.options import booked_span, reading
from rackwatt.collector.ledger.commands.times import instant, utc
from rackwatt.collector.ledger.commands.writing import Wish, carry_out, is_busy
from rackwatt.collector.ledger.orders import ACT, RESTATE
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.roles.arguments import UsageProblem, http_url, usable_authority
from rackwatt.collector.site.console import console, load_or_stop, stop
from rackwatt.collector.site.moves import MoveModel, add_move, place_name, rack_names
from rackwatt.collector.site.problems import near
from rackwatt.collector.site.topology import Placement, Site
from rackwatt.collector.store.base import StoreError
from rackwatt.collector.store.http import InfluxHttp
from rackwatt.collector.store.influx import InfluxStore
from rackwatt.collector.store.open import TokenError, read_token
from rackwatt.collector.store.places import (
    Corrected,
    Relocation,
    relocate_embedded,
    relocate_influx,
)

SITE_MOVE = "site_move"


@dataclass(frozen=True, slots=True)
class Influx:
    """An InfluxDB whose rows are to be corrected."""

    server: InfluxHttp
    store: InfluxStore
    buckets: tuple[str, str]


def open_influx(
    stack: ExitStack,
    url: str,
    org: str,
    buckets: tuple[str, str],
    token_file: Path | None,
    ca_file: Path | None = None,
) -> Influx:
    """Open an InfluxDB for as long as a stack is open.

    Raises:
        typer.Exit: the address is none, there is no token, or no certificate in the CA's file.
    """
    try:
        usable_authority("--influx-ca-file", ca_file)
        address, token = http_url("--influx", url), read_token(token_file)
    except (TokenError, UsageProblem) as error:
        stop(str(error))
    authority = None if ca_file is None else str(ca_file)
    server = stack.enter_context(InfluxHttp(address, org, token, authority))
    store = InfluxStore(
        url=address,
        org=org,
        bucket=buckets[0],
        rollups_bucket=buckets[1],
        token=token,
        ca_file=authority,
    )
    return Influx(server, store, buckets)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for.

    Attributes:
        device: What moves.
        to: ``HALL/ROW/RACK``.
        since: As it was written.
        author: Who decides it.
        reason: Why.
        site_file: The site file.
        ledger: The books that record it; ``None``: none.
        stores: Folders of the embedded store.
        influx: An InfluxDB.
        dry_run: Only say what would be done.
    """

    device: str
    to: str
    since: str
    author: str
    reason: str
    site_file: Path
    ledger: Path | None
    stores: Sequence[Path]
    influx: Influx | None
    dry_run: bool


def move(asked: Asked) -> None:
    """Move a device, and say what was changed and what was not.

    Raises:
        typer.Exit: it cannot be, with the reason said.
    """
    site = load_or_stop(asked.site_file)
    since = instant("--since", asked.since, site.timezone)
    place = _target(site, asked, since)
    before = _stand(site, asked.device, since)
    again = before == place
    out = console()
    where = "nowhere" if before is None else place_name(before)
    wanted = Relocation(asked.device, since, place)
    if asked.dry_run:
        if again:
            out.print(f"{asked.device} stands in {asked.to} at {utc(since)} already.")
            return
        out.print(f"Would move {asked.device} from {where} to {asked.to} since {utc(since)}.")
        _correct(asked, wanted)
        return
    if again:
        out.print(f"{asked.device} stands in {asked.to} at {utc(since)} already.")
    else:
        path = _write(asked, since)
        out.print(f"{asked.device}: {where} -> {asked.to} since {utc(since)}")
        out.print(f"site        {path}: added; the site file itself is as it was")
    _record(asked, site if again else load_or_stop(asked.site_file), since, where)
    _correct(asked, wanted)
    _remind(site, asked.device, before, place)


def _target(site: Site, asked: Asked, since: int) -> Placement:
    racks = rack_names(site.racks_at(since))
    place = racks.get(asked.to)
    if place is None:
        stop(
            f"--to: there is no rack {asked.to!r} at {utc(since)} "
            f"({near(asked.to, racks) or 'write HALL/ROW/RACK'})"
        )
    return place


def _stand(site: Site, device: str, since: int) -> Placement | None:
    known = {*site.places.fixed, *site.places.dated}
    if device not in known:
        node = device.partition("/")[0]
        if "/" in device and node in known:
            stop(f"{device!r} moves with its node: move {node!r}")
        hint = near(device, known)
        stop(f"unknown device {device!r}" + (f" ({hint})" if hint else ""))
    return site.place(device, since)


def _write(asked: Asked, since: int) -> Path:
    model = MoveModel(
        device=asked.device,
        to=asked.to,
        since=datetime.fromtimestamp(since / 1000, UTC),
        author=asked.author,
        reason=asked.reason,
    )
    try:
        return add_move(asked.site_file, model)
    except OSError as error:
        stop(f"the move cannot be written beside {asked.site_file}: {error.strerror}", 1)


def _record(asked: Asked, site: Site, since: int, before: str) -> None:
    """Record the move in the journal, and attribute again from then on."""
    out = console()
    if asked.ledger is None:
        out.print("ledger      not recorded and nothing attributed again: --without-ledger")
        return
    data = {"device": asked.device, "to": asked.to, "since_ms": since}
    with reading(asked.ledger) as reader:
        booked = booked_span(reader)
        known = any(
            {name: act.data.get(name) for name in data} == data for act in reader.acts(SITE_MOVE)
        )
    if known:
        out.print("ledger      recorded before; nothing is attributed again")
        return
    try:
        busy = is_busy(asked.ledger, site)
        wish = {"name": SITE_MOVE, "data": {**data, "from": before}}
        act = carry_out(asked.ledger, site, Wish(ACT, wish, asked.author, asked.reason))
        out.print(f"ledger      recorded as entry {act.data['seq']}")
        if booked is None or booked[1] <= since:
            out.print("            nothing is booked since then: nothing to attribute again")
        elif busy:
            _tell_restart(since)
        else:
            low = max(since, booked[0]) // INTERVAL_MS * INTERVAL_MS
            span = {"start_ms": low, "end_ms": booked[1]}
            carry_out(asked.ledger, site, Wish(RESTATE, span, asked.author, asked.reason))
            out.print(f"            attributed again from {utc(low)} to {utc(booked[1])}")
    except typer.Exit:
        out.print("            the move stands beside the site file; call this again to record it")
        raise


def _tell_restart(since: int) -> None:
    out = console()
    out.print("            not attributed again: the accountant runs with the site as it was.")
    out.print("            Start it again, then:")
    out.print(
        f"            rackwatt ledger restate --from {utc(since)} --to … --author … --reason …"
    )


def _correct(asked: Asked, wanted: Relocation) -> None:
    """Correct the rows of the stores that were named, or count them."""
    out = console()
    if not asked.stores and asked.influx is None:
        out.print("store       not corrected: none is there or named (--data, --influx)")
    if asked.stores:
        try:
            _say(relocate_embedded(asked.stores, wanted, dry_run=asked.dry_run), asked, "embedded")
        except sqlite3.Error as error:
            stop(f"the embedded store cannot be corrected: {error}; call this again", 1)
    if asked.influx is not None:
        place = asked.influx
        try:
            done = relocate_influx(
                place.server, place.store, place.buckets, wanted, dry_run=asked.dry_run
            )
        except StoreError as error:
            stop(f"{error}; call this again when that is mended", 1)
        _say(done, asked, "InfluxDB")


def _say(done: Corrected, asked: Asked, which: str) -> None:
    out = console()
    verb = "would be corrected" if asked.dry_run else "corrected"
    inside = f" in {', '.join(sorted(done.measurements))}" if done.rows else ""
    out.print(f"store       {which}: {done.rows} rows {verb}{inside}")
    for left in done.left:
        out.print(f"            not changed: {left}")


def _remind(site: Site, device: str, before: Placement | None, place: Placement) -> None:
    out = console()
    out.print("Collectors and the accountant read the site when they start: start them again, and")
    out.print("call this once more to correct the rows that they wrote until then.")
    if before is not None and before.hall != place.hall and device in site.node_racks:
        out.print(f"An agent named {device} speaks for hall {before.hall}:")
        out.print(f"write 'hall: {place.hall}' into its file.")

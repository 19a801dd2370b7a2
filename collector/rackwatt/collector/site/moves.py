# SPDX-License-Identifier: Apache-2.0
"""Moves: devices that stand elsewhere since a time, kept beside the site file and only added to.

``site.yaml`` has its moves in ``site.moves.yaml``. A move overrides, from its time on, whatever the
site file and the moves above it say of the device. The history stays: last month's report uses
last month's places.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field

from rackwatt.collector.site.fields import Moment, milliseconds
from rackwatt.collector.site.layout import Layout
from rackwatt.collector.site.problems import near
from rackwatt.collector.site.topology import FOR_EVER, Meter, Placement, Places, Rack, Validity
from rackwatt.wire.config import ConfigError, Document, Key, load_document

_HEAD: Final = """\
# Devices that were moved, added to by `rackwatt site move` and never changed.
# A line overrides the site file and the lines above it, from its time on.
moves:
"""


class MoveModel(BaseModel):
    """One move as it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str
    to: str
    since: Moment
    author: str = Field(min_length=1)
    reason: str = Field(min_length=1)


class MovesFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    moves: tuple[MoveModel, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """One move.

    Attributes:
        device: What was moved; a node takes its GPUs along.
        to: ``HALL/ROW/RACK``.
        since_ms: From when on, ms since 1970 UTC.
    """

    device: str
    to: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Moves:
    """The moves of a site, and the document in which they have their lines."""

    items: tuple[Move, ...] = ()
    document: Document | None = None


NO_MOVES: Final = Moves()


def moves_path(site_file: Path) -> Path:
    """Where the moves of a site file stand."""
    return site_file.with_name(f"{site_file.stem}.moves.yaml")


def load_moves(site_file: Path) -> Moves:
    """Read the moves beside a site file; none where there is no such file.

    Raises:
        ConfigErrors: the file is wrong.
    """
    path = moves_path(site_file)
    if not path.exists():
        return NO_MOVES
    document = load_document(path)
    file = document.validate(MovesFile)
    items = tuple(
        Move(move.device, move.to, milliseconds(move.since, -FOR_EVER)) for move in file.moves
    )
    return Moves(items, document)


def add_move(site_file: Path, move: MoveModel) -> Path:
    """Add a move beside a site file, all of it or nothing; return where.

    Raises:
        OSError: the file cannot be written.
    """
    path = moves_path(site_file)
    before = path.read_text(encoding="utf-8") if path.exists() else _HEAD
    if not before.endswith("\n"):
        before += "\n"
    values = {**move.model_dump(), "since": move.since.isoformat()}
    text = yaml.safe_dump([values], sort_keys=False, allow_unicode=True, width=1000)
    lines = "".join(f"  {line}\n" for line in text.splitlines())
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(before + lines)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return path


def place_name(place: Placement) -> str:
    """``HALL/ROW/RACK``, or as much of it as there is."""
    return "/".join(part for part in (place.hall, place.row, place.rack) if part)


def rack_names(racks: Sequence[Rack]) -> dict[str, Placement]:
    """Racks by ``HALL/ROW/RACK``."""
    found = [Placement(rack.hall, rack.row, rack.id) for rack in racks]
    return {place_name(place): place for place in found}


def rehouse(layout: Layout, moves: Moves) -> None:
    """Move devices between racks: racks, and PDUs as meters, are split in time at each move.

    What is wrong with a move is found by :func:`moved`.
    """
    for move in moves.items:
        stand = layout.stands.get(move.device)
        to = rack_names([r for r in layout.racks if r.validity.holds(move.since_ms)]).get(move.to)
        if stand is not None and to is not None:
            what = stand[-1].what if isinstance(stand, list) else stand.what
            _into_rack(layout, move, to, what)
            _metered(layout, move, to)


def moved(layout: Layout, moves: Moves) -> tuple[Places, list[ConfigError]]:
    """The places of all devices with all moves, and what is wrong with the moves."""
    places = layout.places()
    errors: list[ConfigError] = []
    for index, move in enumerate(moves.items):
        key: Key = ("moves", index)
        racks = rack_names([r for r in layout.racks if r.validity.holds(move.since_ms)])
        to, document = racks.get(move.to), moves.document
        if to is not None and move.device in layout.stands:
            places = _placed(places, move, to)
        elif document is not None and to is None:
            text = f"there is no rack {move.to!r} at that time"
            errors.append(document.error((*key, "to"), text, hint=near(move.to, racks)))
        elif document is not None:
            hint = near(move.device, layout.stands)
            text = f"unknown device {move.device!r}"
            errors.append(document.error((*key, "device"), text, hint=hint))
    return places, errors


def _placed(places: Places, move: Move, to: Placement) -> Places:
    """The places, a device standing elsewhere from a time on."""
    fixed, dated = dict(places.fixed), dict(places.dated)
    before = dated.pop(move.device, ())
    alone = fixed.pop(move.device, None)
    if alone is not None:
        before = ((Validity(), alone),)
    kept = [
        (Validity(span.start_ms, min(span.end_ms, move.since_ms)), place)
        for span, place in before
        if span.start_ms < move.since_ms
    ]
    dated[move.device] = (*kept, (Validity(move.since_ms), to))
    return Places(MappingProxyType(fixed), MappingProxyType(dated))


def _into_rack(layout: Layout, move: Move, to: Placement, what: str) -> None:
    """Take a device out of all racks from a time on, and put it into one."""
    racks: list[Rack] = []
    position = next(
        (p for rack in layout.racks for p, name in rack.sensors.items() if name == move.device), ""
    )
    for rack in layout.racks:
        target = Placement(rack.hall, rack.row, rack.id) == to
        after = _without(rack, move.device)
        if target:
            after = _with(after, move.device, what, position)
        if rack.validity.end_ms <= move.since_ms or after == rack:
            racks.append(rack)
            continue
        start = max(rack.validity.start_ms, move.since_ms)
        if rack.validity.start_ms < start:
            racks.append(replace(rack, validity=Validity(rack.validity.start_ms, start)))
        racks.append(replace(after, validity=Validity(start, rack.validity.end_ms)))
    layout.racks = racks


def _without(rack: Rack, device: str) -> Rack:
    return replace(
        rack,
        nodes=tuple(name for name in rack.nodes if name != device),
        pdus=tuple(name for name in rack.pdus if name != device),
        devices=tuple(name for name in rack.devices if name != device),
        sensors=MappingProxyType({p: n for p, n in rack.sensors.items() if n != device}),
    )


def _with(rack: Rack, device: str, what: str, position: str) -> Rack:
    if what == "node":
        return replace(rack, nodes=(*rack.nodes, device))
    if what == "PDU":
        return replace(rack, pdus=(*rack.pdus, device))
    if position and position not in rack.sensors:
        return replace(rack, sensors=MappingProxyType({**rack.sensors, position: device}))
    return replace(rack, devices=(*rack.devices, device))


def _metered(layout: Layout, move: Move, to: Placement) -> None:
    """A PDU that goes to another rack sits on the bus of its new hall."""
    bus = next((hall.bus for hall in layout.halls if hall.id == to.hall), "")
    feeds = [rack.feed for rack in layout.racks if Placement(rack.hall, rack.row, rack.id) == to]
    parent = feeds[0] if feeds else ""
    pdus: list[Meter] = []
    for pdu in layout.pdus:
        after = replace(pdu, bus=bus, parent=parent)
        if pdu.id != move.device or pdu.validity.end_ms <= move.since_ms or after == pdu:
            pdus.append(pdu)
            continue
        start = max(pdu.validity.start_ms, move.since_ms)
        if pdu.validity.start_ms < start:
            pdus.append(replace(pdu, validity=Validity(pdu.validity.start_ms, start)))
        pdus.append(replace(after, validity=Validity(start, pdu.validity.end_ms)))
    layout.pdus = pdus

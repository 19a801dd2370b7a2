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


class _Racks:
    """The racks while devices are moved between them, found by name and by device.

    A campus has thousands, and a year brings hundreds of moves: each looks at those that it
    concerns only.
    """

    def __init__(self, racks: Sequence[Rack]) -> None:
        self._groups = [[rack] for rack in racks]
        """Each rack of the file, with what it was split into."""
        self._named: dict[str, list[int]] = {}
        self._holding: dict[str, set[int]] = {}
        for index, rack in enumerate(racks):
            self._named.setdefault(place_name(_place_of(rack)), []).append(index)
            for device in (*rack.nodes, *rack.pdus, *rack.devices, *rack.sensors.values()):
                self._holding.setdefault(device, set()).add(index)

    def all(self) -> list[Rack]:
        """All of them, in the order of the file."""
        return [rack for group in self._groups for rack in group]

    def named(self, name: str) -> list[Rack]:
        """Those of a name, of all times."""
        return [rack for index in self._named.get(name, ()) for rack in self._groups[index]]

    def at(self, name: str, time_ms: int) -> Placement | None:
        """The rack of that name, if it stands at that time."""
        found = [rack for rack in self.named(name) if rack.validity.holds(time_ms)]
        return _place_of(found[-1]) if found else None

    def put(self, move: Move, what: str) -> None:
        """Take a device out of all racks from a time on, and put it into one."""
        targets = self._named[move.to]
        holding = sorted(self._holding.setdefault(move.device, set()))
        sensors = (
            position
            for index in holding
            for rack in self._groups[index]
            for position, name in rack.sensors.items()
            if name == move.device
        )
        position = next(sensors, "")
        for index in {*holding, *targets}:
            self._groups[index] = [
                part
                for rack in self._groups[index]
                for part in _parted(rack, move, what, position, target=index in targets)
            ]
        self._holding[move.device].update(targets)


def _place_of(rack: Rack) -> Placement:
    return Placement(rack.hall, rack.row, rack.id)


def rehouse(layout: Layout, moves: Moves) -> None:
    """Move devices between racks: racks, and PDUs as meters, are split in time at each move.

    What is wrong with a move is found by :func:`moved`.
    """
    if not moves.items:
        return
    racks, pdus = _Racks(layout.racks), {pdu.id for pdu in layout.pdus}
    for move in moves.items:
        stand = layout.stands.get(move.device)
        to = racks.at(move.to, move.since_ms)
        if stand is not None and to is not None:
            what = stand[-1].what if isinstance(stand, list) else stand.what
            racks.put(move, what)
            if move.device in pdus:
                _metered(layout, move, to, racks.named(move.to)[0].feed)
    layout.racks = racks.all()


def moved(layout: Layout, moves: Moves) -> tuple[Places, list[ConfigError]]:
    """The places of all devices with all moves, and what is wrong with the moves."""
    places = layout.places()
    errors: list[ConfigError] = []
    if not moves.items:
        return places, errors
    fixed, dated = dict(places.fixed), dict(places.dated)
    racks = _Racks(layout.racks)
    for index, move in enumerate(moves.items):
        key: Key = ("moves", index)
        to, document = racks.at(move.to, move.since_ms), moves.document
        if to is not None and move.device in layout.stands:
            _place(fixed, dated, move, to)
        elif document is not None and to is None:
            standing = [rack for rack in layout.racks if rack.validity.holds(move.since_ms)]
            text = f"there is no rack {move.to!r} at that time"
            hint = near(move.to, rack_names(standing))
            errors.append(document.error((*key, "to"), text, hint=hint))
        elif document is not None:
            hint = near(move.device, layout.stands)
            text = f"unknown device {move.device!r}"
            errors.append(document.error((*key, "device"), text, hint=hint))
    return Places(MappingProxyType(fixed), MappingProxyType(dated)), errors


def _place(
    fixed: dict[str, Placement],
    dated: dict[str, tuple[tuple[Validity, Placement], ...]],
    move: Move,
    to: Placement,
) -> None:
    """Let a device stand elsewhere from a time on."""
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


def _parted(rack: Rack, move: Move, what: str, position: str, *, target: bool) -> list[Rack]:
    """A rack before the move and from it on; the rack itself where the move changes nothing."""
    after = _without(rack, move.device)
    if target:
        after = _with(after, move.device, what, position)
    if rack.validity.end_ms <= move.since_ms or after == rack:
        return [rack]
    start = max(rack.validity.start_ms, move.since_ms)
    now = replace(after, validity=Validity(start, rack.validity.end_ms))
    if rack.validity.start_ms < start:
        return [replace(rack, validity=Validity(rack.validity.start_ms, start)), now]
    return [now]


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


def _metered(layout: Layout, move: Move, to: Placement, parent: str) -> None:
    """A PDU that goes to another rack sits on the bus of its new hall."""
    bus = next((hall.bus for hall in layout.halls if hall.id == to.hall), "")
    pdus: list[Meter] = []
    for pdu in layout.pdus:
        if pdu.id != move.device or pdu.validity.end_ms <= move.since_ms:
            pdus.append(pdu)
            continue
        after = replace(pdu, bus=bus, parent=parent)
        start = max(pdu.validity.start_ms, move.since_ms)
        if after == pdu:
            pdus.append(pdu)
            continue
        if pdu.validity.start_ms < start:
            pdus.append(replace(pdu, validity=Validity(pdu.validity.start_ms, start)))
        pdus.append(replace(after, validity=Validity(start, pdu.validity.end_ms)))
    layout.pdus = pdus

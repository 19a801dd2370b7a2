# SPDX-License-Identifier: Apache-2.0
"""What is known of each meter on paper: its state, who commissioned it, until when it is good."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from rackwatt.collector.ledger.chain import Act
from rackwatt.collector.site import Site
from rackwatt.collector.site.topology import Meter

COMMISSIONED: Final = "meter_commissioned"
"""The act of a meter that passed its checks."""
USED: Final = frozenset({"installed", "commissioned", "in_service"})
"""States in which a meter hangs in the plant, so that its calibration matters."""


@dataclass(frozen=True, slots=True)
class Commissioning:
    """That a meter passed.

    Attributes:
        seq: The entry in the journal.
        time_ms: When.
        author: Who says so.
        certificate: Of its calibration.
        calibrated: When it was calibrated.
        due: The last day on which that is good.
    """

    seq: int
    time_ms: int
    author: str
    certificate: str
    calibrated: date | None
    due: date | None


@dataclass(frozen=True, slots=True)
class Status:
    """One meter.

    Attributes:
        meter: As the site file has it now.
        commissioning: The last one.
        calibrated: The later one of the file's and the commissioning's.
        due: The last day of that calibration; ``None``: nobody said.
    """

    meter: Meter
    commissioning: Commissioning | None
    calibrated: date | None
    due: date | None

    def overdue(self, today: date) -> bool:
        """Whether it should have been calibrated again; not of one that is planned or out."""
        return self.due is not None and self.due < today and self.meter.state in USED


def commissionings(acts: Iterable[Act]) -> dict[str, list[Commissioning]]:
    """By meter, oldest first; other acts are left out."""
    found: dict[str, list[Commissioning]] = {}
    for act in acts:
        if act.name == COMMISSIONED and isinstance(act.data.get("meter"), str):
            found.setdefault(act.data["meter"], []).append(
                Commissioning(
                    act.seq,
                    act.time_ms,
                    act.author,
                    str(act.data.get("certificate") or ""),
                    _date(act.data, "calibrated"),
                    _date(act.data, "calibration_due"),
                )
            )
    return found


def statuses(
    site: Site, known: Mapping[str, list[Commissioning]], now_ms: int
) -> dict[str, Status]:
    """Every physical meter of now, in the file's order."""
    return {
        name: _status(meter, known.get(name, ()))
        for name, meter in site.meters_at(now_ms).items()
        if not meter.virtual
    }


def _status(meter: Meter, known: Sequence[Commissioning]) -> Status:
    last = known[-1] if known else None
    pairs = [(meter.calibrated, meter.calibration_due)]
    if last is not None:
        pairs.append((last.calibrated, last.due))
    calibrated, due = max(pairs, key=lambda pair: pair[0] or date.min)
    return Status(meter, last, calibrated, due)


def _date(data: Mapping[str, object], name: str) -> date | None:
    try:
        return date.fromisoformat(str(data.get(name)))
    except ValueError:
        return None

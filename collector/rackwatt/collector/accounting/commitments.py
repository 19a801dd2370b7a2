# SPDX-License-Identifier: Apache-2.0
"""What a site has promised in public, and how what was measured stands to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

Kind = Literal["capacity", "renewable_share", "in_service"]
Unit = Literal["watts", "ratio", "date"]
State = Literal["not_due", "met", "late", "not_met", "not_shown", "unknown"]

UNITS: Final[Mapping[Kind, Unit]] = {
    "capacity": "watts",
    "renewable_share": "ratio",
    "in_service": "date",
}
"""What is promised, by kind; power in W, a share 0..1."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a site that is built at once; ``None`` = not stated.

    Attributes:
        id: Its name in the site file.
        name: For people.
        announced: The day on which it was made public.
        energised: The day on which it had power, as the site file says.
        in_service: The day on which it carried load, as the site file says.
        watts: What it is built for, W.
        halls: Its halls; none: the whole site.
    """

    id: str
    name: str = ""
    announced: date | None = None
    energised: date | None = None
    in_service: date | None = None
    watts: float | None = None
    halls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Commitment:
    """One promise.

    Attributes:
        id: Its name in the site file.
        kind: What is promised.
        text: Its words by language.
        due: The day until which it is to be kept, that day included.
        source: Where it was made: a document or an address.
        published: When it was made.
        value: W or 0..1; of ``in_service`` the IT load in W from which a phase counts as in
            service, ``None``: any load.
        phase: Of ``in_service``: which one; "": the whole site.
    """

    id: str
    kind: Kind
    text: Mapping[str, str]
    due: date
    source: str
    published: date
    value: float | None = None
    phase: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured.

    Attributes:
        value: W or 0..1; ``None``: unknown, ``reason`` says why.
        day: The first day on which the load was there.
        or_before: The books begin with that day: it may have been earlier.
        at_least: Some of what is summed up is unknown: it may be more.
        reason: ``None`` with a value or a day.
        coverage: Part of the period that is known, 0..1.
    """

    value: float | None = None
    day: date | None = None
    or_before: bool = False
    at_least: bool = False
    reason: str | None = None
    coverage: float | None = None


NOT_YET: Final = "not_yet"
"""Reason of a day that has not come, by books that are all read."""


@dataclass(frozen=True, slots=True)
class Stand:
    """A promise beside what was measured.

    Attributes:
        commitment: The promise.
        live: Now.
        year: The running local year by the closed books; of ``in_service`` all years.
        state: How they stand to each other.
    """

    commitment: Commitment
    live: Measured = field(default_factory=Measured)
    year: Measured = field(default_factory=Measured)
    state: State = "unknown"


def state_of(commitment: Commitment, year: Measured, today: date) -> State:
    """Judge a promise by the closed books, never by an instant.

    Args:
        commitment: The promise.
        year: What the books say.
        today: By the site's calendar.
    """
    due = today > commitment.due
    match commitment.kind:
        case "in_service":
            return _service_state(commitment, year, due=due)
        case "capacity":
            # A load that was carried proves the capacity; a smaller one does not disprove it.
            if _reached(commitment, year):
                return "met"
            if not due:
                return "not_due"
            return "unknown" if year.value is None else "not_shown"
        case "renewable_share":
            if not due:
                return "not_due"
            if year.value is None:
                return "unknown"
            return "met" if _reached(commitment, year) else "not_met"


def _reached(commitment: Commitment, year: Measured) -> bool:
    promised, value = commitment.value, year.value
    return promised is not None and value is not None and value >= promised


def _service_state(commitment: Commitment, year: Measured, *, due: bool) -> State:
    if year.day is not None:
        if year.day <= commitment.due:
            return "met"
        return "unknown" if year.or_before else "late"
    if not due:
        return "not_due"
    return "not_met" if year.reason == NOT_YET else "unknown"

# SPDX-License-Identifier: Apache-2.0
"""Whether a meter agrees with its neighbours, and whether a wrong ratio explains it if not."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, hypot, sqrt
from typing import Final

from rackwatt.collector.accounting.commissioning.findings import (
    CheckName,
    Finding,
    Probe,
    listed,
    power,
)

TOLERANCE: Final = 0.02
"""Beside the meters' own classes: they are not read at the same instant."""
_COVERAGE: Final = 2.0
_PRIMARIES: Final = (
    30, 40, 50, 60, 75, 80, 100, 120, 125, 150, 160, 200, 250, 300, 400, 500, 600, 630, 750, 800,
    1000, 1200, 1250, 1500, 1600, 2000, 2500, 3000, 3200, 4000, 5000, 6000,
)  # fmt: skip
"""Rated primary currents that are sold, A."""
_WORDS: Final = {1 / 2: "half", 1 / 3: "a third", 2 / 3: "two thirds", 1 / 4: "a quarter",
                 1 / 5: "a fifth", 2.0: "twice", 3.0: "three times", 5.0: "five times"}  # fmt: skip
_NEAR: Final = 0.03


@dataclass(frozen=True, slots=True)
class Family:
    """What a meter is compared with.

    Attributes:
        parent: The meter that feeds it.
        siblings: Others behind the same parent.
        children: Meters behind it.
        reference_watts: What an instrument beside it reads, if somebody held one there.
        parent_feeds_more: The parent also feeds what no meter measures.
        feeds_more: So does this one.
    """

    parent: Probe | None = None
    siblings: Sequence[Probe] = ()
    children: Sequence[Probe] = ()
    reference_watts: float | None = None
    parent_feeds_more: bool = False
    feeds_more: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """What a meter should read, by one of its neighbours.

    Attributes:
        watts: How much; ``None``: a neighbour is silent.
        by: Of whom, in words.
        whole: What its reading is called a part of, if there is one thing to name.
        uncertainty: Standard uncertainty, W.
        at_most: It may well read less.
        at_least: It may well read more.
        silent: Neighbours that say nothing.
    """

    watts: float | None
    by: str
    uncertainty: float = 0.0
    at_most: bool = False
    at_least: bool = False
    silent: tuple[str, ...] = ()


def expectations(family: Family) -> list[Expected]:
    """What a meter should read by each of its neighbours that is there."""
    found: list[Expected] = []
    if family.reference_watts is not None:
        found.append(Expected(family.reference_watts, "the reference instrument's"))
    if family.parent is not None:
        others = [family.parent, *family.siblings]
        own = family.parent.watts
        rest = _sum(family.siblings)
        watts = None if own is None or rest is None else own - rest
        less = f" less {_names(family.siblings)}" if family.siblings else ""
        name = f"its parent {family.parent.meter}'s{less}"
        more = family.parent_feeds_more
        found.append(Expected(watts, name, _spread(others), at_most=more, silent=_silent(others)))
    if family.children:
        watts = _sum(family.children)
        kin = family.children
        name = f"the sum of its children ({_names(kin)})"
        found.append(
            Expected(watts, name, _spread(kin), at_least=family.feeds_more, silent=_silent(kin))
        )
    return found


def sums(probe: Probe, family: Family) -> Finding:
    """Whether the meter's reading adds up with its parent's and its children's."""
    expected = expectations(family)
    early = _cannot("sums", probe, expected)
    if early is not None or probe.watts is None:
        return early or Finding("sums", "undecided", "no power")
    known = [one for one in expected if one.watts is not None]
    wrong = [one for one in known if not _agrees(probe.watts, one, probe.accuracy)]
    if wrong:
        told = "; ".join(_told(probe.watts, one) for one in wrong)
        return Finding("sums", "failed", f"{told}: find out what is not measured or is wrong")
    told = "; ".join(_told(probe.watts, one) for one in known)
    return Finding("sums", "passed", told)


def ct_ratio(probe: Probe, family: Family) -> Finding:
    """Whether a wrong transformer ratio is set; reversed phases are thought right way round."""
    expected = expectations(family)
    watts = probe.turned_watts
    early = _cannot("ct_ratio", probe, expected)
    if early is not None or watts is None:
        return early or Finding("ct_ratio", "undecided", "no power")
    known = [one for one in expected if one.watts is not None]
    if probe.both_ways:
        watts = watts if (probe.watts or 0.0) >= 0 else -watts
    agrees = [_agrees(watts, one, probe.accuracy) for one in known]
    turned = ", all phases the right way round," if watts != probe.watts else ""
    if all(agrees):
        return Finding("ct_ratio", "passed", f"{power(watts)}{turned} is what is expected")
    one = known[agrees.index(False)]
    ratio = watts / one.watts if one.watts else 0.0
    text = f"{power(watts)}{turned} is {ratio:.3g} times {one.by} {power(one.watts or 0.0)}"
    return Finding("ct_ratio", "failed", f"{text}: {_cause(ratio)}")


def _cannot(name: CheckName, probe: Probe, expected: Sequence[Expected]) -> Finding | None:
    kind = tuple(meter for one in expected for meter in one.silent)
    if not expected:
        text = (
            "there is nothing to compare it with: name its parent in the site file, or what a "
            "reference instrument reads with --reference-watts"
        )
        return Finding(name, "undecided", text)
    if probe.watts is None:
        return Finding(name, "undecided", f"{probe.meter} tells no power")
    known = [one for one in expected if one.watts is not None]
    if not known:
        text = f"{listed(kind)} {'says' if len(kind) == 1 else 'say'} nothing: call again"
        return Finding(name, "undecided", text)
    if all(abs(one.watts or 0.0) <= _limit(0.0, one, 0.0) for one in known):
        return Finding(name, "undecided", "next to nothing flows: load it and call again")
    return None


def _agrees(watts: float, one: Expected, accuracy: float) -> bool:
    wanted = one.watts or 0.0
    limit = _limit(watts, one, accuracy)
    return (one.at_least or watts - wanted <= limit) and (one.at_most or wanted - watts <= limit)


def _limit(watts: float, one: Expected, accuracy: float) -> float:
    spread = _COVERAGE * hypot(one.uncertainty, accuracy * watts)
    return spread + TOLERANCE * max(abs(one.watts or 0.0), abs(watts))


def _told(watts: float, one: Expected) -> str:
    wanted = one.watts or 0.0
    ratio = watts / wanted if wanted else 0.0
    part = next((word for value, word in _WORDS.items() if abs(ratio / value - 1) <= _NEAR), None)
    shown = f" ({part})" if part else ""
    return f"reads {power(watts)}{shown} where {one.by} is {power(wanted)}"


def _cause(ratio: float) -> str:
    """What is likely set wrong where a meter reads so many times what it should."""
    if ratio <= 0:
        return "its direction is wrong: turn its current transformers round"
    for value, text in (
        (5.0, "a secondary of 1 A is set where it is 5 A"),
        (1 / 5, "a secondary of 5 A is set where it is 1 A"),
        (sqrt(3), "voltage between phases is taken for voltage to neutral"),
        (1 / sqrt(3), "voltage to neutral is taken for voltage between phases"),
        (2 / 3, "one phase is not measured, or its fuse is open"),
        (1 / 3, "one phase is reversed, or two are not measured"),
    ):
        if abs(ratio / value - 1) <= _NEAR:
            return f"as if {text}; check the meter's settings against the nameplates"
    for true in _PRIMARIES:
        for is_set in _PRIMARIES:
            if true != is_set and abs(ratio * true / is_set - 1) <= _NEAR / 3:
                return (
                    f"as if its current transformers were set to {is_set:g} A and are of "
                    f"{true:g} A, or the like: check the ratio against the nameplates"
                )
    return "check ratio and wiring of its transformers"


def _sum(probes: Sequence[Probe]) -> float | None:
    known = [probe.watts for probe in probes if probe.watts is not None]
    return fsum(known) if len(known) == len(probes) else None


def _spread(probes: Sequence[Probe]) -> float:
    return hypot(*(probe.accuracy * (probe.watts or 0.0) for probe in probes))


def _silent(probes: Sequence[Probe]) -> tuple[str, ...]:
    return tuple(probe.meter for probe in probes if probe.watts is None)


def _names(probes: Sequence[Probe]) -> str:
    names = [probe.meter for probe in probes]
    return listed(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} others"

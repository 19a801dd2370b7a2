# SPDX-License-Identifier: Apache-2.0
"""The uncertainty of a PUE, down to the physical meters behind its two terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rackwatt.collector.accounting.uncertainty import MeterClass, expanded, ratio_uncertainty
from rackwatt.collector.accounting.vocabulary import GENERATION

ROLE_OF: Final[Mapping[str, str]] = {
    **{name: name for name in (*GENERATION, "grid", "campus", "it")},
    "export": "grid",
    "charge": "battery",
    "discharge": "battery",
}
"""Flow of a PUE to the role of the meters that measure it."""


@dataclass(frozen=True, slots=True)
class PueMeters:
    """What is behind the terms of a PUE.

    Attributes:
        classes: Class of each physical meter.
        terms: By role, its physical meters with their signs.
        charge_efficiency: Stored part of a charge, 0..1.
        discharge_efficiency: Delivered part of what leaves the stock, 0..1.
    """

    classes: Mapping[str, MeterClass] = field(default_factory=dict)
    terms: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    charge_efficiency: float = 1.0
    discharge_efficiency: float = 1.0


def pue_uncertainty(
    flows: Mapping[str, float],
    meters: PueMeters,
    by_meter: Mapping[str, Mapping[str, float]] | None = None,
) -> float | None:
    """Return the expanded uncertainty of a PUE, k = 2.

    Args:
        flows: Energy of each flow of :data:`ROLE_OF` in the period, Wh.
        meters: Which meters measure them.
        by_meter: By flow, then meter, its energy in the flow with its sign, Wh. Where that is not
            given, meters that are added share their flow equally; of meters that are taken off
            nothing can be said then.

    Returns:
        ``None`` if the meters of a flow, or their classes, are not known well enough.
    """
    sensitivities = {
        **dict.fromkeys((*GENERATION, "grid"), 1.0),
        "export": -1.0,
        "campus": -1.0,
        "charge": -meters.charge_efficiency,
        "discharge": 1.0 / meters.discharge_efficiency,
    }
    numerator: dict[str, float] = {}
    for flow, sensitivity in sensitivities.items():
        parts = _parts(flow, flows, meters, by_meter or {})
        if parts is None:
            return None
        for name, energy in parts.items():
            numerator[name] = numerator.get(name, 0.0) + sensitivity * energy
    denominator = _parts("it", flows, meters, by_meter or {})
    if denominator is None:
        return None
    return expanded(ratio_uncertainty(numerator, denominator, meters.classes))


def _parts(
    flow: str,
    flows: Mapping[str, float],
    meters: PueMeters,
    by_meter: Mapping[str, Mapping[str, float]],
) -> Mapping[str, float] | None:
    """Return what each meter adds to a flow, Wh."""
    if flow in by_meter:
        return by_meter[flow]
    energy = flows.get(flow, 0.0)
    if energy == 0.0:
        return {}
    terms = meters.terms.get(ROLE_OF[flow], ())
    if not terms or any(count < 0 for _, count in terms):
        return None
    return {name: energy / len(terms) for name, _ in terms}

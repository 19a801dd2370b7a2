# SPDX-License-Identifier: Apache-2.0
"""Losses that no meter sees, as energies: what of a residual transformers and lines explain.

A transformer that gives on P loses ``P0 + Pk (P / Sr)^2`` (IEC 60076-1), a line ``R (P / V)^2``
with balanced phases; both at power factor 1, and with the mean power of an interval. The books
close without them: a model judges the residual, and moves no watt-hour between origins.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Final, NamedTuple

from rackwatt.collector.accounting.vocabulary import total

TOLERANCE: Final = 0.10
"""Of a transformer's total losses against those stated (IEC 60076-1, clause 10)."""
_RELATIVE: Final = TOLERANCE / sqrt(3.0)


@dataclass(frozen=True, slots=True)
class LossModel:
    """One transformer, UPS or line.

    Attributes:
        id: Its name in the power chain.
        meters: What they measure together is what it carries.
        no_load_watts: P0; 0 of a line.
        per_square_watt: ``Pk / Sr^2`` or ``R / V^2``, 1/W.
        above: The meters see what it takes, its losses included, and not what it gives on.
    """

    id: str
    meters: tuple[str, ...]
    no_load_watts: float
    per_square_watt: float
    above: bool = False

    def loss(self, watts: float) -> float:
        """What it loses while its meters see so much, W."""
        if not self.above:
            return self.no_load_watts + self.per_square_watt * watts * watts
        # watts = given + P0 + k given^2, solved for what is given on.
        beyond = watts - self.no_load_watts
        if beyond <= 0.0:
            return max(watts, 0.0)  # it cannot lose more than it takes
        return watts - 2.0 * beyond / (1.0 + sqrt(1.0 + 4.0 * self.per_square_watt * beyond))


class ModelledLosses(NamedTuple):
    """What all of them lost in an interval.

    Attributes:
        watt_hours: ``None``: a meter that one of them needs is silent.
        uncertainty: Its standard uncertainty, Wh: all are off in the same direction.
    """

    watt_hours: float | None
    uncertainty: float | None


def modelled(
    models: Iterable[LossModel], energies: Mapping[str, float | None], hours: float
) -> ModelledLosses:
    """Return what models lose in an interval.

    Args:
        models: Transformers, UPSs and lines.
        energies: Wh by meter; a meter that is not there is unknown.
        hours: Length of the interval.
    """
    lost: list[float] = []
    for model in models:
        carried = total([energies.get(meter) for meter in model.meters])
        if carried is None:
            return ModelledLosses(None, None)
        lost.append(model.loss(carried / hours) * hours)
    whole = fsum(lost)
    return ModelledLosses(whole, whole * _RELATIVE)

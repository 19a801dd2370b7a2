# SPDX-License-Identifier: Apache-2.0
"""Losses that no meter sees: transformers and lines, modelled."""

from collections.abc import Sequence


def transformer_loss(
    no_load_watts: float, load_watts: float, rated_volt_amperes: float, volt_amperes: float
) -> float:
    """P0 + Pk (S / Sr)^2 (IEC 60076-1), in W.

    Args:
        no_load_watts: P0, there at any load.
        load_watts: Pk, the load loss at rated current.
        rated_volt_amperes: Sr.
        volt_amperes: S, what it carries.

    Raises:
        ValueError: The rating is not positive.
    """
    if rated_volt_amperes <= 0.0:
        msg = "rated_volt_amperes must be positive"
        raise ValueError(msg)
    return no_load_watts + load_watts * (volt_amperes / rated_volt_amperes) ** 2


def line_loss(ohms: float, amperes: Sequence[float]) -> float:
    """R times the sum of the squared phase currents, in W.

    Args:
        ohms: Resistance of one conductor.
        amperes: Current of each phase.
    """
    return ohms * sum(current * current for current in amperes)

# SPDX-License-Identifier: Apache-2.0
"""Units that fit a number, for people."""

from collections.abc import Sequence


def scale(unit: str, largest: float) -> tuple[str, float]:
    """The unit that fits the largest of some numbers, and what to multiply them by."""
    steps: dict[str, Sequence[tuple[float, str, float]]] = {
        "Wh": [(1e10, "GWh", 1e-9), (1e7, "MWh", 1e-6), (0.0, "kWh", 1e-3)],
        "g": [(1e11, "kt", 1e-9), (1e7, "t", 1e-6), (0.0, "kg", 1e-3)],
        "%": [(0.0, "%", 100.0)],
    }
    for least, name, factor in steps.get(unit, [(0.0, unit, 1.0)]):
        if largest >= least:
            return name, factor
    return unit, 1.0

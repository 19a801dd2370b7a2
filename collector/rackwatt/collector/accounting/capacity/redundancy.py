# SPDX-License-Identifier: Apache-2.0
"""How many of a group may still fail: N, N+1, below N."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Redundancy:
    """One group of pumps, chillers, UPS blocks.

    Attributes:
        needed: N.
        installed: All that there are.
        available: Those that run or could; ``None``: unknown.
    """

    needed: int
    installed: int
    available: int | None

    @property
    def spare(self) -> int | None:
        """How many may fail before fewer than N are left; negative: fewer already."""
        return None if self.available is None else self.available - self.needed

    @property
    def state(self) -> str:
        """``N+1``, ``N``, ``below N``, ``unknown``."""
        if self.spare is None:
            return "unknown"
        if self.spare < 0:
            return "below N"
        return f"N+{self.spare}" if self.spare else "N"

    @property
    def lost(self) -> bool | None:
        """Whether less is there than was installed beyond N."""
        if self.available is None:
            return None
        return self.available < self.installed


def needed_for(load_watts: float, unit_watts: float) -> int:
    """How many units of one size a load needs, at least one.

    Raises:
        ValueError: A unit gives nothing.
    """
    if unit_watts <= 0.0:
        msg = "unit_watts must be positive"
        raise ValueError(msg)
    return max(1, -int(-load_watts // unit_watts))

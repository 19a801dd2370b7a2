# SPDX-License-Identifier: Apache-2.0
"""The export ratio: what of its own production a site sold, and the cap that a law may set.

Morocco's law 82-21 caps the surplus that a self-producer may sell at 20 % of its production
(its decrees still move); watched over the running year.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExportRatio:
    """Export over own production.

    Attributes:
        ratio: ``None`` without production, or below the coverage that is asked for.
        coverage: Part of the time in which both are known, 0..1.
        exported: Wh, over that time.
        produced: Wh, over that time, at the generators' output.
        cap: The legal cap, ``None`` if there is none.
    """

    ratio: float | None
    coverage: float
    exported: float
    produced: float
    cap: float | None = None

    @property
    def left(self) -> float | None:
        """What may still be sold, Wh; below 0 beyond the cap, ``None`` where there is none."""
        return None if self.cap is None else self.cap * self.produced - self.exported

    @property
    def beyond(self) -> bool | None:
        """Whether the cap is passed; ``None`` if that cannot be said."""
        return None if self.cap is None or self.ratio is None else self.ratio > self.cap

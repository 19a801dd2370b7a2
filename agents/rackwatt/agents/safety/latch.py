# SPDX-License-Identifier: Apache-2.0
"""The latch: what turns judgements of single values into alarms that hold.

Pure: time comes with each call. The laws, which the tests prove: a missing value never ends an
alarm, and never delays one; only healthy values that were measured without a break do, and where
an operator must look, not even they.
"""

from dataclasses import dataclass
from typing import Literal

Step = Literal["raised", "cleared"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one measured value says; neither bad nor healthy lies between the two limits."""

    value: float
    limit: float
    bad: bool
    healthy: bool
    unit: str = ""


class Latch:
    """The state of one rule of one loop.

    Args:
        confirm: how long values must be bad, in s; 0: the first one counts.
        clear_after: how long they must be healthy, in s.
        longest_gap: s between two healthy values beyond which they are no unbroken row.
        needs_reset: whether healthy values alone never end the alarm.
        active: whether it was on before a restart.
    """

    def __init__(
        self,
        confirm: float,
        clear_after: float,
        longest_gap: float,
        *,
        needs_reset: bool = False,
        active: bool = False,
    ) -> None:
        self._confirm = confirm
        self._clear_after = clear_after
        self._longest_gap = longest_gap
        self._needs_reset = needs_reset
        self._bad_since: float | None = None
        self._healthy_since: float | None = None
        self._healthy_last = 0.0
        self.active = active
        self.measured = False
        """Whether the newest value was measured."""

    @property
    def pending(self) -> bool:
        """Whether values are bad, but not yet for long enough."""
        return not self.active and self._bad_since is not None

    @property
    def healthy(self) -> bool:
        """Whether the newest value was measured and healthy."""
        return self._healthy_since is not None

    def take(self, seconds: float, verdict: Verdict | None) -> Step | None:
        """Take one value; None: it could not be measured.

        Args:
            seconds: of a clock that never steps.
            verdict: what the value says.
        """
        self.measured = verdict is not None
        if verdict is None:
            self._healthy_since = None
            return None
        if verdict.healthy:
            if self._healthy_since is None or seconds - self._healthy_last > self._longest_gap:
                self._healthy_since = seconds
            self._healthy_last = seconds
        else:
            self._healthy_since = None
        if not verdict.bad:
            self._bad_since = None
            return self._clear(seconds)
        if self._bad_since is None:
            self._bad_since = seconds
        if not self.active and seconds - self._bad_since >= self._confirm:
            self.active = True
            return "raised"
        return None

    def _clear(self, seconds: float) -> Step | None:
        since = self._healthy_since
        if not self.active or self._needs_reset or since is None:
            return None
        if seconds - since < self._clear_after:
            return None
        self.active = False
        return "cleared"

    def reset(self) -> None:
        """End the alarm by order; whether it may, its owner has checked."""
        self.active = False
        self._bad_since = None

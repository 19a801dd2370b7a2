# SPDX-License-Identifier: Apache-2.0
"""Waiting times between attempts: growing, capped and jittered."""

import random


class Backoff:
    """Exponential back-off with full jitter.

    Each wait is drawn evenly from the upper half of `[0, bound]`; the bound doubles from `first`
    up to `cap`. The jitter keeps thousands of agents from coming back in step after a broker's
    restart.

    Args:
        first: bound of the first wait, in seconds.
        cap: largest bound, in seconds.
        rng: source of randomness; give a seeded one in tests.
    """

    def __init__(
        self, first: float = 0.5, cap: float = 30.0, rng: random.Random | None = None
    ) -> None:
        if first <= 0 or cap < first:
            msg = f"back-off needs 0 < first <= cap, got first={first}, cap={cap}"
            raise ValueError(msg)
        self._first = first
        self._cap = cap
        self._bound = first
        self._rng = rng or random.Random()  # noqa: S311 - jitter is no secret

    def next(self) -> float:
        """The next wait, in seconds; the bound grows with each call."""
        wait = self._bound * (0.5 + 0.5 * self._rng.random())
        self._bound = min(self._cap, self._bound * 2)
        return wait

    def reset(self) -> None:
        """Start small again: call after a success that lasted."""
        self._bound = self._first

# SPDX-License-Identifier: Apache-2.0
"""Randomness as a function of time: the same instant gives the same value, whatever came before.

A stationary Gaussian process without state: white noise on a grid of `period` seconds, drawn by
hashing (seed, stream, grid index), and between two grid points a mixture of both that keeps the
variance at 1. A simulation on top of it can be stopped, continued and stepped at any width, and
sees the same clouds. The correlation falls to 0 over one `period`, as that of a moving average
does; several periods added give the slow and fast parts of weather.
"""

import math
from statistics import NormalDist
from typing import Final

_MASK: Final = (1 << 64) - 1
_NORMAL: Final = NormalDist()


def _hash(value: int) -> int:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014): every input bit moves every output."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def uniform(seed: int, stream: int, index: int) -> float:
    """A number in (0, 1) that these three integers determine."""
    mixed = _hash(_hash(_hash(seed & _MASK) ^ (stream & _MASK)) ^ (index & _MASK))
    return ((mixed >> 12) + 0.5) / (1 << 52)


def gaussian(seed: int, stream: int, index: int) -> float:
    """A standard normal number that these three integers determine."""
    return _NORMAL.inv_cdf(uniform(seed, stream, index))


def process(seed: int, stream: int, period: float, time: float) -> float:
    """The process at `time` seconds: mean 0, variance 1, correlated over `period` seconds."""
    position = time / period
    index = math.floor(position)
    angle = (position - index) * (math.pi / 2)  # cos^2 + sin^2 = 1 keeps the variance
    return math.cos(angle) * gaussian(seed, stream, index) + math.sin(angle) * gaussian(
        seed, stream, index + 1
    )


def mixture(seed: int, stream: int, parts: tuple[tuple[float, float], ...], time: float) -> float:
    """Processes of several (weight, period) added, brought back to variance 1."""
    total = 0.0
    for i, (weight, period) in enumerate(parts):
        total += weight * process(seed, stream * 16 + i, period, time)
    return total / math.sqrt(sum(weight * weight for weight, _ in parts))


def probability(value: float) -> float:
    """The share of standard normal numbers below `value`."""
    return _NORMAL.cdf(value)

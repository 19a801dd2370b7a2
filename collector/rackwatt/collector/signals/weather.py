# SPDX-License-Identifier: Apache-2.0
"""The PUE that past weeks let expect at the wet bulb and the load of now."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_log = logging.getLogger(__name__)

FORGET_SECONDS: Final = 30 * 86_400.0
"""What is a month old counts for a third (1/e)."""
ENOUGH_SECONDS: Final = 6 * 3600.0
"""A bin with less in it is not known."""
SAVE_SECONDS: Final = 600.0
_WET_BULB_STEP: Final = 2.0
_STEPS_PER_OCTAVE: Final = 4
_LONGEST_SECONDS: Final = 60.0


class Expectation:
    """Mean PUE by bins of IT load (quarters of an octave) and wet bulb (2 K), slowly forgetting.

    It is no model of the plant: a fault that was there from the start is expected, too, and one
    that lasts is learned within weeks. Without a wet bulb all weathers share a bin.

    Args:
        path: where it is kept over restarts.
        seconds: counts up, as `Clock.monotonic` does.
    """

    def __init__(self, path: Path, seconds: Callable[[], float]) -> None:
        self._path = path
        self._now = seconds
        self._bins: dict[str, list[float]] = _read(path)
        self._last: float | None = None
        self._saved = seconds()

    def learn(self, pue: float, it_watts: float, wet_bulb: float | None) -> None:
        """Take in what holds now; its weight is the time since the last one, a minute at most."""
        now = self._now()
        weight = 0.0 if self._last is None else min(now - self._last, _LONGEST_SECONDS)
        self._last = now
        key = _key(it_watts, wet_bulb)
        if key is None or weight <= 0.0:
            return
        total, mean = self._bins.get(key, [0.0, pue])
        total = total * math.exp(-weight / FORGET_SECONDS) + weight
        self._bins[key] = [total, mean + (pue - mean) * weight / total]
        if now - self._saved >= SAVE_SECONDS:
            self._saved = now
            self.save()

    def expected(self, it_watts: float, wet_bulb: float | None) -> float | None:
        """The PUE that is usual at this load and wet bulb; None: too little is known."""
        key = _key(it_watts, wet_bulb)
        total, mean = self._bins.get(key or "", (0.0, 0.0))
        return mean if total >= ENOUGH_SECONDS else None

    def save(self) -> None:
        """Write what was learned; what cannot be written is logged, and learned on."""
        beside = self._path.with_suffix(".new")
        try:
            beside.write_text(json.dumps(self._bins), encoding="utf-8")
            beside.replace(self._path)
        except OSError as error:
            _log.warning("%s could not be written: %s", self._path, error)


def _key(it_watts: float, wet_bulb: float | None) -> str | None:
    if it_watts <= 0.0:
        return None
    load = round(math.log2(it_watts) * _STEPS_PER_OCTAVE)
    warm = "" if wet_bulb is None else f"{math.floor(wet_bulb / _WET_BULB_STEP)}"
    return f"{load}|{warm}"


def _read(path: Path) -> dict[str, list[float]]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): [float(total), float(mean)] for key, (total, mean) in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.warning("%s cannot be read, and is learned anew: %s", path, error)
        return {}

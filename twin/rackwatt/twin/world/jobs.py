# SPDX-License-Identifier: Apache-2.0
"""What the racks work on: synchronous training, inference, nothing."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from rackwatt.twin.patterns import expand
from rackwatt.twin.spec import JobSpec, TwinSpec
from rackwatt.twin.world.noise import mixture, uniform

Array = NDArray[np.float64]
_CHECKPOINT_EVERY: Final = 600.0
_INFERENCE_PARTS: Final = ((0.8, 900.0), (0.5, 40.0))
_JOB_STREAM: Final = 100


@dataclass(frozen=True, slots=True)
class Load:
    """How hard a job drives its GPUs; ratios of the span from idle to the power limit."""

    mean: float
    """Over the step."""
    instant: float
    """At its end."""
    busy: float
    """Share of the time with work on the GPU: what `nvidia-smi` calls utilisation."""


IDLE: Final = Load(0.0, 0.0, 0.0)


class Job(Protocol):
    """Work on some racks."""

    def load(self, time: float, sim_time: float, seconds: float) -> Load:
        """The load of the step that ends at `time` (UTC) and `sim_time` (the twin's own)."""


def square_mean(start: float, end: float, period: float, ratio: float) -> float:
    """The share of `start`..`end` in which a square wave is high; it is high first."""

    def high_until(time: float) -> float:
        whole = math.floor(time / period)
        return whole * ratio * period + min(time - whole * period, ratio * period)

    if end <= start:
        return 1.0 if start % period < ratio * period else 0.0
    return min(max((high_until(end) - high_until(start)) / (end - start), 0.0), 1.0)


class Training:
    """Compute and wait in step on all racks, with pauses and check points.

    The swing follows the real clock, so that it stays visible when the twin's time runs faster;
    runs and pauses follow the twin's.
    """

    def __init__(self, spec: JobSpec, seed: int, number: int) -> None:
        self._spec = spec
        cycle = spec.run + spec.pause
        # Start in the first half of a run: a new site shows work, not a pause.
        self._shift = uniform(seed, _JOB_STREAM + number, 0) * 0.5 * spec.run
        self._cycle = cycle

    def load(self, time: float, sim_time: float, seconds: float) -> Load:
        """See `Job`."""
        spec = self._spec
        inside = (sim_time + self._shift) % self._cycle
        if inside >= spec.run:
            return Load(0.05, 0.05, 0.02)
        if inside % _CHECKPOINT_EVERY >= _CHECKPOINT_EVERY - spec.checkpoint:
            return Load(0.12, 0.12, 0.15)
        ratio = spec.compute_ratio
        share = square_mean(time - seconds, time, spec.period, ratio)
        high = time % spec.period < ratio * spec.period
        mean = spec.wait_load + (spec.compute_load - spec.wait_load) * share
        return Load(mean, spec.compute_load if high else spec.wait_load, 0.97 + 0.03 * share)


class Inference:
    """Follows people: low at night, high in the evening, with bursts."""

    def __init__(self, spec: JobSpec, seed: int, number: int, zone: ZoneInfo) -> None:
        self._seed = seed
        self._stream = _JOB_STREAM + number
        self._zone = zone
        del spec

    def load(self, time: float, sim_time: float, seconds: float) -> Load:
        """See `Job`."""
        local = datetime.fromtimestamp(sim_time, UTC).astimezone(self._zone)
        hour = local.hour + local.minute / 60.0
        people = 0.48 - 0.22 * math.cos(2 * math.pi * (hour - 4.5) / 24.0)
        wave = mixture(self._seed, self._stream, _INFERENCE_PARTS, sim_time)
        value = min(max(people + 0.08 * wave, 0.05), 0.95)
        return Load(value, value, min(1.0, 0.25 + 0.8 * value))


class Nothing:
    """Racks that are switched on and wait for work."""

    def load(self, time: float, sim_time: float, seconds: float) -> Load:
        """See `Job`."""
        return IDLE


def make_job(spec: JobSpec, seed: int, number: int, zone: ZoneInfo) -> Job:
    """The job that `spec` describes."""
    if spec.kind == "training":
        return Training(spec, seed, number)
    if spec.kind == "inference":
        return Inference(spec, seed, number, zone)
    return Nothing()


class Jobs:
    """All jobs, and which rack works on which."""

    def __init__(self, spec: TwinSpec, racks: tuple[str, ...]) -> None:
        zone = ZoneInfo(spec.site.timezone)
        self._jobs: list[Job] = [Nothing()]
        job_of = dict.fromkeys(racks, 0)
        for number, item in enumerate(spec.jobs, start=1):
            self._jobs.append(make_job(item, spec.seed, number, zone))
            for pattern in item.racks:
                for rack in expand(pattern):
                    job_of[rack] = number
        self._job_of = np.array([job_of[rack] for rack in racks], dtype=np.int64)

    def loads(self, time: float, sim_time: float, seconds: float) -> tuple[Array, Array, Array]:
        """Mean, instantaneous and busy load per rack."""
        loads = [job.load(time, sim_time, seconds) for job in self._jobs]
        table = np.array([(load.mean, load.instant, load.busy) for load in loads])
        chosen = table[self._job_of]
        return chosen[:, 0], chosen[:, 1], chosen[:, 2]

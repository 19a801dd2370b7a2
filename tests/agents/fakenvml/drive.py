# SPDX-License-Identifier: Apache-2.0
"""Runs the real driver on the unmodified `pynvml` against the library that the loader finds.

Reads cases as JSON from standard input, each a list of steps, and prints what each step gave.
A process of its own, because the loader reads LD_LIBRARY_PATH at its start and because `pynvml`
keeps the library for good. Back-off runs on a clock that the case moves; only the event thread and
the round's time-out are in real time.
"""

import asyncio
import contextlib
import ctypes
import json
import sys
import time
from typing import Any

from rackwatt.agents.nvml import Settings, xid
from rackwatt.agents.nvml.source import NvmlSource
from rackwatt.agents.source import Context, StartError
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import reading_of
from rackwatt.wire.sample import Sample

_DEADLINE_SECONDS = 10.0

Json = Any


class Stand:
    """One source on the stand-in library, and the handles that move both."""

    def __init__(self, library: ctypes.CDLL, settings: dict[str, Json]) -> None:
        self.fake = library
        self.clock = ManualClock()
        self.context = Context(node="n1", clock=self.clock)
        self.source = NvmlSource(Settings.model_validate(settings), self.context)

    async def step(self, name: str, *arguments: Json) -> Json:
        return await getattr(self, f"do_{name}")(*arguments)

    async def do_start(self) -> Json:
        try:
            await self.source.start()
        except StartError as error:
            return {"error": error.kind, "message": str(error)}
        return {"error": None}

    async def do_sample(self) -> Json:
        return samples_of(await self.source.sample())

    async def do_advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def do_scenario(self, text: str) -> None:
        self.fake.fake_scenario(text.encode())

    async def do_unload(self) -> None:
        self.fake.fake_unload()

    async def do_release(self) -> None:
        """Let a hanging call go, and wait until its round is over."""
        self.fake.fake_release()
        worker = self.source._worker
        assert worker is not None
        await asyncio.wait_for(worker.idle(), _DEADLINE_SECONDS)

    async def do_state(self) -> Json:
        return {
            "calls": self.fake.fake_calls(),
            "initialised": self.fake.fake_initialised(),
            "event_sets": self.fake.fake_event_sets(),
            "errors": {str(key): n for key, n in self.context.errors.counts.items()},
        }

    async def do_inventory(self) -> Json:
        return [item.model_dump() for item in self.source.inventory()]

    async def do_probe(self) -> Json:
        return [
            {
                "device": row.device,
                "field": row.field,
                "where": row.where,
                "raw": row.raw,
                "value": row.value,
                "unit": row.unit,
                "quality": row.quality,
            }
            for row in await self.source.probe()
        ]

    async def do_events(self, wanted: int) -> Json:
        """Sample until `wanted` events came."""
        found: list[Json] = []
        end = time.monotonic() + _DEADLINE_SECONDS
        while len(found) < wanted and time.monotonic() < end:
            found += samples_of(await self.source.sample())["events"]
            await asyncio.sleep(0.005)
        return found

    async def do_busy_sample(self) -> Json:
        """One round while another task of the loop counts its turns."""
        turns = 0

        async def spin() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.001)
                turns += 1

        task = asyncio.create_task(spin(), name="spin")
        result = await self.do_sample()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return {**result, "turns": turns}

    async def do_close(self) -> None:
        await self.source.aclose()


def samples_of(samples: Any) -> dict[str, Json]:
    gpus: dict[str, Json] = {}
    events: list[Json] = []
    for sample in samples:
        assert isinstance(sample, Sample)
        reading_of(sample, 1)  # the contract accepts it
        if sample.event is not None:
            events.append(
                {
                    "device": sample.device,
                    "code": sample.event.code,
                    "severity": sample.event.severity,
                    "text": sample.event.text,
                }
            )
        else:
            gpus[sample.device] = {"values": dict(sample.values), "quality": dict(sample.quality)}
    return {"gpus": gpus, "events": events}


async def run(case: dict[str, Json], library: ctypes.CDLL) -> list[Json]:
    if case.get("reset", True):
        library.fake_scenario(b"clear\ngpus 2")
    stand = Stand(library, case.get("settings", {}))
    try:
        return [await stand.step(*step) for step in case["steps"]]
    finally:
        library.fake_scenario(b"clear")
        await stand.source.aclose()


async def main() -> None:
    # The event thread can end only between waits; a thousand cases shall not wait for it.
    xid._WAIT_MILLISECONDS = 5  # type: ignore[misc]
    library = ctypes.CDLL("libnvidia-ml.so.1")
    cases = json.load(sys.stdin)
    json.dump([await run(case, library) for case in cases], sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(), debug=False)

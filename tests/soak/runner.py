# SPDX-License-Identifier: Apache-2.0
"""The soak itself: faults, recovery, settling, judgement."""

import asyncio
import logging
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from soak.backlog import Held, held_by
from soak.faults import FAULTS, Planned, plan
from soak.report import Done, Result, line
from soak.verdict import judge, restatements, verify_ledger
from soak.watching import look, recovered
from soak.world import World

_SETTLE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How to soak."""

    seconds: float = 1800.0
    seed: int = 1
    rate: float = 300.0
    """Messages per second, about."""
    store: str = "embedded"
    kinds: Sequence[str] = tuple(FAULTS)
    most: int = 10_000
    """Faults."""
    pause: tuple[float, float] = (3.0, 15.0)
    longest: float = 40.0
    look_every: float = 5.0


class Soak:
    """One soak.

    Args:
        settings: how.
        folder: an empty one.
        say: takes lines for people.
    """

    def __init__(self, settings: Settings, folder: Path, say: Callable[[str], None]) -> None:
        self.result = Result(asdict(settings))
        self._settings = settings
        self.world = World(folder, settings.store, settings.rate, settings.seed)
        self.until: Held = {}
        """What agents held when they were told to be quiet."""
        self._say = say
        self._recoveries: set[asyncio.Task[None]] = set()
        self._began = 0.0

    async def run(self) -> Result:
        """All of it; a fault that cannot be done is an error of the soak's own."""
        async with self.world as world:
            self._began = time.monotonic()
            looking = asyncio.create_task(look(world, self.result.seen, self._settings.look_every))
            try:
                await self._hurt()
                await asyncio.gather(*self._recoveries)
                self.until = await self._settle()
            finally:
                looking.cancel()
                await asyncio.wait([looking])
            self.result.seconds = time.monotonic() - self._began
            if not looking.cancelled() and (error := looking.exception()) is not None:
                raise error
            self._note_dead()
            for part in world.parts:
                await asyncio.to_thread(part.stop)
            self._say("everything is stopped; comparing what was sent with what is stored")
            self.result.verdict = await asyncio.to_thread(judge, world, self.until)
            sound, says = await asyncio.to_thread(verify_ledger, world)
            self.result.ledger_sound, self.result.ledger_says = sound, says
            self.result.intervals, self.result.restated = restatements(world.books / "ledger.db")
        return self.result

    async def _hurt(self) -> None:
        settings = self._settings
        end = self._began + settings.seconds
        for planned in plan(settings.seed, settings.kinds, settings.pause, settings.longest):
            left = end - time.monotonic() - planned.pause
            if planned.number > settings.most:
                return
            if left < 0:
                break
            await asyncio.sleep(planned.pause)
            await self._do(planned, min(planned.seconds, left))
            self._note_dead()
        await asyncio.sleep(max(0.0, end - time.monotonic()))

    async def _do(self, planned: Planned, seconds: float) -> None:
        rng = random.Random(planned.seed)  # noqa: S311 - repeatable
        at = time.monotonic()
        text = await FAULTS[planned.kind](self.world, rng, seconds)
        done = at - self._began, planned.kind, text, time.monotonic() - at
        task = asyncio.create_task(self._recover(*done))
        self._recoveries.add(task)

    async def _recover(self, at: float, kind: str, text: str, lasted: float) -> None:
        one = Done(at, kind, text, lasted, await recovered(self.world))
        self.result.done.append(one)
        self._say(line(one))

    def _note_dead(self) -> None:
        """What ended by itself is told, and started again as a supervisor would."""
        for part in self.world.parts:
            if part.died():
                self.result.died.append(f"{part.name}, the last it said:\n{part.tail(8)}")
                self._say(f"{part.name} ENDED BY ITSELF:\n{part.tail(8)}")
                part.start()

    async def _settle(self) -> Held:
        world = self.world
        self._say("no more faults; what is under way may come")
        for part in world.shards:
            part.order("quiet")
        await asyncio.sleep(2.0)  # a round that has begun is sampled to its end
        held = await asyncio.to_thread(held_by, {n: world.outbox(n) for n in world.names()})
        self.result.settled = await recovered(world, _SETTLE_SECONDS)
        return held


def run(settings: Settings, folder: Path, say: Callable[[str], None]) -> Result:
    """A whole soak in an empty folder; SIGTERM ends it as Ctrl-C does, with all that it started."""
    logging.basicConfig(filename=folder / "soak.log", format="%(asctime)s %(name)s: %(message)s")

    async def work() -> Result:
        soak = asyncio.ensure_future(Soak(settings, folder, say).run())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, soak.cancel)
        return await soak

    return asyncio.run(work())

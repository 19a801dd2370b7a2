# SPDX-License-Identifier: Apache-2.0
"""Clocks that are wrong: seen per agent, their readings kept, and not booked until released.

The whole way: agents with clocks of their own, a broker, `rackwatt collect`, `rackwatt account` and
`rackwatt ledger release`, each as it runs at a site.
"""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from collecting import TOKEN
from doubles import FakeSource, Running
from faults_kit.compare import outbox_messages, values_of
from faults_kit.processes import QUICK, REAL, CollectorProcess, eventually, lifeline
from faults_kit.table import FULL, Line
from soak.parts import Part

from rackwatt.agents.agent import Agent
from rackwatt.agents.settings import AgentSettings, Config
from rackwatt.agents.source import ErrorCounter
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.outbox import Outbox
from rackwatt.wire.sample import Sample
from rackwatt.wire.session import BrokerSettings
from servers.fixtures import HOST, Mosquitto, free_port

pytestmark = pytest.mark.e2e

LIMIT_MS = 60_000
HOUR_MS = 3_600_000
DRIFT = 2.0 if FULL else 5.0
"""Seconds in a second."""
DRIFTED_MS = 90_000
WRONG = 200 if FULL else 30
"""Readings that each takes by a wrong clock, at least."""
ROUNDS = 3 if FULL else 1


class WrongClock:
    """The machine's clock, stepped or drifting."""

    def __init__(self) -> None:
        self._base_ms = 0.0
        self._rate = 0.0
        self._since = SYSTEM_CLOCK.monotonic()

    @property
    def ahead_ms(self) -> float:
        return self._base_ms + self._rate * 1000 * (SYSTEM_CLOCK.monotonic() - self._since)

    def set(self, ahead_ms: float, rate: float = 0.0) -> None:
        self._base_ms, self._rate, self._since = ahead_ms, rate, SYSTEM_CLOCK.monotonic()

    def now_ms(self) -> int:
        return SYSTEM_CLOCK.now_ms() + round(self.ahead_ms)

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic()


@dataclass
class Wearer:
    """An agent with a clock of its own; each of its values is another."""

    name: str
    folder: Path
    url: str
    clock: WrongClock = field(default_factory=WrongClock)
    ahead_ms: list[float] = field(default_factory=list)
    """How far ahead the clock was, by value."""
    quiet: bool = False

    def agent(self) -> Agent:
        who = AgentSettings(
            site="demo", hall="hall-a", name=self.name, sample_every=0.1, send_every=0.1
        )
        config = Config(agent=who, broker=BrokerSettings(url=self.url), source="fake")
        outbox = Outbox(self._path, keep_seconds=86_400, max_bytes=10**9, clock=self.clock)
        return Agent(config, FakeSource(self._read), outbox, ErrorCounter(), self.clock)

    def _read(self, _: int) -> list[Sample]:
        if self.quiet:
            return []
        self.ahead_ms.append(self.clock.ahead_ms)
        return [Sample("power", self.device, {"power_watts": float(len(self.ahead_ms) - 1)})]

    @property
    def device(self) -> str:
        return f"{self.name}-meter"

    def is_in(self, books: "Books") -> bool:
        """Whether all values are booked or held.

        A clock that goes back says an instant twice: of two values for one the greater one stays.
        """
        found = books.booked(self.device) | books.held(self.device)
        newest: dict[int, int] = {}
        for value, time_ms in found.items():
            newest[time_ms] = max(value, newest.get(time_ms, value))
        own = {
            round(value): time_ms
            for (*_, time_ms), value in values_of(outbox_messages(self._path)).items()
        }
        return len(own) > 0 and all(
            value in found or newest.get(time_ms, -1) > value for value, time_ms in own.items()
        )

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.name}.db"

    def wrong(self) -> set[int]:
        """Values that were read by a clock that was off by over a minute, and a little more."""
        found = enumerate(self.ahead_ms)
        return {value for value, ahead in found if abs(ahead) > LIMIT_MS + DRIFT * 1000}


class Books:
    """An accountant's ledger, looked at from outside."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "ledger.db"

    def _ask(self, query: str, device: str) -> dict[int, int]:
        """Value to time in ms; a value must not stand twice."""
        if not self.file.exists():
            return {}
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=10)) as db:
            try:
                rows = db.execute(query, (device,)).fetchall()
            except sqlite3.OperationalError:
                return {}  # it is being made
        found = {round(value): time_ms for value, time_ms in rows}
        assert len(found) == len(rows), "a value stands twice"
        return found

    def booked(self, device: str) -> dict[int, int]:
        query = "SELECT value, time_ms FROM inputs JOIN series ON id = series WHERE device = ?"
        return self._ask(query, device)

    def held(self, device: str) -> dict[int, int]:
        return self._ask("SELECT value, time_ms FROM held WHERE device = ?", device)


@dataclass
class Scene:
    """A collector, an accountant, four agents."""

    folder: Path
    collector: CollectorProcess
    accountant: Part
    books: Books
    agents: Mapping[str, Wearer]

    @property
    def off(self) -> list[Wearer]:
        return [self.agents[name] for name in ("ahead", "behind", "drifts")]

    async def wait(self, what: str, true: Callable[[Wearer], bool], who: Iterable[Wearer]) -> None:
        async def all_do() -> bool:
            return all([await asyncio.to_thread(true, each) for each in who])

        await eventually(what, all_do, 60.0 + 2 * DRIFTED_MS / 1000 / DRIFT)

    async def command(self, *arguments: str) -> str:
        """`rackwatt ledger …` beside the running accountant."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", REAL, "ledger", *arguments, "--data", str(self.books.file.parent),
            "--site", str(self.folder / "site.yaml"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()


async def start_heard(collector: CollectorProcess, url: str) -> None:
    """Start it, and wait until it knows that nothing waits for it at the broker.

    Before that a status that tells of a slow clock may as well be an old one.
    """
    host, port = BrokerSettings(url=url).address
    async with aiomqtt.Client(host, port, protocol=aiomqtt.ProtocolVersion.V311) as client:
        await client.subscribe("rackwatt/v1/demo/site/+/replay", qos=1)
        await collector.start()
        async with asyncio.timeout(20):
            await anext(aiter(client.messages))


@asynccontextmanager
async def scene(url: str, folder: Path) -> AsyncIterator[Scene]:
    with lifeline() as line:
        collector = CollectorProcess(folder, url, line, ["--accountant"], QUICK)
        port = free_port()
        accountant = Part(
            "accountant", REAL,
            ["account", "--site", str(folder / "site.yaml"), "--data", str(folder / "books"),
             "--collector", f"http://{HOST}:{collector.port}", "--port", str(port)],
            folder, line, {"RACKWATT_INTERNAL_TOKEN": TOKEN},
        )  # fmt: skip
        names = ("right", "ahead", "behind", "drifts")
        agents = {name: Wearer(name, folder, url) for name in names}
        await start_heard(collector, url)
        accountant.spawn()
        try:
            async with AsyncExitStack() as stack:
                for each in agents.values():
                    await stack.enter_async_context(Running(each.agent().run()))
                yield Scene(folder, collector, accountant, Books(folder / "books"), agents)
        finally:
            await asyncio.to_thread(accountant.stop)
            await collector.stop()


async def seen(made: Scene) -> dict[str, float]:
    """The clocks as the page is told of them, once each has told of its own."""
    found: dict[str, Any] = {}

    async def told() -> bool:
        for each in made.agents.values():
            found[each.name] = (await made.collector.agent(each.name)).get("clock_offset_seconds")
        return all(abs(found[each.name] or 0.0) > LIMIT_MS / 1000 for each in made.off)

    await eventually("clock that is said to be off", told)
    return found


def has_booked(books: Books, count: int) -> Callable[[Wearer], bool]:
    def true(each: Wearer) -> bool:
        newest = len(each.ahead_ms) - count
        return newest > 0 and any(value >= newest for value in books.booked(each.device))

    return true


async def go_wrong_and_back(made: Scene) -> dict[str, float]:
    """All clocks go wrong, for a while, and are put right; returns what was seen meanwhile."""
    before = {each.name: len(each.wrong()) for each in made.off}
    agents = made.agents
    agents["ahead"].clock.set(HOUR_MS)
    agents["behind"].clock.set(-HOUR_MS)
    agents["drifts"].clock.set(0.0, DRIFT)
    done = "readings by wrong clocks"
    await made.wait(done, lambda each: len(each.wrong()) >= before[each.name] + WRONG, made.off)
    offsets = await seen(made)
    await made.wait(
        "reading that is held", lambda each: made.books.held(each.device) != {}, made.off
    )
    for each in made.off:
        each.clock.set(0.0)
    read = {each.name: len(each.ahead_ms) for each in made.off}
    await made.wait(
        "booked reading of a clock that is right again",
        lambda each: max(made.books.booked(each.device), default=0) >= read[each.name],
        made.off,
    )
    return offsets


def shifted(times: Mapping[int, int], shift_ms: int, taken: set[int]) -> dict[int, int]:
    """Moved by so much, or a little less: two readings of one device have two times."""
    while any(at + shift_ms in taken for at in times.values()):
        shift_ms -= 1
    return {value: at + shift_ms for value, at in times.items()}


def instant(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


async def release(made: Scene, each: Wearer) -> int:
    """Release all that is held of an agent, and see it booked; returns how many were wrong."""
    held, wanted = made.books.held(each.device), made.books.booked(each.device)
    wrong = {value: at for value, at in held.items() if value in each.wrong()}
    low, high = min(wrong.values()), max(wrong.values()) + 1
    among = {value: at for value, at in held.items() if low <= at < high}
    # Read rightly, shortly before it was known that the clock is wrong.
    rest = {value: at for value, at in held.items() if value not in among}
    assert len(rest) < 30 * ROUNDS, "not more than between two statuses"
    mean = -sum(each.ahead_ms[value] for value in wrong) / len(wrong)
    for times, shift_ms in ((among, round(mean)), (rest, 0)):
        if times:
            moved = shifted(times, shift_ms, set(wanted.values()))
            first, last = min(times.values()), max(times.values()) + 1
            by = next(moved[value] - at for value, at in times.items())
            await made.command(
                "release", "--agent", each.name, "--from", instant(first), "--to", instant(last),
                "--shift", str(by / 1000), "--author", "A. Amrani", "--reason", "it was read",
            )  # fmt: skip
            wanted |= moved
    await made.wait("end of what is held", lambda one: not made.books.held(one.device), [each])
    await made.wait("booking", lambda one: made.books.booked(one.device) == wanted, [each])
    return len(wrong)


async def test_clocks_that_step_or_drift(mosquitto: Mosquitto, tmp_path: Path, line: Line) -> None:
    async with scene(mosquitto.url, tmp_path) as made:
        books = made.books
        await made.wait("first reading", has_booked(books, 5), made.agents.values())
        offsets = [await go_wrong_and_back(made) for _ in range(ROUNDS)]
        for each in made.agents.values():
            each.quiet = True
        await made.wait("end", lambda one: one.is_in(books), made.agents.values())
        kept = {each.name: len(books.held(each.device)) for each in made.off}
        for each in made.off:
            booked = books.booked(each.device)
            assert not each.wrong() & booked.keys(), "booked by a wrong clock"
            assert not booked.keys() & books.held(each.device).keys()
        assert books.held("right-meter") == {}
        released = {each.name: await release(made, each) for each in made.off}
        await made.command("verify")
    for found in offsets:
        assert found["ahead"] == pytest.approx(-3600, abs=2)
        assert found["behind"] == pytest.approx(3600, abs=2)
        assert found["drifts"] < -60
        assert abs(found["right"]) < 2
    line.note(
        "clocks: step +1 h, -1 h, drift to 90 s",
        rounds=ROUNDS,
        readings=sum(len(each.ahead_ms) for each in made.agents.values()),
        by_a_wrong_clock=released,
        held=kept,
        booked_before_release=0,
        lost=0,
    )

# SPDX-License-Identifier: Apache-2.0
"""`rackwatt meter`: against an accountant at work, its real journal and its real page."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from collecting import TOKEN, Values, message
from collector.house import House
from doubles import Running
from typer.testing import CliRunner, Result

from rackwatt.collector.cli import app
from rackwatt.collector.ledger import LedgerReader
from rackwatt.collector.meters.register import COMMISSIONED
from rackwatt.collector.roles.account import Accountant, AccountOptions
from rackwatt.collector.site import load_site
from rackwatt.collector.store import EmbeddedStore
from rackwatt.wire.clock import SYSTEM_CLOCK

TEXT = """\
site: {id: demo, timezone: UTC, country: MA}
meters:
  - {id: grid-1, role: grid, calibration_due: 2020-01-01}
  - {id: main, class: 0.5}
  - {id: hall-1, role: it, position: pdu_output, parent: main, state: installed, class: 0.5}
  - {id: lone, role: other}
  - {id: later, role: other, state: planned}
  - {id: both, sum: [hall-1, lone]}
agents: [{name: meters, hall: site}]
"""
PAPER = (
    "--author", "N. Idrissi", "--certificate", "LNE-4711",
    "--calibrated", "2026-10-02", "--due", "2028-10-01",
)  # fmt: skip


def phases(l1: float, l2: float, l3: float) -> dict[str, float | None]:
    watts = {"l1": l1, "l2": l2, "l3": l3}
    return {
        "power_watts": l1 + l2 + l3,
        **{f"power_{name}_watts": value for name, value in watts.items()},
        **{f"voltage_{name}_volts": 230.0 for name in watts},
        **{f"current_{name}_amperes": abs(value) / 230.0 for name, value in watts.items()},
    }


GOOD: Mapping[str, Values] = {
    "grid-1": {"power_watts": 3e4},
    "main": phases(1e4, 1e4, 1e4),
    "hall-1": phases(1e4, 1e4, 1e4),
    "lone": {"power_watts": 5e3},
}
REVERSED: Mapping[str, Values] = {**GOOD, "hall-1": phases(1e4, -1e4, 1e4)}


class Bench:
    """An accountant at work, and the command beside it."""

    def __init__(self, folder: Path) -> None:
        self.house = House(folder)
        self.folder = folder
        (folder / "site.yaml").write_text(TEXT)

    async def start(self) -> None:
        self._kit, url = await self.house.collector()
        options = AccountOptions((url,), self.folder, "127.0.0.1", self.house.port, TOKEN)
        site = load_site(self.folder / "site.yaml")
        clock = SYSTEM_CLOCK
        store = EmbeddedStore(self.folder / "books", clock=clock)
        running = Running(Accountant(site, store, options, clock).run())
        await self.house.stack.enter_async_context(running)

    async def say(self, loads: Mapping[str, Values], behind_ms: int = 300) -> None:
        """One reading of each meter, and wait until the page has it."""
        now = SYSTEM_CLOCK.now_ms()
        await self._kit.put(message(now - behind_ms, loads, received_ms=now))
        async with asyncio.timeout(60):
            while True:
                try:
                    answer = await self.house.get("/api/meters/main")
                    if answer.json()["readings"]["main"]["received"] == now:
                        return
                except (OSError, KeyError, ValueError):
                    pass
                except Exception as error:
                    if type(error).__module__.partition(".")[0] != "httpx":
                        raise
                await asyncio.sleep(0.05)

    async def meter(self, *arguments: str, page: bool = False) -> Result:
        more = ("--page", f"http://127.0.0.1:{self.house.port}", "--seconds", "1") if page else ()
        words = ["meter", *arguments, *more, "--data", str(self.folder)]
        return await asyncio.to_thread(CliRunner().invoke, app, words)

    def acts(self) -> int:
        with closing(LedgerReader(self.folder / "ledger.db")) as books:
            return len(books.acts(COMMISSIONED))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    async with bench.house.stack:
        await bench.start()
        yield bench


async def test_a_reversed_l2_is_refused_by_its_name_and_recorded_nowhere(bench: Bench) -> None:
    await bench.say(REVERSED)
    found = await bench.meter("commission", "hall-1", *PAPER, page=True)
    assert found.exit_code == 1, found.stderr
    assert "phase sign   FAILED        L2 is reversed" in found.stdout
    assert "reads 10 kW (a third) where its parent main's is 30 kW" in found.stdout
    assert "hall-1 is not accepted; nothing was recorded." in found.stdout
    assert bench.acts() == 0


async def test_a_good_meter_is_recorded_with_who_when_and_until_when(bench: Bench) -> None:
    await bench.say(GOOD)
    dry = await bench.meter("commission", "hall-1", "--dry-run", page=True)
    assert dry.exit_code == 0, dry.stdout + dry.stderr
    assert bench.acts() == 0
    found = await bench.meter("commission", "hall-1", *PAPER, page=True)
    assert found.exit_code == 0, found.stdout + found.stderr
    assert "hall-1 is accepted: entry" in found.stdout
    assert "state: in_service, state_since:" in found.stdout
    with closing(LedgerReader(bench.folder / "ledger.db")) as books:
        (act,) = books.acts(COMMISSIONED)
        assert books.verify() is None
    assert (act.author, act.data["certificate"]) == ("N. Idrissi", "LNE-4711")
    assert act.data["calibration_due"] == "2028-10-01"
    assert {one["state"] for one in act.data["checks"]} == {"passed"}
    assert act.data["compared"] == {"main": pytest.approx(3e4)}
    listed = json.loads((await bench.meter("list", "--json")).stdout)
    (own,) = (one for one in listed if one["meter"] == "hall-1")
    assert own["commissioning"]["author"] == "N. Idrissi"
    assert own["calibration_due"] == "2028-10-01"
    assert own["state"] == "installed"
    shown = (await bench.meter("show", "hall-1")).stdout
    assert "by N. Idrissi: LNE-4711" in shown


async def test_an_overdue_calibration_shows_in_list_page_and_metrics(bench: Bench) -> None:
    await bench.say(GOOD)
    found = await bench.meter("list", "--overdue")
    assert "grid-1" in found.stdout
    assert "overdue" in found.stdout
    assert "hall-1" not in found.stdout
    await bench.house.metric("rackwatt_meters_calibration_overdue_number", 1.0)
    await bench.house.metric('rackwatt_meters_number{site="demo",state="installed"}', 1.0)
    async with asyncio.timeout(30):
        while True:  # the page is made once a second
            quality = (await bench.house.get("/api/frame")).json()["quality"]
            if (quality["calibrations_overdue"], quality["meters_not_in_service"]) == (1, 1):
                break
            await asyncio.sleep(0.1)


async def test_a_clock_that_is_off_is_refused(bench: Bench) -> None:
    await bench.say(GOOD, behind_ms=25_000)
    found = await bench.meter("commission", "hall-1", "--dry-run", page=True)
    assert found.exit_code == 1
    assert "25.0 s old when they arrive: set the clock" in found.stdout


async def test_a_meter_alone_needs_a_reference(bench: Bench) -> None:
    await bench.say(GOOD)
    alone = await bench.meter("commission", "lone", "--dry-run", page=True)
    assert alone.exit_code == 1
    assert "nothing to compare it with" in alone.stdout
    words = ("commission", "lone", "--dry-run", "--reference-watts")
    assert (await bench.meter(*words, "5020", page=True)).exit_code == 0
    wrong = await bench.meter(*words, "25000", page=True)
    assert wrong.exit_code == 1
    assert "a secondary of 5 A is set where it is 1 A" in wrong.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "hall-2"), "unknown meter 'hall-2'"),
        (("show", "both"), "is a virtual meter"),
        (("list", "--state", "bought"), "no state 'bought'"),
        (("commission", "later", *PAPER), "later is planned: write state: installed"),
        (("commission", "hall-1"), "--author: is missing"),
        (("commission", "hall-1", *PAPER[:4]), "--calibrated: expects a day"),
        (("commission", "hall-1", *PAPER[:-1], "2026-10-01"), "is not after --calibrated"),
        (("commission", "hall-1", *PAPER, "--page", "http://127.0.0.1:9"), "does not answer"),
    ],
)
async def test_what_is_wrong_is_said(
    bench: Bench, arguments: tuple[str, ...], message: str
) -> None:
    await bench.say(GOOD)
    found = await bench.meter(*arguments)
    assert found.exit_code == 2
    assert message in found.stderr

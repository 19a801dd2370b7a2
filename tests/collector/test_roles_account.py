# SPDX-License-Identifier: Apache-2.0
"""The accountant over real spools, a real ledger and real HTTP: booked exactly once."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from collecting import (
    LOADS,
    TOKEN,
    inventory,
    message,
    small_site,
)
from collector.house import VALUES, House, minutes
from doubles import START_MS, Running, until

from rackwatt.collector.ingest.spool import ACCOUNTANT
from rackwatt.collector.ledger import Ledger
from rackwatt.collector.ledger.intake import Intake
from rackwatt.collector.roles import collect as collect_module
from rackwatt.collector.roles import following as following_module
from rackwatt.collector.roles.account import Accountant, AccountOptions
from rackwatt.collector.roles.following import Following
from rackwatt.collector.roles.keeping import Keeper
from rackwatt.collector.roles.sorting import Batch
from rackwatt.wire.inventory import InventoryItem, Register
from servers.fixtures import free_port


@pytest.fixture(autouse=True)
def _short_long_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect_module, "_LONG_POLL_SECONDS", 0.05)
    monkeypatch.setattr(following_module, "_POLL_PAUSE_SECONDS", 0.005)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    async with made.stack:
        yield made


async def test_readings_are_booked_shown_and_passed(house: House) -> None:
    kit, url = await house.collector()
    await kit.put(*minutes(2))
    accountant = house.accountant(url)
    async with Running(accountant.run()):
        await until(lambda: kit.spool.cursor(ACCOUNTANT) == 13)
        await until(lambda: accountant._figures is not None)
        await until(lambda: (f := accountant._figures) is not None and f.pue.value is not None)
        text = (await house.get("/metrics")).text
        assert (await house.get("/readyz")).status_code == 200
        frame = (await house.get("/api/frame")).json()
    assert house.count() == 13 * VALUES
    (line,) = [line for line in text.splitlines() if line.startswith("rackwatt_pue_ratio{")]
    assert float(line.rsplit(" ", 1)[1]) == pytest.approx(1.2)
    assert frame["racks"][0]["power_watts"] == 60.0
    assert frame["nodes"] == {"total": 3, "online": 0}


async def test_a_crash_between_booking_and_telling_books_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit, url = await house.collector()
    await kit.put(*minutes(2))
    broken = house.accountant(url)

    book = Keeper.book

    async def crash(self: Keeper, batches: Sequence[Batch], cursor: int, spool: str) -> None:
        await book(self, batches, cursor, spool)
        raise MemoryError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "book", crash)
        with pytest.raises(ExceptionGroup):
            await broken.run()
    assert house.count() == 13 * VALUES
    assert kit.spool.cursor(ACCOUNTANT) == 0, "it was never told"

    applied: list[int] = []
    apply = Ledger.apply

    def spying(
        self: Ledger, records: Any, cursor: int, name: str = "spool", more: Any = ()
    ) -> None:
        kept = list(records)
        applied.append(len(kept))
        apply(self, kept, cursor, name, more)

    monkeypatch.setattr(Ledger, "apply", spying)
    again = house.accountant(url)
    async with Running(again.run()):
        await until(lambda: kit.spool.cursor(ACCOUNTANT) == 13)
        await until(lambda: again._figures is not None and again._figures.load_watts == 120.0)
    assert sum(applied) == 0, "nothing is taken in twice"
    assert house.count() == 13 * VALUES


async def test_a_crash_before_booking_loses_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit, url = await house.collector()
    await kit.put(*minutes(1))

    def crash(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(Intake, "take", crash)
        with pytest.raises(ExceptionGroup):
            await house.accountant(url).run()
    assert house.count() == 0
    async with Running(house.accountant(url).run()):
        await until(lambda: house.count() == 7 * VALUES)


async def test_a_full_disk_is_waited_for_and_the_page_stays(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    kit, url = await house.collector()
    await kit.put(*minutes(1))
    accountant = house.accountant(url)

    async def limit(pages: int) -> None:
        """Let the file grow by so many pages and no more."""

        def work() -> None:
            db = accountant._keeper._ledger._db
            (count,) = db.execute("PRAGMA page_count").fetchone()
            db.execute(f"PRAGMA max_page_count = {count + pages}")

        await accountant._keeper.call(work)

    async with Running(accountant.run()):
        await until(lambda: kit.spool.cursor(ACCOUNTANT) == 7)
        await limit(0)
        await kit.put(*minutes(90, START_MS - 60_000)[:-1])
        await until(lambda: "ledger: database or disk is full; nothing" in caplog.text)
        assert kit.spool.cursor(ACCOUNTANT) == 7, "what is not booked is not passed"
        assert (await house.get("/healthz")).status_code == 200
        assert (await house.get("/api/frame")).status_code == 200
        await limit(10_000)
        await until(lambda: kit.spool.cursor(ACCOUNTANT) == 7 + 540, 30)
    assert house.count() == (7 + 540) * VALUES


async def test_figures_do_not_wait_for_a_ledger_that_is_busy(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit, url = await house.collector()
    first, *rest = minutes(2)
    await kit.put(first)
    accountant, free = house.accountant(url), threading.Event()
    take = Intake.take

    def wait(self: Intake, *args: Any) -> None:
        assert free.wait(10.0)
        take(self, *args)

    monkeypatch.setattr(Intake, "take", wait)
    async with Running(accountant.run()):
        await until(lambda: (f := accountant._figures) is not None and f.instant_ms is not None)
        await kit.put(*rest)
        await until(lambda: (f := accountant._figures) is not None and f.instant_ms == START_MS)
        assert house.count() == 0, "nothing is booked yet"
        assert kit.spool.cursor(ACCOUNTANT) == 0, "so the collector keeps it"
        horizon = accountant._following.horizon(2**62)
        assert horizon is not None
        assert horizon < 2**62, "nor are intervals closed without it"
        free.set()
        await until(lambda: kit.spool.cursor(ACCOUNTANT) == 13)
    assert house.count() == 13 * VALUES


async def test_several_collectors_have_a_cursor_each(house: House) -> None:
    first, one = await house.collector("a")
    second, two = await house.collector("b")
    half = dict(list(LOADS.items())[:3])
    rest = dict(list(LOADS.items())[3:])
    await first.put(message(START_MS, half))
    await second.put(message(START_MS, rest), message(START_MS + 1000, rest))
    async with Running(house.accountant(one, two, with_metrics=True).run()):
        await until(lambda: first.spool.cursor(ACCOUNTANT) == 1)
        await until(lambda: second.spool.cursor(ACCOUNTANT) == 2)
        await until(lambda: house.count("cursors") == 2)
        text = (await house.get("/metrics")).text
    cursors = dict(house.query("SELECT name, id FROM cursors"))
    assert cursors == {first.spool.identity: 1, second.spool.identity: 2}
    assert "rackwatt_messages_total" not in text, "two collectors have series of the same names"


async def test_a_collector_that_is_away_holds_up_nobody_and_is_found_again(house: House) -> None:
    port = free_port()
    kit, url = await house.collector("a")
    await kit.put(*minutes(3))
    accountant = house.accountant(url, f"http://127.0.0.1:{port}")
    async with Running(accountant.run()):
        await until(lambda: house.count("latest") >= 2)
        late, _ = await house.collector("b", port)
        await late.put(message(START_MS, {"other-1": {"power_watts": 5.0}}))
        await until(lambda: late.spool.cursor(ACCOUNTANT) == 1)


async def test_metrics_of_the_one_collector_stand_beside_its_own_each_once(house: House) -> None:
    kit, url = await house.collector()
    await kit.put(*minutes(1))
    accountant = house.accountant(url, with_metrics=True)
    async with Running(accountant.run()):
        await until(lambda: bool(accountant._following.metrics))
        await until(lambda: accountant._figures is not None)
        text = (await house.get("/metrics")).text
    series = [line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series))
    types = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    assert any(line.startswith("rackwatt_messages_total{") for line in series)
    assert any(line.startswith("rackwatt_completeness_ratio{") for line in series)


async def test_a_new_spool_is_read_from_its_beginning(house: House) -> None:
    port = free_port()
    kit, url = await house.collector("a", port)
    await kit.put(*minutes(1))
    accountant = house.accountant(url)
    async with Running(accountant.run()):
        await until(lambda: kit.spool.cursor(ACCOUNTANT) == 7)
        await house.stack.aclose()  # the collector is gone, and its disk with it
        fresh, _ = await house.collector("b", port)
        await fresh.put(message(START_MS + 10_000, LOADS))
        await until(lambda: fresh.spool.cursor(ACCOUNTANT) == 1)
    assert house.count() == 8 * VALUES


async def test_a_backlog_is_read_before_its_intervals_close(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect_module, "SPOOL_READ_MESSAGES", 5)
    monkeypatch.setattr(following_module, "SPOOL_READ_MESSAGES", 5)
    monkeypatch.setattr(following_module, "_POLL_PAUSE_SECONDS", 0.1)
    kit, url = await house.collector()
    await kit.put(*minutes(10))
    accountant = house.accountant(url)
    async with Running(accountant.run()):
        await until(lambda: kit.spool.cursor(ACCOUNTANT) == 61)
        await until(lambda: house.count("latest") >= 9 and not house.count("dirty"))
    causes = {
        cause for (cause,) in house.query("SELECT cause FROM journal WHERE kind = 'interval'")
    }
    assert causes <= {"closed", "hour_closed"}, "nothing was closed too early and restated"
    assert accountant._ledger_view.restatements == 0


async def test_the_horizon_is_the_slowest_backlog_and_never_waits_for_long(house: House) -> None:
    now = house.clock.now_ms()
    following = Following(["http://a", "http://b"], TOKEN, house.clock)
    assert following.horizon(now) is None, "nobody was read yet"
    following._read["http://a"] = now - 60_000
    assert following.horizon(now) is None
    following._read["http://b"] = None
    assert following.horizon(now) == now - 60_000
    following._read["http://a"] = None
    assert following.horizon(now) == now
    del following._read["http://b"]
    following._started -= following_module.FIRST_READ_SECONDS
    assert following.horizon(now) == now


@pytest.mark.parametrize(("offset", "held"), [(59.0, 0), (-61.0, 1), (61.0, 1), (None, 0)])
async def test_a_clock_that_is_off_is_known_before_the_first_reading_is_booked(
    house: House, offset: float | None, held: int
) -> None:
    kit, url = await house.collector()
    kit.seen("meters", "site", offset)
    await kit.put(*minutes(2))
    accountant = house.accountant(url)
    async with Running(accountant.run()):
        await until(lambda: kit.spool.cursor(ACCOUNTANT) == 13)
    kept, empty = ("held", "inputs") if held else ("inputs", "held")
    assert house.count(kept) == 13 * VALUES, "kept in any case"
    assert house.count(empty) == 0


async def test_a_nodes_clock_counts_like_a_field_agents(house: House) -> None:
    kit, url = await house.collector()
    kit.seen("r1-n1", "hall-a", 90.0)
    await kit.put(message(START_MS, {"r1-pdu": {"power_watts": 1.0}}, agent="r1-n1", hall="hall-a"))
    async with Running(house.accountant(url).run()):
        await until(lambda: kit.spool.cursor(ACCOUNTANT) == 1)
    assert house.query("SELECT agent, device FROM held") == [("r1-n1", "r1-pdu")]


async def test_an_inventory_is_taken_before_the_readings_of_its_batch(house: House) -> None:
    kit, url = await house.collector()
    name = "energy_import_watt_hours"
    register = Register(modulus_watt_hours=1000.0, resolution_watt_hours=0.001)
    steps = [message(START_MS - 180_000 + step * 10_000,
                     {"pv-1": {name: (990.0 + step) % 1000.0}}) for step in range(19)]  # fmt: skip
    await kit.put(*steps, inventory([InventoryItem(device="pv-1", registers={name: register})],
                                    START_MS - 180_000))  # fmt: skip
    async with Running(house.accountant(url).run()):
        await until(lambda: house.count("latest") >= 2)
    assert house.query("SELECT modulus, resolution FROM registers") == [(1000.0, 0.001)]
    codes = {code for (code,) in house.query("SELECT code FROM events")}
    assert not any("reset" in code for code in codes), "the roll-over was known as one"
    causes = {
        cause for (cause,) in house.query("SELECT cause FROM journal WHERE kind = 'interval'")
    }
    assert causes <= {"closed", "hour_closed"}


async def test_figures_go_on_after_a_restart(house: House) -> None:
    kit, url = await house.collector()
    await kit.put(*minutes(16))
    async with Running(house.accountant(url).run()):
        await until(lambda: house.count() == 97 * VALUES)
    after = house.accountant(url)
    house.clock.start_ms = START_MS + 5000 - round(house.clock.monotonic() * 1000)
    async with Running(after.run()):
        await until(lambda: after._figures is not None)
        figures = after._figures
    assert figures is not None
    assert figures.pue.value == pytest.approx(1.2)
    assert (figures.pue.since_ms, figures.pue.until_ms) == (START_MS - 900_000, START_MS)


async def test_without_any_reading_it_is_not_ready_and_says_so(house: House) -> None:
    _, url = await house.collector()
    accountant = house.accountant(url)
    async with Running(accountant.run()):
        await until(lambda: accountant._figures is not None)
        response = await house.get("/readyz")
        text = (await house.get("/metrics")).text
        assert (await house.get("/healthz")).status_code == 200
    assert (response.status_code, response.text) == (503, "no figures yet\n")
    values = [line for line in text.splitlines() if not line.startswith("#")]
    assert "rackwatt_ledger_restatements_total 0.0" in values
    values = [line for line in values if not line.startswith("rackwatt_http_")]
    known = ("rackwatt_ledger_", "rackwatt_maintenance_")
    assert all(line.startswith(known) for line in values), "of figures there are none"


async def test_a_wrong_token_is_said_and_tried_again(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    kit, url = await house.collector()
    await kit.put(*minutes(1))
    options = AccountOptions(
        [url], house.folder, "127.0.0.1", house.port, "another-token-altogether"
    )
    async with Running(Accountant(small_site(), house.store(), options, house.clock).run()):
        await until(lambda: "401" in caplog.text)
    assert kit.spool.cursor(ACCOUNTANT) == 0
    assert TOKEN not in caplog.text
    await asyncio.sleep(0)

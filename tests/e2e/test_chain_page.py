# SPDX-License-Identifier: Apache-2.0
"""The chain page in a real browser: a diagram that lives, opens by keyboard and fits a phone."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from e2e.page_chromium import Browser, Look, Tab, chromium
from starlette.applications import Starlette
from starlette.middleware import Middleware

from rackwatt.collector.live.devices import Devices
from rackwatt.collector.live.page import LivePage, SecurityHeaders, routes
from rackwatt.collector.live.page.demo import demo_frame, demo_history
from rackwatt.collector.roles.chains import Chains
from rackwatt.collector.site.loader import load_site
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.codec import ReceivedReading

pytestmark = pytest.mark.e2e

NOW = 1_790_000_000_000
EXAMPLES = Path("docs/examples")
FRAMES = ("current_l1_amperes", "current_l2_amperes", "current_l3_amperes")
OUTAGE = {
    "asset": "ups-b", "since": NOW, "until": NOW + 7_200_000, "author": "N. Idrissi",
    "reason": "batteries, ticket 4711", "overdue": True,
}  # fmt: skip
DRAWN = "document.querySelectorAll('.one-line .box').length"


class House:
    """A server of the chain page, its PDUs and CDUs played by the test."""

    def __init__(self, file: str, *, silent: bool = False) -> None:
        self.site = load_site(EXAMPLES / file)
        self.devices = Devices(self.site)
        self.maintenance: dict[str, dict[str, Any]] = {}
        self._silent = silent
        page = LivePage(lambda: demo_history(NOW))
        page.publish(demo_frame(NOW))
        turn = asyncio.Lock()
        self._chains = Chains(
            self.site, self.devices, SYSTEM_CLOCK, turn, lambda: dict(self.maintenance)
        )
        app = Starlette(
            routes=[*routes(page), *self._chains.routes()], middleware=[Middleware(SecurityHeaders)]
        )
        config = uvicorn.Config(app, log_level="warning", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/chain"
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="house")

    async def _serve(self) -> None:
        looking = asyncio.create_task(self._chains.run())
        playing = asyncio.create_task(self._play())
        await self._server.serve(sockets=[self._socket])
        for task in (looking, playing):
            task.cancel()

    async def _play(self) -> None:
        """Every PDU reports each second; L1 of one rack is more than its feed may carry alone."""
        while True:
            now = SYSTEM_CLOCK.now_ms()
            for rack in () if self._silent else self.site.racks:
                for pdu in rack.pdus:
                    heavy = 30.0 if rack.id == "r1-03" else 15.0
                    values = dict(zip(FRAMES, (heavy, 13.0, 12.0), strict=True))
                    values["power_watts"] = 230.0 * sum(values.values())
                    self.devices.observe("power", ReceivedReading(pdu, now, dict(values)), now)
            for cdu in ("cdu-a1", "cdu-a2"):
                cool = {"return_temperature_celsius": 45.0, "pumps_running_number": 2.0}
                self.devices.observe("coolant", ReceivedReading(cdu, now, dict(cool)), now)
            await asyncio.sleep(1)

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(15)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = chromium()
    if executable is None:
        reason = "Chromium is missing: the chain page in a browser is NOT TESTED"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    browser = Browser(executable)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[House]:
    house = House("site-chains.yaml")
    house.start()
    yield house
    house.stop()


@pytest.fixture
def house() -> Iterator[House]:
    house = House("site-chains.yaml")
    house.start()
    yield house
    house.stop()


def drawn(tab: Tab) -> None:
    tab.until(f"{DRAWN} > 0 && document.body.dataset.state === 'live'")


def press(tab: Tab, key: str) -> None:
    codes = {"Enter": 13, "Tab": 9}
    more: dict[str, Any] = {"windowsVirtualKeyCode": codes[key], "key": key, "code": key}
    if key == "Enter":
        more["text"] = "\r"
    tab.call("Input.dispatchKeyEvent", type="keyDown", **more)
    tab.call("Input.dispatchKeyEvent", type="keyUp", **more)


def label(tab: Tab, name: str) -> str:
    text: str = tab.until(f"document.querySelector('[data-id=\"{name}\"]')?.ariaLabel ?? ''")
    return text


def test_the_diagram_shows_every_feed_with_its_load(browser: Browser, shared: House) -> None:
    with browser.tab(f"{shared.url}?lang=en", Look()) as tab:
        drawn(tab)
        names = tab.js("[...document.querySelectorAll('[data-id]')].map((e) => e.dataset.id)")
        expected = {
            "utility-1",
            "genset-1",
            "tr-a",
            "tr-b",
            "ups-a",
            "busway-b-row-2",
            "bank:row-1",
        }
        assert expected <= set(names)
        busway = label(tab, "busway-a-row-2")
        assert "Side A" in busway
        assert "38% of its rating" in busway
        assert "other side down 75%" in busway
        assert "standby" in label(tab, "genset-1")
        assert "8 racks" in label(tab, "bank:row-1")
        assert tab.js("document.querySelector('[data-kind=standby]') !== null")
        assert tab.js("document.querySelector('#tiles').innerText.includes('Feeds at risk')")
        assert all(request.startswith(shared.url[:20]) for request in tab.requests)
        assert tab.problems == []


def test_a_rack_opens_by_keyboard(browser: Browser, shared: House) -> None:
    with browser.tab(f"{shared.url}?lang=en", Look()) as tab:
        drawn(tab)
        tab.js("document.querySelector('[data-id=busway-a-row-1]').focus()")
        press(tab, "Enter")
        tab.until("document.querySelector('.detail-title')?.innerText === 'busway-a-row-1'")
        tab.until("document.activeElement.classList.contains('detail-title')")
        for _ in range(5):
            press(tab, "Tab")
            if tab.js("document.activeElement.dataset.key === 'r1-03'"):
                break
        assert tab.js("document.activeElement.dataset.key") == "r1-03"
        press(tab, "Enter")
        tab.until("document.querySelector('.detail-title')?.innerText === 'r1-03'")
        detail = tab.js("document.getElementById('detail').innerText")
        for text in ("Side A", "Side B", "utility-1 → tr-a", "at risk", "Ride-through", "L1 119%"):
            assert text in detail, text
        assert tab.problems == []


def test_what_has_the_focus_keeps_it_while_figures_change(browser: Browser, house: House) -> None:
    with browser.tab(f"{house.url}?lang=en", Look()) as tab:
        drawn(tab)
        tab.js("document.querySelector('[data-id=ups-b]').focus()")
        house.maintenance["ups-b"] = OUTAGE
        tab.until("document.querySelector('[data-id=ups-b]').hasAttribute('data-out')")
        assert tab.js("document.activeElement.dataset.id") == "ups-b"
        assert "maintenance" in label(tab, "ups-b")
        tab.until("document.getElementById('groups').innerText.includes('▲')")
        tab.js("document.querySelector('[data-id=ups-b]').dispatchEvent(new Event('click'))")
        tab.until("document.getElementById('detail').innerText.includes('ticket 4711')")
        detail = tab.js("document.getElementById('detail').innerText")
        for text in ("N. Idrissi", "until 2026-09-21", "overdue"):
            assert text in detail, text
        assert tab.problems == []


def test_what_is_unknown_is_said_to_be(browser: Browser) -> None:
    house = House("site-chains.yaml", silent=True)
    house.start()
    try:
        with browser.tab(f"{house.url}?lang=en", Look()) as tab:
            drawn(tab)
            assert "unknown" in label(tab, "busway-a-row-1")
            assert tab.until("document.querySelectorAll('.wire[data-kind=unknown]').length") > 3
            assert tab.problems == []
    finally:
        house.stop()


def test_a_lost_server_is_said(browser: Browser) -> None:
    house = House("site-chains.yaml")
    house.start()
    with browser.tab(f"{house.url}?lang=en", Look()) as tab:
        drawn(tab)
        house.stop()
        tab.until("document.body.dataset.state === 'lost'", seconds=20)
        assert "keeps trying" in tab.js("document.getElementById('banner').innerText")
        assert tab.js(DRAWN) > 0


def test_without_chains_the_page_says_how_to_add_them(browser: Browser) -> None:
    house = House("site.yaml")
    house.start()
    try:
        with browser.tab(f"{house.url}?lang=fr", Look()) as tab:
            tab.until("!document.getElementById('none').hidden")
            assert "docs/chains.md" in tab.js("document.getElementById('none').innerText")
            assert tab.js("document.getElementById('power').hidden")
            assert tab.problems == []
    finally:
        house.stop()


@pytest.mark.parametrize("language", ["en", "fr", "ar"])
@pytest.mark.parametrize(("width", "height"), [(360, 780), (390, 844), (768, 1024), (1440, 900)])
def test_nothing_hangs_over_the_edge(
    browser: Browser, shared: House, language: str, width: int, height: int
) -> None:
    address = f"{shared.url}?lang={language}"
    with browser.tab(address, Look(width=width, height=height)) as tab:
        drawn(tab)
        tab.js(
            "document.querySelector('[data-id=busway-a-row-1]').dispatchEvent(new Event('click'))"
        )
        tab.until("!!document.querySelector('.rack-list')")
        widths = tab.js("[document.documentElement.scrollWidth, document.body.scrollWidth]")
        assert max(widths) <= width
        assert tab.js("document.documentElement.dir") == ("rtl" if language == "ar" else "ltr")
        outside = tab.js(
            "[...document.querySelectorAll('.one-line')].filter((e) =>"
            " [...e.querySelectorAll('.frame')].some((f) => f.x.baseVal.value < 0"
            " || f.x.baseVal.value + f.width.baseVal.value > e.viewBox.baseVal.width)).length"
        )
        assert outside == 0
        assert tab.problems == []

# SPDX-License-Identifier: Apache-2.0
"""The page of promises in a real browser: three languages, a wall, a phone, and no scripts."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from e2e.page_chromium import Browser, Look, chromium
from starlette.applications import Starlette
from starlette.middleware import Middleware

from rackwatt.collector.live.page import LivePage, SecurityHeaders, routes
from rackwatt.collector.live.page.demo import demo_frame, demo_history

pytestmark = pytest.mark.e2e

NOW = 1_790_000_000_000
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class House:
    """A server of the page with a scripted frame, which the test may change."""

    def __init__(self) -> None:
        self.page = LivePage(lambda: demo_history(NOW))
        self.page.publish(demo_frame(NOW))
        app = Starlette(routes=routes(self.page), middleware=[Middleware(SecurityHeaders)])
        config = uvicorn.Config(app, log_level="warning", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/commitments"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="house")

    def _serve(self) -> None:
        self._loop.run_until_complete(self._server.serve(sockets=[self._socket]))

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def show(self, frame: dict[str, object]) -> None:
        self._loop.call_soon_threadsafe(self.page.publish, frame)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self.page.close)
        self._server.should_exit = True
        self._thread.join(15)
        assert not self._thread.is_alive()
        self._loop.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = chromium()
    if executable is None:
        reason = "Chromium is missing: the page of promises in a browser is NOT TESTED"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    browser = Browser(executable)
    yield browser
    browser.close()


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    house.start()
    yield house
    house.stop()


LOOKS = {
    "wall-en-dark": Look(1920, 1080),
    "wall-ar-light": Look(1920, 1080, dark=False, language="ar"),
    "phone-fr-light": Look(390, 844, dark=False, language="fr"),
}


@pytest.mark.parametrize("name", LOOKS)
def test_every_promise_stands_beside_its_measurement(
    browser: Browser, house: House, tmp_path: Path, name: str
) -> None:
    language = name.split("-")[1]
    with browser.tab(f"{house.url}?lang={language}", LOOKS[name]) as tab:
        tab.until("document.body.dataset.state === 'live'")
        text = tab.js("document.querySelector('main').innerText")
        share = {"en": "71.3%", "fr": "71,3", "ar": "71,3"}[language]
        assert share in text
        assert "512" in text
        assert "2026-09-01" in text
        assert tab.js("document.querySelectorAll('.promise').length") == 3
        assert tab.js("document.querySelector('.promise:nth-child(3)').dataset.state") == "not_met"
        assert tab.js(WIDE) == 0, "nothing hangs over"
        if name.startswith("wall"):
            assert tab.js("document.documentElement.scrollHeight") <= 1080, "three fit on a wall"
        tab.screenshot(tmp_path / f"commitments-{name}.png", whole=True)
        assert not tab.problems


def test_a_new_frame_changes_what_is_measured_and_nothing_else(
    browser: Browser, house: House
) -> None:
    measured = "document.querySelector('.promise:nth-child(2) .promise-measured').innerText"
    with browser.tab(f"{house.url}?lang=en", Look()) as tab:
        tab.until("document.body.dataset.state === 'live'")
        assert "512" in tab.js(measured)
        frame = demo_frame(NOW + 1000)
        second = frame["commitments"][1]
        second |= {"measured": None, "measured_reason": "coverage", "measured_at_least": False}
        second |= {"state": "unknown"}
        house.show(frame)
        tab.until(f"{measured}.includes('too little of the period is known')")
        assert "–" in tab.js(measured)
        assert "or more" not in tab.js(measured)
        assert tab.js("document.querySelectorAll('.promise').length") == 3
        assert not tab.problems


def test_without_scripts_the_figures_are_there(browser: Browser, house: House) -> None:
    with browser.tab(f"{house.url}?lang=en", Look(scripts=False)) as tab:
        found = tab.call("DOM.getDocument", depth=-1)
        node = tab.call(
            "DOM.querySelector", nodeId=found["root"]["nodeId"], selector=".promise-list"
        )["nodeId"]
        html = tab.call("DOM.getOuterHTML", nodeId=node)["outerHTML"]
        assert "71.3" in html
        assert "https://campus.example/charter" in html

# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: it lives, it says when it does not, and it asks nobody else."""

import asyncio
import copy
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

from rackwatt.collector.live.page import LivePage, Renderer, SecurityHeaders, routes
from rackwatt.collector.live.page.demo import demo_frame, demo_history
from rackwatt.collector.live.page.render import ASSETS

pytestmark = pytest.mark.e2e

NOW = 1_790_000_000_000

# What a page shows: each bound text with its reason, bar, level and visibility, in order.
SHOWN = """(root) => [...root.querySelectorAll("[data-bind],[data-message],[data-attrs],[data-if]")]
  .map((e) => [
    e.dataset.bind ?? e.dataset.message ?? e.dataset.attrs ?? e.dataset.if,
    e.dataset.bind || e.dataset.message ? e.textContent : "",
    e.title ?? "",
    ["x", "width", "data-level", "data-flag", "data-state", "data-source", "data-severity"]
      .map((name) => e.getAttribute(name) ?? "").join("|"),
    e.hidden ?? e.hasAttribute("hidden"),
  ].join(" ~ "))"""


def missing(what: str) -> None:
    """Skip loudly; where CI counts on it, fail."""
    reason = f"{what}: the page in a browser is NOT TESTED"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Site:
    """A server with a scripted frame source."""

    def __init__(self, renderer: Renderer | None = None) -> None:
        self._page = LivePage(lambda: demo_history(NOW))
        app = Starlette(
            routes=routes(self._page, renderer), middleware=[Middleware(SecurityHeaders)]
        )
        config = uvicorn.Config(app, log_level="warning", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._loop: Any = None
        self._thread = threading.Thread(target=self._serve, name="page-site")
        self._beat: threading.Thread | None = None
        self._silent = threading.Event()
        self.frame = demo_frame(NOW)

    def _serve(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._page.publish(self.frame)
            await self._server.serve(sockets=[self._socket])

        asyncio.run(serve())

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def publish(self, frame: dict[str, Any]) -> None:
        self.frame = frame
        self._loop.call_soon_threadsafe(self._page.publish, frame)

    def keep_publishing(self) -> None:
        """Send the newest frame again each half second, until ``fall_silent``."""

        def beat() -> None:
            while not self._silent.wait(0.5):
                self.publish(self.frame)

        self._silent.clear()
        self._beat = threading.Thread(target=beat, name="page-beat")
        self._beat.start()

    def fall_silent(self) -> None:
        self._silent.set()
        if self._beat:
            self._beat.join()

    def stop(self) -> None:
        self.fall_silent()
        self._loop.call_soon_threadsafe(self._page.close)
        self._server.should_exit = True
        self._thread.join(15)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = chromium()
    if executable is None:
        missing("Chromium is missing")
    assert executable
    browser = Browser(executable)
    yield browser
    browser.close()


@pytest.fixture
def site() -> Iterator[Site]:
    if not ASSETS.is_file():
        missing("The page's assets are not built (scripts/build-assets)")
    site = Site()
    site.start()
    yield site
    site.stop()


def changed_frame() -> dict[str, Any]:
    """Another frame: lists shrink, grow and change their order, values vanish and come."""
    frame = copy.deepcopy(demo_frame(NOW + 60_000))
    frame["pue"] |= {"value": None, "reason": "missing:it,cooling-1"}
    frame["agents"] = [*frame["agents"][:0:-1], frame["agents"][0] | {"name": "new-agent"}]
    frame["racks"] = [*frame["racks"][3:], frame["racks"][0] | {"hall": "hall-b", "row": "row-9"}]
    frame["racks"][0] |= {"power_watts": None, "inlet_celsius": 28.5}
    frame["events"] = frame["events"][:1]
    frame["coolant"] = []
    frame["battery"] = None
    frame["hosts"].append(frame["hosts"][0] | {"device": "second-host", "power_watts": 212.0})
    frame["real_gpus"] = [{"device": "n1/GPU-1", "power_watts": 71.25, "utilization": None}]
    frame["quality"]["store_up"] = False
    return frame


def wait_for_frame(tab: Tab, site: Site) -> None:
    """Until the page shows the newest frame (its time differs from the first HTML's)."""
    site.keep_publishing()
    tab.until("document.body.dataset.state === 'live'")


@pytest.mark.parametrize("language", ["en", "fr", "ar"])
@pytest.mark.parametrize("path", ["", "wall"])
def test_the_living_page_shows_what_a_fresh_page_would(
    browser: Browser, site: Site, path: str, language: str
) -> None:
    """Frame by frame in the browser equals rendered anew on the server, to the character."""
    address = f"{site.url}/{path}?lang={language}"
    with browser.tab(address, Look(language=language)) as tab:
        before = tab.js("document.querySelector('[data-bind=time]').textContent")
        site.publish(changed_frame())
        tab.until(f"document.querySelector('[data-bind=time]').textContent !== '{before}'")
        living = tab.js(f"({SHOWN})(document.body)")
        fresh = tab.js(
            f"fetch({address!r}).then((r) => r.text())"
            f".then((t) => ({SHOWN})(new DOMParser().parseFromString(t, 'text/html').body))"
        )
        assert len(fresh) > 20
        assert living == fresh
        assert tab.problems == []


@pytest.mark.parametrize("path", ["", "wall"])
def test_no_request_leaves_the_machine_and_nothing_is_complained_about(
    browser: Browser, site: Site, path: str
) -> None:
    with browser.tab(f"{site.url}/{path}?lang=ar", Look()) as tab:
        wait_for_frame(tab, site)
        tab.until("performance.getEntriesByType('resource').some(e => e.name.includes('woff2'))")
        assert len(tab.requests) > 10
        assert all(request.startswith(site.url) for request in tab.requests)
        assert tab.problems == []


def test_the_charts_are_drawn_and_tell_what_is_under_the_mouse(
    browser: Browser, site: Site
) -> None:
    with browser.tab(f"{site.url}/?lang=fr", Look(height=1600)) as tab:
        wait_for_frame(tab, site)
        tab.until("!!document.querySelector('#chart-power canvas')")
        middle = tab.js(
            "[document.getElementById('chart-power').getBoundingClientRect()]"
            ".map((b) => [b.x + b.width / 2, b.y + b.height / 2])[0]"
        )
        text = None
        for step in range(100):  # a frame that comes just then draws the chart anew
            tab.hover(middle[0] + step % 2, middle[1])
            text = text or tab.js(
                "new Promise((done) => setTimeout(() => done(document.querySelector('.tip')"
                "?.innerText), 100))"
            )
            if text:
                break
        assert text is not None
        assert "Solaire" in text
        assert "kW" in text
        assert tab.js("document.querySelector('#legend [data-id=genset]').hidden")
        assert tab.problems == []


@pytest.mark.parametrize("language", ["en", "fr", "ar"])
@pytest.mark.parametrize("path", ["", "wall"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (768, 1024), (1440, 900)])
def test_nothing_hangs_over_the_edge(
    browser: Browser, site: Site, path: str, language: str, width: int, height: int
) -> None:
    address = f"{site.url}/{path}?lang={language}"
    with browser.tab(address, Look(width=width, height=height)) as tab:
        wait_for_frame(tab, site)
        widths = tab.js("[document.documentElement.scrollWidth, document.body.scrollWidth]")
        assert max(widths) <= width
        cut = tab.js(
            "[...document.querySelectorAll('.num, .amount')].filter((e) => {"
            "  const b = e.getBoundingClientRect();"
            "  return b.width && !e.closest('.scroll') && (b.left < 0 || b.right > innerWidth);"
            "}).map((e) => e.textContent)"
        )
        assert cut == []


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1366, 768), (3440, 1440)])
@pytest.mark.parametrize("language", ["en", "fr", "ar"])
def test_the_wall_fits_its_screen_and_is_read_from_five_metres(
    browser: Browser, site: Site, language: str, width: int, height: int
) -> None:
    address = f"{site.url}/wall?lang={language}"
    with browser.tab(address, Look(width=width, height=height)) as tab:
        assert tab.js("document.documentElement.scrollHeight") <= height
        sizes = tab.js(
            "[...document.querySelectorAll('body *')]"
            ".filter((e) => e.innerText && !e.closest('.unit'))"
            ".map((e) => parseFloat(getComputedStyle(e).fontSize))"
        )
        # 2.2 % of a 16:9 screen's width: on a wall of 1.2 m, letters of about 19 mm.
        assert min(sizes) >= 0.0215 * min(width, height * 16 / 9)
        worst = demo_frame(NOW) | {"state": "stale"}
        worst["pue"] = worst["pue"] | {"value": None, "reason": "ups_on_battery"}
        for source in worst["sources"]:
            source["share"] = None if source["id"] == "battery" else 1 / 6
        site.publish(worst)
        tab.until("document.body.dataset.state === 'stale'")
        assert tab.js("document.documentElement.scrollHeight") <= height


def test_a_silent_server_is_said_and_its_return_too(browser: Browser, site: Site) -> None:
    with browser.tab(f"{site.url}/?lang=en", Look()) as tab:
        wait_for_frame(tab, site)
        assert tab.js("document.querySelector('.pill').innerText").strip() == "Live"
        site.fall_silent()
        tab.until("document.body.dataset.state === 'lost'", seconds=12)
        assert tab.js("document.querySelector('.pill').innerText").strip() == "Connection lost"
        assert "15:13:20" in tab.js("document.getElementById('banner').innerText")
        assert tab.js("getComputedStyle(document.querySelector('main')).filter") == "grayscale(0.8)"
        site.publish(demo_frame(NOW + 1000))
        tab.until("document.body.dataset.state === 'live'")
        assert tab.js("document.getElementById('banner').offsetHeight") == 0


def test_stale_figures_are_greyed_and_dated(browser: Browser, site: Site) -> None:
    with browser.tab(f"{site.url}/wall?lang=en", Look()) as tab:
        site.publish(demo_frame(NOW) | {"state": "stale"})
        tab.until("document.body.dataset.state === 'stale'")
        assert "No reading since 15:13:20" in tab.js("document.body.innerText")
        assert tab.js("getComputedStyle(document.querySelector('main')).filter") == "grayscale(0.8)"


def test_the_theme_follows_the_system_until_the_switch_is_used(
    browser: Browser, site: Site
) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with browser.tab(f"{site.url}/?lang=en", Look(dark=False)) as tab:
        tab.until("!document.getElementById('theme').hidden")
        light = tab.js(ground)
        tab.js("document.getElementById('theme').click()")
        assert tab.js(ground) != light
        tab.call("Page.reload")
        tab.until(f"document.readyState === 'complete' && {ground} !== {light!r}")
        assert tab.js("document.documentElement.dataset.theme") == "dark"
    with browser.tab(f"{site.url}/?lang=en", Look(dark=True)) as tab:
        assert tab.js(ground) != light


def test_racks_show_power_or_inlet_temperature(browser: Browser, site: Site) -> None:
    seen = "document.querySelector('.rack .rack-value.for-{}').offsetHeight > 0"
    with browser.tab(f"{site.url}/?lang=en", Look()) as tab:
        assert tab.js(seen.format("power"))
        assert not tab.js(seen.format("inlet"))
        tab.js("document.querySelector('[value=inlet]').click()")
        assert tab.js(seen.format("inlet"))
        assert not tab.js(seen.format("power"))


def test_the_page_has_landmarks_names_and_one_main_heading(browser: Browser, site: Site) -> None:
    with browser.tab(f"{site.url}/?lang=en", Look()) as tab:
        wait_for_frame(tab, site)
        for landmark in ("header", "main", "nav[aria-label]", "footer", "[role=status]"):
            assert tab.js(f"document.querySelectorAll('{landmark}').length") == 1, landmark
        assert tab.js("document.querySelectorAll('h1').length") == 1
        nameless = tab.js(
            "[...document.querySelectorAll('button, a, input')].filter((e) =>"
            " !(e.innerText || e.ariaLabel || e.closest('label')?.innerText)).length"
        )
        assert nameless == 0
        assert tab.js("document.querySelectorAll('[aria-live]').length") == 1


def test_without_scripts_the_figures_stand(browser: Browser, site: Site) -> None:
    with browser.tab(f"{site.url}/?lang=en", Look(scripts=False)) as tab:
        assert "1.18" in tab.js("document.querySelector('.giant').innerText")
        assert tab.js("document.querySelectorAll('.rack').length") == 16


def test_without_assets_the_figures_live_and_the_charts_are_said_to_be_missing(
    browser: Browser, tmp_path: Path
) -> None:
    site = Site(Renderer(assets=tmp_path / "none"))
    site.start()
    try:
        with browser.tab(f"{site.url}/?lang=en", Look()) as tab:
            site.publish(changed_frame())
            tab.until("document.querySelector('[data-bind=time]').textContent === '15:14:20'")
            assert "charts are missing" in tab.js("document.querySelector('.hour').innerText")
            assert not any("vendor" in request for request in tab.requests)
            assert tab.problems == []
    finally:
        site.stop()

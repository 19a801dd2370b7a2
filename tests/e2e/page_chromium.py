# SPDX-License-Identifier: Apache-2.0
"""A real, headless Chromium, driven over its debugging pipe: no package, no port, no network."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def chromium() -> str | None:
    """Path of the browser, or None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass(frozen=True)
class Look:
    """How a tab sees the page."""

    width: int = 1440
    height: int = 900
    dark: bool = True
    language: str = "en-US"
    reduced_motion: bool = True
    scripts: bool = True


@dataclass
class Tab:
    """One tab: what it logged and asked for, and how to ask it things."""

    browser: "Browser"
    session: str
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.call(method, params, self.session)

    def js(self, expression: str) -> Any:
        """Value of a JavaScript expression (a promise is awaited)."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = 15.0) -> Any:
        """Wait until an expression is truthy, and return it."""
        deadline = time.monotonic() + seconds
        while not (value := self.js(expression)):
            assert time.monotonic() < deadline, f"not in {seconds} s: {expression}"
            time.sleep(0.05)
        return value

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        path.write_bytes(base64.b64decode(picture["data"]))

    def hover(self, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message["method"]:
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "warning", "assert"}:
                self.problems.append(str([a.get("value") for a in params["args"]]))
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(params["exceptionDetails"])[:600])
            case "Log.entryAdded" if params["entry"]["level"] in {"error", "warning"}:
                self.problems.append(params["entry"]["text"] + " " + params["entry"].get("url", ""))
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])


class Browser:
    """A browser with an empty profile."""

    def __init__(self, executable: str) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        self._profile = tempfile.mkdtemp(prefix="page-chromium-")
        command = [executable, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"]

        def plug() -> None:
            # The protocol's fixed places; through high numbers, lest one lands on the other.
            high_in, high_out = os.dup2(to_browser, 100), os.dup2(from_browser, 101)
            os.dup2(high_in, 3)
            os.dup2(high_out, 4)

        self._process = subprocess.Popen(
            command,
            preexec_fn=plug,  # noqa: PLW1509
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._last = 0
        self._buffer = b""
        self._tabs: dict[str, Tab] = {}

    def call(self, method: str, params: dict[str, Any], session: str = "") -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            tab = self._tabs.get(answer.get("sessionId", ""))
            if tab and "method" in answer:
                tab.note(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._read, 1 << 16)
            assert chunk, "the browser has gone"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    @contextlib.contextmanager
    def tab(self, url: str, look: Look) -> Iterator[Tab]:
        """Open ``url`` in a context of its own (no cookies, no storage of another)."""
        context = self.call("Target.createBrowserContext", {})["browserContextId"]
        target = {"url": "about:blank", "browserContextId": context}
        target_id = self.call("Target.createTarget", target)["targetId"]
        attach = {"targetId": target_id, "flatten": True}
        tab = Tab(self, self.call("Target.attachToTarget", attach)["sessionId"])
        self._tabs[tab.session] = tab
        for domain in ("Runtime", "Log", "Network", "Page"):
            tab.call(f"{domain}.enable")
        tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=look.width,
            height=look.height,
            deviceScaleFactor=1,
            mobile=look.width < 600,
        )
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if look.dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if look.reduced_motion else ""},
        ]
        tab.call("Emulation.setEmulatedMedia", features=features)
        tab.call("Emulation.setScriptExecutionDisabled", value=not look.scripts)
        tab.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": look.language})
        tab.call("Page.navigate", url=url)
        deadline = time.monotonic() + 20
        while tab.js("location.href + document.readyState") != f"{url}complete":
            assert time.monotonic() < deadline, f"{url} does not load"
            time.sleep(0.05)
        yield tab
        self.call("Target.closeTarget", {"targetId": target_id})
        self.call("Target.disposeBrowserContext", {"browserContextId": context})

    def close(self) -> None:
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close", {})
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)

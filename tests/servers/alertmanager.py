# SPDX-License-Identifier: Apache-2.0
"""Prometheus' Alertmanager as a server of the tests, and a receiver for its webhooks."""

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from servers.process import ServerProcess
from servers.programs import HOST, free_port, require

SHIPPED: Final = Path(__file__).resolve().parents[2] / "alerts" / "alertmanager.yaml"
_PLACE: Final = "http://127.0.0.1:9099"


class Alertmanager(ServerProcess):
    """Alertmanager with the shipped configuration, its webhooks turned to `webhook`."""

    def __init__(
        self,
        directory: Path,
        webhook: str,
        *,
        port: int | None = None,
        replaced: Mapping[str, str] | None = None,
    ) -> None:
        """Write the configuration; nothing runs yet.

        Args:
            directory: configuration, silences and log
            webhook: address that takes the place of the shipped file's receivers
            port: the port to listen on; a free one if None
            replaced: text of the configuration to replace, which must be there
        """
        program = require("prometheus-alertmanager", "alertmanager")
        port = free_port() if port is None else port
        directory.mkdir(parents=True, exist_ok=True)
        text = SHIPPED.read_text(encoding="utf-8")
        assert _PLACE in text
        # Mail has nowhere to go here, and would be tried again and again.
        lines = text.replace(_PLACE, webhook).replace("mail.example.org:587", f"{HOST}:1")
        for old, new in (replaced or {}).items():
            assert old in lines, f"no {old!r} in {SHIPPED}"
            lines = lines.replace(old, new)
        configuration = directory / "alertmanager.yaml"
        configuration.write_text(lines, encoding="utf-8")
        secrets = directory / "secrets"
        secrets.mkdir(exist_ok=True)
        (secrets / "smtp-password").write_text("none\n", encoding="utf-8")
        command: list[str | Path] = [
            program,
            f"--config.file={configuration}",
            f"--storage.path={directory / 'data'}",
            f"--web.listen-address={HOST}:{port}",
            "--cluster.listen-address=",
        ]
        super().__init__(command, port=port, directory=directory)

    @property
    def url(self) -> str:
        """The address as an agent's file has it."""
        return f"http://{HOST}:{self.port}"

    def alerts(self) -> list[dict[str, Any]]:
        """What is on, as its API tells it."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            found: list[dict[str, Any]] = json.loads(answer.read())
        return found


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert of one webhook call."""

    at: float
    """`time.monotonic()` at its arrival."""
    path: str
    status: str
    """`firing` or `resolved`."""
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def name(self) -> str:
        """Of the alert."""
        return self.labels["alertname"]


class Webhook:
    """Takes what Alertmanager sends, and keeps it."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self._more = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.monotonic()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()
                outer.take(at, self.path, body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"http://{HOST}:{self._server.server_address[1]}"

    def take(self, at: float, path: str, body: dict[str, Any]) -> None:
        """Keep the alerts of one call."""
        with self._more:
            self.notices += [
                Notice(at, path, alert["status"], alert["labels"], alert["annotations"])
                for alert in body["alerts"]
            ]
            self._more.notify_all()

    def wait(self, what: Callable[[Notice], bool], seconds: float, since: float = 0.0) -> Notice:
        """The first notice of that kind that came after `since`, or a failure."""
        deadline = time.monotonic() + seconds
        with self._more:
            while True:
                for notice in self.notices:
                    if notice.at >= since and what(notice):
                        return notice
                left = deadline - time.monotonic()
                assert left > 0, f"nothing within {seconds:g} s; there was {self.notices}"
                self._more.wait(left)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

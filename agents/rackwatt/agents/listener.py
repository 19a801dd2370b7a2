# SPDX-License-Identifier: Apache-2.0
"""The agent's `/metrics` over HTTP: one path, read only, few clients at once, a token if wished."""

import logging
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6, socket
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from rackwatt.wire.listening import LOCAL, is_loopback, is_named, opens

_log = logging.getLogger(__name__)

MAX_CLIENTS: Final = 8
"""At once; one more is closed. A GPU node is there for its jobs."""
CLIENT_SECONDS: Final = 5.0
"""A client that says or takes nothing for so long is gone."""


class _Server(ThreadingHTTPServer):
    """A thread per client, and no more than `MAX_CLIENTS`."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self._free = threading.Semaphore(MAX_CLIENTS)
        if ":" in address[0]:
            self.address_family = AF_INET6
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        _log.debug("metrics: %s went away", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request and closes."""

    timeout = CLIENT_SECONDS

    def __init__(
        self,
        request: socket,
        client_address: Any,
        server: _Server,
        *,
        registry: CollectorRegistry,
        token: str,
        local: bool,
    ) -> None:
        self._registry = registry
        self._tokens = [token.encode()] if token else []
        self._local = local
        super().__init__(request, client_address, server)

    def do_GET(self) -> None:
        """The metrics, to whom they are for."""
        if self._local and not is_named(self.headers.get("Host", ""), {LOCAL}):
            self._answer(421, b"this name is not known here\n")
        elif self._tokens and not opens(self._tokens, self.headers.get_all("Authorization", [])):
            self._answer(401, b"show the token\n", {"WWW-Authenticate": 'Basic realm="Rackwatt"'})
        elif self.path.partition("?")[0] != "/metrics":
            self._answer(404, b"there is /metrics only\n")
        else:
            text = generate_latest(self._registry)
            self._answer(200, text, {"Content-Type": CONTENT_TYPE_LATEST})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {
            "Content-Type": "text/plain; charset=utf-8",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
            "Connection": "close",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        """A line for each request would let anybody fill the disk."""


def listen(registry: CollectorRegistry, host: str, port: int, token: str = "") -> _Server:
    """Serve `/metrics` from a thread of its own until the process ends, or `shutdown()`.

    Args:
        registry: what is served.
        host: address to listen on.
        port: port to listen on.
        token: what a client must show; empty: nothing.

    Raises:
        OSError: the address is taken or not ours.
    """
    local = is_loopback(host)
    if not local:
        why = "the token crosses the network in the clear: let only a management network reach it"
        if not token:
            why = "whoever reaches this address may read metrics: name a metrics.token_file"
        _log.warning("%s:%d: %s", host, port, why)
    server = _Server((host, port), partial(_Handler, registry=registry, token=token, local=local))
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server

# SPDX-License-Identifier: Apache-2.0
"""A fake Redfish service with faults: `python -m rackwatt.twin.servers.redfish`.

| fault | target | effect |
|---|---|---|
| `leak` | `CDU1`, `Rack1`, `tray_3` | one of its leak detectors is wet |
| `detector` | as `leak` | its last leak detector does not work |
| `pump` | `CDU1/1` | stands still |
| `psu` | `PowerShelf_1/PS2` | has failed; of the plain server `1U/2` |
| `psu_gone` | `PowerShelf_1/PS2` | was pulled out |
| `shelf` | `PowerShelf_1` | is dead |
| `firmware` | `CDU` | has another version |
| `slow` | seconds | each answer takes that long |
| `busy` | seconds | answers 503 with that `Retry-After` |
| `garbled` | `all` | answers what is no JSON |
| `expire` | `all` | all sessions have ended, once |

It speaks HTTP, sessions, `$expand`, ETags and server-sent events; whatever would change it is
refused and kept in `requests`, so that a test can look.
"""

import argparse
import contextlib
import hashlib
import json
import queue
import secrets
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote

from rackwatt.twin.servers.redfish_tree import ROOT, TREES, Resource
from rackwatt.wire.config import nearest

FAULTS: Final = frozenset(
    {
        "leak", "detector", "pump", "psu", "psu_gone", "shelf",
        "firmware", "slow", "busy", "garbled", "expire",
    }
)  # fmt: skip
_SESSIONS: Final = f"{ROOT}/SessionService/Sessions"
_STREAM: Final = f"{ROOT}/EventService/SSE"
_FRESH_SECONDS: Final = 0.2
"""How long the resources are shown before they are made anew."""
_KEEP_ALIVE_SECONDS: Final = 1.0


@dataclass(slots=True)
class _State:
    """What is shared by the requests."""

    broken: set[tuple[str, str]] = field(default_factory=set)
    slow: float = 0.0
    busy: float | None = None
    sessions: set[str] = field(default_factory=set)
    listeners: list["queue.Queue[str]"] = field(default_factory=list)
    told: int = 0
    stopping: bool = False


class FakeRedfish:
    """A service on the loopback, in threads of its own; a context manager.

    Args:
        tree: `rack` or `plain`.
        port: 0 for any.
        user: of the account; None: no login is asked for.
        password: of the account.
        expands: whether it offers `$expand`.
        streams: whether it offers events.
        certificate: certificate file and key file: HTTPS.
    """

    def __init__(
        self,
        tree: str = "rack",
        port: int = 0,
        *,
        user: str | None = "monitor",
        password: str = "made-up",  # noqa: S107 - a fake's
        expands: bool = True,
        streams: bool = True,
        certificate: tuple[str, str] | None = None,
    ) -> None:
        self._tree = TREES[tree]
        self.user = user
        self.password = password
        self._expands = expands
        self._streams = streams
        self._began = time.monotonic()
        self._made: tuple[float, frozenset[tuple[str, str]], dict[str, Resource]] = (
            float("-inf"),
            frozenset(),
            {},
        )
        self.state = _State()
        self.lock = threading.Lock()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path with query, and headers of each request."""
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.state.stopping = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def inject(self, name: str, target: str) -> None:
        """Break something; what the service would tell, it tells its listeners.

        Raises:
            ValueError: no such fault, or a target that is no number where one is needed.
        """
        if name not in FAULTS:
            raise ValueError(f"no fault {name!r} ({nearest(name, FAULTS)})")
        with self.lock:
            if name == "expire":
                self.state.sessions.clear()
            elif name == "slow":
                self.state.slow = float(target)
            elif name == "busy":
                self.state.busy = float(target)
            else:
                self.state.broken.add((name, target))
        if name in {"leak", "pump", "psu", "psu_gone", "shelf"}:
            self.tell("ResourceEvent.1.4.ResourceErrorsDetected", "Critical", f"{name} {target}")

    def clear(self) -> None:
        """Mend everything."""
        with self.lock:
            self.state.broken.clear()
            self.state.slow, self.state.busy = 0.0, None

    def tell(self, message_id: str, severity: str, message: str, origin: str = "") -> None:
        """Tell the listeners an event."""
        with self.lock:
            self.state.told += 1
            record: dict[str, Any] = {
                "EventId": str(self.state.told),
                "MessageId": message_id,
                "MessageSeverity": severity,
                "Message": message,
            }
            if origin:
                record["OriginOfCondition"] = {"@odata.id": origin}
            text = json.dumps({"@odata.type": "#Event.v1_7_0.Event", "Events": [record]})
            for listener in self.state.listeners:
                listener.put(f"id: {self.state.told}\ndata: {text}\n\n")

    def resources(self) -> dict[str, Resource]:
        """All resources, as they are now."""
        with self.lock:
            broken, seconds = frozenset(self.state.broken), time.monotonic() - self._began
            made, for_whom, found = self._made
            if seconds - made < _FRESH_SECONDS and for_whom == broken:
                return found
            found = self._tree(seconds, lambda *fault: fault in broken)
            self._offer(found[ROOT])
            self._made = (seconds, broken, found)
            return found

    def _offer(self, root: Resource) -> None:
        if self._expands:
            expand = {"ExpandAll": False, "NoLinks": True, "Levels": True, "MaxLevels": 2}
            root["ProtocolFeaturesSupported"] = {"ExpandQuery": expand}
        if not self._streams:
            root.pop("EventService", None)

    def expanded(self, resource: Resource, found: dict[str, Resource], query: str) -> Resource:
        """The resource with its members, where that is asked for and offered."""
        if not self._expands or "$expand" not in unquote(query) or "Members" not in resource:
            return resource
        members = [found[link["@odata.id"]] for link in resource["Members"]]
        return {**resource, "Members": members}


def _handler(fake: FakeRedfish) -> type[BaseHTTPRequestHandler]:
    """A class of handlers for one service."""

    class Handler(_Handler):
        service = fake

    return Handler


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: FakeRedfish

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        path = path.rstrip("/") or "/"
        if not self._admitted(path):
            return
        if path == _STREAM:
            self._stream()
            return
        found = self.service.resources()
        resource = found.get(path)
        if resource is None:
            self._answer(HTTPStatus.NOT_FOUND, {"error": {"code": "Base.1.18.ResourceMissing"}})
            return
        body = self._encoded(self.service.expanded(resource, found, query))
        tag = f'"{hashlib.sha256(body).hexdigest()[:12]}"'
        if self.headers.get("If-None-Match") == tag:
            self._send(HTTPStatus.NOT_MODIFIED, b"", {"ETag": tag})
        else:
            self._send(HTTPStatus.OK, body, {"ETag": tag})

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        if not self._admitted(self.path, login=self.path == _SESSIONS):
            return
        if self.path != _SESSIONS:
            self._answer(HTTPStatus.METHOD_NOT_ALLOWED, {})
            return
        given = json.loads(body)
        service = self.service
        if (given.get("UserName"), given.get("Password")) != (service.user, service.password):
            self._answer(HTTPStatus.UNAUTHORIZED, {})
            return
        token = secrets.token_hex(16)
        with service.lock:
            service.state.sessions.add(token)
        location = f"{_SESSIONS}/{token[:8]}"
        body = json.dumps({"@odata.id": location}).encode()
        self._send(HTTPStatus.CREATED, body, {"X-Auth-Token": token, "Location": location})

    def do_DELETE(self) -> None:
        if not self._admitted(self.path):
            return
        service = self.service
        with service.lock:
            ended = {s for s in service.state.sessions if self.path == f"{_SESSIONS}/{s[:8]}"}
            service.state.sessions -= ended
        self._answer(HTTPStatus.OK if ended else HTTPStatus.METHOD_NOT_ALLOWED, {})

    def do_PATCH(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._admitted(self.path):
            self._answer(HTTPStatus.METHOD_NOT_ALLOWED, {})

    do_PUT = do_PATCH  # noqa: N815

    def _admitted(self, path: str, *, login: bool = False) -> bool:
        """Whether the request goes on; keeps it, and plays the faults of all requests."""
        service = self.service
        with service.lock:
            service.requests.append((self.command, self.path, dict(self.headers.items())))
            slow, busy = service.state.slow, service.state.busy
            known = self.headers.get("X-Auth-Token") in service.state.sessions
        if slow:
            time.sleep(slow)
        if busy is not None:
            wait = {"Retry-After": f"{busy:.0f}"}
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, b"{}", wait)
            return False
        if known or login or service.user is None or path.rstrip("/") == ROOT:
            return True
        self._answer(HTTPStatus.UNAUTHORIZED, {})
        return False

    def _encoded(self, content: Resource) -> bytes:
        garbled = ("garbled", "all") in self.service.state.broken
        return b"<html>busy</html>" if garbled else json.dumps(content).encode()

    def _answer(self, code: HTTPStatus, content: Resource) -> None:
        self._send(code, json.dumps(content).encode(), {})

    def _send(self, code: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        with contextlib.suppress(ConnectionError):
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            if code is not HTTPStatus.NOT_MODIFIED:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _stream(self) -> None:
        """Tell events until the listener goes."""
        service = self.service
        mine: queue.Queue[str] = queue.Queue()
        with service.lock:
            service.state.listeners.append(mine)
        self.close_connection = True
        try:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            while not service.state.stopping:
                try:
                    text = mine.get(timeout=_KEEP_ALIVE_SECONDS)
                except queue.Empty:
                    text = ": still here\n\n"
                self.wfile.write(text.encode())
                self.wfile.flush()
        except OSError:
            pass
        finally:
            with service.lock:
                service.state.listeners.remove(mine)


def main() -> None:
    """Serve until the end of the input; each line breaks something, `mend` mends everything."""
    parser = argparse.ArgumentParser(
        description="A fake Redfish service on the loopback. Lines of input break it: "
        "'leak CDU1', 'psu PowerShelf_1/PS2', 'busy 30', 'mend'."
    )
    parser.add_argument("--tree", choices=sorted(TREES), default="rack")
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--user", default="monitor")
    parser.add_argument("--password", default="made-up")
    options = parser.parse_args()
    with FakeRedfish(
        options.tree, options.port, user=options.user, password=options.password
    ) as fake:
        print(f"a made-up {options.tree} on {fake.url}, user {options.user}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            for line in sys.stdin:
                name, _, target = line.strip().partition(" ")
                if name == "mend":
                    fake.clear()
                elif name:
                    try:
                        fake.inject(name, target or "all")
                    except ValueError as error:
                        print(error, flush=True)


if __name__ == "__main__":
    main()

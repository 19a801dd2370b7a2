# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Grafana's HTTP API, in memory: the seven endpoints that a push uses, no more.

It is no Grafana: it keeps what it is given, counts versions as Grafana does (a write over an older
version is refused with 412), hides secrets, and fails when told to. After
https://grafana.com/docs/grafana/latest/developers/http_api/.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "glsa_stand_in"
Answer = tuple[int, dict[str, Any]]


class GrafanaStandIn:
    """What a Grafana would keep, and what it was asked."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, Any]] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        self.boards: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.fail: list[int] = []
        """Statuses of the next answers; 0: the real one."""
        self.faster = 0
        """How often someone else changes a dashboard just before it is written."""
        self.url = ""

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [item for item in self.asked if item[0] != "GET"]

    def answer(self, method: str, path: str, body: dict[str, Any], token: str) -> Answer:
        self.asked.append((method, path))
        status = self.fail.pop(0) if self.fail else 0
        if status:
            return status, {"message": f"told to say {status}"}
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        kind, *rest = path.removeprefix("/api/").split("/")
        if kind == "folders":
            return self._folder(method, rest, body)
        if kind == "datasources":
            return self._source(method, rest, body)
        if kind == "dashboards":
            return self._board(method, rest, body)
        return 404, {"message": "Not found"}

    def _folder(self, method: str, rest: list[str], body: dict[str, Any]) -> Answer:
        if method == "POST":
            self.folders[body["uid"]] = {"uid": body["uid"], "title": body["title"], "version": 1}
            return 200, self.folders[body["uid"]]
        there = self.folders.get(rest[0])
        if there is None:
            return 404, {"message": "folder not found"}
        if method == "PUT":
            there["title"] = body["title"]
        return 200, there

    def _source(self, method: str, rest: list[str], body: dict[str, Any]) -> Answer:
        uid = body["uid"] if method == "POST" else rest[1]
        there = self.sources.get(uid)
        if method == "GET":
            if there is None:
                return 404, {"message": "Data source not found"}
            fields = dict.fromkeys(self.secrets.get(uid, {}), True)
            return 200, {**there, "secureJsonFields": fields, "readOnly": False}
        if method == "POST" and there is not None:
            return 409, {"message": "data source with the same uid already exists"}
        self.secrets[uid] = {**self.secrets.get(uid, {}), **body.pop("secureJsonData", {})}
        self.sources[uid] = {"id": len(self.sources) + 1, "version": 1, **body}
        return 200, {"message": "Datasource saved"}

    def _board(self, method: str, rest: list[str], body: dict[str, Any]) -> Answer:
        if method == "GET":
            there = self.boards.get(rest[1])
            return (200, there) if there else (404, {"message": "Dashboard not found"})
        board = body["dashboard"]
        there = self.boards.get(board["uid"])
        if self.faster and there:
            self.faster -= 1
            there["dashboard"]["version"] += 1
        version = there["dashboard"]["version"] if there else 0
        if board.get("version", 0) != version and not body.get("overwrite"):
            return 412, {"message": "The dashboard has been changed by someone else",
                         "status": "version-mismatch"}  # fmt: skip
        saved = {**board, "id": len(self.boards) + 1, "version": version + 1}
        self.boards[board["uid"]] = {"dashboard": saved, "meta": {"folderUid": body["folderUid"]}}
        return 200, {"status": "success", "uid": board["uid"], "version": version + 1}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    stand_in: GrafanaStandIn

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(size)) if size else {}
        token = self.headers.get("Authorization", "")
        status, found = self.stand_in.answer(self.command, self.path, body, token)
        data = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the base class looks for these

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as inherited
        """Nothing: tests look at `asked`."""


@contextmanager
def serving() -> Iterator[GrafanaStandIn]:
    """One that listens on 127.0.0.1."""
    stand_in = GrafanaStandIn()
    handler = type("Handler", (_Handler,), {"stand_in": stand_in})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

# SPDX-License-Identifier: Apache-2.0
"""The health check of collector and accountant, against real listeners, and their token's file."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rackwatt.collector.healthy import CA_FILE, URL, main
from rackwatt.collector.roles.arguments import UsageProblem
from rackwatt.collector.roles.running import internal_token
from servers.programs import HOST, free_port


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()
        self.wfile.write(b"not connected to the broker\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def base() -> Iterator[str]:
    server = ThreadingHTTPServer((HOST, 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://{HOST}:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_good_answer_is_0_and_a_bad_one_1(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{base}/healthz"]) == 0
    assert main([f"{base}/readyz"]) == 1
    assert "/readyz: 503 not connected to the broker" in capsys.readouterr().err


def test_nobody_there_or_no_authority_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"http://{HOST}:{free_port()}/healthz"]) == 1
    assert "Connection refused" in capsys.readouterr().err
    assert main([f"https://{HOST}:1/healthz", "not-here.crt"]) == 1
    assert "No such file" in capsys.readouterr().err


def test_as_a_container_runs_it(base: str) -> None:
    command = [sys.executable, "-m", "rackwatt.collector.healthy"]
    bare = {name: text for name, text in os.environ.items() if name not in {URL, CA_FILE}}

    def code(**more: str) -> int:
        done = subprocess.run(command, env=bare | more, capture_output=True, check=False)
        return done.returncode

    assert code(**{URL: f"{base}/healthz", "http_proxy": f"http://{HOST}:1"}) == 0
    assert code(**{URL: f"{base}/readyz"}) == 1
    assert code() == 2


def test_the_token_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RACKWATT_INTERNAL_TOKEN", raising=False)
    file = tmp_path / "internal.token"
    file.write_text("0123456789abcdef\n")
    assert internal_token(file) == "0123456789abcdef"
    file.write_text("short\n")
    for path, said in ((file, "at least 16"), (tmp_path / "none", "there is no file")):
        with pytest.raises(UsageProblem, match=said):
            internal_token(path)

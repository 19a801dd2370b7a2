# SPDX-License-Identifier: Apache-2.0
"""The agent's `/metrics` over HTTP: who may read, and what a bad client can do."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from rackwatt.agents import listener
from rackwatt.agents.listener import listen
from rackwatt.agents.settings import load_config
from rackwatt.wire.config import ConfigErrors
from servers.fixtures import HOST, free_port

TOKEN = "a-long-metrics-token"
FILE = """\
agent: {{site: demo, name: a}}
broker: {{url: "mqtt://127.0.0.1:1883"}}
metrics: {{{metrics}}}
source: host
host: {{}}
"""


@contextmanager
def listening(token: str = "", host: str = HOST) -> Iterator[int]:
    registry, port = CollectorRegistry(), free_port()
    Gauge("a_gauge", "For the test.", registry=registry).set(7)
    server = listen(registry, host, port, token)
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()


def ask(port: int, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_it_serves_one_path_and_changes_nothing() -> None:
    with listening() as port:
        status, text = ask(port)
        assert (status, "a_gauge 7.0" in text) == (200, True)
        assert ask(port, "/metrics?name=a")[0] == 200
        assert ask(port, "/")[0] == 404
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"):
            assert ask(port, method=method)[0] == 501


def test_with_a_token_nobody_reads_without_it() -> None:
    with listening(TOKEN) as port:
        for shown in ("", "Bearer", "Bearer a-guess-of-some-length", f"Basic {TOKEN}"):
            status, text = ask(port, Authorization=shown)
            assert (status, "gauge" in text) == (401, False)
        assert ask(port)[0] == 401
        assert ask(port, Authorization=f"Bearer {TOKEN}")[0] == 200


def test_on_the_loopback_a_foreign_name_is_refused() -> None:
    with listening() as port:
        assert ask(port, Host="evil.example.org")[0] == 421
        for name in ("localhost", f"127.0.0.1:{port}", "[::1]:9101"):
            assert ask(port, Host=name)[0] == 200


def test_beyond_the_loopback_it_says_who_may_read(caplog: pytest.LogCaptureFixture) -> None:
    for token, said in (("", "metrics.token_file"), (TOKEN, "in the clear")):
        caplog.clear()
        with listening(token, "0.0.0.0") as port:  # noqa: S104
            shown = {"Authorization": f"Bearer {TOKEN}", "Host": "node.example.org"}
            assert ask(port, **shown)[0] == 200
        assert said in caplog.text
        assert TOKEN not in caplog.text


def test_many_silent_clients_take_no_more_than_their_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener._Handler, "timeout", 0.5)
    before = threading.active_count()
    with listening() as port:
        held = [socket.create_connection((HOST, port), timeout=5) for _ in range(30)]
        try:
            closed = 0
            for one in held:
                assert one.recv(1) == b"", "closed at once, or after the time-out"
                closed += 1
            assert closed == len(held)
            assert threading.active_count() <= before + 1 + listener.MAX_CLIENTS
        finally:
            for one in held:
                one.close()
        assert ask(port)[0] == 200


def config(folder: Path, metrics: str) -> Path:
    path = folder / "agent.yaml"
    path.write_text(FILE.format(metrics=metrics), encoding="utf-8")
    return path


def test_the_section_alone_listens_on_the_loopback(tmp_path: Path) -> None:
    loaded = load_config(config(tmp_path, ""))
    assert loaded.config.metrics is not None
    assert loaded.config.metrics.listen == "127.0.0.1:9101"
    assert loaded.metrics_token == ""


def test_the_tokens_file_stands_beside_the_agents(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n", encoding="utf-8")
    assert load_config(config(tmp_path, "token_file: token")).metrics_token == TOKEN


@pytest.mark.parametrize(
    "content", [None, "short", "two words of some length", "two\nlong-lines-x"]
)
def test_a_token_that_does_not_do_is_told(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigErrors) as wrong:
        load_config(config(tmp_path, "token_file: token"))
    (error,) = wrong.value.errors
    assert error.key == "metrics.token_file"
    assert content is None or content not in str(error)

# SPDX-License-Identifier: Apache-2.0
"""How the safety path tells: the POST, the courier's patience, what a restart remembers."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from doubles import LoopClock, Running, until

from rackwatt.agents.safety import watch as watching
from rackwatt.agents.safety.book import order_file
from rackwatt.agents.safety.courier import Identity
from rackwatt.agents.safety.post import PostError, Target
from rackwatt.agents.safety.settings import AlertmanagerSettings, SafetySettings
from rackwatt.agents.safety.watch import Safety
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock
from rackwatt.wire.sample import Sample

WHO = Identity("demo", "hall-a", "cdus")


@dataclass
class Server:
    """A small HTTP server whose answers a test chooses."""

    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    date: Callable[[], datetime] | None = None
    silent: bool = False
    port: int = 0
    heads: list[str] = field(default_factory=list)
    bodies: list[list[dict[str, Any]]] = field(default_factory=list)
    cut: int = 0
    """Connections that were closed on us while we were silent."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(x for x in head.splitlines() if x.startswith("Content-Length"))
            body = await reader.readexactly(int(length.partition(":")[2]))
            self.heads.append(head)
            self.bodies.append(json.loads(body))
            if self.silent:
                await reader.read()
                self.cut += 1
                return
            answer = self.answer
            if self.date is not None:
                stamp = format_datetime(self.date(), usegmt=True).encode()
                answer = b"HTTP/1.1 200 OK\r\nDate: " + stamp + b"\r\n\r\n"
            writer.write(answer)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def names(self, index: int = -1) -> dict[str, dict[str, Any]]:
        """The alerts of a message, by name."""
        bodies = self.bodies[index:] if index < 0 else self.bodies[index : index + 1]
        return {alert["labels"]["alertname"]: alert for body in bodies[:1] for alert in body}


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Server]:
    server = Server(**options)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", server.port)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


def target(url: str, folder: Path, timeout: float = 2.0, **settings: Any) -> Target:
    return Target(AlertmanagerSettings(url=url, **settings), folder, timeout)


def loop_of(**more: Any) -> dict[str, Any]:
    return {"device": "cdu", "rules": ["leak", "pumps"], "pumps_needed": 1, **more}


def make(
    folder: Path, *urls: str, clock: Clock = SYSTEM_CLOCK, clear_after: float = 1, **more: Any
) -> Safety:
    settings = SafetySettings.model_validate(
        {
            "alertmanagers": [{"url": url} for url in urls],
            "loops": [loop_of()],
            "limits": {"confirm": 0, "clear_after": clear_after},
            "resend_every": 1,
            **more,
        }
    )
    made = Safety(settings, WHO, folder, folder / "cdus.safety.json", clock)
    made.load()
    return made


def wet(leak: float | None = 1.0, pumps: float | None = 2.0) -> list[Sample]:
    values = {"leak_ratio": leak, "pumps_running_number": pumps}
    return [Sample("coolant", "cdu", values)]


def codes(samples: list[Sample]) -> list[str]:
    return [sample.event.code for sample in samples if sample.event is not None]


class TestPost:
    async def test_what_goes_out(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("abc\n", encoding="utf-8")
        async with serving() as server:
            one = target(f"{server.url}/prefix", tmp_path, bearer_token_file="token")
            answer = await one.post([{"labels": {"alertname": "É"}}])
            assert answer.status == 200
            (tmp_path / "token").write_text("def\n", encoding="utf-8")
            await one.post([])
            two = target(server.url, tmp_path, username="u", password_file="token")
            await two.post([])
        lines = [head.splitlines() for head in server.heads]
        assert lines[0][0] == "POST /prefix/api/v2/alerts HTTP/1.1"
        assert "Authorization: Bearer abc" in lines[0]
        assert f"Host: 127.0.0.1:{server.port}" in lines[0]
        assert "Authorization: Bearer def" in lines[1]
        assert "Authorization: Basic dTpkZWY=" in lines[2]
        assert server.bodies[0] == [{"labels": {"alertname": "É"}}]

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (b"HTTP/1.1 400 Bad Request\r\n\r\nstart time\n must\x1b[0m", "HTTP 400: start time"),
            (b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", "HTTP 302"),
            (b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP: SSH-2.0"),
            (b"", "without an answer"),
            (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, "no HTTP"),
        ],
    )
    async def test_what_is_no_yes_is_a_no(self, tmp_path: Path, answer: bytes, words: str) -> None:
        async with serving(answer=answer) as server:
            with pytest.raises(PostError, match=words):
                await target(server.url, tmp_path).post([])

    async def test_a_server_that_hangs_is_left_in_time(self, tmp_path: Path) -> None:
        async with serving(silent=True) as server:
            begun = asyncio.get_running_loop().time()
            with pytest.raises(PostError, match=r"no answer within 0\.2 s"):
                await target(server.url, tmp_path, 0.2).post([])
            assert asyncio.get_running_loop().time() - begun < 1.0
            await until(lambda: server.cut == 1)

    async def test_it_can_be_cancelled(self, tmp_path: Path) -> None:
        async with serving(silent=True) as server:
            task = asyncio.ensure_future(target(server.url, tmp_path, 60).post([]))
            await until(lambda: bool(server.bodies))
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await until(lambda: server.cut == 1)

    async def test_nobody_there_and_no_secret(self, tmp_path: Path) -> None:
        async with serving() as server:
            url = server.url
        with pytest.raises(PostError, match="onnect"):
            await target(url, tmp_path).post([])
        with pytest.raises(PostError, match="absent"):
            await target(url, tmp_path, bearer_token_file="absent").post([])

    async def test_a_secret_of_two_lines_never_becomes_a_header(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("abc\r\nX-Evil: 1", encoding="utf-8")
        with pytest.raises(PostError, match="more than one line"):
            await target("http://127.0.0.1:1", tmp_path, bearer_token_file="token").post([])


class TestTelling:
    async def test_an_alarm_is_told_at_once_and_again(self, tmp_path: Path) -> None:
        async with serving() as server:
            safety = make(tmp_path, server.url)
            async with Running(safety.run()):
                await until(lambda: len(server.bodies) >= 1)
                assert server.bodies[0] == []  # no sample yet: the path is not alive
                begun = asyncio.get_running_loop().time()
                assert codes(safety.take(wet())) == ["safety_leak"]
                await until(lambda: "SafetyLeak" in server.names())
                assert asyncio.get_running_loop().time() - begun < 0.5
                count = len(server.bodies)
                await until(lambda: len(server.bodies) > count, 5)
        alert = server.names()["SafetyLeak"]
        assert alert["labels"] == {
            "alertname": "SafetyLeak", "class": "safety", "severity": "critical",
            "device": "cdu", "rule": "leak", "site": "demo", "hall": "hall-a", "agent": "cdus",
        }  # fmt: skip
        start, end = (datetime.fromisoformat(alert[key]) for key in ("startsAt", "endsAt"))
        assert 86_390 < (end - start).total_seconds() < 86_410
        beat = server.names()["SafetyPathAlive"]
        start, end = (datetime.fromisoformat(beat[key]) for key in ("startsAt", "endsAt"))
        assert 2.5 < (end - datetime.now(UTC)).total_seconds() < 3.5

    async def test_one_that_is_down_delays_nobody_and_hears_it_later(self, tmp_path: Path) -> None:
        async with serving() as late:
            port = late.port
        async with serving() as server, serving(silent=True) as hanging:
            urls = (server.url, hanging.url, f"http://127.0.0.1:{port}")
            safety = make(tmp_path, *urls, timeout=0.3)
            async with Running(safety.run()):
                await until(lambda: len(hanging.bodies) >= 1)
                safety.take(wet())
                await until(lambda: "SafetyLeak" in server.names(), 1)
                assert [c.tally.up for c in safety.couriers] == [True, False, False]
                async with serving(port=port) as late:
                    await until(lambda: "SafetyLeak" in late.names(), 10)
                    hanging.silent = False
                    await until(lambda: all(c.tally.up for c in safety.couriers), 10)
        assert safety.couriers[2].tally.failed > 0

    async def test_an_end_is_told_until_each_has_heard_it(self, tmp_path: Path) -> None:
        clock = LoopClock()
        async with serving() as one, serving(answer=b"HTTP/1.1 503 Busy\r\n\r\n") as two:
            safety = make(tmp_path, one.url, two.url, clock=clock)
            async with Running(safety.run()):
                safety.take(wet(0.0, 0.0))
                await until(lambda: "SafetyPumpsBelowNeed" in one.names())
                ended: list[str] = []
                while not ended:
                    await asyncio.sleep(0.1)
                    ended = codes(safety.take(wet(0.0, 2.0)))
                assert ended == ["safety_pumps_cleared"]
                await until(lambda: "SafetyPumpsBelowNeed" not in one.names())
            told = [alert for body in one.bodies for alert in body if alert["labels"].get("rule")]
            alert = told[-1]
            assert alert["startsAt"] < alert["endsAt"] < told[0]["endsAt"]
            kept = json.loads((tmp_path / "cdus.safety.json").read_text(encoding="utf-8"))
            assert kept["active"] == []
            assert [item["waiting"] for item in kept["ended"]] == [[two.url]]
            # The agent starts again, and the second Alertmanager is well: it hears of the end.
            two.answer = Server.answer
            two.bodies.clear()
            safety = make(tmp_path, one.url, two.url, clock=clock)
            async with Running(safety.run()):
                await until(lambda: "SafetyPumpsBelowNeed" in two.names(0))
                assert two.names(0)["SafetyPumpsBelowNeed"]["endsAt"] == alert["endsAt"]
                await until(lambda: not safety._book.ended)
                file = tmp_path / "cdus.safety.json"
                await until(lambda: json.loads(file.read_text(encoding="utf-8"))["ended"] == [])

    async def test_a_clock_that_is_years_off_does_not_end_the_alarm(self, tmp_path: Path) -> None:
        clock = LoopClock(start_ms=86_400_000)  # January 1970
        async with serving(date=lambda: datetime.now(UTC)) as server:
            safety = make(tmp_path, server.url, clock=clock)
            async with Running(safety.run()):
                safety.take(wet())
                await until(lambda: len(server.bodies) >= 2)
        alert = server.names()["SafetyLeak"]
        start, end = (datetime.fromisoformat(alert[key]) for key in ("startsAt", "endsAt"))
        assert abs((start - datetime.now(UTC)).total_seconds()) < 60
        assert (end - datetime.now(UTC)).total_seconds() > 86_000

    async def test_no_heartbeat_while_nothing_is_judged(self, tmp_path: Path) -> None:
        clock = LoopClock()
        async with serving() as server:
            safety = make(tmp_path, server.url, clock=clock)
            safety.take(wet(0.0))
            assert safety.alive()
            safety._last_round = clock.monotonic() - 11
            async with Running(safety.run()):
                await until(lambda: bool(server.bodies))
        assert server.bodies[0] == []


class TestMemory:
    async def test_a_restart_forgets_nothing(self, tmp_path: Path) -> None:
        safety = make(tmp_path)
        async with Running(safety.run()):
            safety.take(wet())
            await until((tmp_path / "cdus.safety.json").exists)
        again = make(tmp_path)
        assert again.active == safety.active
        assert codes(again.take(wet(0.0))) == []
        assert {alarm.rule for alarm in again.active} == {"leak"}

    async def test_a_rule_that_was_taken_out_of_the_file_is_over_and_said(
        self, tmp_path: Path
    ) -> None:
        safety = make(tmp_path)
        async with Running(safety.run()):
            safety.take(wet())
            await until((tmp_path / "cdus.safety.json").exists)
        again = make(tmp_path, loops=[loop_of(rules=["pumps"])])
        assert codes(again.take(wet())) == ["safety_leak_withdrawn"]
        assert again.active == ()

    @pytest.mark.parametrize(
        "text", ["", "{", '{"version": 9, "active": [], "ended": []}', "[]", "\udcff"]
    )
    def test_a_damaged_file_is_said_and_kept(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "cdus.safety.json"
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        safety = make(tmp_path)
        assert codes(safety.take(wet(0.0))) == ["safety_state_lost"]
        assert codes(safety.take(wet(0.0))) == []
        assert file.with_name("cdus.safety.json.damaged").exists()

    async def test_a_disk_that_refuses_stops_no_alarm(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(file: Path, text: str) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(watching, "write_atomically", refuse)
        async with serving() as server:
            safety = make(tmp_path, server.url)
            async with Running(safety.run()):
                safety.take(wet())
                await until(lambda: "SafetyLeak" in server.names())
                await until(lambda: safety.unsaved > 0)

    async def test_a_disk_that_hangs_stops_no_alarm(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        free = threading.Event()
        monkeypatch.setattr(watching, "write_atomically", lambda *_: free.wait(20))
        async with serving() as server:
            safety = make(tmp_path, server.url)
            async with Running(safety.run()):
                try:
                    safety.take(wet())
                    await until(lambda: "SafetyLeak" in server.names())
                finally:
                    free.set()

    async def test_an_operators_order(self, tmp_path: Path) -> None:
        safety = make(tmp_path)
        order = {"id": "1", "device": "cdu", "rule": "leak", "by": "me", "note": ""}
        file = order_file(tmp_path / "cdus.safety.json")
        async with Running(safety.run()):
            safety.take(wet())
            file.write_text(json.dumps(order), encoding="utf-8")
            await until(lambda: "refused" in safety._book.last_order)
            safety.take(wet(0.0))
            file.write_text(json.dumps(order), encoding="utf-8")
            await until(lambda: safety.active == ())
            events = safety.take(wet(0.0))
        assert codes(events) == ["safety_leak_reset"]
        assert events[0].event is not None
        assert "reset by me" in events[0].event.text

    async def test_an_order_that_is_nonsense_is_taken_away(self, tmp_path: Path) -> None:
        safety = make(tmp_path)
        file = order_file(tmp_path / "cdus.safety.json")
        file.write_text("[", encoding="utf-8")
        async with Running(safety.run()):
            await until(lambda: not file.exists())

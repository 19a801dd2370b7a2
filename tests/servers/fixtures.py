# SPDX-License-Identifier: Apache-2.0
"""Real servers for tests: an MQTT broker, InfluxDB, and a browser to look with.

Nothing here imitates a server. `scripts/install-servers` installs them; a test that
needs one that is absent is skipped, or fails where CI=true. All listen on 127.0.0.1.
"""

import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest

HOST: Final = "127.0.0.1"
HTTP_SECONDS: Final = 30.0
"""Time-out of one HTTP request, in seconds."""

_POLL_SECONDS: Final = 0.02
_STOP_SECONDS: Final = 5.0
_MODULE_FOLDER: Final = Path(__file__).resolve().parent


class ServerError(RuntimeError):
    """A server did not start, or refused what it was asked."""


# --- finding programs and ports -------------------------------------------------------


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that nobody listens on.

    It lies below the range from which Linux takes the ports of outgoing connections:
    there, a client that waits for a server could take the port, or connect to itself.
    """
    for _ in range(1_000):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    msg = "no free port between 20000 and 32000"
    raise ServerError(msg)


def influxd_path() -> Path:
    """Return where `scripts/install-servers` puts influxd, there or not."""
    key = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        key.update((_MODULE_FOLDER / name).read_bytes())
    own = os.environ.get("RACKWATT_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(own) if own else Path(shared) / "rackwatt"
    return cache / "servers" / key.hexdigest()[:16] / "influxd"


def find(*names: str) -> Path | None:
    """Return the first of the named programs that is installed.

    The influxd built from our own module file goes before any other on PATH.
    """
    if "influxd" in names and os.access(influxd_path(), os.X_OK):
        return influxd_path()
    # Debian puts brokers into sbin, which is not on everybody's PATH.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    for name in names:
        if (found := shutil.which(name, path=path)) is not None:
            return Path(found)
    return None


def require(*names: str) -> Path:
    """Return the first of the named programs that is installed, or end the test.

    Without one the test is skipped, but fails where CI=true: a missing server must not
    turn into a green run.
    """
    if (found := find(*names)) is not None:
        return found
    reason = f"NOT TESTED: {' or '.join(names)} is not installed; run scripts/install-servers"
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def chromium_path() -> Path:
    """Return the path of Chromium, or of a browser that takes the same options."""
    return require("chromium", "chromium-browser", "google-chrome")


# --- processes ------------------------------------------------------------------------


class ServerProcess:
    """A server in a process of its own, on one port, with one folder for its data.

    Not thread-safe. Its output goes to `log_path`, in its folder, over all restarts.
    As a context manager it is started at entry and stopped at exit.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        port: int,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        ready_seconds: float = 20.0,
        stop_seconds: float = _STOP_SECONDS,
    ) -> None:
        """Remember what to start; nothing runs yet.

        Args:
            command: the program and its arguments, the port among them
            port: the TCP port on 127.0.0.1 that it will accept connections on
            directory: its data and log; made if absent, kept over restarts
            environment: all of its environment; ours if None
            ready_seconds: how long a start may take, in seconds
            stop_seconds: how long SIGTERM may take before SIGKILL, in seconds
        """
        self.command = [str(part) for part in command]
        self.port = port
        self.directory = directory
        self.log_path = directory / "server.log"
        self._environment = environment
        self._ready_seconds = ready_seconds
        self._stop_seconds = stop_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id; an error if it was never started or has been stopped."""
        if self._process is None:
            raise ServerError(f"{self.command[0]} is not started")
        return self._process.pid

    def start(self) -> Self:
        """Start, and return once the port accepts a connection."""
        if self.is_running():
            raise ServerError(f"{self.command[0]} runs already, pid {self.pid}")
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_ready(time.monotonic() + self._ready_seconds)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End it with SIGTERM, with SIGKILL if it takes longer than `stop_seconds`."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=self._stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End it with SIGKILL: what it had not made durable is lost."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> Self:
        """Stop it if it runs, and start it on the same port, with the same data."""
        self.stop()
        return self.start()

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of its output."""
        if not self.log_path.exists():
            return ""
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait_until_ready(self, deadline: float) -> None:
        while not _accepts(self.port):
            if not self.is_running():
                code = self._process.returncode if self._process else None
                raise ServerError(self._failure(f"ended at its start with exit code {code}"))
            if time.monotonic() > deadline:
                raise ServerError(self._failure(f"was not ready in {self._ready_seconds:g} s"))
            time.sleep(_POLL_SECONDS)

    def _failure(self, what: str) -> str:
        return f"{' '.join(self.command)}\n{what}; the end of {self.log_path}:\n{self.log_tail()}"


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            # Where no one listens, Linux may join a socket to itself.
            return bool(connection.getsockname() != connection.getpeername())
    except OSError:
        return False


# --- the MQTT broker ------------------------------------------------------------------


class Mosquitto(ServerProcess):
    """Mosquitto with settings that lose nothing silently while it lives.

    Its default of 1,000 queued messages drops what an absent subscriber has still to
    get, with every publisher acknowledged; without any bound, a forgotten session eats
    the memory. So: bytes are bounded, messages are not.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        persistence: bool = True,
        autosave_seconds: int = 1,
        max_queued_bytes: int = 256 * 1024 * 1024,
        max_inflight_messages: int = 20_000,
        extra: Sequence[str] = (),
    ) -> None:
        """Write the configuration; nothing runs yet.

        Args:
            directory: configuration, saved sessions and log
            port: the port to listen on; a free one if None
            persistence: whether sessions and messages are saved to disk at all
            autosave_seconds: how often they are, in seconds; a SIGKILL loses the rest
            max_queued_bytes: per client, in bytes; what comes after is dropped
            max_inflight_messages: per client; more than a batch that waits for its
                acknowledgement, less than the 65,535 packet ids
            extra: further lines of the configuration
        """
        port = free_port() if port is None else port
        directory.mkdir(parents=True, exist_ok=True)
        configuration = directory / "mosquitto.conf"
        lines = [
            f"listener {port} {HOST}",
            "allow_anonymous true",
            f"persistence {str(persistence).lower()}",
            f"persistence_location {directory}/",
            f"autosave_interval {autosave_seconds}",
            "persistent_client_expiration 1d",
            "max_queued_messages 0",
            f"max_queued_bytes {max_queued_bytes}",
            f"max_inflight_messages {max_inflight_messages}",
            "log_dest stderr",
        ]
        if os.geteuid() == 0:
            # Else it gives up its rights at start, and cannot write into our folder.
            lines.append("user root")
        configuration.write_text("\n".join([*lines, *extra]) + "\n", encoding="utf-8")
        program = require("mosquitto")
        super().__init__([program, "-c", configuration], port=port, directory=directory)

    @property
    def url(self) -> str:
        """The address as `rackwatt` takes it."""
        return f"mqtt://{HOST}:{self.port}"


# --- InfluxDB -------------------------------------------------------------------------


class InfluxDB(ServerProcess):
    """InfluxDB 2.x with one organization, one bucket and one all-access token."""

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        """Remember what to start; nothing runs yet.

        Args:
            directory: its data and log
            port: the port to listen on; a free one if None
        """
        self.org = "rackwatt"
        self.bucket = "rackwatt"
        self.token = secrets.token_urlsafe(32)
        port = free_port() if port is None else port
        command: list[str | Path] = [
            require("influxd"),
            f"--http-bind-address={HOST}:{port}",
            f"--bolt-path={directory / 'influxd.bolt'}",
            f"--sqlite-path={directory / 'influxd.sqlite'}",
            f"--engine-path={directory / 'engine'}",
            "--reporting-disabled",
            "--no-tasks",
            "--ui-disabled",
        ]
        # A developer's own settings must not reach the server under test.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("INFLUXD_")}
        super().__init__(
            command,
            port=port,
            directory=directory,
            environment=environment,
            ready_seconds=60.0,  # a busy machine with two cores
        )
        self._ready = False

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> Self:
        """Start; the first time, make the organization, the bucket and the token."""
        super().start()
        if not self._ready:
            setup = {
                "username": "rackwatt",
                "password": secrets.token_urlsafe(16),
                "org": self.org,
                "bucket": self.bucket,
                "token": self.token,
                "retentionPeriodSeconds": 0,
            }
            try:
                self.request("POST", "/api/v2/setup", body=json.dumps(setup))
            except BaseException:
                self.kill()
                raise
            self._ready = True
        return self

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> str:
        """Return the body of the answer to one HTTP request, made with the token.

        Raises ServerError with the server's words if it refuses; gives up after 30 s.
        """
        url = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        request = urllib.request.Request(
            url,
            method=method,
            data=None if body is None else body.encode(),
            headers={"Authorization": f"Token {self.token}"},
        )
        # A proxy for the outer world is of no use on 127.0.0.1.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=HTTP_SECONDS) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace")
            raise ServerError(f"{method} {path}: HTTP {error.code}: {said}") from None

    def write(
        self, lines: str | Sequence[str], *, bucket: str | None = None, precision: str = "ms"
    ) -> None:
        """Write line protocol, its times in milliseconds unless `precision` says else."""
        query = {"org": self.org, "bucket": bucket or self.bucket, "precision": precision}
        body = lines if isinstance(lines, str) else "\n".join(lines)
        self.request("POST", "/api/v2/write", query=query, body=body)

    def query_influxql(self, statement: str, *, bucket: str | None = None) -> list[dict[str, Any]]:
        """Return the rows of an InfluxQL statement, `time` in ms since 1970 UTC.

        Each row holds its columns, its series' tags and, as `measurement`, its name.
        """
        query = {"db": bucket or self.bucket, "epoch": "ms", "q": statement}
        answer = json.loads(self.request("GET", "/query", query=query))
        rows: list[dict[str, Any]] = []
        for result in answer["results"]:
            if "error" in result:
                raise ServerError(f"{statement}: {result['error']}")
            for series in result.get("series", ()):
                shared = {"measurement": series.get("name"), **series.get("tags", {})}
                rows += [
                    shared | dict(zip(series["columns"], values, strict=True))
                    for values in series.get("values", ())
                ]
        return rows

    def count(self, measurement: str, field: str, *, bucket: str | None = None) -> int:
        """Return how many points of a measurement hold the field."""
        statement = f'SELECT count("{field}") FROM "{measurement}"'  # noqa: S608
        rows = self.query_influxql(statement, bucket=bucket)
        return int(rows[0]["count"]) if rows else 0

    def create_bucket(self, name: str) -> "InfluxBucket":
        """Make a bucket that keeps its data for ever."""
        found = json.loads(self.request("GET", "/api/v2/orgs", query={"org": self.org}))
        body = {"orgID": found["orgs"][0]["id"], "name": name, "retentionRules": []}
        made = json.loads(self.request("POST", "/api/v2/buckets", body=json.dumps(body)))
        return InfluxBucket(self, name, made["id"])


class InfluxBucket:
    """One bucket of a running InfluxDB, with what a client needs to reach it."""

    def __init__(self, server: InfluxDB, name: str, identifier: str) -> None:
        """Take a bucket that exists."""
        self.server = server
        self.bucket = name
        self._identifier = identifier

    @property
    def url(self) -> str:
        """The server's address without a path."""
        return self.server.url

    @property
    def org(self) -> str:
        """The organization's name."""
        return self.server.org

    @property
    def token(self) -> str:
        """A token that may do everything."""
        return self.server.token

    def write(self, lines: str | Sequence[str], *, precision: str = "ms") -> None:
        """Write line protocol, its times in milliseconds unless `precision` says else."""
        self.server.write(lines, bucket=self.bucket, precision=precision)

    def query_influxql(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows of an InfluxQL statement, `time` in ms since 1970 UTC."""
        return self.server.query_influxql(statement, bucket=self.bucket)

    def count(self, measurement: str, field: str) -> int:
        """Return how many points of a measurement hold the field."""
        return self.server.count(measurement, field, bucket=self.bucket)

    def delete(self) -> None:
        """Delete the bucket and all that it holds."""
        self.server.request("DELETE", f"/api/v2/buckets/{self._identifier}")


# --- fixtures -------------------------------------------------------------------------


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker of this test's own, running."""
    with Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker


@pytest.fixture(scope="session")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    """The InfluxDB that all tests share: leave it running, and take `influx_bucket`.

    A test that stops or kills the server starts its own: `with InfluxDB(tmp_path) as server`.
    """
    with InfluxDB(tmp_path_factory.mktemp("influxdb")) as server:
        yield server


@pytest.fixture
def influx_bucket(influxdb: InfluxDB) -> Iterator[InfluxBucket]:
    """An empty bucket of this test's own."""
    bucket = influxdb.create_bucket(f"test-{secrets.token_hex(6)}")
    yield bucket
    if influxdb.is_running():
        bucket.delete()

# SPDX-License-Identifier: Apache-2.0
"""InfluxDB as a server of the tests, and one bucket of it."""

import json
import os
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from servers.process import ServerProcess
from servers.programs import HOST, ServerError, free_port, require

HTTP_SECONDS: Final = 30.0
"""Time-out of one HTTP request, in seconds."""


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
        self.identifier = identifier

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
        self.server.request("DELETE", f"/api/v2/buckets/{self.identifier}")

# SPDX-License-Identifier: Apache-2.0
"""Prometheus as a server of the tests, with the rules and the sample that we ship."""

import json
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import yaml

from servers.process import ServerProcess
from servers.programs import HOST, ServerError, free_port, require

ALERTS: Final = Path(__file__).resolve().parents[2] / "alerts"
_READY_SECONDS: Final = 120.0


class Prometheus(ServerProcess):
    """Prometheus with the shipped `prometheus.yml`, its addresses replaced."""

    def __init__(
        self,
        directory: Path,
        targets: Mapping[str, Sequence[str]],
        alertmanagers: Sequence[str],
        *,
        rules: Path = ALERTS / "rules",
        site: str = "demo",
        replaced: Mapping[str, str] | None = None,
    ) -> None:
        """Write the configuration; nothing runs yet.

        Args:
            directory: configuration, data and log
            targets: host:port by job of the sample
            alertmanagers: host:port of each
            rules: folder of rule files
            site: the label that targets get
            replaced: text of the rules to replace, which must be there: a drill waits no hours
        """
        program = require("prometheus")
        port = free_port()
        directory.mkdir(parents=True, exist_ok=True)
        document = yaml.safe_load((ALERTS / "prometheus.yml").read_text(encoding="utf-8"))
        for job in document["scrape_configs"]:
            job["static_configs"] = [
                {"targets": list(targets.get(job["job_name"], ())), "labels": {"site": site}}
            ]
        document["alerting"]["alertmanagers"] = [
            {"static_configs": [{"targets": list(alertmanagers)}]}
        ]
        configuration = directory / "prometheus.yml"
        configuration.write_text(yaml.safe_dump(document), encoding="utf-8")
        shutil.copytree(rules, directory / "rules")
        self._replace(directory / "rules", replaced or {})
        command: list[str | Path] = [
            program,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={HOST}:{port}",
        ]
        super().__init__(command, port=port, directory=directory)

    def _replace(self, folder: Path, replaced: Mapping[str, str]) -> None:
        files = sorted(folder.glob("*.yaml"))
        assert files, f"no rules in {folder}"
        texts = {path: path.read_text(encoding="utf-8") for path in files}
        for old, new in replaced.items():
            assert any(old in text for text in texts.values()), f"no {old!r} in the rules"
            texts = {path: text.replace(old, new) for path, text in texts.items()}
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")

    def start(self) -> Self:
        """Start, and return once it answers queries."""
        super().start()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                opener.open(f"{self.url}/-/ready", timeout=5).close()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ServerError(f"not ready: {error}\n{self.log_tail()}") from error
                time.sleep(0.2)
            else:
                return self

    @property
    def url(self) -> str:
        """The address."""
        return f"http://{HOST}:{self.port}"

    def get(self, path: str, **arguments: str) -> Any:
        """`data` of an answer of the API, ``/api/v1/`` being put before the path."""
        query = urllib.parse.urlencode(arguments)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.loads(answer.read())["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of an expression now."""
        found = self.get("query", query=expression)["result"]
        return [(item["metric"], float(item["value"][1])) for item in found]

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that are pending or firing."""
        found: list[dict[str, Any]] = self.get("alerts")["alerts"]
        return found

# SPDX-License-Identifier: Apache-2.0
"""What others know: Alertmanager, by its API v2, and the page of the accountant."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from ssl import create_default_context
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from rackwatt.collector.roles.arguments import (
    UsageProblem,
    http_url,
    read_secret,
    usable_authority,
)
from rackwatt.wire.listening import is_loopback

SECONDS: Final = 5.0


class NoAnswer(ConnectionError):  # noqa: N818 - a state, not a fault
    """Nobody there answered, or not as expected."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A server, and what it wants to see.

    Attributes:
        url: Its address, without a slash at its end.
        token: Shown to it; "": none.
        ca_file: Who signed its certificate; ``None``: an authority that the system knows.
    """

    url: str
    token: str = field(default="", repr=False)
    ca_file: Path | None = None

    @classmethod
    def of(
        cls, option: str, url: str, token_file: Path | None = None, ca_file: Path | None = None
    ) -> Self:
        """What options name.

        Raises:
            UsageProblem: the address is none, a file cannot be used, or the token would cross a
                network in the clear.
        """
        url = http_url(option, url)
        usable_authority(f"{option}-ca-file", ca_file)
        token = "" if token_file is None else read_secret(f"{option}-token-file", token_file)
        parts = urlsplit(url)
        if token and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise UsageProblem(
                f"{option}-token-file: the token would cross the network in the clear: "
                f"write https:// in {option}"
            )
        return cls(url, token, ca_file)

    def get(self, path: str) -> Any:
        """The JSON at a path.

        Raises:
            NoAnswer: there is none.
        """
        return self._asked("GET", path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that comes back for a JSON.

        Raises:
            NoAnswer: there is none, or it was refused.
        """
        return self._asked("POST", path, body)

    def delete(self, path: str) -> None:
        """Have what is at a path removed.

        Raises:
            NoAnswer: it was refused, or nobody answered.
        """
        self._asked("DELETE", path)

    def _asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        verify = True if self.ca_file is None else create_default_context(cafile=self.ca_file)
        try:
            # A proxy for the outer world must not see the token.
            with closing(httpx.Client(trust_env=False, verify=verify, timeout=SECONDS)) as client:
                answer = client.request(method, f"{self.url}{path}", headers=headers, json=body)
                answer.raise_for_status()
                return answer.json() if answer.content else None
        except httpx.HTTPStatusError as error:
            code = error.response.status_code
            raise NoAnswer(f"{self.url}{path} answers {code}") from error
        except httpx.HTTPError as error:
            raise NoAnswer(
                f"{self.url} does not answer: {str(error) or type(error).__name__}"
            ) from error
        except ValueError as error:
            raise NoAnswer(f"{self.url}{path} is no JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that is on.

    Attributes:
        labels: What it is about; `alertname` and `severity` among them.
        summary: In words.
        since_ms: Since when it is on.
        silenced_by: Ids of the silences that mute it.
        inhibited: Another alert keeps it quiet.
        fingerprint: Alertmanager's own name of it.
    """

    labels: Mapping[str, str]
    summary: str
    since_ms: int
    silenced_by: tuple[str, ...] = ()
    inhibited: bool = False
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """Its `alertname`."""
        return self.labels.get("alertname", "")


@dataclass(frozen=True, slots=True)
class Silence:
    """A mute that holds or is to hold.

    Attributes:
        id: Alertmanager's.
        matchers: Whom it mutes, as `name="value"`.
        author: Who made it.
        comment: Why.
        start_ms: From when on.
        until_ms: Until when.
    """

    id: str
    matchers: tuple[str, ...]
    author: str
    comment: str
    start_ms: int
    until_ms: int


def first_answer(servers: Sequence[Remote], path: str) -> Any:
    """The JSON of the first member of a cluster that answers: all of them know the same.

    Raises:
        NoAnswer: none of them does.
    """
    failures: list[str] = []
    for server in servers:
        try:
            return server.get(path)
        except NoAnswer as error:
            failures.append(str(error))
    raise NoAnswer("; ".join(failures))


def alerts_of(servers: Sequence[Remote], site: str) -> list[Alert]:
    """What is on at a site, muted or not; heartbeats, which are always on, left out.

    Args:
        servers: The members of one cluster.
        site: Its id; alerts without a `site` label are of every site.

    Raises:
        NoAnswer: no Alertmanager answers as one does.
    """
    answer = first_answer(servers, "/api/v2/alerts?active=true&silenced=true&inhibited=true")
    try:
        found = [_alert(one) for one in answer]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NoAnswer(
            f"{servers[0].url} answers, but not as an Alertmanager: {error!r}"
        ) from error
    return [
        alert
        for alert in found
        if alert.labels.get("site", site) == site
        and not alert.labels.get("class", "").endswith("heartbeat")
    ]


def silences_of(servers: Sequence[Remote]) -> list[Silence]:
    """Mutes that hold or are to hold.

    Raises:
        NoAnswer: no Alertmanager answers as one does.
    """
    answer = first_answer(servers, "/api/v2/silences")
    try:
        return [_silence(one) for one in answer if one["status"]["state"] != "expired"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NoAnswer(
            f"{servers[0].url} answers, but not as an Alertmanager: {error!r}"
        ) from error


def _alert(found: Mapping[str, Any]) -> Alert:
    labels = {str(name): str(value) for name, value in found["labels"].items()}
    notes, status = found["annotations"], found["status"]
    words = notes.get("summary") or notes.get("description") or ""
    return Alert(
        labels,
        str(words),
        _ms(found["startsAt"]),
        tuple(status["silencedBy"]),
        bool(status["inhibitedBy"]),
        str(found["fingerprint"]),
    )


def _silence(found: Mapping[str, Any]) -> Silence:
    return Silence(
        str(found["id"]),
        tuple(_matcher(one) for one in found["matchers"]),
        str(found["createdBy"]),
        str(found["comment"]),
        _ms(found["startsAt"]),
        _ms(found["endsAt"]),
    )


def _matcher(found: Mapping[str, Any]) -> str:
    sign = (
        ("=~" if found["isRegex"] else "=")
        if found.get("isEqual", True)
        else ("!~" if found["isRegex"] else "!=")
    )
    return f'{found["name"]}{sign}"{found["value"]}"'


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)

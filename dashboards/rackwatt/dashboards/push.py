# SPDX-License-Identifier: Apache-2.0
"""Brings folders, data sources and dashboards to a Grafana: makes, corrects, leaves.

What Grafana adds by itself (ids, versions, defaults) is no difference. A dashboard is written over
the version that was read; where someone was faster (412) it is read again. While Grafana does not
answer, or says that it cannot, each request is tried again, later and later.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import unified_diff
from functools import partial
from typing import Any, Final, Literal, TypeVar

from grafana_client.api import GrafanaApi
from grafana_client.client import (
    GrafanaClientError,
    GrafanaException,
    GrafanaServerError,
    GrafanaUnauthorizedError,
)
from requests.exceptions import RequestException

from rackwatt.wire.backoff import Backoff

T = TypeVar("T")
Done = Literal["made", "changed", "there"]
ATTEMPTS: Final = 6
TIMEOUT_SECONDS: Final = 30.0
_FORBIDDEN, _MISSING, _CONFLICT = 403, 404, 412
_UNREADABLE: Final = {"secureJsonData"}
"""What Grafana never gives back."""


class PushError(RuntimeError):
    """Grafana cannot be reached or says no; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Cargo:
    """What shall be there.

    Attributes:
        folders: uid to title.
        sources: as Grafana's API takes them.
        boards: folder's uid and dashboard.
    """

    folders: Mapping[str, str]
    sources: Sequence[Mapping[str, Any]]
    boards: Sequence[tuple[str, Mapping[str, Any]]]

    def __len__(self) -> int:
        """How many things."""
        return len(self.folders) + len(self.sources) + len(self.boards)


@dataclass(slots=True)
class Pusher:
    """One push to one Grafana. Blocks.

    Attributes:
        api: of the Grafana, by `connected`; its package has no types.
        say: told each thing, a line or more.
        pause: waits so many seconds.
        dry: change nothing, and say how things differ.
        new_secrets: send secrets although they seem to be there: Grafana does not show them.
        backoff: between attempts.
    """

    api: Any
    say: Callable[[str], None]
    pause: Callable[[float], None]
    dry: bool = False
    new_secrets: bool = False
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.5, cap=8.0))
    _number: int = 0
    _all: int = 0

    def push(self, cargo: Cargo) -> dict[Done, int]:
        """Bring everything; returns how many were made, changed, and there already.

        Raises:
            PushError: what was done until then stays; a further push goes on from there.
        """
        self._number, self._all = 0, len(cargo)
        counts: dict[Done, int] = {"made": 0, "changed": 0, "there": 0}
        for what, done, difference in self._steps(cargo):
            counts[done] += 1
            self._number += 1
            verb = {"made": "would be made", "changed": "would change"}.get(done, done)
            self.say(f"{self._number}/{self._all} {what}: {verb if self.dry else done}")
            if self.dry and difference:
                self.say(difference)
        return counts

    def _steps(self, cargo: Cargo) -> Iterator[tuple[str, Done, str]]:
        for uid, title in cargo.folders.items():
            yield f"folder {title!r}", *self._folder(uid, title)
        for source in cargo.sources:
            yield f"data source {source['name']!r}", *self._source(source)
        for folder, board in cargo.boards:
            yield f"dashboard {board['uid']}", *self._board(folder, board)

    # -- what is brought ----------------------------------------------------------------------

    def _folder(self, uid: str, title: str) -> tuple[Done, str]:
        there = self._read(lambda: self.api.folder.get_folder(uid))
        if there is None:
            self._write(lambda: self.api.folder.create_folder(title, uid))
            return "made", ""
        if there["title"] == title:
            return "there", ""
        self._write(lambda: self.api.folder.update_folder(uid, title, overwrite=True))
        return "changed", f"-{there['title']}\n+{title}"

    def _source(self, source: Mapping[str, Any]) -> tuple[Done, str]:
        there = self._read(lambda: self.api.datasource.get_datasource_by_uid(source["uid"]))
        if there is None:
            self._write(lambda: self.api.datasource.create_datasource(dict(source)))
            return "made", ""
        has = {name for name, is_set in (there.get("secureJsonFields") or {}).items() if is_set}
        secrets = set(source.get("secureJsonData", ()))
        visible = {name: value for name, value in source.items() if name not in _UNREADABLE}
        if not differs(visible, there) and secrets <= has and not (secrets and self.new_secrets):
            return "there", ""
        self._write(
            lambda: self.api.datasource.update_datasource_by_uid(source["uid"], dict(source))
        )
        return "changed", difference(there, visible)

    def _board(self, folder: str, board: Mapping[str, Any]) -> tuple[Done, str]:
        for _ in range(ATTEMPTS):
            found = self._read(lambda: self.api.dashboard.get_dashboard(board["uid"]))
            there = {} if found is None else found["dashboard"]
            in_place = found is not None and found.get("meta", {}).get("folderUid") == folder
            if in_place and not differs(board, there):
                return "there", ""
            known = {name: there[name] for name in ("id", "version") if name in there}
            body = {
                "dashboard": {**board, **known},
                "folderUid": folder,
                "overwrite": False,
                "message": "rackwatt dashboards push",
            }
            try:
                self._write(partial(self.api.dashboard.update_dashboard, body))
            except GrafanaClientError as error:
                if error.status_code != _CONFLICT:
                    raise PushError(_refused(error)) from error
                self.pause(self.backoff.next())
                continue
            return ("made", "") if found is None else ("changed", difference(there, board))
        raise PushError(
            f"dashboard {board['uid']} is changed by someone else all the time, or its title "
            "belongs to another one in its folder (412): look into Grafana, then push again"
        )

    # -- how ----------------------------------------------------------------------------------

    def _read(self, ask: Callable[[], Any]) -> Any:
        """What is there; None where nothing is."""
        try:
            return self._try(ask)
        except GrafanaClientError as error:
            if error.status_code == _MISSING:
                return None
            raise PushError(_refused(error)) from error

    def _write(self, do: Callable[[], Any]) -> None:
        """Do it, unless everything is to stay.

        Raises:
            GrafanaClientError: 412: someone was faster.
            PushError: Grafana says no.
        """
        if self.dry:
            return
        try:
            self._try(do)
        except GrafanaClientError as error:
            if error.status_code == _CONFLICT:
                raise
            raise PushError(_refused(error)) from error

    def _try(self, do: Callable[[], T]) -> T:
        """Do it, several times if it has to be."""
        trouble: Exception
        for attempt in range(ATTEMPTS):
            try:
                found = do()
            except (GrafanaServerError, RequestException) as error:
                trouble = error
                if attempt < ATTEMPTS - 1:
                    self.pause(self.backoff.next())
            except GrafanaClientError:
                raise
            except GrafanaException as error:
                raise PushError(f"Grafana: {error.message}") from error
            else:
                self.backoff.reset()
                return found
        raise PushError(f"Grafana does not answer, {ATTEMPTS} times: {trouble}")


def _refused(error: GrafanaClientError) -> str:
    if isinstance(error, GrafanaUnauthorizedError):
        return "Grafana does not know this token (401): make one for a service account"
    if error.status_code == _FORBIDDEN:
        return (
            "this token may not do that (403): its service account needs the role Admin, or the "
            f"rights to write folders, data sources and dashboards; Grafana says: {error.message}"
        )
    return f"Grafana refuses: {error.message}"


def differs(ours: Any, theirs: Any) -> bool:
    """Whether something of ours is otherwise there; what they have besides does not count.

    What is empty may be left out.
    """
    if theirs is None:
        return not (ours is None or ours is False or ours in ("", [], {}))
    if isinstance(ours, Mapping):
        if not isinstance(theirs, Mapping):
            return True
        return any(differs(value, theirs.get(name)) for name, value in ours.items())
    if isinstance(ours, list):
        if not isinstance(theirs, list) or len(ours) != len(theirs):
            return True
        return any(differs(one, other) for one, other in zip(ours, theirs, strict=True))
    return bool(ours != theirs)


def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """How what is there would change, as a diff of JSON."""
    before, after = (
        json.dumps(held, indent=1, sort_keys=True, ensure_ascii=False).splitlines()
        for held in (_like(theirs, ours), ours)
    )
    return "\n".join(list(unified_diff(before, after, lineterm="", n=1))[2:])


def _like(theirs: Any, ours: Any) -> Any:
    """What they have of what we have: the rest is Grafana's."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        return {name: _like(theirs[name], ours[name]) for name in ours if name in theirs}
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [_like(one, other) for one, other in zip(theirs, ours, strict=True)]
    return theirs


@contextmanager
def connected(url: str, token: str) -> Iterator[Any]:
    """An API of the Grafana there; a proxy for the outer world never sees the token."""
    # The client joins path and `api` as they are: a path ends with a slash.
    api = GrafanaApi.from_url(url.rstrip("/") + "/", credential=token, timeout=TIMEOUT_SECONDS)
    api.client.s.trust_env = False
    try:
        yield api
    finally:
        api.client.s.close()

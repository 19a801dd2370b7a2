# SPDX-License-Identifier: Apache-2.0
"""Requests that a listener of HTTP did not serve: counted by reason, said once a minute."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, get_args

from prometheus_client.core import Metric
from starlette.types import Scope

from rackwatt.wire.metrics import MetricSpec

_log = logging.getLogger(__name__)

Reason = Literal[
    "token",  # 401: none, or a wrong one
    "host",  # 421: a name that is not known here
    "method",  # 405: neither GET nor HEAD
    "too_large",  # 413 for any body, 400 for long headers
    "malformed",  # 400: no HTTP
    "timeout",  # cut: no whole request in time
    "connections",  # cut: too many at once
    "streams",  # 503: too many event streams
]
REASONS: Final[Sequence[Reason]] = get_args(Reason)

REFUSED: Final = MetricSpec(
    "rackwatt_http_refused_total",
    "counter",
    "Requests and connections of page and metrics that were not served, by reason.",
    ("reason",),
)
CATALOGUE: Final[Sequence[MetricSpec]] = (REFUSED,)
_SECONDS: Final = 60.0
_KEY: Final = "rackwatt.refusals"


class Refusals:
    """What one listener has refused."""

    def __init__(self) -> None:
        self.counts: Counter[Reason] = Counter()
        self._unsaid: Counter[Reason] = Counter()
        self._silent_until: dict[Reason, float] = {}

    def note(self, reason: Reason, client: str, what: str) -> None:
        """Count, and say: the first of its kind, then how many once a minute.

        Args:
            reason: why.
            client: its address.
            what: became of it, in a few words that hold nothing of what the client sent.
        """
        self.counts[reason] += 1
        self._unsaid[reason] += 1
        now = time.monotonic()
        if now >= self._silent_until.get(reason, now):
            self._silent_until[reason] = now + _SECONDS
            _log.warning("HTTP from %s refused, %s (%d)", client, what, self._unsaid.pop(reason))

    def family(self, more: Mapping[str, float] | None = None) -> Metric:
        """The metric, every reason in it.

        Args:
            more: what another listener has refused, for a page that shows both.
        """
        others = more or {}
        return REFUSED.family(
            ((reason,), self.counts[reason] + others.get(reason, 0.0)) for reason in REASONS
        )

    def into(self, scope: Scope) -> None:
        """Let who answers a request note that it was refused, with `note_refusal`."""
        scope[_KEY] = self


def note_refusal(scope: Scope, reason: Reason, what: str) -> None:
    """A request was refused by who answers it; without a listener of ours that is nobody's."""
    refusals = scope.get(_KEY)
    if isinstance(refusals, Refusals):
        refusals.note(reason, client_of(scope), what)


def client_of(scope: Scope) -> str:
    """The address of who asks."""
    return str((scope.get("client") or ("?",))[0])


def without_refusals(exposition: bytes) -> tuple[bytes, dict[str, float]]:
    """Another process' metrics without this one, and what it held by reason.

    A metric stands in one place of an exposition, or Prometheus takes none of it.

    Args:
        exposition: in Prometheus' text format, as this project writes it.
    """
    kept: list[bytes] = []
    found: dict[str, float] = {}
    lines: Iterable[bytes] = exposition.splitlines(keepends=True)
    for line in lines:
        if REFUSED.name.encode() not in line:
            kept.append(line)
        elif not line.startswith(b"#"):
            labels, _, value = line.decode(errors="replace").rpartition(" ")
            found[labels.partition('reason="')[2].partition('"')[0]] = float(value)
    return b"".join(kept), found

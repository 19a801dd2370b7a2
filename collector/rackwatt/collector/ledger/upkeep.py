# SPDX-License-Identifier: Apache-2.0
"""When what was out for maintenance: what people said, kept as acts, marked in the rows.

An asset is out from the start that somebody stated until somebody says that it is back: the planned
end only tells when that is due. An asset that is forgotten stays out, which everybody can see, and
does not come back by itself, which nobody could.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from typing import Any, Final

from rackwatt.collector.ledger.chain import Act
from rackwatt.collector.ledger.journal import Journal
from rackwatt.collector.ledger.meta import CLOSED, FIRST, Meta
from rackwatt.collector.ledger.records import INTERVAL_MS, Refusal, interval_of

MAINTENANCE: Final = "maintenance"
"""The flag of a row, and the cause of a revision that adds or takes it."""
STARTED: Final = "maintenance_start"
EXTENDED: Final = "maintenance_extend"
ENDED: Final = "maintenance_end"
ACTS: Final = (STARTED, EXTENDED, ENDED)

_TIMES: Final = {STARTED: ("start_ms", "until_ms"), EXTENDED: ("until_ms",), ENDED: ("end_ms",)}


@dataclass(frozen=True, slots=True)
class Outage:
    """An asset that is, was or will be out of service on purpose.

    Attributes:
        asset: Its name in the site file.
        start_ms: From when on.
        until_ms: When it is to be back.
        author: Who took it out.
        reason: Why.
        seq: The act's place in the chain.
        end_ms: When it was back; ``None``: it is not.
        ended_by: Who said so.
        ended_why: In their words.
    """

    asset: str
    start_ms: int
    until_ms: int
    author: str
    reason: str
    seq: int
    end_ms: int | None = None
    ended_by: str = ""
    ended_why: str = ""

    def out(self, now_ms: int) -> bool:
        """Whether it is out at an instant."""
        return self.start_ms <= now_ms and (self.end_ms is None or now_ms < self.end_ms)

    def planned(self, now_ms: int) -> bool:
        """Whether it will be."""
        return self.end_ms is None and now_ms < self.start_ms

    def overdue(self, now_ms: int) -> bool:
        """Whether it should be back and is not."""
        return self.end_ms is None and self.until_ms <= now_ms


def outages(acts: Iterable[Act]) -> list[Outage]:
    """What acts say of maintenance, in the order in which it was said to begin.

    Args:
        acts: In the chain's order; those of other names are passed over.
    """
    found: dict[int, Outage] = {}
    running: dict[str, int] = {}
    for act in acts:
        if act.name not in _TIMES:
            continue
        data, asset = act.data, str(act.data["asset"])
        if act.name == STARTED:
            running[asset] = act.seq
            found[act.seq] = Outage(
                asset, int(data["start_ms"]), int(data["until_ms"]), act.author, act.reason, act.seq
            )
        elif act.name == EXTENDED:
            seq = running[asset]
            found[seq] = replace(found[seq], until_ms=int(data["until_ms"]))
        else:
            seq = running.pop(asset)
            found[seq] = replace(
                found[seq],
                end_ms=max(int(data["end_ms"]), found[seq].start_ms),
                ended_by=act.author,
                ended_why=act.reason,
            )
    return list(found.values())


class Upkeep:
    """Maintenance as a ledger's acts have it, inside the caller's transaction.

    Characteristics: remembers what it read; must be told by :meth:`forget` when there are new acts
    or a transaction was rolled back.

    Args:
        journal: The ledger's.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._found: list[Outage] | None = None
        self._spans: tuple[list[float], list[float]] = [], []

    def forget(self) -> None:
        """Read again when asked."""
        self._found = None

    def outages(self) -> list[Outage]:
        """All of them, ended ones too."""
        if self._found is None:
            acts = [act for name in ACTS for act in self._journal.acts(name)]
            self._found = outages(sorted(acts, key=lambda act: act.seq))
            self._spans = _merged(self._found)
        return self._found

    def during(self, start_ms: int, end_ms: int) -> bool:
        """Whether anything was out at any time of a half-open span."""
        self.outages()
        lows, highs = self._spans
        before = bisect_left(lows, end_ms)
        return before > 0 and highs[before - 1] > start_ms

    def changed(self, name: str, data: Mapping[str, Any], meta: Meta) -> tuple[int, int] | None:
        """Which closed intervals an act changes that is about to be recorded.

        Args:
            name: One of :data:`ACTS`.
            data: The act's.
            meta: Where the books stand.

        Returns:
            Start of the first and of the last one; ``None``: none of them.

        Raises:
            Refusal: The act does not fit what was said before, or reaches into a final month.
        """
        asset = data.get("asset")
        times = [data.get(key) for key in _TIMES[name]]
        if not isinstance(asset, str) or not asset or not all(type(t) is int for t in times):
            raise Refusal(f"'{name}' has an asset and {', '.join(_TIMES[name])} in whole ms")
        now = next((o for o in self.outages() if o.asset == asset and o.end_ms is None), None)
        if name == STARTED and now is not None:
            raise Refusal(
                f"{asset} is out for maintenance already, by {now.author}: {now.reason}; "
                "extend it, or end it first"
            )
        if name != STARTED and now is None:
            raise Refusal(f"{asset} is not out for maintenance")
        if name == STARTED and data["until_ms"] <= data["start_ms"]:
            raise Refusal("a maintenance ends after its start")
        return None if name == EXTENDED else _closed(data[_TIMES[name][0]], meta)


def _closed(since_ms: int, meta: Meta) -> tuple[int, int] | None:
    first, closed = meta.get(FIRST) or 0, meta.get(CLOSED) or 0
    low, high = max(interval_of(since_ms), first), closed - INTERVAL_MS
    if low > high:
        return None
    if low < meta.floor():
        final = datetime.fromtimestamp(meta.floor() / 1000, UTC)
        raise Refusal(
            f"the books are final up to {final:%Y-%m-%dT%H:%MZ}: "
            "maintenance cannot be said to begin or end before that"
        )
    return low, high


def _merged(found: Iterable[Outage]) -> tuple[list[float], list[float]]:
    """Starts and ends of the times at which anything was out."""
    lows: list[float] = []
    highs: list[float] = []
    pairs = ((float(o.start_ms), inf if o.end_ms is None else float(o.end_ms)) for o in found)
    for low, high in sorted(pair for pair in pairs if pair[0] < pair[1]):
        if highs and low <= highs[-1]:
            highs[-1] = max(highs[-1], high)
        else:
            lows.append(low)
            highs.append(high)
    return lows, highs

# SPDX-License-Identifier: Apache-2.0
"""The bases that a journal holds: which one was in force for which row, and since when."""

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from rackwatt.collector.accounting.factors import IntervalFactors
from rackwatt.collector.ledger.basis import (
    BASIS,
    BadBasis,
    Origin,
    key_of,
    rules_from,
    words_of,
)
from rackwatt.collector.ledger.chain import AUTHOR, canonical
from rackwatt.collector.ledger.journal import Journal
from rackwatt.collector.ledger.rules import Rules

_EVER: Final = 2**62
_REASON: Final = "what rows are booked by from here on"


@dataclass(frozen=True, slots=True)
class Basis:
    """One basis.

    Attributes:
        seq: Its place in the chain; rows behind it were booked under it.
        time_ms: When it was noted.
        words: What it says, factors in full; empty if it cannot be read.
        rules: What rows are booked by; ``None`` if it cannot be read. Equal rules of several bases
            are one object.
        key: Equal where rules are.
        wrong: Why it cannot be read.
    """

    seq: int
    time_ms: int
    words: Mapping[str, Any]
    rules: Rules | None
    key: str = ""
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Older:
    """Closed rows that would be booked by other rules today.

    Attributes:
        rows: How many.
        start_ms: Start of the first one.
        end_ms: End of the last one.
    """

    rows: int
    start_ms: int
    end_ms: int


class Bases:
    """All bases of a journal, oldest first.

    Args:
        connection: The ledger's.

    Raises:
        sqlite3.Error: It cannot be read.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self.items: list[Basis] = []
        self._known: dict[str, Rules] = {}
        for seq, time_ms, text in connection.execute(
            "SELECT seq, start_ms, row FROM journal WHERE kind = 'act' AND cause = ? ORDER BY seq",
            (BASIS,),
        ):
            self.items.append(self._read(seq, time_ms, text))
        self._seqs = [one.seq for one in self.items]

    def at(self, seq: int) -> Basis | None:
        """The basis in force at a place in the chain, ``None`` before the first."""
        index = bisect_right(self._seqs, seq) - 1
        return None if index < 0 else self.items[index]

    @property
    def last(self) -> Basis | None:
        """The one in force at the end."""
        return self.items[-1] if self.items else None

    def older(
        self, today: Rules | None = None, start_ms: int = 0, end_ms: int = _EVER
    ) -> Older | None:
        """Closed rows whose rules at their time are not today's; ``None`` if there are none.

        Args:
            today: Today's rules; absent: those of the last basis.
            start_ms: Where to look from.
            end_ms: Where to look until.
        """
        if today is None and self.last is not None:
            today = self.last.rules
        if today is None:
            return None
        found: list[tuple[int, int, int]] = []
        ends = [*self._seqs[1:], _EVER]
        for basis, end in zip(self.items, ends, strict=False):
            if basis.rules is None or basis.rules is today:
                continue
            for low, high in spans_of_difference(basis.rules, today):
                count, first, last = self._db.execute(
                    "SELECT count(*), min(start_ms), max(start_ms) FROM latest"
                    " WHERE kind = 'interval' AND start_ms >= ? AND start_ms < ?"
                    " AND seq >= ? AND seq < ?",
                    (max(low, start_ms), min(high, end_ms), basis.seq, end),
                ).fetchone()
                if count:
                    found.append((count, first, last))
        if not found:
            return None
        counts, starts, lasts = zip(*found, strict=True)
        return Older(sum(counts), min(starts), max(lasts) + 60_000)

    def _read(self, seq: int, time_ms: int, text: str) -> Basis:
        try:
            words = self._whole(json.loads(text)["data"])
            key = key_of(words)
            rules = self._known.get(key)
            if rules is None:
                rules = self._known[key] = rules_from(words)
        except BadBasis as error:
            return Basis(seq, time_ms, {}, None, wrong=str(error))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return Basis(seq, time_ms, {}, None, wrong=f"{type(error).__name__}: {error}")
        return Basis(seq, time_ms, words, rules, key)

    def _whole(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Put factors in that an earlier basis has."""
        rules = data["rules"]
        there = rules["factors"].get("entry")
        if there is None:
            return dict(data)
        for basis in self.items:
            if basis.seq == there and basis.words:
                return {**data, "rules": {**rules, "factors": basis.words["rules"]["factors"]}}
        raise BadBasis(f"it refers to the factors of entry {there}, which is no basis before it")


def spans_of_difference(one: Rules, other: Rules) -> Iterator[tuple[int, int]]:
    """Yield the half-open spans in which two rules book differently, in order, merged."""
    if one.battery != other.battery or one.initial_watt_hours != other.initial_watt_hours:
        yield 0, _EVER
        return
    before, after = one.factors, other.factors
    yield from _spans(
        sorted({0, *before.edges, *after.edges, _EVER}),
        lambda start: _values(before.at(start)) != _values(after.at(start)),
    )


def _values(factors: IntervalFactors) -> tuple[object, ...]:
    return factors.intensity, factors.grid_carbon_free_ratio, factors.initial


def _spans(edges: Sequence[int], differ: Callable[[int], bool]) -> Iterator[tuple[int, int]]:
    begin = None
    for start, _ in pairwise(edges):
        if differ(start):
            begin = start if begin is None else begin
        elif begin is not None:
            yield begin, start
            begin = None
    if begin is not None:
        yield begin, edges[-1]


class Noting:
    """Notes in the journal by what rows are booked, before the first one is.

    Characteristics: inside the caller's transaction; :meth:`forget` after one was rolled back.

    Args:
        connection: The ledger's.
        journal: Its journal.
        rules: By what rows are booked.
        origin: Where the rules come from.
        now_ms: The present.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        journal: Journal,
        rules: Rules,
        origin: Origin,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = connection
        self._journal = journal
        self._rules = rules
        # As JSON has it: sequences are lists there.
        self._words: dict[str, Any] = json.loads(canonical(words_of(rules, origin)))
        self._key = key_of(self._words)
        self._now_ms = now_ms
        self._bases: Bases | None = None
        self._since: int | None = None

    def forget(self) -> None:
        """Read again what the journal has."""
        self._bases = self._since = None

    def note(self) -> None:
        """See that the last basis of the journal is this one."""
        if self._since is not None:
            return
        bases = self._read()
        last = bases.last
        if last is not None and last.words == self._words:
            self._since = last.seq
            return
        words, rules = self._words, self._words["rules"]
        for basis in bases.items:
            if basis.words and basis.words["rules"]["factors"] == rules["factors"]:
                words = {**words, "rules": {**rules, "factors": {"entry": basis.seq}}}
                break
        self._since = self._journal.act(self._now_ms(), BASIS, words, AUTHOR, _REASON)

    def rules_of(self, seq: int) -> Rules | None:
        """By what a row in the journal was booked, ``None`` if it is not known or as today."""
        if self._since is not None and seq > self._since:
            return None
        basis = self._read().at(seq)
        return None if basis is None or basis.key == self._key else basis.rules

    def _read(self) -> Bases:
        if self._bases is None:
            self._bases = Bases(self._db)
        return self._bases

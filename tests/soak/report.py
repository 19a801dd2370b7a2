# SPDX-License-Identifier: Apache-2.0
"""What the soak prints and writes."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from soak.verdict import Verdict
from soak.watching import Recovery, Seen


@dataclass(frozen=True, slots=True)
class Done:
    """One fault that was."""

    at: float
    """Seconds after the start."""
    kind: str
    text: str
    seconds: float
    """How long it lasted."""
    recovery: Recovery


@dataclass
class Result:
    """All that a soak found."""

    settings: dict[str, Any]
    seconds: float = 0.0
    done: list[Done] = field(default_factory=list)
    died: list[str] = field(default_factory=list)
    """Parts that ended though nobody ended them."""
    seen: Seen = field(default_factory=Seen)
    settled: Recovery | None = None
    verdict: Verdict = field(default_factory=Verdict)
    ledger_sound: bool = False
    ledger_says: str = ""
    intervals: int = 0
    restated: int = 0

    def failures(self) -> list[str]:
        """Everything for which the soak fails."""
        found = [f"{name}: {count:,}" for name, count in self.verdict.wrong.items()]
        found += [f"ended by itself: {text}" for text in self.died]
        found += [
            f"not recovered from: {one.text}: {one.recovery.behind}"
            for one in self.done
            if one.recovery.seconds is None
        ]
        if self.settled is None or self.settled.seconds is None:
            found.append(f"never settled: {self.settled and self.settled.behind}")
        if not self.ledger_sound:
            found.append(f"ledger verify: {self.ledger_says}")
        found += [
            f"memory of {name} grows: {memory.first:.0f} to {memory.last:.0f} MB"
            for name, memory in self.seen.memories().items()
            if not memory.flat and name not in ("influxd", "mosquitto")
        ]
        return found


def line(one: Done) -> str:
    """One fault, as it is told when all is well again."""
    if one.recovery.seconds is None:
        outcome = f"NOT RECOVERED: {one.recovery.behind}"
    else:
        outcome = f"all here {one.recovery.seconds:5.1f} s after"
    return f"{one.at:6.0f} s  {one.seconds:5.1f} s  {one.text:58} {outcome}"


def tables(result: Result) -> str:
    """What is said at the end."""
    return "\n".join([*_faults(result.done), "", *_memory(result.seen), "", *_sets(result), ""])


def _faults(done: Sequence[Done]) -> list[str]:
    lines = [f"{'fault':12} times  lasted, s         all here after, s: median, most"]
    for kind in sorted({one.kind for one in done}):
        ones = [one for one in done if one.kind == kind]
        lasted = [one.seconds for one in ones]
        back = [one.recovery.seconds for one in ones if one.recovery.seconds is not None]
        after = f"{statistics.median(back):.1f}, {max(back):.1f}" if back else "-"
        lines.append(
            f"{kind:12} {len(ones):5}  {min(lasted):4.1f} to {max(lasted):5.1f}  {after:>20}"
        )
    return lines


def _memory(seen: Seen) -> list[str]:
    lines = ["memory, MB      first third  last third   most"]
    for name, memory in seen.memories().items():
        flat = "" if memory.flat else "  grows"
        lines.append(f"{name:14} {memory.first:12.0f} {memory.last:11.0f} {memory.most:6.0f}{flat}")
    spool = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in seen.spool_most.items())
    oldest = ", ".join(f"{name} {age:.0f} s" for name, age in seen.oldest_most.items())
    return [*lines, f"largest spool: {spool}; oldest message in it: {oldest}"]


def _sets(result: Result) -> list[str]:
    verdict, counted = result.verdict, result.seen.counted
    rejected = sum(n for name, n in counted.items() if "rejected" in name)
    recovered = counted["rackwatt_messages_recovered_total"]
    repeated = counted["rackwatt_messages_duplicate_total"]
    places = f"{verdict.values:,} values and {verdict.events:,} events in {verdict.messages:,}"
    wire = f"{recovered:,} messages asked for again, {repeated:,} twice, {rejected:,} rejected"
    gone = f"{verdict.shown:,} recorded as lost, {verdict.unheard:,} that nobody was told of"
    booked = f"{verdict.booked:,} values of meters, {verdict.held:,} of them held"
    book = f"{result.intervals:,} intervals, {result.restated:,} revisions"
    return [
        f"sent: {places} messages; places with two values: {verdict.twice:,}",
        f"collector, at least: {wire}",
        f"messages gone with an outbox that was replaced: {gone}",
        f"ledger: {booked}; {book}; {result.ledger_says}",
    ]


def write(result: Result, path: Path) -> None:
    """As JSON."""
    memories = {name: asdict(memory) for name, memory in result.seen.memories().items()}
    whole = {
        "settings": result.settings,
        "seconds": round(result.seconds, 1),
        "failures": result.failures(),
        "faults": [asdict(one) for one in result.done],
        "memory_mb": memories,
        "spool_bytes_most": dict(result.seen.spool_most),
        "spool_oldest_seconds_most": dict(result.seen.oldest_most),
        "counted": dict(result.seen.counted),
        "verdict": asdict(result.verdict),
        "ledger": {
            "sound": result.ledger_sound,
            "says": result.ledger_says,
            "intervals": result.intervals,
            "revisions": result.restated,
        },
    }
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")

# SPDX-License-Identifier: Apache-2.0
"""The watch's part of the journal: each word is an act with its author, and stays.

Times in ms since 1970 UTC.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rackwatt.collector.ledger.chain import Act
from rackwatt.collector.ledger.reading import Books
from rackwatt.collector.ledger.upkeep import ACTS, ENDED, EXTENDED, STARTED, Outage, outages

ACK: Final = "ack"
BEGUN: Final = "shift_begin"
NOTED: Final = "shift_note"
HANDED_OVER: Final = "handover"
ALL: Final = (*ACTS, ACK, BEGUN, NOTED, HANDED_OVER)

ACK_MINUTES: Final = 30
"""An acknowledgement holds no longer: whoever gave it looks again, or somebody else does."""
_ACK_MS: Final = ACK_MINUTES * 60_000


@dataclass(frozen=True, slots=True)
class Ack:
    """Somebody has seen an alert and is at it; it goes on sounding elsewhere.

    Attributes:
        alert: Its name.
        labels: Which ones of that name; all of these labels must fit.
        author: Who.
        note: What they do about it.
        time_ms: Since when.
        until_ms: Until when, at most half an hour later.
    """

    alert: str
    labels: Mapping[str, str]
    author: str
    note: str
    time_ms: int
    until_ms: int

    @property
    def subject(self) -> str:
        """Name and labels, as Prometheus writes a series."""
        return subject_of(self.alert, self.labels)

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether it is about an alert with these labels."""
        wanted = {**self.labels, "alertname": self.alert}
        return all(labels.get(name) == value for name, value in wanted.items())


@dataclass(frozen=True, slots=True)
class Shift:
    """Who has the watch.

    Attributes:
        since_ms: Since when.
        author: Who leads it.
        crew: Who is with them.
    """

    since_ms: int
    author: str
    crew: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log.

    Attributes:
        seq: The act's place in the chain.
        time_ms: When it was said.
        name: The act's name, one of :data:`ALL`.
        author: Who said it.
        text: What they said.
        subject: The asset, the alert, or who takes over; "" of none.
        until_ms: Until when it is to hold; ``None`` where that means nothing.
    """

    seq: int
    time_ms: int
    name: str
    author: str
    text: str
    subject: str = ""
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """All that was said, oldest first."""

    outages: Sequence[Outage] = ()
    acks: Sequence[Ack] = ()
    shifts: Sequence[Shift] = ()
    lines: Sequence[Line] = ()

    def shift(self, now_ms: int) -> Shift | None:
        """The one that is on."""
        begun = [shift for shift in self.shifts if shift.since_ms <= now_ms]
        return begun[-1] if begun else None

    def between(self, since_ms: int, until_ms: int) -> list[Line]:
        """What was said in a span, both ends included."""
        return [line for line in self.lines if since_ms <= line.time_ms <= until_ms]


def read_log(books: Books) -> Log:
    """What a ledger's acts say of the watch."""
    return log_of(act for name in ALL for act in books.acts(name))


def log_of(acts: Iterable[Act]) -> Log:
    """What acts say of the watch; those of other names are passed over.

    Args:
        acts: In any order.
    """
    known: list[Act] = sorted((act for act in acts if act.name in ALL), key=lambda act: act.seq)
    return Log(
        outages=outages(known),
        acks=[_ack(act) for act in known if act.name == ACK],
        shifts=[_shift(act) for act in known if act.name in {BEGUN, HANDED_OVER}],
        lines=[_line(act) for act in known],
    )


def _ack(act: Act) -> Ack:
    until = min(int(act.data["until_ms"]), act.time_ms + _ACK_MS)
    labels = dict(act.data["labels"])
    return Ack(str(act.data["alert"]), labels, act.author, act.reason, act.time_ms, until)


def _shift(act: Act) -> Shift:
    if act.name == HANDED_OVER:
        return Shift(act.time_ms, str(act.data["to"]))
    return Shift(act.time_ms, act.author, tuple(act.data["crew"]))


def _line(act: Act) -> Line:
    subjects = {ACK: "alert", HANDED_OVER: "to"}
    untils = {STARTED: "until_ms", EXTENDED: "until_ms", ENDED: "end_ms", ACK: "until_ms"}
    subject = str(act.data.get(subjects.get(act.name, "asset"), ""))
    if act.name == ACK:
        subject = subject_of(subject, act.data["labels"])
    until = act.data.get(untils.get(act.name, ""))
    return Line(act.seq, act.time_ms, act.name, act.author, act.reason, subject, until)


def subject_of(alert: str, labels: Mapping[str, str]) -> str:
    """An alert and the labels that choose among those of its name."""
    inner = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return f"{alert}{{{inner}}}" if inner else alert


def acks_since(acts: Iterable[Act], since_ms: int) -> list[Ack]:
    """Acknowledgements that were given since then."""
    return [_ack(act) for act in acts if act.name == ACK and act.time_ms >= since_ms]

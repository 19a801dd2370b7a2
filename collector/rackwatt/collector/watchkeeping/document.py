# SPDX-License-Identifier: Apache-2.0
"""A handover as plain text that can be read aloud, printed or mailed: French, English, Arabic."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final

from rackwatt.collector.ledger.upkeep import Outage
from rackwatt.collector.watchkeeping.handover import Due, Handover, Lost, OpenAlert
from rackwatt.collector.watchkeeping.log import BEGUN, HANDED_OVER, NOTED, Ack, Line
from rackwatt.collector.watchkeeping.remotes import Silence
from rackwatt.collector.watchkeeping.words import plain

LANGUAGES: Final = ("en", "fr", "ar")
_TEXTS: Final = Path(__file__).parent / "texts"
_RIGHT: Final = "\u200f"
_ISOLATED: Final = "\u2068{}\u2069"
_MARKS: Final = ("#", "##", "-")
_ABOUT: Final = ("device", "agent", "hall")
_MOST_FEEDS: Final = 5
_MOST_RACKS: Final = 8
_LOGGED: Final = (BEGUN, NOTED, HANDED_OVER)
"""What of the log has no section of its own."""


class Writer:
    """Writes in one language; what is not of it (names, times) cannot turn a line around.

    Args:
        language: ``en``, ``fr`` or ``ar``.
        zone: whose clocks.
        today_ms: times of that day are written without their date.
    """

    def __init__(self, language: str, zone: tzinfo, today_ms: int) -> None:
        text = (_TEXTS / f"{language}.json").read_text(encoding="utf-8")
        self._texts: Mapping[str, str] = json.loads(text)
        self._rtl = language == "ar"
        self._french = language == "fr"
        self._zone = zone
        self._today = datetime.fromtimestamp(today_ms / 1000, zone).date()

    def say(self, key: str, **parts: object) -> str:
        """A text with its parts; those ending in ``_`` are texts already and go in as they are."""
        found = self._texts[key]
        for name, part in parts.items():
            written = str(part)
            if not name.endswith("_"):
                written = plain(written)
                written = _ISOLATED.format(written) if self._rtl and written else written
            found = found.replace(f"{{{name.rstrip('_')}}}", written)
        return found

    def knows(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in self._texts

    def time(self, time_ms: int) -> str:
        """`18:00`, with its date on another day."""
        local = datetime.fromtimestamp(time_ms / 1000, self._zone)
        return f"{local:%H:%M}" if local.date() == self._today else self.full(time_ms)

    def full(self, time_ms: int) -> str:
        """`2026-11-23 18:00`."""
        return f"{datetime.fromtimestamp(time_ms / 1000, self._zone):%Y-%m-%d %H:%M}"

    def day(self, time_ms: int) -> str:
        """`2026-11-23`."""
        return f"{datetime.fromtimestamp(time_ms / 1000, self._zone):%Y-%m-%d}"

    def percent(self, ratio: float) -> str:
        """`104%`, in French with a blank before the sign."""
        blank = "\u202f" if self._french else ""
        return f"{ratio * 100:.0f}{blank}%"

    def line(self, text: str) -> str:
        """A whole line, in its direction."""
        if not self._rtl or not text:
            return text
        mark, blank, rest = text.partition(" ")
        return f"{mark} {_RIGHT}{rest}" if blank and mark in _MARKS else _RIGHT + text


def write(handover: Handover, language: str) -> str:
    """The document of a handover, as plain text in the manner of Markdown."""
    writer = Writer(language, handover.zone, handover.until_ms)
    return "\n".join(writer.line(line) for line in _lines(handover, writer)) + "\n"


def _lines(handover: Handover, w: Writer) -> Iterator[str]:
    yield "# " + w.say("title", site=handover.site)
    yield ""
    times = {"since": w.full(handover.since_ms), "until": w.full(handover.until_ms)}
    yield w.say("span", **times, zone=handover.zone)
    names = ", ".join(name for name in (handover.author, *handover.crew) if name)
    yield w.say("led", names=names) if names else w.say("led.nobody")
    if handover.to:
        yield w.say("to", name=handover.to)
    if handover.unknown:
        yield from _section(w.say("unknown.title"), handover.unknown, "")
    if handover.alerts is not None:
        alerts = [_alert(one, w) for one in handover.alerts]
        yield from _section(w.say("alerts", count=len(alerts)), alerts, w.say("alerts.none"))
    if handover.silences is not None:
        mutes = [_silence(one, handover.until_ms, w) for one in handover.silences]
        yield from _section(w.say("silences", count=len(mutes)), mutes, w.say("silences.none"))
    acks = [_ack(one, handover.until_ms, w) for one in handover.acks]
    yield from _section(w.say("acks", count=len(acks)), acks, w.say("acks.none"))
    if handover.lost is not None:
        yield from _section(w.say("lost"), list(_lost(handover.lost, w)), w.say("lost.none"))
    elif not handover.has_chains:
        yield from _section(w.say("lost"), (), w.say("lost.no_chains"))
    outages = [_outage(one, handover.until_ms, w) for one in handover.outages]
    head = w.say("maintenance", count=sum(o.end_ms is None for o in handover.outages))
    yield from _section(head, outages, w.say("maintenance.none"))
    yield from _section(w.say("due"), [_due(one, w) for one in handover.due], w.say("due.none"))
    lines = [_logged(one, w) for one in handover.lines if one.name in _LOGGED]
    yield from _section(w.say("log", count=len(lines)), lines, w.say("log.none"))
    yield ""
    yield w.say("note")


def _section(head: str, lines: Sequence[str], none: str) -> Iterator[str]:
    yield ""
    yield f"## {head}"
    yield ""
    yield from (f"- {line}" for line in lines)
    if not lines:
        yield none


def _alert(one: OpenAlert, w: Writer) -> str:
    labels = one.alert.labels
    about = next((labels[name] for name in _ABOUT if labels.get(name)), "")
    summary = one.alert.summary.removeprefix(f"{about}: ")
    key = f"severity.{one.severity}"
    muted = ""
    if one.alert.silenced_by:
        muted = w.say("alert.muted")
    elif one.alert.inhibited:
        muted = w.say("alert.inhibited")
    ack = w.say("alert.unacked")
    if one.ack is not None:
        until = w.time(one.ack.until_ms)
        ack = w.say("alert.acked", author=one.ack.author, time=until, note=one.ack.note)
    return w.say(
        "alert",
        severity_=w.say(key) if w.knows(key) else plain(one.severity),
        what=f"{one.alert.name} {about}".strip() + (w.say("colon") + summary if summary else ""),
        time=w.time(one.alert.since_ms),
        muted_=muted,
        ack_=ack,
    )


def _silence(one: Silence, now_ms: int, w: Writer) -> str:
    parts = {
        "matchers": "{" + ", ".join(one.matchers) + "}",
        "time": w.time(one.until_ms),
        "author": one.author,
        "comment": one.comment,
    }
    if one.start_ms > now_ms:
        return w.say("silence.later", since=w.time(one.start_ms), **parts)
    return w.say("silence", **parts)


def _ack(one: Ack, now_ms: int, w: Writer) -> str:
    about = ", ".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
    said = w.say(
        "ack",
        time=w.time(one.time_ms),
        what=one.alert + (f" {{{about}}}" if about else ""),
        author=one.author,
        until=w.time(one.until_ms),
        note=one.note,
    )
    return said + (w.say("ack.over") if one.until_ms <= now_ms else "")


def _lost(lost: Lost, w: Writer) -> Iterator[str]:
    for group in lost.groups:
        key = f"state.{group.state}"
        yield w.say(
            "lost.group",
            id=group.id,
            state_=w.say(key) if w.knows(key) else group.state,
            available="?" if group.available is None else group.available,
            installed=group.installed,
            needed=group.needed,
        )
    if lost.feeds_at_risk:
        yield w.say("lost.feeds", count=lost.feeds_at_risk)
        for name, ratio in lost.feeds[:_MOST_FEEDS]:
            yield w.say("lost.feed", id=name, percent=w.percent(ratio))
        if lost.feeds_at_risk > _MOST_FEEDS:
            yield w.say("more", count=lost.feeds_at_risk - _MOST_FEEDS)
    if lost.racks:
        names = ", ".join(lost.racks[:_MOST_RACKS]) + (", …" if lost.racks[_MOST_RACKS:] else "")
        yield w.say("lost.racks", count=len(lost.racks), names=names)


def _outage(one: Outage, now_ms: int, w: Writer) -> str:
    state = "out"
    if one.end_ms is not None:
        state = "ended"
    elif one.planned(now_ms):
        state = "planned"
    elif one.overdue(now_ms):
        state = "overdue"
    return w.say(
        f"maintenance.{state}",
        asset=one.asset,
        since=w.time(one.start_ms),
        until=w.time(one.until_ms),
        author=one.author,
        reason=one.reason,
        end=w.time(one.end_ms or one.until_ms),
        why=one.ended_why,
        ended_by=one.ended_by,
    )


def _due(one: Due, w: Writer) -> str:
    return w.say(
        f"due.{one.kind}",
        time=w.time(one.time_ms),
        date=w.day(one.time_ms),
        subject=one.subject,
        note=one.note,
        late_=w.say("due.late") if one.overdue else "",
    )


def _logged(one: Line, w: Writer) -> str:
    who = f"{one.author} ({one.subject})" if one.subject else one.author
    text = one.text if one.name != BEGUN or one.text != "shift begun" else ""
    if one.name == BEGUN and text:
        text = w.say("colon") + text
    parts = {"time": w.time(one.time_ms), "author": one.author, "subject": one.subject}
    return w.say(f"log.{one.name}", **parts, who=who, text=text)

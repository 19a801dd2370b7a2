# SPDX-License-Identifier: Apache-2.0
"""The promises as others read them: a document to be signed, a table, rows of the page's frame.

Power in W, shares 0..1, days as `2026-11-23`, times in UTC. What is unknown is null, with a reason.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from rackwatt.collector.accounting.commitments import UNITS, Commitment, Measured, Phase, Stand
from rackwatt.collector.live.page.catalogue import DEFAULT_LANGUAGE, LANGUAGES
from rackwatt.collector.site import Site
from rackwatt.collector.site.promises import link_of

TYPE: Final = "rackwatt.commitments/1"
COLUMNS: Final = (
    "site", "simulated", "time", "commitment", "kind", "phase", "published", "due", "source",
    "promised", "promised_unit", "live", "live_unit", "live_at_least", "live_reason",
    "measured", "measured_unit", "measured_period", "measured_at_least", "measured_or_before",
    "measured_coverage", "measured_reason", "state", "text_en", "text_fr", "text_ar",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@")


@dataclass(frozen=True, slots=True)
class Books:
    """What the closed books cover; ``None``: there are none, or they are not read yet."""

    start_ms: int | None = None
    """Where the running local year, or its first book, begins."""
    closed_ms: int | None = None


def document(site: Site, stands: Sequence[Stand], books: Books, now_ms: int) -> dict[str, Any]:
    """Return the document that is signed."""
    return {
        "type": TYPE,
        "site": {
            "id": site.id,
            "name": site.name,
            "country": site.country,
            "timezone": site.timezone.key,
            "simulated": site.simulated,
        },
        "time": stamp(now_ms),
        "books": {
            "year_from": None if books.start_ms is None else stamp(books.start_ms),
            "closed_through": None if books.closed_ms is None else stamp(books.closed_ms),
        },
        "phases": [_phase(phase) for phase in site.phases],
        "commitments": [_entry(stand) for stand in stands],
    }


def stamp(time_ms: int) -> str:
    """`2026-11-23T00:15:19Z`."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _phase(phase: Phase) -> dict[str, Any]:
    """A phase, as the site file states it: none of this is measured."""
    return {
        "id": phase.id,
        "name": phase.name,
        "announced": _day(phase.announced),
        "energised": _day(phase.energised),
        "in_service": _day(phase.in_service),
        "watts": phase.watts,
        "halls": list(phase.halls),
    }


def _entry(stand: Stand) -> dict[str, Any]:
    one, dated = stand.commitment, stand.commitment.kind == "in_service"
    promised: dict[str, Any] = {"value": one.value, "unit": UNITS[one.kind]}
    if dated:
        promised |= {"value": one.due.isoformat(), "from_watts": one.value}
    return {
        "id": one.id,
        "kind": one.kind,
        "text": dict(one.text),
        "phase": one.phase or None,
        "published": one.published.isoformat(),
        "due": one.due.isoformat(),
        "source": one.source,
        "promised": promised,
        "live": _amount(stand.live, "watts" if dated else UNITS[one.kind]),
        "measured": {
            **_amount(stand.year, UNITS[one.kind]),
            "period": "all_books" if dated else "year_to_date",
            "or_before": stand.year.or_before,
            "coverage": stand.year.coverage,
        },
        "state": stand.state,
    }


def _amount(measured: Measured, unit: str) -> dict[str, Any]:
    return {
        "value": _day(measured.day) if unit == "date" else measured.value,
        "unit": unit,
        "at_least": measured.at_least,
        "reason": measured.reason,
    }


def table(made: Mapping[str, Any]) -> str:
    """Return a document as CSV, one line per promise."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for entry in made["commitments"]:
        writer.writerow([_cell(value) for value in _line(made, entry)])
    return out.getvalue()


def _line(made: Mapping[str, Any], entry: Mapping[str, Any]) -> list[object]:
    promised, live, measured = entry["promised"], entry["live"], entry["measured"]
    return [
        made["site"]["id"], made["site"]["simulated"], made["time"],
        entry["id"], entry["kind"], entry["phase"], entry["published"], entry["due"],
        entry["source"], promised["value"], promised["unit"],
        live["value"], live["unit"], live["at_least"], live["reason"],
        measured["value"], measured["unit"], measured["period"], measured["at_least"],
        measured["or_before"], measured["coverage"], measured["reason"], entry["state"],
        *(entry["text"].get(language) for language in ("en", "fr", "ar")),
    ]  # fmt: skip


def _cell(value: object) -> object:
    """An empty cell is unknown; a text is never a spreadsheet's formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return repr(value) if isinstance(value, float) else value


def rows(site: Site, stands: Sequence[Stand]) -> list[dict[str, Any]]:
    """Return the rows of the page's frame."""
    names = {phase.id: phase.name for phase in site.phases}
    return [_row(stand, names.get(stand.commitment.phase)) for stand in stands]


def _row(stand: Stand, phase: str | None) -> dict[str, Any]:
    one, live, year = stand.commitment, stand.live, stand.year
    unit = UNITS[one.kind]
    return {
        "id": one.id,
        "kind": one.kind,
        unit: True,
        "text": _words(one),
        "phase": phase,
        "promised": one.value,
        "live": live.value,
        "live_at_least": live.at_least,
        "live_reason": live.reason,
        "measured": _day(year.day) if unit == "date" else year.value,
        "measured_at_least": year.at_least,
        "or_before": year.or_before,
        "measured_reason": year.reason,
        "coverage": year.coverage,
        "due": one.due.isoformat(),
        "published": one.published.isoformat(),
        "source": one.source,
        "link": link_of(one.source),
        "state": stand.state,
    }


def _words(commitment: Commitment) -> dict[str, str]:
    """The promise in each language of the page; where it has none, in one that it has."""
    text = commitment.text
    other = text.get(DEFAULT_LANGUAGE) or next(iter(text.values()))
    return {language: text.get(language, other) for language in LANGUAGES}

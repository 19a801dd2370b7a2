# SPDX-License-Identifier: Apache-2.0
"""Proves a report: every figure again, from the entry of the journal that it names."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from rackwatt.collector.site import Site
from rackwatt.reports.books import BooksAt
from rackwatt.reports.document import Report
from rackwatt.reports.making import NothingBooked, Wanted, make

_MOST: Final = 200
_NOT_OF_THE_BOOKS: Final = {"revision", "differences"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    Attributes:
        findings: What is wrong, one sentence each; none in a sound report.
        compared: How many values were computed again.
        restated: Revisions of the period's minutes that came after the report.
        causes: Of those, by cause and author.
    """

    findings: list[str]
    compared: int
    restated: int
    causes: dict[tuple[str, str], int]


def check_report(books: BooksAt, site: Site, report: Report, wanted: Wanted) -> Verdict:
    """Compute a report again and compare.

    Args:
        books: The ledger, as of the report's entry.
        site: Its site.
        report: The report.
        wanted: How it was made.

    Raises:
        BadPeriod: Its period is none.
        sqlite3.Error: The ledger cannot be read.
    """
    findings: list[str] = []
    broken = books.verify()
    if broken is not None:
        findings.append(f"the journal was changed: its chain of hashes breaks at entry {broken}")
    entry = report.proof.entry
    there = None if entry is None else books.hash_at(entry)
    if there is None:
        findings.append(f"the journal has no entry {entry}: this is another ledger, or it was cut")
    elif there != report.proof.hash:
        findings.append(f"entry {entry} has another hash than the report names")
    if report.site.id != site.id:
        findings.append(f"the report is of site {report.site.id}, the site file of {site.id}")
    topology = dict(sorted(site.files.items()))
    if topology != report.proof.topology:
        findings.append("the site file or a file that it names is another one than the report's")
    try:
        again = make(books, site, wanted)
    except NothingBooked as error:
        return Verdict([*findings, str(error)], 0, 0, {})
    compared = 0
    for path, before, after in _pairs("", _plain(report), _plain(again)):
        compared += 1
        if before != after and len(findings) < _MOST:
            findings.append(f"{path}: the report says {_shown(before)}, the books {_shown(after)}")
    causes: dict[tuple[str, str], int] = {}
    since = books.restated_since(report.period.start_ms, report.period.end_ms)
    for _, _, cause, author in since:
        causes[cause, author] = causes.get((cause, author), 0) + 1
    return Verdict(findings, compared, len(since), causes)


def _plain(report: Report) -> dict[str, Any]:
    """What the journal alone decides: what is held or released has no entry of its own there."""
    found = report.model_dump(exclude=_NOT_OF_THE_BOOKS)
    del found["quality"]["held"]
    found["reasons"] = [one for one in found["reasons"] if one["code"] != "held"]
    del found["state"]
    # It is compared by itself, with words that say what to do.
    del found["proof"]["topology"]
    return found


def _pairs(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            inner = f"{path}.{name}" if path else str(name)
            yield from _pairs(inner, before.get(name), after.get(name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _pairs(f"{path}[{index}]", one, other)
    else:
        yield path, before, after


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{len(value)} items"
    return "nothing" if value is None else str(value)

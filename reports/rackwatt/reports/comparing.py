# SPDX-License-Identifier: Apache-2.0
"""Earlier periods to compare with, summed up beside the report's own in other processes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from rackwatt.collector.ledger.view import rules_of
from rackwatt.collector.site import Site, load_site
from rackwatt.reports.books import BooksAt
from rackwatt.reports.gathering import Asked, gather
from rackwatt.reports.parts import Comparison
from rackwatt.reports.times import span_named
from rackwatt.wire.cycles import no_search

_ENOUGH: Final = 0.5
"""A period of which the books hold less is nothing to compare with."""


@dataclass(frozen=True, slots=True)
class Compared:
    """An earlier period, and the last entry of the journal that is in it."""

    comparison: Comparison
    entry: int = 0


Compare = Callable[[str], Compared]


def compare(books: BooksAt, site: Site, label: str) -> Compared:
    """Sum up an earlier period, as far as the books hold it."""
    if not _held(books, site, label):
        return Compared(Comparison(label=label, available=False, figures={}))
    span = span_named(label, site.timezone)
    rules = rules_of(site, span.end_ms - 1)
    found = gather(books.rows, Asked(span, site.timezone, rules, hourly=False))
    if found.first_ms is None:
        return Compared(Comparison(label=label, available=False, figures={}), found.entry)
    figures = found.figures(found.whole, rules).flat()
    figures["pue_uncertainty_ratio"] = None  # its quarter hours were not read
    return Compared(Comparison(label=label, available=True, figures=figures), found.entry)


@contextmanager
def comparing(
    books: BooksAt, site: Site, site_file: Path | None, labels: Sequence[str]
) -> Iterator[Compare]:
    """Begin to sum up earlier periods; what it gives waits for one of them.

    Characteristics: one process for each of `labels` that the books hold enough of, and none
    without `site_file`; where none can be started, or it dies, all is done here when it is asked
    for. The result is the same: the ledger is read as of the same entry.
    """
    held = [label for label in labels if _held(books, site, label)]
    if site_file is None or not held:
        yield lambda label: compare(books, site, label)
        return
    pool = ProcessPoolExecutor(len(held), get_context("spawn"))
    try:
        waiting: dict[str, Future[Compared]] = {}
        for label in held:
            waiting[label] = pool.submit(_elsewhere, books.path, books.entry, site_file, label)

        def result(label: str) -> Compared:
            if label not in waiting:
                return compare(books, site, label)
            try:
                return waiting[label].result()
            except (BrokenProcessPool, OSError):
                return compare(books, site, label)

        yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _held(books: BooksAt, site: Site, label: str) -> bool:
    span, first = span_named(label, site.timezone), books.first_ms()
    return first is not None and first <= (
        span.start_ms + (1.0 - _ENOUGH) * (span.end_ms - span.start_ms)
    )


def _elsewhere(ledger: Path, entry: int, site_file: Path, label: str) -> Compared:
    """In a process of its own."""
    with no_search(), BooksAt(ledger, entry) as books:
        return compare(books, load_site(site_file), label)

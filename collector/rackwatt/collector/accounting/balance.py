# SPDX-License-Identifier: Apache-2.0
"""The balance of a bus: what the meters cannot explain gets a name, so the books close."""

from collections.abc import Iterable, Sequence
from math import fsum, isfinite
from typing import NamedTuple

from rackwatt.collector.accounting.vocabulary import total


class Balance(NamedTuple):
    """One interval's balance, Wh.

    Attributes:
        supplied: Sum of the sources, ``None`` if one is unknown.
        residual: Sources minus sinks, ``None`` if any of them is unknown.
        unmetered: A positive residual: a sink with the mix of the bus.
        unknown: A negative residual turned round: a source at the grid's factor, never renewable.
    """

    supplied: float | None
    residual: float | None
    unmetered: float
    unknown: float

    @property
    def ratio(self) -> float | None:
        """The signed residual as a part of the sources, ``None`` without sources."""
        if self.residual is None or not self.supplied:
            return None
        ratio = self.residual / self.supplied
        return ratio if isfinite(ratio) else None


def balance(sources: Iterable[float | None], sinks: Iterable[float | None]) -> Balance:
    """Balance what enters a bus against what leaves it: battery and ties are among both."""
    given: list[float] = []
    for source in sources:
        if source is None:
            return Balance(None, None, 0.0, 0.0)
        given.append(source)
    supplied = fsum(given)
    for sink in sinks:
        if sink is None:
            return Balance(supplied, None, 0.0, 0.0)
        given.append(-sink)
    # One rounding for the whole difference: a permutation of meters must not move it.
    gap = fsum(given)
    return Balance(supplied, gap, max(0.0, gap), max(0.0, -gap))


def together(books: Sequence[Balance], supplied: float | None) -> Balance:
    """Return the balance of a site: each bus keeps its own gap, and a surplus elsewhere fills none.

    Args:
        books: The balance of each bus.
        supplied: What the site's sources gave; what ties carried between its buses is no source.
    """
    if len(books) == 1:
        return books[0]
    residual = total(book.residual for book in books)
    unmetered, unknown = (book.unmetered for book in books), (book.unknown for book in books)
    return Balance(supplied, residual, fsum(unmetered), fsum(unknown))

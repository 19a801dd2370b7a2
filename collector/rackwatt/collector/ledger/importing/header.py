# SPDX-License-Identifier: Apache-2.0
"""The first line of a file of flows: which column stands where."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from rackwatt.collector.ledger.importing.columns import (
    CHARGE,
    CLAIMS,
    DISCHARGE,
    INTERVAL,
    KNOWN,
    REQUIRED,
    SINKS,
    SOURCES,
    TIME,
)
from rackwatt.collector.ledger.importing.complaints import Complaints
from rackwatt.wire.config import nearest


@dataclass(frozen=True, slots=True)
class Layout:
    """Where what stands, and in which order :attr:`pick` gives it.

    Attributes:
        width: Number of columns.
        time: Index of the time.
        interval: Index of the interval's length.
        energies: The other columns: sources, sinks, charge, discharge, claims.
        sources: Names of the sources, first among the energies.
        sinks: Names of the sinks, next.
        claims: Names of the claims, last.
        pick: From a row's cells to those of :attr:`energies`.
    """

    width: int
    time: int
    interval: int
    energies: tuple[str, ...]
    sources: tuple[str, ...]
    sinks: tuple[str, ...]
    claims: tuple[str, ...]
    pick: Callable[[Sequence[str]], tuple[str, ...]]


def layout_of(header: Sequence[str], line: int, complaints: Complaints) -> Layout | None:
    """Read the header; ``None`` when something is wrong with it."""
    names = [name.strip() for name in header]
    if _is_no_table(header, line, complaints):
        return None
    spare = [name for name in names if name not in KNOWN]
    for column in REQUIRED:
        if column not in names:
            hint = nearest(column, spare or names).replace("did you mean", "did you name it")
            complaints.add(line, column, "column is missing", hint.replace("valid:", "given:"))
    absent = [name for name in KNOWN if name not in names]
    for name in spare:
        shown = name or f"(column {names.index(name) + 1})"
        complaints.add(line, shown, "unknown column", nearest(name, absent or KNOWN))
    for name in dict.fromkeys(names):
        if names.count(name) > 1 and name in KNOWN:
            complaints.add(line, name, "column stands twice", "leave one of them out")
    if complaints:
        return None
    sources = [column for column in SOURCES if column in names]
    sinks = [column for column in SINKS if column in names]
    claims = [column for column in CLAIMS if column in names]
    energies = (*sources, *sinks, CHARGE, DISCHARGE, *claims)
    return Layout(
        width=len(names),
        time=names.index(TIME),
        interval=names.index(INTERVAL),
        energies=energies,
        sources=tuple(SOURCES[column] for column in sources),
        sinks=tuple(SINKS[column] for column in sinks),
        claims=tuple(claims),
        pick=itemgetter(*(names.index(column) for column in energies)),
    )


def _is_no_table(header: Sequence[str], line: int, complaints: Complaints) -> bool:
    """Whether this is something else than lines of cells between commas; says so."""
    whole = ",".join(header)
    if "\0" in whole or any("\ud800" <= sign <= "\udfff" for sign in whole):
        complaints.add(line, "", "is not text in UTF-8", "save it as 'CSV UTF-8'")
    elif len(header) == 1 and any(sign in whole for sign in ";\t"):
        sign = "semicolons" if ";" in whole else "tabs"
        hint = "separate them by commas, and write decimals with a point"
        complaints.add(line, "", f"cells are separated by {sign}", hint)
    return bool(complaints)

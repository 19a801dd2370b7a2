# SPDX-License-Identifier: Apache-2.0
"""Certificates that the site has bought: `certificates` names CSV files.

Columns: `registry,serial,source,from,to,wh` and, once they are retired, `retired_on` and
`beneficiary`; `contract` where one came with a contract. They count only when retired.
"""

from typing import Final

from rackwatt.collector.site.models import SiteFile
from rackwatt.collector.site.problems import Problems
from rackwatt.collector.site.tables import Cells, read_table
from rackwatt.collector.site.topology import CertificateLine

NEEDED: Final = ("registry", "serial", "source", "from", "to", "wh")
OPTIONAL: Final = ("retired_on", "beneficiary", "contract")
SOURCES: Final = ("pv", "wind", "hydro")
_MOST: Final = 1e15


def certificates_of(problems: Problems, file: SiteFile) -> tuple[CertificateLine, ...]:
    """All certificates; one serial stands once in a registry."""
    result: list[CertificateLine] = []
    seen: dict[tuple[str, str], int] = {}
    contracts = {contract.id for contract in file.contracts}
    for index, name in enumerate(file.certificates):
        for cells in read_table(problems, ("certificates", index), name, NEEDED, OPTIONAL):
            line = _line(cells)
            number = line.registry, line.serial
            if number in seen:
                cells.wrong("serial", f"{line.serial!r} stands twice: see line {seen[number]}")
            seen.setdefault(number, cells.line)
            if line.contract and line.contract not in contracts:
                cells.wrong("contract", f"unknown contract {line.contract!r}")
            result.append(line)
    return tuple(result)


def _line(cells: Cells) -> CertificateLine:
    for column in ("registry", "serial"):
        if not cells.texts[column]:
            cells.wrong(column, "is empty")
    start, end = cells.span("from", "to")
    retired = cells.texts["retired_on"]
    if cells.texts["beneficiary"] and not retired:
        cells.wrong("retired_on", "a certificate with a beneficiary was retired: say when")
    return CertificateLine(
        registry=cells.texts["registry"],
        serial=cells.texts["serial"],
        source=cells.choice("source", SOURCES),
        start_ms=start,
        end_ms=end,
        watt_hours=cells.number("wh", 0.0, _MOST),
        retired_ms=cells.moment("retired_on") if retired else None,
        beneficiary=cells.texts["beneficiary"],
        contract=cells.texts["contract"],
    )

# SPDX-License-Identifier: Apache-2.0
"""The ledger's copy in InfluxDB, read as a report wants it: figures of spans, and tenants."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rackwatt.collector.accounting.calendar import Span
from rackwatt.collector.accounting.vocabulary import ORIGINS, UNKNOWN
from rackwatt.collector.copies.rows import BALANCE, FIGURES, SITE_SINKS
from rackwatt.collector.copies.spans import Every
from rackwatt.collector.site import Site
from rackwatt.collector.site.topology import FOR_EVER
from rackwatt.collector.store.http import InfluxHttp

TENANTS: Final = "tenant_energy"
_KNOWN: Final = "_known"
_NO_FIGURES: Final = frozenset({"time", "site", "revision", "flags", "residual_month_flag",
                                "local_day", "local_hour", "battery_stock_watt_hours"})  # fmt: skip
_OF_BATTERY: Final = "battery_carbon_"

Fields = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Point:
    """A row of the copy.

    Attributes:
        time_ms: Where its span begins.
        columns: Tags and fields as they stand there.
        figures: What is a figure; ``None``: it is unknown now, whatever it was.
    """

    time_ms: int
    columns: Mapping[str, Any]
    figures: Fields


class CopyBooks:
    """The copy of one site.

    Args:
        server: With a token that may read.
        bucket: Of the rollups.
        site: Whose.
    """

    def __init__(self, server: InfluxHttp, bucket: str, site: Site) -> None:
        self._server = server
        self._bucket = bucket
        self._site = site
        self._roles = frozenset(site.terms_at(FOR_EVER - 1).roles)
        self._absent = {
            name for sink, name in SITE_SINKS.items() if sink not in {*self._roles, "export"}
        }

    def points(self, measurement: str, span: Span) -> Iterator[Point]:
        """The rows of a measurement that begin in a span, in order of time.

        Raises:
            StoreUnavailable, StoreRefused: As the server says.
        """
        site = self._site.id.replace("'", "\\'")
        statement = (
            f'SELECT * FROM "{measurement}" WHERE time >= {span.start_ms}ms AND'  # noqa: S608
            f" time < {span.end_ms}ms AND site = '{site}' ORDER BY time ASC"
        )
        for series in self._server.query(self._bucket, statement):
            for values in series["values"]:
                columns = dict(zip(series["columns"], values, strict=True))
                yield Point(int(columns["time"]), columns, _figures(columns))

    def spans(self, every: Every, span: Span) -> dict[int, Fields]:
        """The figures of each hour, day or month that begins in a span, by their names."""
        found = {
            point.time_ms: {
                name: value
                for name, value in point.figures.items()
                if name not in self._absent or value
            }
            for point in self.points(f"{FIGURES}_{every}", span)
        }
        for point in self.points(f"{BALANCE}_{every}", span):
            origin = str(point.columns["origin"])
            into = found.get(point.time_ms)
            if into is None or origin not in ORIGINS:
                continue
            into[f"origin_{origin}_watt_hours"] = point.figures.get("energy_watt_hours")
            source = point.figures.get("source_watt_hours")
            if origin != UNKNOWN and (source or origin in self._roles):
                into[f"source_{origin}_watt_hours"] = source
        return found

    def entry(self, span: Span) -> int:
        """The newest entry of the journal that is in a month; 0 where there is none."""
        points = self.points(f"{FIGURES}_1mo", span)
        return max((int(point.columns["revision"] or 0) for point in points), default=0)

    def minutes(self, span: Span) -> tuple[int, dict[str, int]]:
        """How many minutes are booked, and in how many each flag stands."""
        count, flags = 0, dict[str, int]()
        for point in self.points(FIGURES, span):
            count += 1
            for flag in filter(None, str(point.columns.get("flags") or "").split(",")):
                flags[flag] = flags.get(flag, 0) + 1
        return count, dict(sorted(flags.items()))


def _figures(columns: Mapping[str, Any]) -> Fields:
    """Numbers that are figures; of one that has never been known only `_known` stands there."""
    found: Fields = {}
    for name, value in columns.items():
        base = name.removesuffix(_KNOWN)
        if base in _NO_FIGURES or base.startswith(_OF_BATTERY):
            continue
        if base != name:
            if value == 0.0:
                found[base] = None
        elif isinstance(value, int | float) and columns.get(name + _KNOWN) != 0.0:
            found[name] = float(value)
    return found

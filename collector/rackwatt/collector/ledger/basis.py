# SPDX-License-Identifier: Apache-2.0
"""The basis of rows, in words that the journal keeps: rules, and where they come from.

An act ``basis`` stands in the chain before the first row that was booked under it, so that each
row can be booked again from the file alone. Its data:

- ``rules``: ``battery``, ``initial_watt_hours``, ``reanchoring`` (version of that rule) and
  ``factors``: all that :class:`SiteFactors` is made of, other countries left out; where they are
  those of an earlier basis only ``{"entry": N}``, that entry's number;
- ``software``, ``time_zone``, ``tz_version``, ``files`` (SHA-256 by name: the site file, its
  moves, the CSV files that it names): who booked by what, for people.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib import metadata
from itertools import groupby
from typing import Any, Final

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.factor_series import FactorLine
from rackwatt.collector.accounting.factors import FactorTable, SiteFactors
from rackwatt.collector.ledger.chain import canonical
from rackwatt.collector.ledger.rules import REANCHORING, Rules
from rackwatt.collector.ledger.zones import tz_version
from rackwatt.collector.site import Site

BASIS: Final = "basis"
"""Name of the act."""


class BadBasis(ValueError):  # noqa: N818 - what the text is
    """What the journal has is no basis that this program can book by."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rules come from: rows do not depend on it.

    Attributes:
        software: Version of this program.
        time_zone: The site's.
        tz_version: Version of the zones' rules.
        files: SHA-256 by name, of the site file and of what it names.
    """

    software: str = field(default_factory=lambda: metadata.version("rackwatt"))
    time_zone: str = ""
    tz_version: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


def origin_of(site: Site) -> Origin:
    """Return what is known of where a site's rules come from."""
    zone = site.timezone
    return Origin(time_zone=zone.key, tz_version=tz_version(zone), files=dict(site.files))


def words_of(rules: Rules, origin: Origin) -> dict[str, Any]:
    """Return a basis as data for the journal, factors in full."""
    return {
        "rules": {
            "battery": asdict(rules.battery),
            "initial_watt_hours": rules.initial_watt_hours,
            "reanchoring": REANCHORING,
            "factors": _factors(rules.factors),
        },
        "software": origin.software,
        "time_zone": origin.time_zone,
        "tz_version": origin.tz_version,
        "files": dict(origin.files),
    }


def _factors(factors: SiteFactors) -> dict[str, Any]:
    table = factors.table
    own = {"", factors.country}
    return {
        "country": factors.country,
        "version": table.version,
        "table": [line.model_dump() for line in table.factors if line.country in own],
        "carbon_free": [
            line.model_dump() for line in table.carbon_free if line.country == factors.country
        ],
        "overrides": {item: dict(scopes) for item, scopes in factors.overrides.items()},
        "variants": dict(factors.variants),
        "grid_carbon_free_ratio": factors.grid_carbon_free_ratio,
        "initial": dict(factors.initial),
        "series": _packed(factors.series),
    }


def _alike(line: FactorLine) -> tuple[Any, ...]:
    return line.item, line.scope, line.type, line.estimated, line.source


def _packed(lines: Iterable[FactorLine]) -> list[dict[str, Any]]:
    """Write what many lines share once: a year of hours is then about 250 kB."""
    names = ("item", "scope", "type", "estimated", "source")
    ordered = sorted(lines, key=lambda line: (_alike(line), line.start_ms))
    return [
        dict(zip(names, alike, strict=True))
        | {"lines": [[line.start_ms, line.end_ms, line.value] for line in group]}
        for alike, group in groupby(ordered, key=_alike)
    ]


def rules_from(words: Mapping[str, Any]) -> Rules:
    """Return the rules that :func:`words_of` has written, their factors in full.

    Raises:
        BadBasis: It does not read as such, or a later release wrote it.
    """
    try:
        said = words["rules"]
        if said["reanchoring"] != REANCHORING:
            raise BadBasis(
                f"its re-anchoring rule is version {said['reanchoring']}, "
                f"this program knows {REANCHORING}: use the release that booked by it"
            )
        return Rules(
            _factors_from(said["factors"]),
            BatteryParameters(**said["battery"]),
            float(said["initial_watt_hours"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, BadBasis):
            raise
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise BadBasis(what) from error


def _factors_from(said: Mapping[str, Any]) -> SiteFactors:
    table = FactorTable.model_validate(
        {
            "version": said["version"],
            "factors": said["table"],
            "carbon_free": said["carbon_free"],
        }
    )
    return SiteFactors(
        table=table,
        country=said["country"],
        overrides=said["overrides"],
        variants=said["variants"],
        grid_carbon_free_ratio=said["grid_carbon_free_ratio"],
        initial=said["initial"],
        series=tuple(_unpacked(said["series"])),
    )


def _unpacked(groups: Sequence[Mapping[str, Any]]) -> Iterable[FactorLine]:
    for group in groups:
        shared = {name: value for name, value in group.items() if name != "lines"}
        for start_ms, end_ms, value in group["lines"]:
            yield FactorLine(start_ms=start_ms, end_ms=end_ms, value=value, **shared)


def key_of(words: Mapping[str, Any]) -> str:
    """Return a digest that is the same for rules that are."""
    return sha256(canonical(words["rules"]).encode("ascii")).hexdigest()

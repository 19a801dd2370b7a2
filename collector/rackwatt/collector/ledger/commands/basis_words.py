# SPDX-License-Identifier: Apache-2.0
"""What changed from one basis to the next, in plain words."""

from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any, Final, get_args

from rackwatt.collector.accounting.factors import Scope, SiteFactors
from rackwatt.collector.accounting.vocabulary import ORIGINS, UNKNOWN
from rackwatt.collector.ledger.bases import Basis
from rackwatt.collector.ledger.commands.times import utc
from rackwatt.collector.ledger.rules import Rules

_EVER: Final = 2**53
_FEW: Final = 4
"""So many spans of one factor are told one by one."""
_WHO: Final = (
    ("software", "rackwatt"),
    ("time_zone", "time zone"),
    ("tz_version", "time zone data"),
)


def changes(before: Basis, after: Basis) -> list[str]:
    """Return what changed, a sentence each; none if nothing did."""
    if before.rules is None or after.rules is None:
        return ["cannot be read: " + (after.wrong or before.wrong)]
    return [
        *_factors(before.rules.factors, after.rules.factors),
        *_battery(before, after),
        *_who(before, after),
    ]


def contents(basis: Basis) -> list[str]:
    """Return what the first basis says."""
    if basis.rules is None:
        return [f"cannot be read: {basis.wrong}"]
    country = basis.rules.factors.country
    files = [f"{name} {digest[:12]}" for name, digest in sorted(basis.words["files"].items())]
    count = len(basis.rules.factors.series)
    return [
        f"factors of {country or 'no country'}, {count} lines of the site's own series",
        *_grid(basis.rules, basis.time_ms),
        f"rackwatt {basis.words['software']}",
        *([f"SHA-256: {', '.join(files)}"] if files else []),
    ]


def _grid(rules: Rules, at: int) -> Iterator[str]:
    for scope in get_args(Scope):
        factor = rules.factors.find("grid", scope, at)
        if factor is not None:
            yield f"grid {_named(scope)}: {factor.value:.10g} g/kWh then ({factor.source})"


def _factors(before: SiteFactors, after: SiteFactors) -> Iterator[str]:
    edges = sorted({0, *before.edges, *after.edges, _EVER})
    for item in ORIGINS:
        for scope in get_args(Scope):
            if item == UNKNOWN:
                continue
            spans = [
                (low, high, _told(before, item, scope, low), _told(after, item, scope, low))
                for low, high in pairwise(edges)
            ]
            yield from _spans(f"{item} {_named(scope)}", spans)
    spans = [(low, high, _ratio(before, low), _ratio(after, low)) for low, high in pairwise(edges)]
    yield from _spans("grid carbon-free", spans)
    for scope in get_args(Scope):
        one, other = before.initial.get(scope), after.initial.get(scope)
        if one != other:
            name = f"carbon of the first stock, {_named(scope)}"
            yield f"{name}: {_said(one)} -> {_said(other)} g/kWh"


def _named(scope: str) -> str:
    return scope.replace("_", "-")


def _told(factors: SiteFactors, item: str, scope: Scope, at: int) -> tuple[str, str, str]:
    """Value, unit, and what else is said of a factor."""
    found = factors.find(item, scope, at)
    if found is None:
        return "unknown", "", ""
    also = f"{found.type}, {'estimated' if found.estimated else 'not estimated'}, {found.source}"
    return f"{found.value:.10g}", " g/kWh", also


def _ratio(factors: SiteFactors, at: int) -> tuple[str, str, str]:
    return _said(factors.at(at).grid_carbon_free_ratio), "", ""


def _said(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.10g}"


_Told = tuple[str, str, str]


def _spans(name: str, spans: list[tuple[int, int, _Told, _Told]]) -> Iterator[str]:
    """Tell where a value differs, adjacent spans of one change being one."""
    found: list[str] = []
    for (one, other), group in groupby(spans, key=lambda span: span[2:]):
        if one == other:
            continue
        parts = list(group)
        low, high = parts[0][0], parts[-1][1]
        since = f" from {utc(low)}" if low > 0 else ""
        until = f" to {utc(high)}" if high < _EVER else ""
        if one[0] == other[0]:
            what = f"{one[0]}{one[1]} ({one[2]}) -> ({other[2]})"
        else:
            what = f"{one[0]} -> {other[0]}{other[1] or one[1]}"
        found.append(f"{name}: {what}{since}{until}")
    if len(found) <= _FEW:
        yield from found
        return
    changed = [span for span in spans if span[2] != span[3]]
    low, high = changed[0][0], changed[-1][1]
    since = f" from {utc(low)}" if low > 0 else ""
    until = f" to {utc(high)}" if high < _EVER else ""
    yield f"{name}: {len(found)} spans have other values{since}{until}"


def _battery(before: Basis, after: Basis) -> Iterator[str]:
    one, other = before.words["rules"], after.words["rules"]
    for key, name, unit in (
        ("capacity_watt_hours", "capacity", " Wh"),
        ("charge_efficiency", "charge efficiency", ""),
        ("discharge_efficiency", "discharge efficiency", ""),
    ):
        yield from _value(name, one["battery"][key], other["battery"][key], unit)
    yield from _value("first stock", one["initial_watt_hours"], other["initial_watt_hours"], " Wh")


def _value(name: str, one: Any, other: Any, unit: str) -> Iterator[str]:
    if one != other:
        yield f"battery: {name} {_said(one)} -> {_said(other)}{unit}"


def _who(before: Basis, after: Basis) -> Iterator[str]:
    for key, name in _WHO:
        one, other = before.words[key], after.words[key]
        if one != other:
            yield f"{name}: {one or 'not stated'} -> {other or 'not stated'}"
    old, new = before.words["files"], after.words["files"]
    for name in sorted({*old, *new}):
        one, other = old.get(name, "")[:12], new.get(name, "")[:12]
        if not one:
            yield f"{name}: new (SHA-256 {other})"
        elif not other:
            yield f"{name}: no longer named"
        elif old[name] != new[name]:
            yield f"{name}: changed (SHA-256 {one} -> {other})"

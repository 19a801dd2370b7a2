# SPDX-License-Identifier: Apache-2.0
"""The first page: what the period was, at one look, and how sure it is."""

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from rackwatt.reports.parts import Comparison, Reason
from rackwatt.reports.pdf import stacks
from rackwatt.reports.pdf.blocks import Align, Block, Card, Cards, Heading, Notice, Table, Text
from rackwatt.reports.pdf.numbers import with_unit
from rackwatt.reports.pdf.teller import Teller

_MOST: Final = 12
"""Of what a reason is about; the document has all."""
_COMPARED: Final = (
    ("pue_ratio", "cards.pue"),
    ("load_watt_hours", "cards.energy"),
    ("renewable_share_ratio", "cards.renewable"),
    ("carbon_free_share_ratio", "cards.carbon_free"),
    ("carbon_free_energy_score_ratio", "cards.cfe"),
    ("scope_2_location_grams", "cards.location"),
    ("scope_2_market_grams", "cards.market"),
)
_FIGURES: Final = MappingProxyType(
    dict(_COMPARED)
    | {
        "completeness": "quality.completeness",
        "pue_coverage_ratio": "cards.pue",
        "shares_coverage_ratio": "cards.renewable",
        "load_it_watt_hours": "table.it",
        "boundary_watt_hours": "titles.energy",
    }
)
"""What a figure is called; others have their own name."""


def summary(tell: Teller) -> list[Block]:
    """The blocks of the first page."""
    return [*_notices(tell), *_cards(tell), *stacks.shares(tell), *_comparison(tell), *_rest(tell)]


def _notices(tell: Teller) -> list[Block]:
    report, words = tell.report, tell.words
    found: list[Block] = []
    if report.state == "preliminary":
        found.append(Notice(words("notices.preliminary"), _lines(tell, report.reasons)))
    if report.notes:
        found.append(Notice(words("notices.notes"), _lines(tell, report.notes), "plain"))
    return found


def _lines(tell: Teller, reasons: Sequence[Reason]) -> tuple[str, ...]:
    """A line for each code with what it is about; without words for it, the document's English."""
    grouped: dict[str, list[Reason]] = {}
    for one in reasons:
        grouped.setdefault(one.code, []).append(one)
    lines: list[str] = []
    for code, alike in grouped.items():
        text = tell.words.texts.get(f"reasons.{code}")
        if text is None:
            lines += [tell.plain(one.text) for one in alike]
            continue
        about = [said for one in alike if (said := _about(tell, one))]
        rest = " …" if len(about) > _MOST else ""
        whole = f"{text.removesuffix('.')} ({', '.join(about[:_MOST])}{rest})."
        lines.append(whole if about else text)
    return tuple(lines)


def _about(tell: Teller, one: Reason) -> str:
    """The names and ratios that a reason is about."""
    said = []
    for name, value in one.values.items():
        if isinstance(value, str):
            key = _FIGURES.get(value) if name == "figure" else None
            said.append(tell.words(key) if key else tell.plain(value))
        elif value is not None and name.endswith("_ratio"):
            said.append(tell.ratio(value, 2))
    return tell.words("reasons.pair").join(said)


def _cards(tell: Teller) -> list[Block]:
    words, figure = tell.words, tell.figure
    category = tell.report.method.pue_category
    kind = "annual" if tell.report.period.kind == "year" else "interim"
    boundary = (
        words("cards.pue_no_category")
        if category is None
        else words(f"cards.pue_{kind}", category=tell.number(category))
    )
    spread = figure("pue_uncertainty_ratio")
    notes = [boundary]
    if spread is not None:
        notes.append(words("cards.uncertainty", value=tell.ratio(spread, 2)))
    leading = (
        Card(words("cards.pue"), tell.number(figure("pue_ratio"), 3), "", tuple(notes)),
        _share(tell, "renewable"),
        Card(
            words("cards.energy"),
            tell.energy(figure("load_watt_hours")),
            "",
            (words("cards.it", value=tell.energy(figure("load_it_watt_hours"))),),
        ),
    )
    shares = tuple(_share(tell, name) for name in ("on_site", "contracted", "grid", "carbon_free"))
    return [
        Cards(leading, 3, large=True),
        Cards(shares, 4),
        Cards(_indices(tell), 4),
        _carbon(tell),
    ]


def _share(tell: Teller, name: str) -> Card:
    words = tell.words
    value = tell.ratio(tell.figure(f"{name}_share_ratio"))
    return Card(words(f"cards.{name}"), value, "", (words(f"cards.{name}_of"),))


def _indices(tell: Teller) -> tuple[Card, ...]:
    words, figure = tell.words, tell.figure
    language = words.language
    cue = figure("carbon_usage_operational_kilograms_per_kilowatt_hour")
    return (
        Card(words("cards.cfe"), tell.ratio(figure("carbon_free_energy_score_ratio")), "",
             (words("cards.cfe_of"),)),
        Card(words("cards.ref"), tell.number(figure("renewable_energy_factor_ratio"), 3), "",
             (words("cards.ref_of"),)),
        Card(words("cards.cue"), with_unit(cue, "kg/kWh", language, 3), "",
             (words("cards.cue_of"),)),
        Card(words("cards.wue"), with_unit(figure("wue_liters_per_kilowatt_hour"), "L/kWh",
                                           language, 2), "", (words("cards.wue_of"),)),
    )  # fmt: skip


def _carbon(tell: Teller) -> Cards:
    words, carbon = tell.words, tell.report.carbon
    market = (words("cards.no_residual"),) if carbon.market_note else ()
    return Cards(
        (
            Card(words("cards.location"), tell.mass(carbon.scope_2_location_grams)),
            Card(words("cards.market"), tell.mass(carbon.scope_2_market_grams), "", market),
            Card(words("cards.scope1"),
                 tell.mass(carbon.scope_1_grams, carbon.scope_2_location_grams), "",
                 (words("cards.excludes"),)),
            Card(words("cards.erf"), tell.number(tell.figure("erf_ratio"), 3), "",
                 (words("cards.erf_of"),)),
        ),
        4,
    )  # fmt: skip


def _comparison(tell: Teller) -> list[Block]:
    found = [one for one in (tell.report.previous, tell.report.year_ago) if one and one.available]
    words = tell.words
    if not found:
        named = [one.label for one in (tell.report.previous, tell.report.year_ago) if one]
        said = tell.plain(", ".join(named))
        return [Text(words("notices.no_comparison", periods=said), note=True)] if named else []
    head = [words("table.figure"), words("table.now")]
    for one in found:
        head += [tell.plain(one.label), words("table.change")]
    rows = tuple(_compared(tell, name, words(key), found) for name, key in _COMPARED)
    columns = len(head) - 1
    align: list[Align] = ["text"]
    align += ["number"] * columns
    table = Table("", tuple(head), rows, tuple(align), (2.2, *(1.0,) * columns))
    return [Heading(words("table.comparison")), table]


def _rest(tell: Teller) -> list[Block]:
    """What the page has room for: the consumption, day by day."""
    days = stacks.by_day(tell, "loads", stacks.loads())
    return [] if days is None else [replace(days, rest=True)]


def _compared(tell: Teller, name: str, title: str, found: list[Comparison]) -> tuple[str, ...]:
    now = tell.figure(name)
    cells = [title, _value(tell, name, now)]
    for one in found:
        before = one.figures.get(name)
        cells += [_value(tell, name, before), tell.change(name, now, before)]
    return tuple(cells)


def _value(tell: Teller, name: str, value: float | None) -> str:
    if name.endswith("_watt_hours"):
        return tell.energy(value)
    if name.endswith("_grams"):
        return tell.mass(value)
    return tell.number(value, 3) if name == "pue_ratio" else tell.ratio(value)


def nothing(tell: Teller, key: str) -> Text:
    """A sentence in the place of a part that the books hold nothing for."""
    return Text(tell.words(f"notices.{key}"), note=True)

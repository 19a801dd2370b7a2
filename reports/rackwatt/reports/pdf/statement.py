# SPDX-License-Identifier: Apache-2.0
"""A tenant's statement: what it used, where that came from, and by which rules it was allotted."""

from rackwatt.reports.parts import TenantLine
from rackwatt.reports.pdf import stacks
from rackwatt.reports.pdf.blocks import Block, Card, Cards, Columns, Heading, Table, Text
from rackwatt.reports.pdf.palette import SOURCES
from rackwatt.reports.pdf.teller import Teller, known_sum


def name_of(tell: Teller, line: TenantLine) -> str:
    """The tenant's name, or what the operator's own part is called."""
    return tell.words("tenants.operator") if line.id == "operator" else line.name


def statement(tell: Teller, line: TenantLine) -> list[Block]:
    """The blocks of a statement; one page."""
    words = tell.words
    return [
        _leading(tell, line),
        _further(tell, line),
        Heading(words("titles.sources_of")),
        *_bar(tell, line),
        Columns((_origins(tell, line), _carbon(tell, line))),
        Heading(words("titles.how")),
        Text(words("notices.allocated")),
        Text(rules(tell), note=True),
    ]


def rules(tell: Teller) -> str:
    """By which rules energy was allotted."""
    method = tell.report.method
    said = {
        key: tell.words.name("rules", rule)
        for key, rule in (
            ("rule", method.overhead_rule),
            ("battery", method.battery_rule),
            ("matching", method.matching_rule),
        )
    }
    return tell.words("notices.overhead", **said)


def _leading(tell: Teller, line: TenantLine) -> Cards:
    words, carbon = tell.words, line.carbon_operational_grams
    whole = tell.figure("load_watt_hours")
    part = line.load_watt_hours / whole if whole and line.load_watt_hours is not None else None
    # Ten times itself: in the largest unit of which it is at least one, short enough for a card.
    mass = tell.mass(carbon, None if carbon is None else 10 * carbon)
    return Cards(
        (
            Card(words("table.energy"), tell.energy(line.load_watt_hours), "",
                 (words("cards.of_site", value=tell.ratio(part)),)),
            Card(words("table.gpu_hours"), tell.number(line.gpu_hours), "",
                 (words("cards.coverage", value=tell.ratio(line.coverage_ratio)),)),
            Card(words("table.carbon"), mass),
        ),
        3,
        large=True,
    )  # fmt: skip


def _further(tell: Teller, line: TenantLine) -> Cards:
    words, load = tell.words, line.load_watt_hours
    free = line.carbon_free_watt_hours
    cards = [
        Card(words("table.it"), tell.energy(line.it_watt_hours, load)),
        Card(words("table.overhead"), tell.energy(line.overhead_watt_hours, load)),
        Card(words("cards.carbon_free"),
             tell.ratio(None if free is None or not load else free / load), "",
             (words("cards.carbon_free_of"),)),
    ]  # fmt: skip
    if line.price is not None:
        cards.append(Card(words("table.price"), tell.price(line.price, line.currency or "")))
    return Cards(tuple(cards), len(cards))


def _from(line: TenantLine) -> dict[str, float | None]:
    """What came from each origin, in the order in which bars stack; none that gave nothing."""
    found = line.origins_watt_hours
    order = [*SOURCES, *(name for name in found if name not in SOURCES)]
    return {name: found[name] for name in order if found.get(name, 0.0) != 0.0}


def _bar(tell: Teller, line: TenantLine) -> list[Block]:
    found = _from(line)
    whole = known_sum(list(found.values()))
    series = {
        stacks.Series(name, "", SOURCES.get(name, SOURCES["unknown"])): value / whole
        for name, value in found.items()
        if value and whole
    }
    return [stacks.parts(tell, "", series)] if series else []


def _origins(tell: Teller, line: TenantLine) -> Table:
    words, whole = tell.words, line.load_watt_hours
    rows = [
        (words.name("flows", name), tell.energy(value, whole))
        for name, value in _from(line).items()
    ]
    rows.append((words("table.total"), tell.energy(whole, whole)))
    head = (words("table.origin"), words("table.energy"))
    return Table("", head, tuple(rows), ("text", "number"), (2.0, 1.0), total=True)


def _carbon(tell: Teller, line: TenantLine) -> Table:
    words = tell.words
    most = max(line.carbon_operational_grams or 0.0, line.carbon_life_cycle_grams or 0.0)
    rows = (
        (words("masses.operational"), tell.mass(line.carbon_operational_grams, most)),
        (words("masses.life_cycle"), tell.mass(line.carbon_life_cycle_grams, most)),
        (words("table.certificates_passed"), tell.energy(line.certificates_watt_hours)),
    )
    head = (words("table.item"), words("table.value"))
    return Table("", head, rows, ("text", "number"), (2.0, 1.0))

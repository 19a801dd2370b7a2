# SPDX-License-Identifier: Apache-2.0
"""Carbon, invoices, water, tenants, quality, method: what is listed, and what it rests on."""

from rackwatt.reports.pdf.blocks import (
    Align,
    Block,
    Glossary,
    Heading,
    Signatures,
    Table,
    Text,
)
from rackwatt.reports.pdf.numbers import UNKNOWN, with_unit
from rackwatt.reports.pdf.statement import name_of, rules
from rackwatt.reports.pdf.summary import nothing
from rackwatt.reports.pdf.teller import Teller, known_sum

ROLES = ("prepared", "reviewed", "approved")


def carbon(tell: Teller) -> list[Block]:
    """Scopes side by side, certificates, contracts."""
    words, found = tell.words, tell.report.carbon
    masses = (
        ("scope_1", found.scope_1_grams),
        ("scope_2_location", found.scope_2_location_grams),
        ("scope_2_market", found.scope_2_market_grams),
        ("scope_2_market_proposed", found.scope_2_market_proposed_grams),
        ("operational", found.operational_grams),
        ("life_cycle", found.life_cycle_grams),
    )
    largest = max((value or 0.0 for _, value in masses), default=0.0)
    blocks: list[Block] = [
        Heading(words("titles.carbon"), words("leads.carbon")),
        Table(words("table.masses"), (words("table.item"), words("table.mass")),
              tuple((words(f"masses.{key}"), tell.mass(value, largest)) for key, value in masses),
              ("text", "number"), (3.0, 1.0)),
        nothing(tell, "excludes"),
    ]  # fmt: skip
    if found.market_note:
        blocks.append(Text(words("cards.no_residual"), note=True))
    return [*blocks, *_contracts(tell), *_certificates(tell)]


def _contracts(tell: Teller) -> list[Block]:
    words, lines = tell.words, tell.report.carbon.contracts
    if not lines:
        return []
    largest = max(max(one.matched_watt_hours, one.claimed_watt_hours or 0.0) for one in lines)
    rows = tuple(
        (tell.plain(one.id), tell.plain(one.kind), words.name("flows", one.source),
         tell.energy(one.claimed_watt_hours, largest), tell.energy(one.matched_watt_hours, largest))
        for one in lines
    )  # fmt: skip
    head = tuple(
        words(f"table.{key}") for key in ("contract", "kind", "technology", "claimed", "matched")
    )
    align: tuple[Align, ...] = ("text", "text", "text", "number", "number")
    return [Table(words("table.contracts"), head, rows, align, (1.6, 1.0, 1.0, 1.0, 1.0))]


def _certificates(tell: Teller) -> list[Block]:
    words, lines = tell.words, tell.report.carbon.certificates
    if not lines:
        return [nothing(tell, "no_certificates")]
    keys = ("registry", "serial", "technology", "energy", "retired", "beneficiary")
    rows = tuple(
        (tell.plain(one.registry), tell.plain(one.serial), words.name("flows", one.source),
         tell.energy(one.inside_watt_hours), tell.day(one.retired), tell.plain(one.beneficiary))
        for one in lines
    )  # fmt: skip
    align: tuple[Align, ...] = ("text", "text", "text", "number", "text", "text")
    return [Table(words("table.certificates"), tuple(words(f"table.{key}") for key in keys), rows,
                  align, (1.0, 2.0, 0.8, 1.0, 1.0, 1.4))]  # fmt: skip


def invoices(tell: Teller) -> list[Block]:
    """What the utility billed beside what the books hold."""
    words, lines = tell.words, tell.report.invoices
    head = Heading(words("titles.invoices"))
    if not lines:
        return [head, nothing(tell, "no_invoice")]
    keys = ("period", "meter", "invoice", "ledger", "ratio", "within")
    rows = tuple(
        (tell.plain(f"{one.start[:10]} – {one.end[:10]}"),
         tell.plain(one.meter) if one.meter else words("table.all_import"),
         tell.energy(one.invoice_watt_hours), tell.energy(one.ledger_watt_hours),
         tell.number(one.ratio, 4), words("table.yes" if one.within_limit else "table.no"))
        for one in lines
    )  # fmt: skip
    align: tuple[Align, ...] = ("text", "text", "number", "number", "number", "text")
    return [head, Table("", tuple(words(f"table.{key}") for key in keys), rows, align,
                        (2.0, 1.2, 1.1, 1.1, 1.1, 0.9))]  # fmt: skip


def water(tell: Teller) -> list[Block]:
    """Water by source, and what is given back."""
    words, report = tell.words, tell.report
    head = Heading(words("titles.water"))
    rows = [
        (words.name("water", name), with_unit(liters, "L", words.language))
        for name, liters in report.water_liters.items()
    ]
    away = report.water_discharge_liters
    if away is not None:
        rows.append((words("water.discharge"), with_unit(away, "L", words.language)))
    if not rows:
        return [head, nothing(tell, "no_data")]
    blocks: list[Block] = [
        head,
        Table("", (words("table.source"), words("table.volume")), tuple(rows),
              ("text", "number"), (2.0, 1.0)),
    ]  # fmt: skip
    return [*blocks, nothing(tell, "discharge")] if away is None else blocks


def tenants(tell: Teller) -> list[Block]:
    """Everybody's part; the parts are the whole."""
    words, lines = tell.words, tell.report.tenants
    head = Heading(words("titles.tenants"), words("leads.tenants"))
    if not lines:
        return [head, nothing(tell, "no_gpus")]
    largest = max((one.load_watt_hours or 0.0 for one in lines), default=0.0)
    most = max((one.carbon_operational_grams or 0.0 for one in lines), default=0.0)
    rows = [
        (name_of(tell, one),
         tell.energy(one.it_watt_hours, largest), tell.energy(one.overhead_watt_hours, largest),
         tell.energy(one.load_watt_hours, largest), tell.number(one.gpu_hours),
         tell.mass(one.carbon_operational_grams, most))
        for one in lines
    ]  # fmt: skip
    whole = {
        name: known_sum([getattr(one, name) for one in lines])
        for name in ("it_watt_hours", "overhead_watt_hours", "load_watt_hours", "gpu_hours",
                     "carbon_operational_grams")
    }  # fmt: skip
    rows.append(
        (words("table.total"), tell.energy(whole["it_watt_hours"], largest),
         tell.energy(whole["overhead_watt_hours"], largest),
         tell.energy(whole["load_watt_hours"], largest), tell.number(whole["gpu_hours"]),
         tell.mass(whole["carbon_operational_grams"], most))
    )  # fmt: skip
    keys = ("tenant", "it", "overhead", "energy", "gpu_hours", "carbon")
    table = Table("", tuple(words(f"table.{key}") for key in keys), tuple(rows),
                  ("text", "number", "number", "number", "number", "number"),
                  (2.0, 1.0, 1.0, 1.0, 1.0, 1.3), total=True)  # fmt: skip
    return [head, table, Text(rules(tell), note=True)]


def quality(tell: Teller) -> list[Block]:
    """What the figures rest on."""
    words, found = tell.words, tell.report.quality
    booked = words("quality.of", value=tell.number(found.expected_intervals))
    rows = (
        (words("quality.completeness"), tell.ratio(found.completeness_ratio, 2),
         words("quality.limit")),
        (words("quality.estimated"), tell.ratio(found.estimated_ratio, 2),
         words("quality.limit_estimated")),
        (words("quality.intervals"), tell.number(found.intervals), booked),
        (words("quality.restated"), tell.number(found.restated_intervals), ""),
        (words("quality.residual"), tell.ratio(found.residual_ratio, 3), ""),
        (words("quality.lost"), tell.number(len(found.lost)), ""),
        (words("quality.held"), tell.number(sum(found.held.values())), ""),
    )  # fmt: skip
    blocks: list[Block] = [
        Heading(words("titles.quality"), words("leads.quality")),
        Table("", (words("table.item"), words("table.value"), ""), rows,
              ("text", "number", "text"), (2.0, 1.0, 1.4)),
    ]  # fmt: skip
    if not found.restatements:
        return [*blocks, Text(words("quality.none"), note=True)]
    lines = tuple(
        (tell.plain(one.cause), tell.plain(one.author), tell.number(one.intervals))
        for one in found.restatements
    )
    head = (words("table.cause"), words("table.author"), words("table.intervals"))
    return [*blocks, Table(words("table.restatements"), head, lines, ("text", "text", "number"),
                           (2.0, 1.4, 1.0))]  # fmt: skip


def differences(tell: Teller) -> list[Block]:
    """What a revision changed; nothing in a first report."""
    words, found = tell.words, tell.report.differences
    if not found:
        return []
    rows = tuple(
        (tell.plain(one.name), tell.number(one.before, 3), tell.number(one.after, 3))
        for one in found
    )
    head = (words("table.figure"), words("table.before"), words("table.after"))
    return [Heading(words("titles.differences")),
            Table("", head, rows, ("text", "number", "number"), (3.0, 1.2, 1.2))]  # fmt: skip


def method(tell: Teller) -> list[Block]:
    """Factors with their sources, versions, and the place in the journal."""
    words, found, proof = tell.words, tell.report.method, tell.report.proof
    rows = tuple(
        (words.name("flows", one.item), words.name("scopes", one.scope),
         tell.number(one.value, 2), UNKNOWN if one.year is None else tell.plain(str(one.year)),
         tell.plain(one.source))
        for one in found.factors
    )  # fmt: skip
    head = tuple(words(f"table.{key}") for key in ("flow", "item", "value", "year", "source"))
    versions = [
        ("rackwatt", proof.software), ("method", str(found.version)), ("tz", proof.tz_version),
        ("journal", f"{proof.entry} {proof.hash or ''}"),
        *((name, digest[:32]) for name, digest in sorted(proof.topology.items())),
    ]  # fmt: skip
    return [
        Heading(words("titles.method"), words("leads.method")),
        Table(words("table.factors"), head, rows, ("text", "text", "number", "text", "text"),
              (1.4, 1.0, 0.7, 0.7, 2.8)),
        Table(words("table.versions"), (words("table.item"), words("table.version")),
              tuple((tell.plain(name), tell.plain(text)) for name, text in versions),
              ("text", "text"), (1.0, 4.0)),
    ]  # fmt: skip


def glossary(tell: Teller) -> list[Block]:
    """Terms, and what they mean."""
    words = tell.words
    terms = tuple((tell.plain(key), words(f"glossary.{key}")) for key in words.under("glossary"))
    return [Heading(words("titles.glossary")), Glossary(terms)]


def signatures(tell: Teller, signed: dict[str, tuple[str, str]]) -> list[Block]:
    """Three fields; who has signed by key stands in theirs."""
    words = tell.words
    fields = tuple((words(f"roles.{role}"), *signed.get(role, ("", ""))) for role in ROLES)
    return [
        Heading(words("titles.signatures")),
        Signatures(fields, words("sign.name"), words("sign.date"), words("sign.signature")),
    ]

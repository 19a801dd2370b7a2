# SPDX-License-Identifier: Apache-2.0
"""The printed report and the tenants' statements: a document in, PDF/UA-1 out."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from rackwatt.reports.document import Report
from rackwatt.reports.parts import TenantLine
from rackwatt.reports.pdf import conditions, energy, lists
from rackwatt.reports.pdf.blocks import Block, Sheet
from rackwatt.reports.pdf.europe import europe
from rackwatt.reports.pdf.months import months
from rackwatt.reports.pdf.press import PressError, images, pdf
from rackwatt.reports.pdf.statement import name_of, statement
from rackwatt.reports.pdf.summary import summary
from rackwatt.reports.pdf.teller import Teller
from rackwatt.reports.pdf.words import Language, words

__all__ = [
    "PressError",
    "report_images",
    "report_pdf",
    "report_sheet",
    "tenant_pdfs",
    "tenant_sheet",
]


def report_pdf(
    report: Report, language: Language, signatures: Sequence[Mapping[str, str]] = ()
) -> bytes:
    """Return the report's pages as PDF/UA-1; the same document gives the same bytes.

    Raises:
        PressError: Fonts are missing for this language, or a character has no glyph.
    """
    return pdf(report_sheet(report, language, signatures), _moment(report))


def report_images(report: Report, language: Language) -> list[bytes]:
    """Return the report's pages as PNG, to look at.

    Raises:
        PressError: As for `report_pdf`.
    """
    return images(report_sheet(report, language), _moment(report))


def tenant_pdfs(report: Report, language: Language) -> dict[str, bytes]:
    """Return every tenant's statement as PDF/UA-1, by its id.

    Raises:
        PressError: As for `report_pdf`.
    """
    tell = Teller(report, words(language))
    moment = _moment(report)
    return {line.id: pdf(_statement(tell, line), moment) for line in report.tenants}


def report_sheet(
    report: Report, language: Language, signatures: Sequence[Mapping[str, str]] = ()
) -> Sheet:
    """Return what the report's pages say, in order."""
    tell = Teller(report, words(language))
    signed = {one["role"]: (one.get("signer", ""), one.get("time", "")[:10]) for one in signatures}
    blocks: list[Block] = [
        *summary(tell),
        *energy.boundary(tell),
        *energy.balance(tell),
        *months(tell),
        *energy.matching(tell),
        *lists.carbon(tell),
        *lists.invoices(tell),
        *energy.efficiency(tell),
        *conditions.weather(tell),
        *lists.water(tell),
        *conditions.thermal(tell),
        *conditions.gpus(tell),
        *lists.tenants(tell),
        *lists.quality(tell),
        *europe(tell),
        *lists.differences(tell),
        *lists.method(tell),
        *lists.glossary(tell),
        *lists.signatures(tell, signed),
    ]
    return _sheet(tell, tell.words("sheet.title", period=tell.period()), blocks)


def tenant_sheet(report: Report, tenant_id: str, language: Language) -> Sheet:
    """Return what a tenant's statement says.

    Raises:
        KeyError: No such tenant.
    """
    line = next((one for one in report.tenants if one.id == tenant_id), None)
    if line is None:
        raise KeyError(tenant_id)
    return _statement(Teller(report, words(language)), line)


def _statement(tell: Teller, line: TenantLine) -> Sheet:
    title = tell.words("sheet.statement", tenant=name_of(tell, line), period=tell.period())
    return _sheet(tell, title, statement(tell, line))


def _sheet(tell: Teller, title: str, blocks: Sequence[Block]) -> Sheet:
    report, say = tell.report, tell.words
    period, proof = report.period, report.proof
    subtitle = say(
        "sheet.subtitle",
        site=report.site.name,
        start=tell.day(period.start),
        end=tell.plain(tell.last_day().isoformat()),
        zone=tell.plain(report.site.time_zone),
        hours=tell.number(period.hours),
    )
    if proof.source == "copy":
        foot = say("sheet.foot_copy", site=report.site.name)
    else:
        foot = say("sheet.foot", site=report.site.name, entry=tell.number(proof.entry),
                   hash=tell.plain((proof.hash or "")[:16]))  # fmt: skip
    return Sheet(say.language, title, subtitle, report.site.name, foot, say("sheet.page"),
                 _mark(tell), tuple(blocks))  # fmt: skip


def _mark(tell: Teller) -> str:
    report, say = tell.report, tell.words
    marks = []
    if report.proof.source == "copy":
        marks.append(say("sheet.copy"))
    elif report.state == "preliminary":
        marks.append(say("sheet.preliminary"))
    if report.revision > 1:
        marks.append(say("sheet.revision", number=tell.number(report.revision)))
    if report.site.simulated:
        marks.append(say("sheet.example"))
    return " · ".join(marks)


def _moment(report: Report) -> datetime:
    """The period's end: nothing of the run stands in the file."""
    return datetime.fromisoformat(report.period.end)

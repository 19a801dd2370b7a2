# SPDX-License-Identifier: Apache-2.0
"""All files of a report, in one folder."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import typer

from rackwatt.collector.site.console import stop
from rackwatt.reports.document import Report
from rackwatt.reports.filing import name_of, settled, tables_of, write_file

_PRINTING: Final = "rackwatt.reports.pdf.printing"


def file_report(folder: Path, language: str, made: Report) -> None:
    """Write all files of a language, and say which.

    Raises:
        FileProblem: One cannot be written, or a signed one is not as it was.
        typer.Exit: The PDF cannot be set.
    """
    filed = settled(folder, language, made)
    report, name = filed.report, name_of(filed.report, language)
    write_file(folder / f"{name}.json", filed.text.encode())
    for below, text in tables_of(report, language).items():
        write_file(folder / below, text.encode())
    printing = _printing()
    if printing is None:
        typer.echo("no PDF: its extra is missing: pip install 'rackwatt[report]'", err=True)
        return
    try:
        pages: bytes = printing.report_pdf(report, language, filed.signatures)
        statements: dict[str, bytes] = printing.tenant_pdfs(report, language)
    except printing.PressError as error:
        stop(f"no PDF: {error}; JSON and CSV are written", 1)
    write_file(folder / f"{name}.pdf", pages)
    for tenant, statement in statements.items():
        write_file(folder / "tenants" / f"{name}-{tenant}.pdf", statement)
    typer.echo(f"{folder / name}.pdf, .csv, .json; {len(report.tenants)} statements in tenants/")


def _printing() -> Any:
    """The room that prints; ``None`` where typst is not installed."""
    try:
        return import_module(_PRINTING)
    except ModuleNotFoundError:
        return None

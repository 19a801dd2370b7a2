# SPDX-License-Identifier: Apache-2.0
"""The report's files: what is written where, what stays frozen, and what a revision changes."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rackwatt.collector.signing.sealed import SealProblem, seal
from rackwatt.reports.document import BadDocument, Report
from rackwatt.reports.parts import Difference
from rackwatt.reports.tables import certificates_csv, eu_csv, spans_csv, tenant_csv

REVISIONS: Final = "revisions"
_LARGEST: Final = 200_000_000
_OF_REVISION: Final = {"revision", "differences"}


class FileProblem(Exception):  # noqa: N818 - a person's, not ours
    """A file is no report, or cannot be written; it says what to do."""


@dataclass(frozen=True, slots=True)
class Filed:
    """A report as it was filed.

    Attributes:
        report: The document.
        signatures: Those under it.
    """

    report: Report
    signatures: Sequence[Mapping[str, str]] = ()

    @property
    def text(self) -> str:
        """The file's text: the same document gives the same bytes."""
        document = json.loads(self.report.model_dump_json())
        return json.dumps(seal(document, self.signatures), indent=1, ensure_ascii=False) + "\n"


def name_of(report: Report, language: str) -> str:
    """`rackwatt-demo-2026-10-en`."""
    return f"rackwatt-{report.site.id}-{report.period.label}-{language}"


def read_filed(path: Path) -> Filed:
    """Return the report of a file.

    Raises:
        FileProblem: It holds none.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise FileProblem(f"{path} is too large to be a report")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileProblem(f"there is no file {path}") from None
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FileProblem(f"{path} is no JSON: {error}") from error
    try:
        document, signatures = _parts(found)
        return Filed(Report.read(json.dumps(document)), signatures)
    except (SealProblem, BadDocument) as error:
        raise FileProblem(f"{path}: {error}") from error


def _parts(found: Any) -> tuple[Any, list[dict[str, str]]]:
    if not isinstance(found, dict) or not isinstance(found.get("signatures"), list):
        raise SealProblem("it has no 'document' with 'signatures'")
    signatures = found["signatures"]
    if not all(isinstance(one, dict) for one in signatures):
        raise SealProblem("a signature is no object")
    return found.get("document"), signatures


def same(one: Report, other: Report) -> bool:
    """Whether two documents say the same, numbers of revisions apart."""
    return one.model_dump(exclude=_OF_REVISION) == other.model_dump(exclude=_OF_REVISION)


def differences(before: Report, after: Report) -> tuple[Difference, ...]:
    """The figures that a revision changed, in order of name."""
    names = sorted({*before.figures, *after.figures})
    return tuple(
        Difference(name=name, before=before.figures.get(name), after=after.figures.get(name))
        for name in names
        if before.figures.get(name) != after.figures.get(name)
    )


def settled(folder: Path, language: str, made: Report) -> Filed:
    """Return what is to be filed: a signed report stays, or makes room for a revision.

    A signed one that the books no longer bear out is moved to `revisions/`, its signatures with
    it, and the new one says what changed.

    Raises:
        FileProblem: What lies there is no report.
    """
    path = folder / f"{name_of(made, language)}.json"
    if not path.exists():
        return Filed(made)
    there = read_filed(path)
    if there.signatures and same(there.report, made):
        return there
    if there.signatures:
        _set_aside(folder, language, there.report)
        return Filed(_revised(there.report, made))
    if there.report.revision > 1:
        signed = read_filed(_aside(folder, language, there.report, there.report.revision - 1))
        return Filed(_revised(signed.report, made))
    return Filed(made)


def _revised(before: Report, after: Report) -> Report:
    return after.model_copy(
        update={"revision": before.revision + 1, "differences": differences(before, after)}
    )


def _aside(folder: Path, language: str, report: Report, revision: int) -> Path:
    return folder / REVISIONS / f"{name_of(report, language)}-r{revision}.json"


def _set_aside(folder: Path, language: str, report: Report) -> None:
    (folder / REVISIONS).mkdir(parents=True, exist_ok=True)
    for suffix in (".json", ".pdf", ".csv"):
        old = folder / f"{name_of(report, language)}{suffix}"
        if old.exists():
            target = _aside(folder, language, report, report.revision).with_suffix(suffix)
            old.replace(target)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; one that is there already with it is left alone.

    Raises:
        FileProblem: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.read_bytes() == content:
            return
        draft = path.with_name(f".{path.name}.part")
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise FileProblem(f"{path} cannot be written: {error.strerror}") from error


def tables_of(report: Report, language: str) -> dict[str, str]:
    """All CSV files, by their path below the folder."""
    name = name_of(report, language)
    found = {f"{name}.csv": spans_csv(report), f"eu/{name}-eu-2024-1364.csv": eu_csv(report)}
    found[f"certificates/{name}-certificates.csv"] = certificates_csv(report)
    for line in report.tenants:
        found[f"tenants/{name}-{line.id}.csv"] = tenant_csv(report, line)
    return found

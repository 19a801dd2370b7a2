# SPDX-License-Identifier: Apache-2.0
"""Sets a sheet with typst: offline, the same bytes every time, accessible (PDF/UA-1).

Only the fonts of this package are used, and those that typst brings along, never the system's:
what is printed does not depend on the machine. Glyphs that no font has are an error.
"""

import json
from dataclasses import asdict
from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final, Literal

import typst

from rackwatt.reports.pdf.blocks import Sheet

_HERE: Final = files("rackwatt.reports.pdf")
_ARABIC: Final = "IBMPlexSansArabic-400Regular.ttf"
PREVIEW_PPI: Final = 110


class PressError(Exception):
    """A sheet that cannot be set; the message says what to do."""


def has_fonts() -> bool:
    """Whether the package has its fonts: without them, no Arabic."""
    return _HERE.joinpath("fonts", _ARABIC).is_file()


def pdf(sheet: Sheet, moment: datetime) -> bytes:
    """Return the sheet as PDF/UA-1.

    Args:
        sheet: What to print.
        moment: With an offset; written into the PDF as its date. The end of the reported period,
            not today: the same report gives the same bytes.

    Raises:
        PressError: Fonts are missing for this language, or a character has no glyph.
    """
    (page,) = _set(sheet, "pdf", moment)
    return page


def images(sheet: Sheet, moment: datetime, ppi: float = PREVIEW_PPI) -> list[bytes]:
    """Return every page as a PNG, to look at.

    Raises:
        PressError: As for `pdf`.
    """
    return _set(sheet, "png", moment, ppi)


def _set(
    sheet: Sheet, form: Literal["pdf", "png"], moment: datetime, ppi: float | None = None
) -> list[bytes]:
    if sheet.language == "ar" and not has_fonts():
        raise PressError(
            "reports in Arabic need the report's fonts, which this installation lacks: run "
            "`scripts/build-assets` (it needs Node.js), or install the wheel, which has them"
        )
    with as_file(_HERE) as root:
        try:
            made: Any = typst.compile(
                Path(root, "templates", "sheet.typ"),
                root=Path(root, "templates"),
                font_paths=[Path(root, "fonts")] if has_fonts() else [],
                ignore_system_fonts=True,
                format=form,
                ppi=ppi,
                sys_inputs={
                    "sheet": json.dumps(asdict(sheet), ensure_ascii=False),
                    "direction": "rtl" if sheet.language == "ar" else "ltr",
                },
                pdf_standards=["ua-1"] if form == "pdf" else [],
                timestamp=moment,
            )
        except typst.TypstError as error:
            raise PressError(f"the report cannot be set: {error.diagnostic}") from error
    pages = made if isinstance(made, list) else [made]
    return [bytes(page) for page in pages]

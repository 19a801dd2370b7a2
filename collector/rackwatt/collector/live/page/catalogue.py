# SPDX-License-Identifier: Apache-2.0
"""The languages of the page: one file each, read by the server and by the browser alike."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent / "static"
LANGUAGES: Final = ("en", "fr", "ar")
DEFAULT_LANGUAGE: Final = "en"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All texts of one language.

    Attributes:
        language: ``en``, ``fr`` or ``ar``.
        messages: Text by key, with ``{name}`` where a figure goes.
    """

    language: str
    messages: Mapping[str, str]

    @property
    def direction(self) -> str:
        """``ltr`` or ``rtl``."""
        return self.messages["language.dir"]

    @property
    def name(self) -> str:
        """The language's own name."""
        return self.messages["language.name"]


def load_catalogues() -> dict[str, Catalogue]:
    """Read the catalogues of all languages."""
    catalogues = {}
    for language in LANGUAGES:
        text = (STATIC / "i18n" / f"{language}.json").read_text(encoding="utf-8")
        catalogues[language] = Catalogue(language, json.loads(text))
    return catalogues


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def choose_language(asked: str | None, accept_language: str) -> str:
    """Choose the language of a page.

    Args:
        asked: The ``lang`` parameter of the address, if any; one that we do not speak is ignored.
        accept_language: The browser's ``Accept-Language`` header, may be empty.

    Returns:
        The language asked for, else the browser's most wanted one that we speak, else English.
    """
    if asked in LANGUAGES:
        return asked
    best, best_quality = DEFAULT_LANGUAGE, 0.0
    for entry in accept_language.split(","):
        tag, _, parameters = entry.partition(";")
        language = tag.strip().lower().split("-")[0]
        quality = _quality(parameters) if parameters else 1.0
        if language in LANGUAGES and quality > best_quality:
            best, best_quality = language, quality
    return best

# SPDX-License-Identifier: Apache-2.0
"""Grafana's folders: one per language."""

from collections.abc import Mapping
from typing import Final

from rackwatt.dashboards.texts import Language

_TITLES: Final[Mapping[Language, str]] = {"en": "Rackwatt", "fr": "Rackwatt (français)"}


def folder_uid(language: Language) -> str:
    """The uid of a language's folder."""
    return f"rackwatt-{language}"


def folder_title(language: Language) -> str:
    """Its name."""
    return _TITLES[language]

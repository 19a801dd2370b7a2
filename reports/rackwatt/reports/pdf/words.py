# SPDX-License-Identifier: Apache-2.0
"""The texts of the printed report, a file per language in `texts/`, each with the same keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Literal, get_args

import yaml

Language = Literal["en", "fr", "ar"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language, by keys such as `titles.energy`."""

    language: Language
    texts: Mapping[str, str]

    def __call__(self, key: str, **values: str) -> str:
        """Return a text with its places filled.

        Raises:
            KeyError: No language has it: a fault of the program.
        """
        text = self.texts[key]
        return text.format(**values) if values else text

    def name(self, group: str, key: str) -> str:
        """Return the name of something that a site or a newer ledger may call otherwise: as is."""
        return self.texts.get(f"{group}.{key}", key)

    def under(self, group: str) -> tuple[str, ...]:
        """Return the keys of a group, in the file's order."""
        start = f"{group}."
        return tuple(key.removeprefix(start) for key in self.texts if key.startswith(start))


def words(language: Language) -> Words:
    """Return the texts of a language."""
    source = files("rackwatt.reports.pdf").joinpath("texts", f"{language}.yaml")
    groups = yaml.safe_load(source.read_text(encoding="utf-8"))
    return Words(
        language,
        {
            f"{group}.{key}": str(text)
            for group, texts in groups.items()
            for key, text in texts.items()
        },
    )

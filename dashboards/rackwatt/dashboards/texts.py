# SPDX-License-Identifier: Apache-2.0
"""What the dashboards say, in each language: one file per dashboard in `texts/`, and a common one.

title: {en: …, fr: …}
about: {en: …, fr: …}          # what question the dashboard answers
rows: {KEY: {en: …, fr: …}}
names: {KEY: {en: …, fr: …}}   # series and columns; the common ones are in common.yaml
panels:
  KEY:
    title: {en: …, fr: …}
    about: {en: …, fr: …}      # what it means, and how it is computed
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Final, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field

Language = Literal["en", "fr"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
_TEXT = Annotated[str, Field(min_length=1)]


class Words(BaseModel):
    """One text in every language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    en: _TEXT
    fr: _TEXT

    def of(self, language: Language) -> str:
        """It in one."""
        return self.fr if language == "fr" else self.en


class PanelWords(BaseModel):
    """What a panel says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Words
    about: Words


class BoardWords(BaseModel):
    """What a dashboard says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Words
    about: Words
    rows: dict[str, Words] = {}
    names: dict[str, Words] = {}
    panels: dict[str, PanelWords] = {}


class CommonWords(BaseModel):
    """What all dashboards say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: dict[str, Words]


@lru_cache(maxsize=64)
def _read(name: str) -> object:
    path = files("rackwatt.dashboards") / "texts" / f"{name}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def board_words(key: str) -> BoardWords:
    """What a dashboard says.

    Raises:
        OSError: it has no file.
        pydantic.ValidationError: a text is missing in a language, or something has no meaning.
    """
    return BoardWords.model_validate(_read(key))


def common_words() -> CommonWords:
    """What all dashboards say."""
    return CommonWords.model_validate(_read("common"))


@dataclass(slots=True)
class Speaker:
    """The texts of one dashboard in one language, which remembers what was asked for.

    Attributes:
        words: of the dashboard.
        language: which one.
        used: keys that were asked for, as `rows.KEY`.
    """

    words: BoardWords
    language: Language
    used: set[str] = field(default_factory=set)

    def title(self) -> str:
        """The dashboard's."""
        return self.words.title.of(self.language)

    def about(self) -> str:
        """What the dashboard answers."""
        return self.words.about.of(self.language)

    def row(self, key: str) -> str:
        """A row's heading."""
        return self._of("rows", self.words.rows, key)

    def name(self, key: str) -> str:
        """A series' or a column's name: the dashboard's own, else the common one."""
        if key in self.words.names:
            return self._of("names", self.words.names, key)
        return common_words().names[key].of(self.language)

    def panel(self, key: str) -> tuple[str, str]:
        """A panel's title, and what it means."""
        self.used.add(f"panels.{key}")
        words = self.words.panels[key]
        return words.title.of(self.language), words.about.of(self.language)

    def unused(self) -> set[str]:
        """Texts that nobody asked for."""
        kinds: dict[str, Mapping[str, object]] = {
            "rows": self.words.rows,
            "names": self.words.names,
            "panels": self.words.panels,
        }
        return {f"{kind}.{key}" for kind, held in kinds.items() for key in held} - self.used

    def _of(self, kind: str, held: Mapping[str, Words], key: str) -> str:
        self.used.add(f"{kind}.{key}")
        return held[key].of(self.language)

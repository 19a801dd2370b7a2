# SPDX-License-Identifier: Apache-2.0
"""What alerts say: one file per family in `texts/`.

NAME:
  summary: {en: …, fr: …, ar: …}    # one line; labels as Prometheus writes them
  description: …                    # with the value and its unit; [[LIMIT.bad]] is a limit,
                                    # [[LIMIT.bad%]] the same in per cent
"""

import re
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from rackwatt.alerts.thresholds import Limits

_TEXT = Annotated[str, Field(min_length=1)]
_NAME: Final = re.compile(r"\{\{.*?\}\}")
_LIMIT: Final = re.compile(r"\[\[(\w+)\.(warn|bad)(%?)\]\]")


class Summary(BaseModel):
    """One line in every language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    en: _TEXT
    fr: _TEXT
    ar: _TEXT


class Words(BaseModel):
    """What an alert says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    summary: Summary
    description: _TEXT


_FILE: Final = TypeAdapter(dict[str, Words])


@lru_cache(maxsize=16)
def family_words(family: str) -> dict[str, Words]:
    """The texts of a family, by alert.

    Raises:
        OSError: it has no file.
        pydantic.ValidationError: a text is missing in a language, or something has no meaning.
    """
    path = files("rackwatt.alerts") / "texts" / f"{family}.yaml"
    return _FILE.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))


def isolated(text: str) -> str:
    """An Arabic line whose names, in Latin letters, cannot turn the words around them."""
    return _NAME.sub("\u2066\\g<0>\u2069", text)


def filled(text: str, limits: Limits) -> str:
    """A text with its limits put in.

    Raises:
        KeyError: it names a limit that does not exist.
    """

    def value(found: re.Match[str]) -> str:
        name, bound, percent = found.groups()
        limit = limits[name]
        number = limit.warn if bound == "warn" else limit.bad
        return f"{number * 100:.6g} %" if percent else f"{number:.12g}"

    return _LIMIT.sub(value, text)

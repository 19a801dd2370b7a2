# SPDX-License-Identifier: Apache-2.0
"""Phases of a site, and what was promised in public: checked, with what does not fit."""

from itertools import pairwise
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from rackwatt.collector.accounting.commitments import Commitment, Phase
from rackwatt.collector.site.layout import Layout
from rackwatt.collector.site.models import SiteFile
from rackwatt.collector.site.problems import Problems, near
from rackwatt.collector.site.promise_models import CommitmentModel, PhaseModel
from rackwatt.wire.config import Key

MOST: Final = 50
"""Promises of a site: all of them are in each frame of the page."""
_DAYS: Final = ("announced", "energised", "in_service")


def phases_of(problems: Problems, file: SiteFile, layout: Layout) -> tuple[Phase, ...]:
    """All phases; their days follow each other, and no hall is in two."""
    halls = {hall.id for hall in layout.halls}
    owners: dict[str, str] = {}
    result: dict[str, Phase] = {}
    for index, model in enumerate(file.phases):
        key: Key = ("phases", index)
        problems.identifier((*key, "id"), model.id, "phase")
        if model.id in result:
            problems.add((*key, "id"), f"there are two phases {model.id!r}")
        _check_days(problems, key, model)
        names = tuple(problems.expand((*key, "halls"), model.halls))
        for name in names:
            if name not in halls:
                problems.add((*key, "halls"), f"unknown hall {name!r}", near(name, halls))
            elif name in owners:
                text = f"hall {name!r} is in phase {owners[name]!r} already"
                problems.add((*key, "halls"), text)
            owners.setdefault(name, model.id)
        result[model.id] = Phase(
            model.id, model.name or model.id, model.announced, model.energised, model.in_service,
            model.watts, names,
        )  # fmt: skip
    return tuple(result.values())


def _check_days(problems: Problems, key: Key, model: PhaseModel) -> None:
    known = [(name, day) for name in _DAYS if (day := getattr(model, name)) is not None]
    for (before, first), (name, day) in pairwise(known):
        if day < first:
            problems.add((*key, name), f"is before {before}: {day} comes before {first}")


def commitments_of(problems: Problems, file: SiteFile) -> tuple[Commitment, ...]:
    """All promises, each with its source."""
    phases = {phase.id for phase in file.phases}
    result: dict[str, Commitment] = {}
    if len(file.commitments) > MOST:
        problems.add(("commitments",), f"more than {MOST}: keep those that hold")
    for index, model in enumerate(file.commitments):
        key: Key = ("commitments", index)
        problems.identifier((*key, "id"), model.id, "commitment")
        if model.id in result:
            problems.add((*key, "id"), f"there are two commitments {model.id!r}")
        if model.phase and model.phase not in phases:
            text = f"unknown phase {model.phase!r}"
            problems.add((*key, "phase"), text, near(model.phase, phases))
        _check_words(problems, key, model)
        result[model.id] = Commitment(
            id=model.id,
            kind=model.kind,
            text=MappingProxyType({name: text.strip() for name, text in model.text.items()}),
            due=model.due,
            source=model.source.strip(),
            published=model.published,
            value=model.value,
            phase=model.phase,
        )
    return tuple(result.values())


def _check_words(problems: Problems, key: Key, model: CommitmentModel) -> None:
    if model.published > model.due:
        problems.add((*key, "due"), f"is before it was published, on {model.published}")
    words: list[tuple[Key, str]] = [(("text", name), text) for name, text in model.text.items()]
    for where, text in (*words, (("source",), model.source)):
        if not text.strip() or not text.strip().isprintable():
            problems.add((*key, *where), "must be one line of words")
    if "://" in model.source and link_of(model.source) is None:
        problems.add((*key, "source"), "an address begins with https:// or http://, with no spaces")


def link_of(source: str) -> str | None:
    """The address that a source is, or None where it is a document's name."""
    text = source.strip()
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and " " not in text
    return text if usable else None

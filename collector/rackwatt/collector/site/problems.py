# SPDX-License-Identifier: Apache-2.0
"""What the rules found wrong, gathered so that one run shows it all."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from rackwatt.collector.site.fields import milliseconds
from rackwatt.collector.site.models import Dated, Names
from rackwatt.collector.site.patterns import PatternError, brackets
from rackwatt.collector.site.topology import ALWAYS, FOR_EVER, Validity
from rackwatt.wire.config import ConfigError, Document, Key, nearest
from rackwatt.wire.topics import check_name

_MANY: Final = 400
"""Beyond this many candidates the nearest one is sought only among those that begin alike."""


class Problems:
    """The errors of one document.

    Args:
        document: where keys have their lines.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self.errors: list[ConfigError] = []
        self.files: dict[str, str] = {}
        """SHA-256 of the files that the document names, by name."""

    @property
    def path(self) -> Path:
        """The document's file."""
        return Path(self._document.file)

    def add(self, key: Key, message: str, hint: str = "") -> None:
        """Something is wrong at `key`."""
        self.errors.append(self._document.error(key, message, hint=hint))

    def line(self, key: Key) -> int:
        """The line of `key`."""
        return self._document.line_of(key)

    def unknown(self, key: Key, what: str, names: Sequence[str], known: Collection[str]) -> None:
        """`names`, at one key, are not among `known`: one error for all of them."""
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        self.add(key, f"unknown {what} {names[0]!r}{more}", near(names[0], known))

    def identifier(self, key: Key, name: str, what: str) -> bool:
        """Whether `name` may stand in topics and tags."""
        try:
            check_name(name, what)
        except ValueError as error:
            self.add(key, str(error))
            return False
        return True

    def expand(self, key: Key, patterns: Names, placeholders: Sequence[str] = ()) -> list[str]:
        """All names of `patterns`; brackets only, placeholders stay."""
        result: list[str] = []
        for index, pattern in enumerate(patterns):
            at = (*key, index) if len(patterns) > 1 else key
            try:
                names = brackets(pattern, placeholders)
            except PatternError as error:
                self.add(at, str(error))
                continue
            sample = names[0].replace("{", "").replace("}", "")
            if self.identifier(at, sample, "name"):
                result += names
        if len(set(result)) != len(result):
            doubled = next(name for name in result if result.count(name) > 1)
            self.add(key, f"the patterns give {doubled!r} twice")
            result = list(dict.fromkeys(result))
        return result

    def validity(self, key: Key, dated: Dated) -> Validity:
        """The span of `dated`, checked to be one."""
        span = Validity(
            milliseconds(dated.valid_from, ALWAYS), milliseconds(dated.valid_to, FOR_EVER)
        )
        if span.start_ms >= span.end_ms:
            self.add((*key, "valid_to"), "must be later than valid_from")
            return Validity()
        return span


def near(word: str, known: Collection[str]) -> str:
    """A hint with the name nearest to `word`, found fast among many thousands too."""
    candidates: Iterable[str] = known
    if len(known) > _MANY:
        length = len(word)
        alike: list[str] = []
        while not alike and length > 0:
            alike = [name for name in known if name.startswith(word[:length])]
            length -= 1
        candidates = sorted(alike)[:_MANY]
    return nearest(word, candidates)

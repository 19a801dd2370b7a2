# SPDX-License-Identifier: Apache-2.0
"""Claims on the import, matched over the running UTC hour as far as it has come."""

from collections.abc import Mapping

from rackwatt.collector.accounting.claims import hour_of, match


class HourSoFar:
    """Sums of the running hour; each instant counts once, however often it is walked over."""

    def __init__(self) -> None:
        self._hour_ms = 0
        self._until_ms = 0
        self._claims: dict[str, float] = {}
        self._imported = 0.0
        self._inside = 0.0

    def add(
        self,
        start_ms: int,
        end_ms: int,
        claims: Mapping[str, float | None],
        imported: float | None,
        inside: float | None,
    ) -> None:
        """Take a step of time in; one of which something is unknown is left out whole.

        Args:
            start_ms: Its start.
            end_ms: Its end.
            claims: What each contract's plant gave, Wh.
            imported: The site's import, Wh.
            inside: ``E_DC``, Wh.
        """
        if start_ms < self._until_ms:
            return
        if hour_of(start_ms) != self._hour_ms:
            self._hour_ms = hour_of(start_ms)
            self._claims, self._imported, self._inside = {}, 0.0, 0.0
        self._until_ms = end_ms
        given = {name: claim for name, claim in claims.items() if claim is not None}
        if len(given) < len(claims) or imported is None or inside is None:
            return
        for name, claim in given.items():
            self._claims[name] = self._claims.get(name, 0.0) + claim
        self._imported += imported
        self._inside += inside

    @property
    def share(self) -> float | None:
        """Matched claims as a part of ``E_DC``; ``None`` before anything of the hour is known."""
        if self._inside <= 0.0:
            return None
        return match(self._claims, self._imported).total / self._inside

# SPDX-License-Identifier: Apache-2.0
"""The accountant's part of the promises: measures them, and serves them signed and as a table."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from rackwatt.collector.accounting.commitments import Stand
from rackwatt.collector.commitments.document import Books, document, rows, stamp, table
from rackwatt.collector.commitments.first_load import FirstLoads
from rackwatt.collector.commitments.measuring import stands
from rackwatt.collector.roles.standing import Standings
from rackwatt.collector.signing.keys import SigningKey
from rackwatt.collector.signing.sealed import seal, sign
from rackwatt.collector.site import Site

ROLE: Final = "published"
_FRESH_MS: Final = 1000
"""Asked more often, the same document is given again: what is asked in public is made once."""
_HEADERS: Final = {"Cache-Control": "no-store"}


class Commitments:
    """The promises of one site.

    Args:
        site: the site.
        path: `ledger.db`.
        standings: follows the year's books.
        key: signs the document; None: it says that it is unsigned.
    """

    def __init__(
        self, site: Site, path: Path, standings: Standings, key: SigningKey | None
    ) -> None:
        self._site = site
        self._standings = standings
        self._first = FirstLoads(site, path)
        self._key = key
        self._stands: Sequence[Stand] = ()
        self._time_ms: int | None = None
        self._made: tuple[int, bytes, str] | None = None

    @property
    def complete(self) -> bool:
        """Whether the books are read as far as they are closed."""
        return self._first.complete

    def turn(self) -> None:
        """Read on in the books; blocks."""
        self._first.turn()

    def measure(self, frame: Mapping[str, Any], now_ms: int) -> list[dict[str, Any]]:
        """Return the rows of the page, and keep what they say for those who ask for more."""
        self._stands = stands(
            self._site, frame, self._standings.now, self._first.found,
            now_ms=now_ms, empty=self._standings.empty,
        )  # fmt: skip
        self._time_ms = now_ms
        return rows(self._site, self._stands)

    def routes(self) -> list[BaseRoute]:
        """``/commitments.json``, ``.csv`` and ``.pub``."""
        return [
            Route("/commitments.json", self._json),
            Route("/commitments.csv", self._csv),
            Route("/commitments.pub", self._pub),
        ]

    def _current(self) -> tuple[bytes, str]:
        """Sealed JSON and CSV of what was measured last."""
        now = self._time_ms
        if now is None:
            raise LookupError
        if self._made is None or not 0 <= now - self._made[0] < _FRESH_MS:
            year = self._standings.now.year
            books = Books() if year is None else Books(year.start_ms, year.end_ms)
            made = document(self._site, self._stands, books, now)
            signatures = []
            if self._key is not None:
                one = sign(made, self._key, role=ROLE, signer=self._site.id, time=stamp(now))
                signatures.append(one)
            text = json.dumps(seal(made, signatures), ensure_ascii=False, indent=1) + "\n"
            self._made = now, text.encode(), table(made)
        return self._made[1], self._made[2]

    async def _json(self, _: Request) -> Response:
        try:
            body = self._current()[0]
        except LookupError:
            return _not_yet()
        return Response(body, headers=_HEADERS, media_type="application/json")

    async def _csv(self, _: Request) -> Response:
        try:
            text = self._current()[1]
        except LookupError:
            return _not_yet()
        name = f'attachment; filename="commitments-{self._site.id}.csv"'
        headers = {**_HEADERS, "Content-Disposition": name}
        return Response(text.encode(), headers=headers, media_type="text/csv; charset=utf-8")

    async def _pub(self, _: Request) -> Response:
        if self._key is None:
            return PlainTextResponse("no key: start with --sign-key-file\n", 404)
        return Response(self._key.public.pem, headers=_HEADERS, media_type="application/x-pem-file")


def _not_yet() -> Response:
    headers = {**_HEADERS, "Retry-After": "2"}
    return PlainTextResponse("no figures yet\n", 503, headers=headers)

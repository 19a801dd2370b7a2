# SPDX-License-Identifier: Apache-2.0
"""The page's addresses: ``/``, ``/wall``, ``/commitments``, ``/chain``, ``/events``, ``/api/…``."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from rackwatt.collector.live.page.catalogue import STATIC, choose_language
from rackwatt.collector.live.page.live_page import PageSource, TooManyListenersError, serialise
from rackwatt.collector.live.page.render import ASSETS, Renderer
from rackwatt.collector.refusals import note_refusal

RETRY_MS: Final = 2000

# Given here and not guessed: what the machine's own tables say differs, and browsers refuse
# scripts under a wrong type.
_MEDIA_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


async def event_stream(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Server-sent events from their beginning; ends with ``events``."""
    yield f"retry: {RETRY_MS}\n\n".encode()
    try:
        async for event in events:
            yield event
    finally:
        # Now: a client that has gone must not keep its place among the listeners.
        if isinstance(events, AsyncGenerator):
            await events.aclose()


class _Static(StaticFiles):
    """Our static files, with media types that do not depend on the machine."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        media_type = _MEDIA_TYPES.get(Path(full_path).suffix)
        if media_type and response.status_code == status_code:
            response.headers["Content-Type"] = media_type
        # Revalidated each time (they carry an ETag): an upgrade shows at once.
        response.headers["Cache-Control"] = "no-cache"
        return response


class Page:
    """Answers the requests of the page.

    Args:
        source: Where the figures come from.
        renderer: Makes the HTML.
    """

    def __init__(self, source: PageSource, renderer: Renderer) -> None:
        self._source = source
        self._renderer = renderer
        self._rendering = asyncio.Lock()
        self._rendered: dict[tuple[str, str], tuple[Mapping[str, Any], str]] = {}

    async def _html(self, request: Request, page: str) -> Response:
        asked = request.query_params.get("lang")
        language = choose_language(asked, request.headers.get("accept-language", ""))
        html = await self._render(page, language)
        headers = {
            "Cache-Control": "no-store",
            "Content-Language": language,
            "Vary": "Accept-Language",
        }
        return HTMLResponse(html, headers=headers)

    async def _render(self, page: str, language: str) -> str:
        """The HTML of the current frame: once for all who ask for it, and off the event loop."""
        async with self._rendering:
            frame = self._source.frame()
            known, html = self._rendered.get((page, language), (None, ""))
            if known is not frame:
                html = await asyncio.to_thread(self._renderer.render, page, language, frame)
                self._rendered[page, language] = frame, html
            return html

    async def operators(self, request: Request) -> Response:
        """``/``: the operators' view."""
        return await self._html(request, "operators")

    async def wall(self, request: Request) -> Response:
        """``/wall``: the public display."""
        return await self._html(request, "wall")

    async def commitments(self, request: Request) -> Response:
        """``/commitments``: what was promised in public, beside what is measured."""
        return await self._html(request, "commitments")

    async def chain(self, request: Request) -> Response:
        """``/chain``: what feeds what; its figures come from ``/api/chain``."""
        return await self._html(request, "chain")

    async def frame(self, _request: Request) -> Response:
        """``/api/frame``: the current frame as JSON."""
        return _json(serialise(self._source.frame()))

    async def history(self, _request: Request) -> Response:
        """``/api/history``: the last hour as JSON."""
        return _json(serialise(self._source.history()))

    async def events(self, request: Request) -> Response:
        """``/events``: a frame each second as server-sent events.

        With ``?changes`` a frame first, and from then on what is new.
        """
        try:
            events = self._source.subscribe(changes_only="changes" in request.query_params)
        except TooManyListenersError as error:
            note_refusal(request.scope, "streams", f"503: {error}")
            headers = {"Retry-After": "5"}
            return Response(f"{error}\n", 503, headers=headers, media_type="text/plain")
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            event_stream(events), headers=headers, media_type="text/event-stream"
        )


def _json(body: bytes) -> Response:
    return Response(body, headers={"Cache-Control": "no-store"}, media_type="application/json")


def routes(source: PageSource, renderer: Renderer | None = None) -> list[BaseRoute]:
    """Return the routes of the page.

    Wrap the application in ``SecurityHeaders`` as well.

    Args:
        source: Where the figures come from, for example a ``LivePage``.
        renderer: For tests; the default renders with the assets of this installation.
    """
    page = Page(source, renderer or Renderer(ASSETS))
    return [
        Route("/", page.operators, name="page"),
        Route("/wall", page.wall, name="wall"),
        Route("/commitments", page.commitments, name="commitments"),
        Route("/chain", page.chain, name="chain"),
        Route("/events", page.events, name="events"),
        Route("/api/frame", page.frame, name="frame"),
        Route("/api/history", page.history, name="history"),
        Mount("/static", _Static(directory=STATIC), name="static"),
    ]

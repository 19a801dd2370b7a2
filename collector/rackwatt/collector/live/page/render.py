# SPDX-License-Identifier: Apache-2.0
"""The first HTML of the page, with the figures of the current frame in it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader

from rackwatt.collector.live.page.bindings import Bindings
from rackwatt.collector.live.page.catalogue import STATIC, load_catalogues
from rackwatt.collector.live.page.formats import Locale, offsets_around, zone_of
from rackwatt.collector.live.page.view import SOURCES, derive
from rackwatt.wire.clock import SYSTEM_CLOCK

STATES: Final = ("live", "starting", "stale")
FRAME_SOURCES: Final = ("pv", "wind", "hydro", "grid", "genset", "battery", "unknown")
FRAME_SINKS: Final = ("it", "cooling", "losses", "other", "campus", "charge", "export", "unmetered")
MAX_ROWS: Final = 500
"""A table that is longer comes with the first frame: as HTML 2,500 racks are 4 MB, and a second."""
ASSETS: Final = STATIC / "vendor" / ".stamp"
"""Written last by ``scripts/build-assets``: charts and fonts are there when this is."""


def complete(frame: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``frame`` with empty parts where it has none, so that a template can go through it."""
    lists = ("racks", "hosts", "real_gpus", "coolant", "agents", "events", "commitments")
    site = dict(frame.get("site") or {})
    site["name"] = site.get("name") or site.get("id") or "Rackwatt"
    state = frame.get("state")
    return {
        **frame,
        **{key: frame.get(key) or [] for key in lists},
        "sources": frame.get("sources") or [{"id": name} for name in FRAME_SOURCES],
        "sinks": frame.get("sinks") or [{"id": name} for name in FRAME_SINKS],
        "state": state if state in STATES else "starting",
        "site": site,
    }


def _shortened(view: dict[str, Any], frame: Mapping[str, Any]) -> dict[str, Any]:
    """``view`` without the rows of tables that are too long; scripts add them with the frame."""
    short = dict(view)
    if len(frame["racks"]) > MAX_ROWS:
        short["halls"] = []
    if len(frame["agents"]) > MAX_ROWS:
        short["agents"] = []
    return short


class Renderer:
    """Renders the page in every language.

    Args:
        assets: The file whose presence says that charts and fonts have been built.
        now_ms: The clock, in ms since 1970 UTC, for the time before the first frame.
    """

    def __init__(
        self, assets: Path = ASSETS, now_ms: Callable[[], int] = SYSTEM_CLOCK.now_ms
    ) -> None:
        self._assets = assets
        self._now_ms = now_ms
        self._catalogues = load_catalogues()
        self._names = {code: item.name for code, item in self._catalogues.items()}
        templates = Path(__file__).parent / "templates"
        self._environment = Environment(
            loader=FileSystemLoader(templates),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, page: str, language: str, frame: Mapping[str, Any]) -> str:
        """Return the HTML of ``page``, the name of a template, for one frame."""
        catalogue = self._catalogues[language]
        full = complete(frame)
        model = {**full, "view": _shortened(derive(full), full)}
        now = full.get("time")
        zone = zone_of(full["site"].get("timezone"))
        locale = Locale(catalogue.messages, zone, now if isinstance(now, int) else None)
        time_ms = now if isinstance(now, int) else self._now_ms()
        bindings = Bindings(model, locale, isolate=catalogue.direction == "rtl")
        return self._environment.get_template(f"{page}.html").render(
            ui=bindings,
            frame=full,
            view=model["view"],
            page=page,
            lang=language,
            dir=catalogue.direction,
            languages=self._names,
            sources=SOURCES,
            state=full["state"],
            assets=self._assets.is_file(),
            offsets=json.dumps(offsets_around(zone, time_ms)),
        )

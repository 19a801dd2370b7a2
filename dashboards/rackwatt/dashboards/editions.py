# SPDX-License-Identifier: Apache-2.0
"""All dashboards, found in `boards/`, in every language, as the files that Grafana reads."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final

from rackwatt.dashboards import boards
from rackwatt.dashboards.sdk import JSONEncoder, dashboard
from rackwatt.dashboards.sheet import Board
from rackwatt.dashboards.texts import LANGUAGES

GENERATED: Final = Path(__file__).resolve().parents[2] / "generated"
"""Where they are committed; only in a checkout."""


@lru_cache(maxsize=1)
def all_boards() -> tuple[Board, ...]:
    """Every dashboard, in order: the `BOARD` of each module in `boards/`."""
    names = [module.name for module in iter_modules(boards.__path__)]
    found: list[Board] = [import_module(f"{boards.__name__}.{name}").BOARD for name in names]
    return tuple(sorted(found, key=lambda board: (board.order, board.key)))


def as_text(made: dashboard.Dashboard) -> str:
    """A dashboard as it stands in a file: sorted, so that a diff shows what changed."""
    plain = json.loads(json.dumps(made, cls=JSONEncoder))
    for variable in plain["templating"]["list"]:
        _drop(variable, "auto", "auto_count", "auto_min", "allowCustomValue")
    for placed in (*plain["annotations"]["list"], *plain["links"]):
        _drop(placed, "placement")  # of a later Grafana
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _drop(held: dict[str, Any], *strays: str) -> None:
    for stray in strays:
        held.pop(stray, None)


def files() -> dict[str, str]:
    """Every edition: its path below `generated/`, and its text."""
    return {
        f"{language}/{board.key}.json": as_text(board.edition(language)[0])
        for language in LANGUAGES
        for board in all_boards()
    }


def parsed() -> Mapping[str, dict[str, Any]]:
    """Every edition as Grafana's API takes it, by path."""
    return {path: json.loads(text) for path, text in files().items()}


def stale(folder: Path, texts: Mapping[str, str]) -> Iterator[tuple[Path, str | None]]:
    """Files that are out of date, with what they should hold; None: nothing, they are strangers."""
    wanted = {folder / path: text for path, text in texts.items()}
    for path, text in wanted.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield path, text
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in wanted:
            yield path, None

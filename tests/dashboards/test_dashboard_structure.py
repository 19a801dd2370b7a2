# SPDX-License-Identifier: Apache-2.0
"""Every dashboard as it lies in its file: whole, unambiguous, explained, in both languages."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from rackwatt.dashboards.editions import GENERATED, all_boards, files
from rackwatt.dashboards.links import uid_of
from rackwatt.dashboards.sheet import SCHEMA_VERSION
from rackwatt.dashboards.sources import MIXED, TYPES
from rackwatt.dashboards.texts import LANGUAGES

PATHS = sorted(files())
EDITIONS = {path: json.loads((GENERATED / path).read_text(encoding="utf-8")) for path in PATHS}
OUR_NAMES = {"timeFilter", "__interval", "__rate_interval", "__from", "__to", "__field",
             "__url_time_range", "__data", "__all"}  # fmt: skip


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those that show something."""
    return (panel for panel in board["panels"] if panel["type"] not in {"row", "text"})


def strings(held: Any) -> Iterator[str]:
    if isinstance(held, str):
        yield held
    elif isinstance(held, dict):
        for value in held.values():
            yield from strings(value)
    elif isinstance(held, list):
        for value in held:
            yield from strings(value)


@pytest.fixture(params=PATHS)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = EDITIONS[request.param]
    return found


def test_files_are_what_the_code_makes() -> None:
    made = files()
    there = {str(path.relative_to(GENERATED)) for path in GENERATED.rglob("*") if path.is_file()}
    assert there == set(made)
    for path, text in made.items():
        assert (GENERATED / path).read_text(encoding="utf-8") == text, path


def test_uids_and_orders_are_unique() -> None:
    uids = [board["uid"] for board in EDITIONS.values()]
    assert len(set(uids)) == len(uids) == len(LANGUAGES) * len(all_boards())
    assert all(8 <= len(uid) <= 40 for uid in uids)
    orders = [board.order for board in all_boards()]
    assert len(set(orders)) == len(orders)


def test_frame(board: dict[str, Any]) -> None:
    assert board["schemaVersion"] == SCHEMA_VERSION
    assert board["title"]
    assert board["description"]
    assert "id" not in board
    assert board["tags"][0] == "rackwatt"


def test_ids_are_unique_and_panels_do_not_overlap(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        assert place["h"] > 0
    for one, other in combinations(board["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (one["title"], other["title"])


def test_panels_say_what_they_mean_and_in_what_unit(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert panel["title"], panel["id"]
        assert len(panel["description"]) > 30, panel["title"]
        if panel["type"] != "alertlist":
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["noValue"] == "-", panel["title"]
            assert panel["targets"], panel["title"]


def test_targets_have_letters_and_sources_of_ours(board: dict[str, Any]) -> None:
    for panel in panels(board):
        targets = panel.get("targets", [])
        letters = [target["refId"] for target in targets]
        assert letters == [chr(ord("A") + number) for number in range(len(letters))]
        uids = {target["datasource"]["uid"] for target in targets}
        assert uids <= set(TYPES) - {MIXED}
        if targets:
            assert panel["datasource"]["uid"] == (uids.pop() if len(uids) == 1 else MIXED)


def test_variables_are_declared(board: dict[str, Any]) -> None:
    declared = {variable["name"] for variable in board["templating"]["list"]}
    used = {
        name
        for text in strings([board["panels"], board["annotations"], board["templating"]])
        for name in re.findall(r"\$\{?(\w+)", text)
    }
    tags = {name for name in used if name.startswith("tag_")}
    assert used - tags - OUR_NAMES <= declared
    for target in (target for panel in panels(board) for target in panel.get("targets", [])):
        grouped = set(re.findall(r'"(\w+)"', target.get("query", "").rpartition("GROUP BY")[2]))
        named = set(re.findall(r"\$tag_(\w+)", target.get("alias", "")))
        assert named <= grouped, target


def test_known_is_asked_for(board: dict[str, Any]) -> None:
    never_unknown = {"completeness_ratio", "pue_coverage_ratio", "shares_coverage_ratio",
                     "restated_intervals", "coverage_ratio", "residual_month_flag",
                     "revision", "flags", "local_day", "local_hour"}  # fmt: skip
    for panel in panels(board):
        for target in panel.get("targets", []):
            query = target.get("query", "")
            if not re.search(r'FROM "(energy_balance|site_figures|\w+_energy)', query):
                continue
            chosen = query[: query.index(" FROM ")]
            if "(SELECT" in query:
                chosen = query[query.index("(SELECT") :]
                chosen = chosen[: chosen.index(" FROM ")]
            chosen = re.sub(r' AS "\w+"', "", chosen)
            figures = set(re.findall(r'"(\w+)"', chosen))
            for figure in figures - never_unknown:
                assert f'"{figure}_known" = 1' in query, (panel["title"], query)


def test_links_lead_somewhere(board: dict[str, Any]) -> None:
    uids = {edition["uid"] for edition in EDITIONS.values()}
    for text in strings(board):
        for uid in re.findall(r"^/d/([\w-]+)", text):
            assert uid in uids, text


def test_both_languages_have_the_same_panels_and_their_own_words() -> None:
    for board in all_boards():
        english, french = (EDITIONS[f"{language}/{board.key}.json"] for language in LANGUAGES)
        assert [p["gridPos"] for p in english["panels"]] == [p["gridPos"] for p in french["panels"]]
        for one, other in zip(panels(english), panels(french), strict=True):
            assert one.get("targets") == other.get("targets")
            assert one["description"] != other["description"]


def test_texts_are_all_used() -> None:
    for board in all_boards():
        for language in LANGUAGES:
            made, speaker = board.edition(language)
            assert made.uid == uid_of(board.key, language)
            assert not speaker.unused(), (board.key, language)

# SPDX-License-Identifier: Apache-2.0
"""The server and the browser write every value alike: one specification, run on both sides."""

import json
import os
import random
import shutil
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rackwatt.collector.ingest import clocks
from rackwatt.collector.live.page.catalogue import LANGUAGES, STATIC, load_catalogues
from rackwatt.collector.live.page.demo import demo_frame
from rackwatt.collector.live.page.formats import FORMATS, Locale, offsets_around, write, zone_of
from rackwatt.collector.live.page.view import CLOCK_LIMIT_SECONDS, derive, nice_ceiling

SPEC: dict[str, Any] = json.loads(
    (Path(__file__).parent / "test_page_vectors.json").read_text(encoding="utf-8")
)
CASES = [(vector, language) for vector in SPEC["vectors"] for language in LANGUAGES]
MESSAGES = {code: item.messages for code, item in load_catalogues().items()}
ZONE = timezone(timedelta(seconds=SPEC["offset_seconds"]))

RUN_IN_NODE = """
import { readFileSync } from "node:fs";
const { formats, view, cases, frames, messages, offset, now } = JSON.parse(readFileSync(0, "utf8"));
const { makeLocale, write } = await import(formats);
const { derive } = await import(view);
const locales = {};
for (const code in messages) locales[code] = makeLocale(messages[code], [[0, offset]], now);
console.log(JSON.stringify({
  texts: cases.map(([kind, part, value, code]) => write(value, kind, locales[code], part)),
  views: frames.map(derive),
}));
"""
OFFSETS = {"right": 0.2, "ahead": -60.5, "behind": 3600.0, "silent": None, "edge": 60.0}


def locale(language: str) -> Locale:
    return Locale(MESSAGES[language], ZONE, SPEC["now"])


def in_node(cases: list[Any], frames: list[Any]) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None:
        reason = "Node.js is missing: the browser's half of the formats is NOT TESTED"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    job = {
        "formats": (STATIC / "js" / "format.js").as_uri(),
        "view": (STATIC / "js" / "view.js").as_uri(),
        "cases": cases,
        "frames": frames,
        "messages": MESSAGES,
        "offset": SPEC["offset_seconds"],
        "now": SPEC["now"],
    }
    command = [node, "--input-type=module", "--eval", RUN_IN_NODE]
    done = subprocess.run(
        command, input=json.dumps(job), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(("vector", "language"), CASES)
def test_the_server_writes_what_the_specification_says(
    vector: dict[str, Any], language: str
) -> None:
    written = write(vector["value"], vector["kind"], locale(language), vector.get("part", ""))
    assert written == vector[language]


def test_the_browser_writes_what_the_specification_says() -> None:
    cases = [[v["kind"], v.get("part", ""), v["value"], code] for v, code in CASES]
    texts = in_node(cases, [])["texts"]
    for (vector, language), text in zip(CASES, texts, strict=True):
        assert text == vector[language], (vector, language)


def test_both_sides_agree_on_values_that_nobody_chose() -> None:
    chance = random.Random(20260222)  # noqa: S311 - reproducible, not secret
    cases: list[Any] = []
    for _ in range(4000):
        value = chance.choice((1, -1)) * 10 ** chance.uniform(-4, 11)
        value = round(value, chance.randint(0, 4))
        kind = chance.choice(sorted(set(FORMATS) - {"time", "moment"}))
        cases.append([kind, "", value, chance.choice(LANGUAGES)])
    cases += [["moment", "", chance.randrange(2 * 10**12), "en"] for _ in range(200)]
    texts = in_node(cases, [])["texts"]
    for (kind, part, value, language), text in zip(cases, texts, strict=True):
        assert write(value, kind, locale(language), part) == text, (kind, value, language)


def test_both_sides_derive_the_same_view() -> None:
    frames: list[dict[str, Any]] = [demo_frame(1_790_000_000_000 + 7919 * n) for n in range(40)]
    frames += [
        {},
        {"sources": [], "racks": [], "battery": None, "quality": {}, "agents": []},
        {"sources": [{"id": "pv", "share": None}, {"id": "grid", "share": 1.4}]},
        {"racks": [{"id": "a", "power_watts": None, "inlet_celsius": -4.0}]},
        {"racks": [{"id": "a", "power_watts": 0.0, "inlet_celsius": 55.0, "gpus": 0}]},
        {"demand": {"projected_watts": 102e6, "subscribed_watts": 100e6}},
        {"demand": {"projected_watts": None, "subscribed_watts": 100e6}},
        {"demand": {"projected_watts": 99.5e6, "subscribed_watts": None}},
        {"agents": [{"name": n, "clock_offset_seconds": s} for n, s in OFFSETS.items()]},
        {"quality": {"held_readings": 0}},
        {"quality": {"held_readings": 3}},
    ]
    views = in_node([], frames)["views"]
    for frame, view in zip(frames, views, strict=True):
        assert json.loads(json.dumps(derive(frame))) == view


def test_an_agent_whose_readings_are_held_is_marked() -> None:
    frame = {"agents": [{"name": n, "clock_offset_seconds": s} for n, s in OFFSETS.items()]}
    wrong = {agent["name"] for agent in derive(frame)["agents"] if agent["clock_wrong"]}
    assert wrong == {"ahead", "behind"}
    assert CLOCK_LIMIT_SECONDS == clocks.CLOCK_LIMIT_SECONDS, "the page marks what is held"


def test_a_window_beyond_what_is_subscribed_is_marked() -> None:
    over = derive({"demand": {"projected_watts": 102e6, "subscribed_watts": 100e6}})["demand"]
    assert over == {"x": "0%", "width": "100.000%", "over": True}
    inside = derive({"demand": {"projected_watts": 75e6, "subscribed_watts": 100e6}})["demand"]
    assert inside == {"x": "0%", "width": "75.000%", "over": False}
    assert not derive({"demand": {"projected_watts": 75e6, "subscribed_watts": None}})["demand"][
        "over"
    ]


def test_the_bar_holds_all_shares_and_no_more() -> None:
    frame = {"sources": [{"id": "pv", "share": 0.7}, {"id": "grid", "share": 0.8}]}
    placed = derive(frame)["segments"]
    assert placed["pv"] == {"x": "0.000%", "width": "46.667%"}
    assert placed["grid"] == {"x": "46.667%", "width": "53.333%"}
    assert placed["wind"]["width"] == "0.000%"


@pytest.mark.parametrize(
    ("value", "ceiling"), [(0, 1), (1, 1), (1.1, 2), (4.9, 5), (41_000, 50_000), (51_000, 100_000)]
)
def test_a_scale_ends_at_a_round_number(value: float, ceiling: float) -> None:
    assert nice_ceiling(value) == ceiling


def test_a_zone_is_given_as_its_offsets_to_the_second() -> None:
    instant = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp() * 1000)
    offsets = offsets_around(ZoneInfo("Africa/Casablanca"), instant)
    changes = dict(offsets[1:])
    assert offsets[0][1] == 3600
    # Ramadan 2026: from UTC+1 to UTC on 15 February at 02:00 UTC, and back on 22 March.
    assert changes[int(datetime(2026, 2, 15, 2, tzinfo=UTC).timestamp() * 1000)] == 0
    assert changes[int(datetime(2026, 3, 22, 2, tzinfo=UTC).timestamp() * 1000)] == 3600


@pytest.mark.parametrize("name", [None, "", "Nowhere/Land", "../etc/passwd", 7])
def test_an_unknown_zone_is_utc(name: object) -> None:
    assert zone_of(name) == UTC

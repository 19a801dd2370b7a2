# SPDX-License-Identifier: Apache-2.0
"""The operators' page says how demand stands, and what is held for a wrong clock."""

import html as html_lib
import re
from collections.abc import Mapping
from typing import Any

import pytest

from rackwatt.collector.live.page import Renderer
from rackwatt.collector.live.page.demo import demo_frame

NOW = 1_790_000_000_000


def page(frame: Mapping[str, Any], language: str = "en") -> str:
    return Renderer().render("operators", language, frame)


def figure(text: str, path: str) -> str:
    found = re.search(rf'data-bind="{re.escape(path)}"[^>]*>([^<]*)<', text)
    assert found, path
    return html_lib.unescape(found[1])


def hidden(text: str, path: str) -> bool:
    found = re.search(rf'data-if="{re.escape(path)}"( hidden)?', text)
    assert found, path
    return found[1] is not None


def test_the_demand_has_a_card_only_where_the_site_has_a_settlement() -> None:
    frame = demo_frame(NOW)
    frame["demand"] |= {"projected_watts": 102e6, "subscribed_watts": 100e6}
    shown = page(frame)
    assert not hidden(shown, "demand")
    assert figure(shown, "demand.projected_watts") == "102.0"
    assert figure(shown, "demand.subscribed_watts") == "100.0\N{NO-BREAK SPACE}MW"
    assert "Projected mean of this window of 10 min" in shown
    assert not hidden(shown, "view.demand.over")
    frame["demand"] |= {"projected_watts": None, "subscribed_watts": None}
    unknown = page(frame)
    assert figure(unknown, "demand.projected_watts") == "–"
    assert hidden(unknown, "view.demand.over")
    assert hidden(unknown, "demand.subscribed_watts")
    assert hidden(page({**frame, "demand": None}), "demand")


@pytest.mark.parametrize(
    ("language", "words", "mark"),
    [
        ("en", "Held until released", "Wrong clock"),
        ("fr", "Retenues jusqu’à libération", "Horloge fausse"),
        ("ar", "محجوزة حتى الإفراج عنها", "ساعة خاطئة"),
    ],
)
def test_held_readings_and_wrong_clocks_are_said(language: str, words: str, mark: str) -> None:
    frame = demo_frame(NOW)
    frame["quality"]["held_readings"] = 7
    text = page(frame, language)
    assert words in text
    assert figure(text, "quality.held_readings") == "7"
    assert not hidden(text, "view.held")
    marks = re.findall(rf'data-if="clock_wrong"( hidden)?>{mark}<', text)
    assert sorted(marks) == ["", " hidden", " hidden", " hidden", " hidden"], "and the template"
    frame["quality"]["held_readings"] = 0
    assert hidden(page(frame, language), "view.held")

# SPDX-License-Identifier: Apache-2.0
"""What alerts say, in three languages, and what to do then: each has its runbook, and back."""

import re
from typing import Any

import pytest

from rackwatt.agents.safety.rules import MEANINGS
from rackwatt.alerts.cases import expanded
from rackwatt.alerts.rules import HOME, all_families, annotations
from rackwatt.alerts.texts import Words, family_words, isolated
from rackwatt.alerts.thresholds import Settings, limits

GIVEN = limits(Settings())
FAMILIES = all_families(GIVEN)
TEXTS = [(name, words) for one in FAMILIES for name, words in family_words(one.key).items()]
NAMES = {alert.name for family in FAMILIES for alert in family.alerts}
OF_AGENTS = {f"Safety{meaning.name}" for meaning in MEANINGS.values()} | {
    "SafetyPathAlive", "SafetyDrill",
}  # fmt: skip
"""Alerts that agents send straight to Alertmanager."""
RUNBOOKS = {path.stem: path for path in (HOME / "runbooks").glob("*.md")}
SECTIONS = [
    "Meaning", "Impact", "First five minutes", "How to verify", "How to fix", "When to escalate",
]  # fmt: skip
LABEL = r"\{\{ \$labels\.(\w+) \}\}"


def test_each_alert_has_texts_and_each_text_an_alert() -> None:
    assert sorted(name for name, _ in TEXTS) == sorted(NAMES)


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert set(RUNBOOKS) == NAMES | OF_AGENTS


@pytest.mark.parametrize(("name", "words"), TEXTS, ids=[name for name, _ in TEXTS])
class TestWords:
    def test_all_languages_name_the_same_thing(self, name: str, words: Words) -> None:
        one, two, three = (
            sorted(re.findall(LABEL, text))
            for text in (words.summary.en, words.summary.fr, words.summary.ar)
        )
        assert one == two == three

    def test_they_are_of_their_language(self, name: str, words: Words) -> None:
        assert re.search(r"[\u0621-\u064a]{3}", words.summary.ar)
        assert not re.search(r"[\u0600-\u06ff]", words.summary.en + words.summary.fr)
        assert words.summary.en != words.summary.fr

    def test_the_description_tells_the_value(self, name: str, words: Words) -> None:
        counted = name in {"InletAllowable", "InletRecommended", "InletRising"}
        assert "$value" in words.description
        assert words.description.endswith(".")
        assert not counted or "[[inlet" in words.description

    def test_summaries_are_one_short_line(self, name: str, words: Words) -> None:
        for text in (words.summary.en, words.summary.fr, words.summary.ar):
            assert "\n" not in text
            assert len(re.sub(LABEL, "name", text)) <= 90


@pytest.mark.parametrize("name", sorted(RUNBOOKS))
class TestRunbook:
    def test_it_says_all_that_a_woken_person_needs(self, name: str) -> None:
        text = RUNBOOKS[name].read_text("utf-8")
        assert text.startswith(f"# {name}\n")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
        for section in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]:
            assert section.strip()

    def test_the_alerts_that_it_names_exist(self, name: str) -> None:
        text = RUNBOOKS[name].read_text("utf-8")
        named = set(re.findall(r"`((?:[A-Z][a-z]+){2,})`", text)) - {"Safety"}
        assert named <= NAMES | OF_AGENTS

    def test_its_commands_exist(self, name: str) -> None:
        from typer.main import get_command

        from rackwatt.collector.cli import app

        program: Any = get_command(app)
        program.complete()
        groups = program.commands
        text = RUNBOOKS[name].read_text("utf-8")
        for group, command in re.findall(r"`rackwatt ([a-z]+)(?: ([a-z]+))?", text):
            assert group in groups
            if command and hasattr(groups[group], "commands"):
                assert command in groups[group].commands


def test_links_lead_to_runbook_and_dashboard() -> None:
    settings = Settings(runbooks="https://wiki.example.net/rb/", grafana="https://g.example.net")
    family = FAMILIES[0]
    told = annotations(family.alerts[0], family.key, settings, GIVEN)
    assert told["runbook_url"] == "https://wiki.example.net/rb/FeedLost.md"
    url = expanded(told["dashboard_url"], {"site": "demo"})
    assert url == "https://g.example.net/d/rackwatt-chain-en?var-site=demo"
    assert expanded(told["dashboard_url"], {}) == "https://g.example.net/d/rackwatt-chain-en"


def test_names_in_arabic_lines_stand_apart() -> None:
    assert isolated("الخط {{ $labels.feed }} محمل") == "الخط \u2066{{ $labels.feed }}\u2069 محمل"

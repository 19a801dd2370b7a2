# SPDX-License-Identifier: Apache-2.0
"""All languages say all things, in their own words and with their own typography."""

import re
from pathlib import Path

import pytest

from rackwatt.collector.live.page.catalogue import (
    LANGUAGES,
    STATIC,
    choose_language,
    load_catalogues,
)
from rackwatt.collector.live.page.demo import demo_frame
from rackwatt.collector.live.page.render import Renderer

CATALOGUES = {code: item.messages for code, item in load_catalogues().items()}
ENGLISH = CATALOGUES["en"]
TEMPLATES = sorted((STATIC.parent / "templates").glob("*.html"))
SCRIPTS = sorted((STATIC / "js").glob("*.js"))
PLACEHOLDER = re.compile(r"\{\w+\}")
OTHERS = [code for code in LANGUAGES if code != "en"]

# Words that are the same in both languages, looked at one by one.
SAME_ON_PURPOSE = {
    "fr": {
        "agents.name",
        "hall.site",
        "severity.info",
        "sources.title",
        "racks.gpus",
        "chain.maintenance",
        "chain.phase",
        "kind.cdu",
    },
    "ar": set[str](),
}
TECHNICAL = ("number.", "units.", "language.dir")


def text_nodes(html: str) -> list[str]:
    html = re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)
    return [text.strip() for text in re.findall(r">([^<]+)<", html) if text.strip()]


def test_the_files_that_these_tests_read_are_there() -> None:
    assert len(TEMPLATES) == 7
    assert len(SCRIPTS) == 12


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_the_same_keys_and_placeholders(language: str) -> None:
    messages = CATALOGUES[language]
    assert list(messages) == list(ENGLISH)
    for key, text in messages.items():
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(ENGLISH[key])), key
        assert text or key == "number.percent_space", key


@pytest.mark.parametrize("language", OTHERS)
def test_no_english_is_left_over(language: str) -> None:
    same = {
        key
        for key, text in CATALOGUES[language].items()
        if text == ENGLISH[key] and not key.startswith(TECHNICAL)
    }
    assert same <= SAME_ON_PURPOSE[language]


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("page", ["operators", "wall", "commitments", "chain"])
def test_no_english_sentence_reaches_a_page_in_another_language(page: str, language: str) -> None:
    frame = demo_frame(1_790_000_000_000)
    html = Renderer().render(page, language, frame)
    own = set(CATALOGUES[language].values())
    english = {text for text in ENGLISH.values() if len(text) > 3 and text not in own}
    english.remove("English")  # the language switch
    titles = re.findall(r'(?:title|aria-label)="([^"]+)"', html)
    assert not english & {*text_nodes(html), *titles}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_templates_hold_no_text_of_their_own(template: Path) -> None:
    jinja = r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}"
    source = re.sub(jinja, "", template.read_text(), flags=re.DOTALL)
    words = {text for text in text_nodes(source) if re.search(r"[^\W\d]{2}", text)}
    files = {"scripts/build-assets", "docs/chains.md", "docs/examples/site-chains.yaml"}
    assert words <= {"PUE", "Rackwatt", *files}


def test_every_text_is_used_and_every_used_text_exists() -> None:
    sources = "\n".join(path.read_text() for path in [*TEMPLATES, *SCRIPTS])
    used = set(re.findall(r"(?:ui\.t|ui\.message)\('([\w.]+)'", sources))
    used |= set(re.findall(r"\"(chain\.\w+)\"", sources))
    assert used
    families: tuple[str, ...]
    families = ("agent.", "hall.", "severity.", "share.", "sink.", "source.", "state.", "store.")
    families = (*families, "why.", "window.", "quality.", "language.", "number.", "units.")
    families = (*families, "kind.", "redundancy.", "promise.")
    missing = {key for key in used if key[-1] not in "._"} - set(ENGLISH)
    assert not missing
    unused = {key for key in ENGLISH if key not in used and not key.startswith(families)}
    assert not unused


def test_french_puts_a_narrow_space_before_its_signs() -> None:
    for key, text in CATALOGUES["fr"].items():
        assert not re.search(r"[^\u202f\d][:;!?%»](?!\w)", text), key
        assert "'" not in text, key


def test_arabic_and_french_group_digits_with_a_space_that_keeps_its_place() -> None:
    for language in ("fr", "ar"):
        assert CATALOGUES[language]["number.group"] == "\u202f"
        assert CATALOGUES[language]["number.decimal"] == ","
    arabic_digits = re.compile("[\u0660-\u0669\u06f0-\u06f9]")
    assert not any(arabic_digits.search(text) for text in CATALOGUES["ar"].values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_pue_is_pue(language: str) -> None:
    html = Renderer().render("operators", language, demo_frame(1_790_000_000_000))
    assert "PUE" in text_nodes(html)


@pytest.mark.parametrize(
    ("asked", "header", "language"),
    [
        (None, "", "en"),
        ("fr", "ar", "fr"),
        ("ar", "", "ar"),
        ("de", "fr-MA,fr;q=0.9", "fr"),
        (None, "de-DE,de;q=0.9,ar;q=0.7,en;q=0.5", "ar"),
        (None, "en;q=0.2, fr;q=0.8", "fr"),
        (None, "AR-ma", "ar"),
        (None, "fr;q=0,en", "en"),
        (None, "fr;q=nonsense", "en"),
        (None, ";;;,,,q=", "en"),
        ("<script>", "*", "en"),
    ],
)
def test_the_language_is_the_one_asked_for_or_the_browsers(
    asked: str | None, header: str, language: str
) -> None:
    assert choose_language(asked, header) == language

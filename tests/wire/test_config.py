# SPDX-License-Identifier: Apache-2.0
"""Configuration files: every error names file, line, key and the nearest valid one."""

import math
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from rackwatt.wire.config import (
    ByteSize,
    ConfigErrors,
    Document,
    Duration,
    load,
    load_document,
    name_of,
    nearest,
)


class Meter(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str
    role: Literal["grid", "pv", "battery"] = "grid"
    every: Duration = 1.0


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: ByteSize = Field(default=1, ge=1)
    keep: Duration = Field(default=1.0, ge=0)


class File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    meters: list[Meter] = []
    limits: Limits = Limits()
    by_name: dict[str, Meter] = {}
    either: Limits | Meter | None = None


def errors(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        Document("site.yaml", text).validate(File)
    assert str(caught.value) == "\n".join(str(error) for error in caught.value.errors)
    return [str(error) for error in caught.value.errors]


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "name: demo\nmeters:\n- {id: m1, role: pv, every: 500ms}\nlimits: {size: 1.5kB, keep: 2h}\n"
    )
    file = load(path, File)
    assert file.meters[0].every == 0.5
    assert (file.limits.size, file.limits.keep) == (1500, 7200.0)


def test_an_unknown_key_names_file_line_and_the_nearest_key() -> None:
    text = "name: demo\nmeters:\n  - id: m1\n    role: pv\n  - id: m2\n    rolle: pv\n"
    assert errors(text) == [
        "site.yaml:6: meters[1].rolle: unknown key (did you mean 'role'?)",
    ]


def test_a_key_that_resembles_none_lists_the_valid_ones() -> None:
    assert errors("name: a\nlimits:\n  zzz: 1\n") == [
        "site.yaml:3: limits.zzz: unknown key (valid: keep, size)",
    ]


def test_keys_below_a_free_name_and_below_a_union_are_checked_too() -> None:
    text = "name: a\nby_name:\n  first:\n    id: x\n    rol: pv\n"
    assert errors(text) == ["site.yaml:5: by_name.first.rol: unknown key (did you mean 'role'?)"]
    assert any(
        line.startswith("site.yaml:3: either.siz: unknown key (did you mean 'size'?)")
        for line in errors("name: a\neither:\n  siz: 3\n")
    )


def test_a_wrong_literal_names_the_nearest() -> None:
    (error,) = errors("name: a\nmeters:\n- id: m1\n  role: batery\n")
    assert error.startswith("site.yaml:4: meters[0].role: ")
    assert error.endswith("got 'batery' (did you mean 'battery'?)")


def test_what_is_missing_points_at_what_it_is_missing_in() -> None:
    text = "meters:\n- role: pv\n"
    assert errors(text) == [
        "site.yaml:1: name: is missing",
        "site.yaml:2: meters[0].id: is missing",
    ]


def test_all_errors_come_at_once_in_the_order_of_the_file() -> None:
    text = "nam: a\nlimits: {size: 0}\nmeters: [{id: 3}, {id: a, every: soon}]\n"
    lines = [int(error.split(":")[1]) for error in errors(text)]
    assert lines == sorted(lines)
    assert len(lines) == 5


def test_a_key_that_stands_twice_is_refused() -> None:
    text = "name: a\nlimits:\n  size: 1\n  keep: 1s\n  size: 2\nname: b\n"
    assert errors(text) == [
        "site.yaml:5: size: stands twice",
        "site.yaml:6: name: stands twice",
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: [a\nmeters: b\n", 2, "broken YAML"),
        ("name: a\n\tb: c\n", 2, "broken YAML"),
        ("name: 'a\n", 2, "broken YAML"),
        ("name: a\x00b\n", 1, "broken YAML"),
        ("a: 1\n---\nb: 2\n", 2, "broken YAML"),
        ("- a\n- b\n", 1, "must be a mapping"),
        ("just words\n", 1, "must be a mapping"),
        ("a: &a\n  b: *a\n", 2, "contains itself"),
        ("? [a, b]\n: c\n", 1, "a key must be a plain word"),
        ("name: a\n!!python/name:os.system x: c\n", 2, "unreadable value"),
        ("name: !!python/object/apply:os.getcwd []\n", 1, "is missing"),
        ("name: a\nsince: 2026-13-45\n", 2, "unreadable value"),
        ("", 1, "is missing"),
    ],
)
def test_a_broken_file_names_the_line(text: str, line: int, words: str) -> None:
    found = errors(text)
    if words != "is missing":
        assert found[0].startswith(f"site.yaml:{line}:")
        assert words in found[0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0), ("500ms", 0.5), ("2m", 120.0), ("5min", 300.0), ("24h", 86400.0),
        ("1d", 86400.0), ("1.5 h", 5400.0), ("7", 7.0), ("0.25", 0.25),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    document = Document("f", f"name: a\nlimits: {{keep: {text}}}")
    assert document.validate(File).limits.keep == seconds


@pytest.mark.parametrize(
    "text", ["10 parsecs", "s", "1h30m", "-5s", "'10'", "''", "true", ".inf", ".nan", "[1]", "5S"]
)
def test_a_wrong_duration_is_refused(text: str) -> None:
    (error,) = errors(f"name: a\nlimits:\n  keep: {text}\n")
    assert error.startswith("site.yaml:3: limits.keep: ")


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GB", 10**9), ("512MiB", 2**29), ("1 kB", 1000), ("1.5KiB", 1536), ("12B", 12), ("77", 77)],
)
def test_sizes(text: str, size: int) -> None:
    document = Document("f", f"name: a\nlimits: {{size: {text}}}")
    assert document.validate(File).limits.size == size


@pytest.mark.parametrize("text", ["1 GBit", "many", "1.5", "0", "true", ".inf", "-1"])
def test_a_wrong_size_is_refused(text: str) -> None:
    (error,) = errors(f"name: a\nlimits:\n  size: {text}\n")
    assert error.startswith("site.yaml:3: limits.size: ")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    with pytest.raises(ConfigErrors, match=r"missing\.yaml:1: cannot be read: No such file"):
        load_document(missing)
    broken = tmp_path / "latin.yaml"
    broken.write_bytes(b"name: \xff\n")
    with pytest.raises(ConfigErrors, match=r"latin\.yaml:1: cannot be read: is not text"):
        load(broken, File)


def test_the_document_answers_for_the_lines_of_nested_lists() -> None:
    document = Document("f", "a:\n  - - 1\n    - 2\n  - - 3\nb: c\n")
    assert document.data == {"a": [[1, 2], [3]], "b": "c"}
    assert [document.line_of(key) for key in (("a", 0, 1), ("a", 1, 0), ("b",), ("zz",))] == [
        3, 4, 5, 1,
    ]  # fmt: skip
    error = document.error(("a", 1, 0), "is odd")
    assert str(error) == "f:4: a[1][0]: is odd"


def test_hints() -> None:
    assert nearest("Metres", ["meters", "halls"]) == "did you mean 'meters'?"
    assert nearest("x", []) == ""
    assert nearest("qqq", [f"k{n}" for n in range(30)]) == ""
    assert name_of(("a", 0, "b", 1)) == "a[0].b[1]"
    assert math.isfinite(Limits().keep)

# SPDX-License-Identifier: Apache-2.0
"""An agent's configuration file: what is right, and what is named when it is wrong."""

import importlib
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from rackwatt.agents import settings
from rackwatt.agents.settings import load_config
from rackwatt.wire.config import ConfigErrors

GOOD = """\
agent: {site: demo, hall: hall-a, name: air-a, sample_every: 1s, send_every: 10s}
broker: {url: "mqtt://127.0.0.1:1883"}
outbox: {path: data/outbox.db, keep: 2h, max_bytes: 1MB}
source: blueprint
blueprint:
  devices:
    - {name: air-1, host: 127.0.0.1, port: 7770}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "agent.yaml"
    path.write_text(text)
    return path


def errors(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigErrors) as caught:
        load_config(path)
    return [str(error).removeprefix(f"{path}:") for error in caught.value.errors]


def test_a_good_file(tmp_path: Path) -> None:
    loaded = load_config(write(tmp_path, GOOD))
    assert loaded.config.agent.send_every == 10.0
    assert loaded.config.outbox.keep == 7200.0
    assert loaded.outbox_path == tmp_path / "data" / "outbox.db"
    assert loaded.context.node == "air-a"
    assert loaded.create_source() is not loaded.create_source()


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("send_every: 10s", "send_evry: 10s", 1, "did you mean 'send_every'?"),
        ("send_every: 10s", "send_every: 1500ms", 1, "must be a whole multiple of sample_every"),
        ("send_every: 10s", "send_every: 500ms", 1, "must be a whole multiple of sample_every"),
        ("sample_every: 1s", "sample_every: 1 second", 1, "a duration must be a number with"),
        ("sample_every: 1s", "sample_every: 10ms", 1, "must be at least 0.05"),
        ("hall: hall-a", "hall: hall/a", 1, "must be 1 to 100 letters"),
        ("name: air-a, ", "", 1, "agent.name: is missing"),
        ("mqtt://127.0.0.1:1883", "127.0.0.1", 2, "mqtt://host:port"),
        ("max_bytes: 1MB", "max_bytes: 1 MByte", 3, "a size must be a number with a unit"),
        ("source: blueprint", "source: bluprint", 4, "did you mean 'blueprint'?"),
        ("source: blueprint", "source: [blueprint]", 4, "unknown source ['blueprint']"),
        ("source: blueprint\n", "", 1, "source: is missing"),
        ("blueprint:\n", "bluprint:\n", 1, "blueprint: is missing"),
        ("port: 7770", "prt: 7770", 7, "did you mean 'port'?"),
        ("broker: {", "broker: {url: a, ", 2, "stands twice"),
        ("outbox: {", "outbox: [", 3, "broken YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert GOOD.count(old) == 1
    found = errors(tmp_path, GOOD.replace(old, new))
    assert any(error.startswith(f"{line}:") and words in error for error in found), found


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"absent\.yaml:1: cannot be read"):
        load_config(tmp_path / "absent.yaml")


def test_a_driver_whose_library_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'pysnmp'", name="pysnmp")

    monkeypatch.setattr(settings.importlib, "import_module", missing)  # type: ignore[attr-defined]
    wrong = GOOD.replace("source: blueprint", "source: snmp").replace("blueprint:", "snmp:")
    (error,) = errors(tmp_path, wrong)
    assert "source 'snmp' needs the Python package 'pysnmp'" in error
    assert "pip install 'rackwatt[snmp]'" in error


def test_a_driver_of_ours_that_is_missing_is_no_matter_of_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(settings.importlib, "import_module", missing)  # type: ignore[attr-defined]
    with pytest.raises(ModuleNotFoundError):
        load_config(write(tmp_path, GOOD))


@pytest.mark.parametrize("name", sorted(settings.DRIVERS))
def test_every_driver_is_there_and_its_example_is_right(name: str) -> None:
    module = importlib.import_module(settings.DRIVERS[name])
    assert hasattr(module, "Settings")
    assert callable(module.create)
    assert module.__file__ is not None
    loaded = load_config(Path(module.__file__).parent / "example.yaml")
    assert loaded.config.source == name
    loaded.create_source()


def test_the_page_on_agents_names_every_common_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
    for section, info in settings.Config.model_fields.items():
        model = next(
            (part for part in (info.annotation, *get_args(info.annotation)) if _is_model(part)),
            None,
        )
        for key in (
            [section] if model is None else [f"{section}.{key}" for key in model.model_fields]
        ):
            assert f"`{key}`" in page, key


def _is_model(part: object) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)

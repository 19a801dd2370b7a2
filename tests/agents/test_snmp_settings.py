# SPDX-License-Identifier: Apache-2.0
"""The SNMP section of a configuration, what a start needs, and the narrow seam to pysnmp."""

import importlib.util
from pathlib import Path

import pytest

from rackwatt.agents.settings import load_config
from rackwatt.agents.snmp import Settings, create
from rackwatt.agents.snmp import source as source_module
from rackwatt.agents.snmp import wire as wire_module
from rackwatt.agents.snmp.settings import PUBLIC
from rackwatt.agents.snmp.wire import Getter, PysnmpGetter
from rackwatt.agents.source import Context, StartError
from rackwatt.wire.config import ConfigErrors

AUTH, PRIV = "authentic-phrase", "private-phrase"


def row(device: str, name: str, port: int, **more: object) -> dict[str, object]:
    return {"device": device, "map": name, "host": "127.0.0.1", "port": port, **more}


async def test_missing_secrets_and_packages_end_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [row("a", "apc-rpdu2", 161, credentials="site")]
    keys = {"auth_key_env": "RACKWATT_TEST_AUTH", "priv_key_env": "RACKWATT_TEST_PRIV"}
    section = {"devices": rows, "credentials": {"site": {"version": "v3", "user": "u", **keys}}}
    source = create(Settings.model_validate(section), Context(node="n"))
    with pytest.raises(StartError, match="'site': environment variable RACKWATT_TEST_AUTH") as no:
        await source.start()
    assert no.value.kind == "fatal"
    monkeypatch.setenv("RACKWATT_TEST_AUTH", AUTH)
    monkeypatch.setenv("RACKWATT_TEST_PRIV", PRIV)
    real = importlib.util.find_spec
    for package, hint in (("cryptography", "cryptography"), ("pysnmp", "snmp")):

        def without(name: str, missing: str = package) -> object:
            return None if name == missing else real(name)

        monkeypatch.setattr(importlib.util, "find_spec", without)
        with pytest.raises(StartError, match=hint):
            await source.start()
    await source.aclose()


def test_the_seam_can_only_get() -> None:
    """The bytes are asserted above; this keeps the door from growing."""
    assert {name for name in vars(Getter) if not name.startswith("_")} == {"get", "aclose"}
    public = {name for name in vars(PysnmpGetter) if not name.startswith("_")}
    assert public == {"get", "aclose"}
    text = Path(wire_module.__file__).read_text()
    assert "set_cmd" not in text
    assert text.count("_cmd(") == text.count("get_cmd(") == 1
    assert repr(PUBLIC).count("public") == 0


def test_the_example_loads() -> None:
    example = Path(load_config.__code__.co_filename).parent / "snmp" / "example.yaml"
    loaded = load_config(example)
    assert loaded.config.source == "snmp"
    loaded.create_source()


def test_a_wrong_index_of_a_map_of_ones_own_is_refused(tmp_path: Path) -> None:
    shipped = Path(source_module.__file__).parent / "maps" / "apc-rpdu2.yaml"
    (tmp_path / "mine.yaml").write_text(shipped.read_text())
    settings = Settings.model_validate({"devices": [row("a", "mine.yaml", 1, index={"pud": 1})]})
    with pytest.raises(ConfigErrors, match="device a:1: index: no index 'pud'"):
        create(settings, Context(node="n", config_dir=tmp_path))

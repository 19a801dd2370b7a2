# SPDX-License-Identifier: Apache-2.0
"""The Modbus section of a configuration, and the narrow seam to pymodbus."""

import itertools
from pathlib import Path

import pytest

from rackwatt.agents.modbus import Settings
from rackwatt.agents.settings import load_config


def row(device: str, name: str, port: int) -> dict[str, object]:
    return {"device": device, "map": name, "host": "127.0.0.1", "port": port}


def test_the_example_loads() -> None:
    example = Path(load_config.__code__.co_filename).parent / "modbus" / "example.yaml"
    loaded = load_config(example)
    assert loaded.config.source == "modbus"
    source = loaded.create_source()
    assert len(source.inventory()) == 6


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"map": "janitsa"}, "unknown map .did you mean 'janitza-umg'"),
        ({"unit": 300}, "less than or equal to 255"),
        ({"scale": 0}, "greater than 0"),
        ({"hots": "x"}, "Extra inputs"),
    ],
)
def test_wrong_rows_are_refused(change: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Settings.model_validate({"devices": [row("a", "janitza-umg", 502) | change]})


def test_there_is_a_device_and_the_caps_fit() -> None:
    rows = [row("a", "janitza-umg", 502)]
    with pytest.raises(ValueError, match="at least one"):
        Settings.model_validate({"devices": []})
    with pytest.raises(ValueError, match="retry_cap"):
        Settings.model_validate({"devices": rows, "retry_first": 5, "retry_cap": 1})


def test_the_seam_to_pymodbus_can_only_read() -> None:
    """The bytes are asserted above; this keeps the door from growing."""
    from rackwatt.agents.modbus import wire as module

    names = {name for name in vars(module._Client) if not name.startswith("_")}
    assert names == {"read_holding_registers", "read_input_registers", "close"}
    text = Path(module.__file__).read_text()
    calls = itertools.chain.from_iterable(line.split("client.")[1:] for line in text.splitlines())
    assert all(call.startswith(("read_", "close", "connect")) for call in calls)

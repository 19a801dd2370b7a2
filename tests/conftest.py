# SPDX-License-Identifier: Apache-2.0
"""What all tests share: real servers, started when a test asks for one."""

from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["servers.fixtures"]

# How long an example takes says what else the machine does, and nothing of the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_LONG = ("test_alerts_end_to_end.py", "test_whole.py", "test_whole_influx.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come first, so that no worker is alone with one at the end."""

    def turn(item: pytest.Item) -> int:
        path = Path(item.path)
        if path.name in _LONG:
            return _LONG.index(path.name)
        return len(_LONG) if {"containers", "e2e", "faults"} & set(path.parts) else len(_LONG) + 1

    items.sort(key=turn)

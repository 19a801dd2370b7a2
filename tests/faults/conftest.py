# SPDX-License-Identifier: Apache-2.0
"""What the tests of faults share: time in fractions of a second, and the table that they fill."""

from collections.abc import Generator

import pytest
from faults_kit.table import FULL, line, note_outcome, print_table

from rackwatt.wire.backoff import Backoff

__all__ = ["line"]  # a fixture


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes half a minute in operation takes half a second: gaps, statuses, back-off."""
    monkeypatch.setattr("rackwatt.collector.ingest.watch.GRACE_SECONDS", 1.0)
    monkeypatch.setattr("rackwatt.agents.agent.STATUS_SECONDS", 0.5)
    monkeypatch.setattr("rackwatt.wire.session._KEEPALIVE_SECONDS", 1)
    monkeypatch.setattr("rackwatt.wire.session._CONNECT_SECONDS", 1.0)
    following = Backoff.next
    monkeypatch.setattr(Backoff, "next", lambda self: following(self) / 20)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    note_outcome(item, report)
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if FULL or config.option.verbose > 0:
        print_table(terminalreporter, config)

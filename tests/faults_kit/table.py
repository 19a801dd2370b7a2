# SPDX-License-Identifier: Apache-2.0
"""The table of faults: each test says what it did and what held; `make faults` prints it."""

import os
import time
from dataclasses import dataclass, field

import pytest

FULL = os.environ.get("RACKWATT_FAULTS", "").lower() == "full"
"""Whether the long forms run."""


@dataclass
class Line:
    """One fault."""

    fault: str = ""
    figures: dict[str, object] = field(default_factory=dict)
    outcome: str = "failed"
    seconds: float = 0.0

    def note(self, fault: str, **figures: object) -> None:
        """Name the fault and what was measured."""
        self.fault = fault
        self.figures |= figures


LINES: pytest.StashKey[list[Line]] = pytest.StashKey()


@pytest.fixture
def line(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    """This test's line in the table."""
    lines = request.config.stash.setdefault(LINES, [])
    made = Line(fault=request.node.name)
    lines.append(made)
    started = time.monotonic()
    yield made
    made.seconds = time.monotonic() - started
    report = request.node.stash.get(_CALL, None)
    made.outcome = "no outcome" if report is None else report


_CALL: pytest.StashKey[str] = pytest.StashKey()


def note_outcome(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep what became of a test, for its line."""
    if report.when == "call":
        item.stash[_CALL] = "holds" if report.passed else report.outcome


def print_table(reporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line per fault."""
    lines = config.stash.get(LINES, [])
    if not lines:
        return
    reporter.section("faults")
    for each in lines:
        figures = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in
                            each.figures.items())  # fmt: skip
        reporter.line(f"{each.outcome:8} {each.seconds:6.1f} s  {each.fault}: {figures}")

# SPDX-License-Identifier: Apache-2.0
"""An alert: what it asks, how long, whom it calls, and where that stands."""

import re
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

Severity = Literal["safety", "page", "ticket", "digest", "none"]
"""safety: at once, whatever else; page: wakes somebody; ticket: in working hours; digest: read
once a day; none: the dead man's switch, whose end is the news."""
Owner = Literal["electrical", "mechanical", "IT", "sustainability", "platform"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
OWNERS: Final[tuple[Owner, ...]] = get_args(Owner)

_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9]+")
_SPAN: Final = re.compile(r"[1-9][0-9]*[smhd]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A rule; what it says stands in the texts of its family, and what to do in its runbook.

    Attributes:
        name: in CamelCase; also of its runbook.
        expr: PromQL; what it returns is on. The value is what the description shows.
        wait: how long it must be so before it fires, as `20s`; empty: no time.
        keep: how long it stays on after it was last so, likewise.
        severity: how urgently somebody is told.
        owner: whose matter it is.
        board: the dashboard that shows it.
        labels: more of them, for routing.

    Raises:
        ValueError: a name or a time is not of that form.
    """

    name: str
    expr: str
    severity: Severity
    owner: Owner
    board: str
    wait: str = ""
    keep: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of an alert")
        for span in filter(None, (self.wait, self.keep)):
            if not _SPAN.fullmatch(span):
                raise ValueError(f"{self.name}: {span!r} is no time like 20s")

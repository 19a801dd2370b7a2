# SPDX-License-Identifier: Apache-2.0
"""What Grafana does to a query before it sends it, in the parts that our queries use.

No Grafana: its rules for variables, intervals and times, written down once more. Sources:
https://grafana.com/docs/grafana/latest/dashboards/variables/variable-syntax/ and
https://grafana.com/docs/grafana/latest/datasources/influxdb/query-editor/
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ALL = "$__all"
_LENGTH = re.compile(r"\$\{__to\} - \$\{__from\} (>|<=) (\d+)")
_VARIABLE = re.compile(r"\$\{(\w+):regex\}")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "M": 30 * 86_400,
            "y": 365 * 86_400}  # fmt: skip
_WIDTH = 1000
"""Points that a panel has room for."""
_NICE_MS = [s * 1000 for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)]


def seconds(text: str) -> int:
    """`15m` in seconds."""
    return int(text[:-1]) * _SECONDS[text[-1]]


@dataclass(frozen=True)
class Range:
    """What a dashboard shows."""

    start_ms: int
    end_ms: int

    def last(self, span: str) -> "Range":
        """A panel's own time: so long until the same end."""
        return Range(self.end_ms - seconds(span) * 1000, self.end_ms)


def escaped(value: str) -> str:
    return re.sub(r"[\\^$*+?.()|[\]{}/]", lambda found: "\\" + found.group(), value)


def regex(value: str | Sequence[str], all_value: str | None) -> str:
    """A variable's value in the format `regex`."""
    if value == ALL:
        assert all_value is not None
        return all_value  # a value of one's own for All is not formatted
    if isinstance(value, str):
        return escaped(value)
    return escaped(value[0]) if len(value) == 1 else f"({'|'.join(map(escaped, value))})"


def influx_text(
    query: str,
    shown: Range,
    panel: Mapping[str, Any],
    values: Mapping[str, str | Sequence[str]],
    all_values: Mapping[str, str | None],
) -> str:
    """A query as the database gets it."""
    asked = shown.last(panel["timeFrom"]) if panel.get("timeFrom") else shown
    least = seconds(panel.get("interval", "1s")) * 1000
    wanted = max((asked.end_ms - asked.start_ms) / _WIDTH, least)
    interval = next((ms for ms in _NICE_MS if ms >= wanted), _NICE_MS[-1])
    text = _VARIABLE.sub(lambda found: regex(values[found[1]], all_values[found[1]]), query)
    for name, replacement in {
        "$timeFilter": f"time >= {asked.start_ms}ms and time <= {asked.end_ms}ms",
        "$__interval": f"{interval}ms",
        "${__from}": str(shown.start_ms),
        "${__to}": str(shown.end_ms),
    }.items():
        text = text.replace(name, replacement)
    assert "$" not in text.replace("$/", ""), text
    return text


def applies(query: str, shown: Range) -> bool:
    """Whether a target is meant for a range of this length."""
    length = shown.end_ms - shown.start_ms
    return all(
        length > int(bound) if sign == ">" else length <= int(bound)
        for sign, bound in _LENGTH.findall(query)
    )

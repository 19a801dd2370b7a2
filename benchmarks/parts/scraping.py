# SPDX-License-Identifier: Apache-2.0
"""One scrape, with what the campus benchmark looks at."""

import time
import urllib.request
from dataclasses import dataclass
from typing import Final

_SUMMED: Final = ("messages_total", "messages_rejected_total")
_KEPT: Final = (
    "messages_total", "messages_duplicate_total", "messages_lost_total",
    "messages_recovered_total", "store_points_total", "store_lag_seconds",
    "figures_timestamp_seconds", "rollups_pending",
)  # fmt: skip
_LABELLED: Final = ("spool_bytes", "spool_oldest_seconds", "store_rows_within_total")


@dataclass(frozen=True, slots=True)
class Scraped:
    """What was found: names without `rackwatt_`; `missing` and rejects are summed up."""

    seconds: float
    series: int
    values: dict[str, float]


def scrape(url: str) -> Scraped:
    """Scrape.

    Raises:
        OSError: nobody answers.
    """
    begin = time.perf_counter()
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    seconds = time.perf_counter() - begin
    values: dict[str, float] = {}
    series = 0
    for line in text.splitlines():
        if line.startswith("#") or not line.startswith("rackwatt_"):
            continue
        series += 1
        name, _, value = line.rpartition(" ")
        bare, labels = name.removeprefix("rackwatt_"), ""
        if "{" in bare:
            bare, _, labels = bare.partition("{")
        if bare == "messages_missing":
            values["missing"] = values.get("missing", 0.0) + float(value)
        elif bare in _SUMMED:
            values[bare] = values.get(bare, 0.0) + float(value)
        elif bare in _LABELLED:
            values[f"{bare}{{{labels}"] = float(value)
        elif bare in _KEPT:
            values[bare] = float(value)
    return Scraped(seconds, series, values)

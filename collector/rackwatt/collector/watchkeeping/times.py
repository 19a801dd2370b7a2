# SPDX-License-Identifier: Apache-2.0
"""Times as people on watch say them: `18:00`, `4h`, or in full."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from rackwatt.collector.ledger.commands.times import instant
from rackwatt.collector.site.console import stop
from rackwatt.wire.config import parse_duration

DAY_MS: Final = 86_400_000
MINUTE_MS: Final = 60_000
MOST_DAYS: Final = 400
"""A maintenance that is to last longer is a change of the site file."""
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def moment_of(option: str, text: str, zone: tzinfo, now_ms: int, *, ahead: bool) -> int:
    """An instant in ms since 1970 UTC.

    Args:
        option: what gave it.
        text: ``18:00`` by the site's clocks, or what :func:`.instant` reads.
        zone: the site's.
        now_ms: the present.
        ahead: a time of day is the next one; else it is today's.

    Raises:
        typer.Exit: it is no time.
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return instant(option, text, zone)
    local = datetime.fromtimestamp(now_ms / 1000, zone)
    at = local.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0, fold=0)
    if ahead and _ms(at) <= now_ms:
        at += timedelta(days=1)  # by the clocks on the wall, whatever they do in between
    return _ms(at)


def _ms(at: datetime) -> int:
    return round(at.astimezone(UTC).timestamp() * 1000)


def duration_ms(option: str, text: str) -> int:
    """A length of time in ms, above 0.

    Raises:
        typer.Exit: it is none.
    """
    try:
        seconds = float(str(parse_duration(text)))
    except ValueError as error:
        stop(f"{option}: {error}, not {text!r}")
    if seconds <= 0:
        stop(f"{option}: must be more than 0")
    return round(seconds * 1000)


def end_of(until: str | None, lasting: str | None, start_ms: int, now_ms: int, zone: tzinfo) -> int:
    """When something is to end, by `--until` or by `--for`.

    Raises:
        typer.Exit: neither or both are given, or it is in the past or far away.
    """
    if (until is None) == (lasting is None):
        stop("say until when: --until 18:00, --until 2026-11-23T18:00+01:00, or --for 4h")
    if until is not None:
        end = moment_of("--until", until, zone, max(now_ms, start_ms), ahead=True)
    else:
        end = start_ms + duration_ms("--for", lasting or "")
        end = -(-end // MINUTE_MS) * MINUTE_MS  # nobody plans seconds
    option = "--until" if until is not None else "--for"
    if end <= max(now_ms, start_ms):
        stop(f"{option}: that has passed already; say when the asset is to be back")
    if end - start_ms > MOST_DAYS * DAY_MS:
        stop(f"{option}: more than {MOST_DAYS} days is no maintenance: change the site file")
    return end

# SPDX-License-Identifier: Apache-2.0
"""Reads a meter and its neighbours for a while, by way of the accountant, and checks it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from rackwatt.collector.accounting.commissioning.checks import checks
from rackwatt.collector.accounting.commissioning.comparing import Family
from rackwatt.collector.accounting.commissioning.findings import Finding, Probe
from rackwatt.collector.meters.sampling import Samples, family_of, probe_of
from rackwatt.collector.roles.arguments import UsageProblem
from rackwatt.collector.site import Site
from rackwatt.collector.site.console import stop
from rackwatt.collector.watchkeeping.remotes import NoAnswer, Remote
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock

_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be checked, and what is known beside the site file.

    Attributes:
        meter: Its name.
        seconds: How long it is read.
        reference_watts: What an instrument beside it reads.
        parent_feeds_more: Its parent feeds unmetered loads, too.
        feeds_more: So does this meter.
    """

    meter: str
    seconds: float
    reference_watts: float | None = None
    parent_feeds_more: bool = False
    feeds_more: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found, and by what."""

    probe: Probe
    family: Family
    findings: Sequence[Finding]
    readings: int


def page_of(url: str, token_file: Path | None, ca_file: Path | None) -> Remote:
    """The accountant's page.

    Raises:
        typer.Exit: the options do not name one.
    """
    try:
        return Remote.of("--page", url, token_file, ca_file)
    except UsageProblem as error:
        stop(str(error))


def check(
    site: Site,
    page: Remote,
    asked: Asked,
    clock: Clock = SYSTEM_CLOCK,
    pause: Callable[[float], None] = time.sleep,
) -> Checked:
    """Read for a while, then check.

    Raises:
        typer.Exit: the page does not answer, or not as it does.
    """
    samples = Samples()
    end = clock.monotonic() + asked.seconds
    try:
        samples.add(page.get(f"/api/meters/{quote(asked.meter, safe='')}"))
        while clock.monotonic() < end:
            pause(_PAUSE_SECONDS)
            samples.add(page.get(f"/api/meters/{quote(asked.meter, safe='')}"))
    except NoAnswer as error:
        stop(f"--page: {error}: name the address of 'rackwatt up' or 'rackwatt account'")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        stop(f"--page: {page.url} answers, but not as Rackwatt's page: {error!r}")
    now = clock.now_ms()
    probe = probe_of(site, samples, asked.meter, now)
    family = family_of(
        site,
        samples,
        asked.meter,
        now,
        asked.reference_watts,
        parent_feeds_more=asked.parent_feeds_more,
        feeds_more=asked.feeds_more,
    )
    cadence = site.meters_at(now)[asked.meter].cadence_seconds
    found = checks(probe, family, cadence)
    return Checked(probe, family, found, samples.readings(asked.meter))

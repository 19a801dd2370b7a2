# SPDX-License-Identifier: Apache-2.0
"""`rackwatt twin load`: a whole campus as its messages."""

import asyncio
import contextlib
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rackwatt.collector.helptext import more
from rackwatt.collector.roles.arguments import UsageProblem, broker_settings
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.config import ConfigErrors
from rackwatt.wire.session import BrokerSettings

if TYPE_CHECKING:
    from rackwatt.collector.site import Site

EPILOG = more(
    "rackwatt twin load --write-site campus.yaml --scale 0.1",
    "rackwatt twin load --site campus.yaml --broker mqtt://127.0.0.1:1883 --seconds 60",
    "rackwatt twin load --site campus.yaml --broker mqtt://broker:1883 --record sent.json",
    failed="the broker cannot be reached",
    wrong="wrong input or usage; nothing was sent",
)


def load_command(
    site: Annotated[
        Path | None, typer.Option("--site", metavar="FILE", help="Play the agents of this site.")
    ] = None,
    broker: Annotated[
        str | None, typer.Option("--broker", metavar="URL", help="mqtt://host:1883 or mqtts://…")
    ] = None,
    write_site: Annotated[
        Path | None,
        typer.Option(
            "--write-site", metavar="FILE", help="Only write the reference campus's site file."
        ),
    ] = None,
    scale: Annotated[
        float,
        typer.Option(
            metavar="PART",
            min=0.0001,
            max=1.0,
            help="Only this part: of the campus that is written, or of the agents that are played.",
        ),
    ] = 1.0,
    seconds: Annotated[
        float, typer.Option(metavar="S", min=1, help="How long messages are sent.")
    ] = 60.0,
    linger: Annotated[
        float,
        typer.Option(
            metavar="S", min=0, help="How long statuses and answers go on after the last message."
        ),
    ] = 0.0,
    connections: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="That carry all agents.")
    ] = 16,
    together: Annotated[
        bool,
        typer.Option(
            "--together", help="All agents send at the same instant, as their clocks agree."
        ),
    ] = False,
    inventories: Annotated[
        bool, typer.Option(help="Each agent says at birth which devices it has.")
    ] = True,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Write what was sent, as JSON."),
    ] = None,
) -> None:
    """Send what a whole campus sends, over MQTT.

    45,800 trays of 4 GPUs and 2,540 racks with 40 sensors every 10 s, 500 meters every second,
    each as an agent of its own with its birth, its status every 10 s and its answers to requests.
    Agents share connections, so there is no last will.
    """
    try:
        if write_site is not None:
            _write(write_site, scale)
            return
        settings, place = _checked(site, broker, record)
    except UsageProblem as error:
        typer.echo(f"rackwatt: {error}", err=True)
        raise typer.Exit(2) from None
    except ConfigErrors as errors:
        typer.echo(str(errors), err=True)
        raise typer.Exit(2) from None
    from rackwatt.twin.load.crew import crew
    from rackwatt.twin.load.player import LoadFailed, Plan, Player

    voices = crew(place, scale, together=together)
    plan = Plan(place.id, settings, connections, seconds, linger, inventories)

    async def play() -> None:
        player = Player(plan, voices, SYSTEM_CLOCK, lambda line: typer.echo(line, err=True))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, player.stop)
        await player.run()
        if record is not None:
            partial = record.with_name(record.name + ".partial")
            partial.write_text(json.dumps(player.record()), encoding="utf-8")
            partial.replace(record)

    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(play())
    except LoadFailed as error:
        typer.echo(f"rackwatt: {error}", err=True)
        raise typer.Exit(1) from None


def _checked(
    site: Path | None, broker: str | None, record: Path | None
) -> tuple[BrokerSettings, "Site"]:
    from rackwatt.collector.site import load_site

    if site is None or broker is None:
        raise UsageProblem("--site and --broker say what to play and where; see --help")
    if record is not None and not record.resolve().parent.is_dir():
        raise UsageProblem(f"--record: there is no folder {record.resolve().parent}")
    settings = broker_settings(broker)
    try:
        return settings, load_site(site)
    except OSError as error:
        raise UsageProblem(f"--site: {site}: {error.strerror}") from None


def _write(file: Path, scale: float) -> None:
    from rackwatt.twin.load.campus import site_text

    try:
        file.write_text(site_text(scale), encoding="utf-8")
    except OSError as error:
        raise UsageProblem(f"--write-site: {file}: {error.strerror}") from None
    typer.echo(f"site file  {file}")

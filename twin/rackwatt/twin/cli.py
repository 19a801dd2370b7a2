# SPDX-License-Identifier: Apache-2.0
"""`rackwatt twin`: build, run and question the simulated site, and break it on purpose."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from rackwatt.agents.safety.settings import AlertmanagerSettings
from rackwatt.twin.control import clear, inject
from rackwatt.twin.faults import FaultError
from rackwatt.twin.kit import build, load_kit
from rackwatt.twin.load.cli import EPILOG as LOAD_EPILOG
from rackwatt.twin.load.cli import load_command
from rackwatt.twin.simulate_cli import EPILOG, simulate_command
from rackwatt.twin.spec import load_spec
from rackwatt.twin.truth import latest, true_pue, truth_at
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.config import ConfigErrors

_CODES = """\b
Exit codes:
  0  done
  2  wrong input or usage, or no twin in that folder"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="A simulated site: run it, break it, or simulate weeks.",
)
app.command("simulate", epilog=EPILOG)(simulate_command)
app.command("load", epilog=LOAD_EPILOG)(load_command)

DataFolder = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="The folder that 'rackwatt up' uses.")
]


def _examples(*lines: str) -> str:
    shown = "\n".join(f"  {line}" for line in lines)
    return f"\b\nExamples:\n{shown}\n\n{_CODES}"


@app.command(
    "build",
    epilog=_examples(
        "rackwatt twin build --data /tmp/try",
        "rackwatt twin build --scenario my.yaml",
        "rackwatt twin build --broker mqtts://broker:8883 --keys /etc/rackwatt/keys",
    ),
)
def build_command(
    data: DataFolder = Path("data"),
    scenario: Annotated[
        str, typer.Option(metavar="NAME", help="default, tetouan, or a YAML file of your own.")
    ] = "default",
    broker: Annotated[
        str, typer.Option(metavar="URL", help="The broker that the agents will use.")
    ] = "mqtt://127.0.0.1:1883",
    alertmanagers: Annotated[
        list[str] | None,
        typer.Option(
            "--alertmanager", metavar="URL", help="That agents of coolant units tell; repeatable."
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            metavar="DIR",
            help="Where each agent will find ca.crt, NAME.crt and NAME.key, for mqtts://.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")] = False,
) -> None:
    """Write the site file and the agents' files of a simulated site."""
    for url in alertmanagers or ():
        _check_alertmanager(url)
    if keys is not None and not broker.startswith("mqtts://"):
        typer.echo(f"rackwatt: --keys needs a --broker of mqtts://, got '{broker}'", err=True)
        raise typer.Exit(2)
    try:
        kit = build(
            load_spec(scenario),
            data,
            broker,
            alertmanagers=alertmanagers or (),
            keys=None if keys is None else keys.absolute(),
        )
    except ConfigErrors as errors:
        typer.echo(str(errors), err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"rackwatt: --data: {error.filename or data}: {error.strerror}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(asdict(kit), default=str))
        return
    typer.echo(f"site file    {kit.site_file}")
    typer.echo(f"agent files  {len(kit.agent_files)} in {kit.agent_files[0].parent}")


def _check_alertmanager(url: str) -> None:
    try:
        AlertmanagerSettings(url=url)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        typer.echo(f"--alertmanager: {why}, got '{url}'", err=True)
        raise typer.Exit(2) from None


@app.command(
    "run",
    epilog=_examples("rackwatt twin run --data /tmp/try", "rackwatt twin run --speed 60"),
)
def run_command(
    data: DataFolder = Path("data"),
    speed: Annotated[
        float,
        typer.Option(
            metavar="FACTOR", min=0.1, max=100_000, help="Weather and jobs run this much faster."
        ),
    ] = 1.0,
) -> None:
    """Run the site that was built in this folder, until stopped."""
    from rackwatt.twin.run import main

    try:
        spec, kit = load_kit(data)
    except FileNotFoundError:
        typer.echo(f"rackwatt: no twin in {data}: run 'rackwatt twin build' first", err=True)
        raise typer.Exit(2) from None
    except (OSError, ValueError) as error:
        typer.echo(f"rackwatt: {error}; 'rackwatt twin build' makes it anew", err=True)
        raise typer.Exit(2) from None
    asyncio.run(main(spec, kit, SYSTEM_CLOCK, speed))


@app.command(
    "truth",
    epilog=_examples("rackwatt twin truth --data data", "rackwatt twin truth | grep pue").replace(
        "\n  2  ", "\n  1  there is no truth for that instant\n  2  "
    ),
)
def truth_command(
    data: DataFolder = Path("data"),
    at: Annotated[
        int | None,
        typer.Option(
            "--at", metavar="MS", help="Instant in ms since 1970 UTC; default: the newest."
        ),
    ] = None,
    since: Annotated[
        int | None,
        typer.Option("--since", metavar="MS", help="Also the PUE from this instant on, in ms."),
    ] = None,
) -> None:
    """Print what really happened, as JSON.

    Powers in W, energies in Wh, PUE.
    """
    line = latest(data) if at is None else truth_at(data, at)
    if line is None:
        typer.echo(f"rackwatt: no truth for that instant in {data}", err=True)
        raise typer.Exit(1)
    answer: dict[str, Any] = dict(line)
    if since is not None:
        answer["pue_since"] = true_pue(data, since, line["time_ms"])
    json.dump(answer, sys.stdout, indent=1)
    typer.echo()


@app.command(
    "break",
    epilog=_examples(
        "rackwatt twin break dead grid-1 --seconds 30",
        "rackwatt twin break stuck pv-1",
        "rackwatt twin break gpu_lost r1-01-n1/3",
        "rackwatt twin break leak cdu-a1",
    ),
)
def break_command(
    fault: Annotated[
        str, typer.Argument(metavar="FAULT", help="dead, stuck, reset, gpu_lost, xid, leak, pump …")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A device of the site file, or node/index.")
    ],
    data: DataFolder = Path("data"),
    seconds: Annotated[
        float | None, typer.Option(metavar="S", min=0, help="Mend it after so long.")
    ] = None,
    value: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Of faults that take one.")
    ] = None,
) -> None:
    """Break something of the running twin: a meter, a PDU, a GPU."""
    with _talking(data):
        inject(data, fault, target, seconds, value)
    typer.echo(f"{fault} on {target}")


@app.command(
    "mend",
    epilog=_examples("rackwatt twin mend", "rackwatt twin mend dead grid-1"),
)
def mend_command(
    fault: Annotated[
        str | None, typer.Argument(metavar="FAULT", help="Only this kind of fault.")
    ] = None,
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", help="Only on this device.")
    ] = None,
    data: DataFolder = Path("data"),
) -> None:
    """Mend what was broken; without arguments everything."""
    with _talking(data):
        count = clear(data, fault, target)
    typer.echo(f"{count} faults mended")


@contextlib.contextmanager
def _talking(data: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, ConnectionRefusedError):
        typer.echo(f"rackwatt: no twin is running in {data}", err=True)
        raise typer.Exit(2) from None
    except (OSError, ValueError, FaultError) as error:
        typer.echo(f"rackwatt: {error}", err=True)
        raise typer.Exit(2) from None

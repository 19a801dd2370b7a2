# SPDX-License-Identifier: Apache-2.0
"""`rackwatt install-unit`: a systemd service that collects or accounts, with its secrets."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rackwatt.collector.helptext import NARROW, more
from rackwatt.wire.unitfile import STATE, Credential, Unit, UnitError, put, seen, text

unit_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=NARROW,
)

_ROLES: Final = {
    "collect": "Rackwatt collector: takes readings from MQTT",
    "account": "Rackwatt accountant: ledger, figures, metrics and page",
}
_MADE_BY: Final = "rackwatt install-unit {}"
_NEVER: Final = {
    "--data": "the service's state is in /var/lib/NAME",
    "--retire": "a service is not for what ends by itself",
}
_SECRETS: Final = {
    "internal_token_file": "--internal-token-file",
    "influx_token_file": "--influx-token-file",
}
"""Which else stand in the environment, that anybody may read of a unit."""


@unit_app.command(
    "install-unit",
    epilog=more(
        "rackwatt install-unit account -- --site /etc/rackwatt/site.yaml \\\n"
        "        --collector http://127.0.0.1:8401 --internal-token-file /etc/rackwatt/token",
        "rackwatt install-unit collect --write /etc/systemd/system -- --site … --broker …",
        done="printed or written",
        failed="it cannot be written",
        wrong="wrong usage, or what the service could not read",
    ),
)
def unit_command(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="collect or account.")],
    given: Annotated[
        list[str],
        typer.Argument(metavar="-- OPTIONS…", help="What that command is given, but --data."),
    ],
    write: Annotated[
        Path | None, typer.Option("--write", metavar="DIR", help="Write it there.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Of the service.  [default: rackwatt-ROLE]"),
    ] = None,
    program: Annotated[
        Path | None,
        typer.Option(
            "--program", metavar="FILE", help="rackwatt as the service will find it.  [this one]"
        ),
    ] = None,
) -> None:
    """Make a systemd service that collects or accounts.

    Hardened, with a user that systemd makes up, and started again when it fails. Files that its
    options name are read by root and passed on as credentials. It is printed; --write puts it into
    a folder. Nothing is started or enabled.
    """
    try:
        made = _unit(role, given, name, program)
        if write is None:
            typer.echo(text(made), nl=False)
            return
        path, changed = put(made, write)
    except UnitError as error:
        typer.echo(f"rackwatt: {error}", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"rackwatt: --write: {write}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    state = "written" if changed else "unchanged"
    typer.echo(f"{path}  {state}; its first lines say what to do next")


def _unit(role: str, given: list[str], name: str | None, program: Path | None) -> Unit:
    if role not in _ROLES:
        raise UnitError(f"ROLE: expects collect or account, got {role!r}")
    name = name or f"rackwatt-{role}"
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise UnitError(f"--name: {name!r}: expects letters, digits, '.', '_' and '-'")
    for word in given:
        option = word.partition("=")[0]
        if option in _NEVER:
            raise UnitError(f"{option}: leave it out: {_NEVER[option].replace('NAME', name)}")
    words, credentials = _checked(role, [*given, f"--data={STATE / name}"])
    found = program or Path(sys.executable).parent / "rackwatt"
    return Unit(
        name=name,
        description=_ROLES[role],
        made_by=_MADE_BY.format(role),
        command=[str(seen(found, "--program")), role, *words],
        credentials=credentials,
        open_files=8192,
        steps=[f"chmod 0600 {path}" for key, path in credentials.items() if _is_secret(key)],
    )


def _is_secret(credential: str) -> bool:
    return credential.endswith(("key-file", "token-file", "password-file"))


def _checked(role: str, given: list[str]) -> tuple[list[str], dict[str, Path]]:
    """The options as the command itself understands them, and the files among them.

    Raises:
        UnitError: a secret stands in no file, or a file cannot be used.
    """
    from rackwatt.collector.cli import app

    group: Any = typer.main.get_command(app)
    command: Any = group.commands[role]
    with command.make_context(f"rackwatt {role}", given) as context:
        values: dict[str, Any] = dict(context.params)
        said = {
            item: values[item.name]
            for item in command.params
            if context.get_parameter_source(item.name).name == "COMMANDLINE"
        }
    for key, option in _SECRETS.items():
        needed = key in values and (key != "influx_token_file" or values["influx"] is not None)
        if needed and values[key] is None:
            raise UnitError(f"{option} is missing: what a service is told is for all to read")
    words: list[str] = []
    credentials: dict[str, Path] = {}
    for item, value in said.items():
        for word, file in _words(item, value):
            words.append(word)
            if file is not None:
                credentials[str(word)] = file
    return words, credentials


def _words(item: Any, value: Any) -> Iterator[tuple[str, Path | None]]:
    """An option and its values; of a file that root passes on, the credential and where it is."""
    option = str(item.opts[0])
    if item.is_flag:
        yield (option if value else str(item.secondary_opts[0])), None
        return
    for one in value if isinstance(value, list | tuple) else [value]:
        yield option, None
        if not isinstance(one, Path) or option == "--data":
            yield str(one), None
        elif option.endswith("-file"):
            if not one.is_file():
                raise UnitError(f"{option}: there is no file {one}")
            yield Credential(option.removeprefix("--")), one.absolute()
        else:
            yield str(seen(one, option)), None

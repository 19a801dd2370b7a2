# SPDX-License-Identifier: Apache-2.0
"""`rackwatt-agent install-unit`: a systemd service that runs agents' files."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from rackwatt.agents.safety.watch import state_file
from rackwatt.agents.settings import Loaded
from rackwatt.wire.unitfile import Unit, UnitError, put, seen, text

TEXT: Final = """\
Make a systemd service that runs these files: hardened, with a user of its own, started again when
it fails. It is printed; --write puts it into a folder. Nothing is started or enabled.
"""
MORE: Final = """\
examples:
  rackwatt-agent install-unit /etc/rackwatt/meters.yaml
  rackwatt-agent install-unit /etc/rackwatt/meters.yaml --write /etc/systemd/system
  rackwatt-agent install-unit /etc/rackwatt/*.yaml --name rackwatt-agents

The outbox must lie in the service's folder: outbox: {path: /var/lib/rackwatt-agent-NAME/outbox.db}

exit codes:
  0 printed or written
  1 it cannot be written
  2 a wrong file or usage, or one that the service could not read
"""
_MADE_BY: Final = "rackwatt-agent install-unit"
_USER: Final = "rackwatt-agent"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--write", metavar="DIR", type=Path, help="write it there")
    parser.add_argument("--name", help="of the service; default: rackwatt-agent-NAME")
    parser.add_argument("--user", default=_USER, help=f"system user that runs it; default: {_USER}")
    parser.add_argument(
        "--program", type=Path, help="rackwatt-agent as the service will find it; default: this one"
    )


def command(loaded: Sequence[Loaded], options: argparse.Namespace) -> int:
    """Print or write the unit; returns the exit code."""
    try:
        unit = _unit(loaded, options)
        if options.write is None:
            print(text(unit), end="")
            return 0
        path, changed = put(unit, options.write)
    except UnitError as error:
        print(f"rackwatt-agent: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"rackwatt-agent: --write: {options.write}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{path}  {'written' if changed else 'unchanged'}; its first lines say what to do next")
    return 0


def _unit(loaded: Sequence[Loaded], options: argparse.Namespace) -> Unit:
    names = [item.config.agent.name for item in loaded]
    if options.name is None and len(names) > 1:
        raise UnitError("several files: say what the service is called with --name")
    name = options.name or f"rackwatt-agent-{names[0]}"
    for option, word in (("--name", name), ("--user", options.user)):
        if _NAME.fullmatch(word) is None:
            raise UnitError(f"{option}: {word!r}: expects letters, digits, '.', '_' and '-'")
    program = options.program or Path(sys.executable).parent / "rackwatt-agent"
    sources = {item.config.source for item in loaded}
    unit = Unit(
        name=name,
        description=f"Rackwatt agent: {', '.join(names)}",
        made_by=_MADE_BY,
        command=[
            str(seen(program, "--program")), "run",
            *(str(seen(item.path, "the agent's file")) for item in loaded),
        ],
        user=options.user,
        devices="nvml" in sources,
        whole_proc=bool(sources & {"host", "nvml"}),
        steps=list(_steps(loaded, options.user)),
    )  # fmt: skip
    for item in loaded:
        _writable(item, unit)
    return unit


def _writable(item: Loaded, unit: Unit) -> None:
    """See that an agent writes into the service's folder and nowhere else.

    Raises:
        UnitError: it does.
    """
    places = {("outbox", "path"): item.outbox_path}
    if item.config.safety is not None:
        name, folder = item.config.agent.name, item.context.config_dir
        state = state_file(item.config.safety, name, folder, item.outbox_path)
        places["safety", "state"] = state
    for key, place in places.items():
        if not place.is_relative_to(unit.state):
            hint = f"write {unit.state / place.name}"
            raise UnitError(
                str(item.document.error(key, f"the service may not write to {place}", hint=hint))
            )


def _steps(loaded: Sequence[Loaded], user: str) -> Iterator[str]:
    yield f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {user}"
    folder = {item.context.config_dir for item in loaded}
    secrets = sorted({path for item in loaded for path in _files(item.document.data, item)})
    for path in secrets:
        yield f"chgrp {user} {path} && chmod 0640 {path}"
    for path in sorted(folder):
        yield f"chmod o+rx {path}"


def _files(data: Any, item: Loaded) -> Iterator[Path]:
    """Every file that an agent's file names, wherever it does: keys, passwords, authorities."""
    if isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, str) and str(key).endswith("_file"):
                yield item.context.config_dir / value
            else:
                yield from _files(value, item)
    elif isinstance(data, list):
        for value in data:
            yield from _files(value, item)

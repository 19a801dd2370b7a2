# SPDX-License-Identifier: Apache-2.0
"""What a command was given, checked before anything is started.

A child that refuses its arguments would be started again for ever, and say why only in its log.
"""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pydantic import ValidationError

from rackwatt.collector.site import Site
from rackwatt.wire.config import ConfigError, ConfigErrors, load_document, nearest
from rackwatt.wire.session import BrokerSettings


class UsageProblem(Exception):  # noqa: N818 - the user's, not ours
    """What was asked for cannot be done as it stands."""


def broker_settings(
    url: str,
    username: str | None = None,
    password_file: Path | None = None,
    ca_file: Path | None = None,
) -> BrokerSettings:
    """The broker that options name.

    Raises:
        UsageProblem: the address is none, or a file is missing; a password is never repeated.
    """
    try:
        settings = BrokerSettings(
            url=url, username=username, password_file=password_file, ca_file=ca_file
        )
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        reason = reason.partition(": use username")[0]
        raise UsageProblem(f"--broker: {reason}") from None
    if not _port_fits(urlsplit(url)):
        raise UsageProblem("--broker: the port must be a number from 1 to 65535")
    for option, file in (("--broker-password-file", password_file), ("--broker-ca-file", ca_file)):
        if file is not None and not file.is_file():
            raise UsageProblem(f"{option}: there is no file {file}")
    return settings


def http_url(option: str, url: str) -> str:
    """`url` without its last slash, if it is the address of an HTTP server.

    Raises:
        UsageProblem: it is not.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageProblem(f"{option}: {error}") from None
    if parts.username or parts.password:
        raise UsageProblem(f"{option}: no user or password in the address")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not _port_fits(parts):
        raise UsageProblem(f"{option}: expects an address that begins with http:// or https://")
    return url.rstrip("/")


def _port_fits(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def writable_folder(option: str, folder: Path) -> None:
    """Make `folder`, and see that it can be written to.

    Raises:
        UsageProblem: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageProblem(f"{option}: {folder} is a file, not a folder") from None
    except OSError as error:
        raise UsageProblem(f"{option}: cannot make {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageProblem(f"{option}: {folder} cannot be written to")


def free_address(host: str, port: int) -> None:
    """See that `host:port` can be listened on.

    Raises:
        UsageProblem: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror:
            raise UsageProblem(f"--host: {host!r} is no address of this machine") from None
        except PermissionError:
            raise UsageProblem(f"--port: {port} needs more rights: choose one above 1023") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageProblem(f"port {port} is taken: choose another with --port") from None
            raise UsageProblem(f"--host: cannot listen on {host}: {error.strerror}") from None


def known_halls(site: Site, halls: Sequence[str]) -> None:
    """See that the site has `halls`.

    Raises:
        UsageProblem: it does not have one of them.
    """
    for hall in halls:
        if hall not in site.halls_ids:
            raise UsageProblem(f"--hall: no hall {hall!r} ({nearest(hall, site.halls_ids)})")


def check_agent_files(files: Sequence[Path], site: Site) -> None:
    """See that agents would start with `files`, and that they are this site's.

    Raises:
        UsageProblem: a file is wrong; the message holds every error with file, line and key.
        ConfigErrors: an agent belongs to another site or hall.
    """
    if not files:
        return
    # In a process of its own: agents and collector meet only in the wire.
    command = [sys.executable, "-m", "rackwatt.agents.cli", "check", *map(str, files)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        raise UsageProblem(f"--agent:\n{checked.stderr.strip()}")
    errors = [error for file in files for error in _misplaced(file, site)]
    if errors:
        raise ConfigErrors(errors)


def _misplaced(file: Path, site: Site) -> Iterator[ConfigError]:
    document = load_document(file)
    agent = document.data["agent"]
    if agent["site"] != site.id:
        text = f"the site file's site is {site.id!r}, here it is {agent['site']!r}"
        yield document.error(("agent", "site"), text)
    hall, wanted = agent.get("hall", "site"), site.hall_of_agent(agent["name"])
    if wanted is not None and hall != wanted:
        text = f"the site file puts {agent['name']!r} into hall {wanted!r}, here it is {hall!r}"
        yield document.error(("agent", "hall"), text)

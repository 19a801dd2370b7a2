# SPDX-License-Identifier: Apache-2.0
"""What a command was given, checked before anything is started.

A child that refuses its arguments would be started again for ever, and say why only in its log.
"""

import errno
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from pydantic import ValidationError

from rackwatt.collector.access import Access
from rackwatt.collector.site import Site
from rackwatt.wire.config import ConfigError, ConfigErrors, load_document, nearest
from rackwatt.wire.listening import MIN_TOKEN_LETTERS, is_token
from rackwatt.wire.session import BrokerSettings

if TYPE_CHECKING:
    from rackwatt.collector.signing.keys import SigningKey


class UsageProblem(Exception):  # noqa: N818 - the user's, not ours
    """What was asked for cannot be done as it stands."""


def broker_settings(
    url: str,
    username: str | None = None,
    password_file: Path | None = None,
    ca_file: Path | None = None,
    certificate_file: Path | None = None,
    key_file: Path | None = None,
) -> BrokerSettings:
    """The broker that options name, and who we are to it.

    Raises:
        UsageProblem: the address is none, a file cannot be used, or one option lacks another; a
            password is never repeated.
    """
    try:
        settings = BrokerSettings(
            url=url,
            username=username,
            password_file=password_file,
            ca_file=ca_file,
            certificate_file=certificate_file,
            key_file=key_file,
        )
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        reason = reason.partition(": use username")[0]
        raise UsageProblem(f"--broker: {reason}") from None
    parts = urlsplit(url)
    if not _port_fits(parts):
        raise UsageProblem("--broker: the port must be a number from 1 to 65535")
    if password_file is not None:
        read_secret("--broker-password-file", password_file)
        if username is None:
            raise UsageProblem("--broker-password-file needs --broker-user")
    usable_authority("--broker-ca-file", ca_file)
    usable_certificate("--broker", certificate_file, key_file)
    if parts.scheme != "mqtts" and (ca_file or certificate_file):
        raise UsageProblem("--broker: certificates need an address that begins with mqtts://")
    return settings


def optional_broker(
    url: str | None, username: str | None, *files: Path | None
) -> BrokerSettings | None:
    """The broker that options name, if any; `files` as `broker_settings` takes them.

    Raises:
        UsageProblem: as `broker_settings`, or there is an identity and no broker.
    """
    if url is not None:
        return broker_settings(url, username, *files)
    if username is not None or any(files):
        raise UsageProblem("--broker-user and the --broker-…-file options need --broker")
    return None


def read_secret(option: str, file: Path, at_least: int = 1) -> str:
    """The one secret that a file holds.

    Raises:
        UsageProblem: it cannot be read, is empty, or is too short.
    """
    try:
        text = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise UsageProblem(f"{option}: there is no file {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it holds no text"
        raise UsageProblem(f"{option}: {file} cannot be read: {reason}") from None
    if len(text) < at_least or "\n" in text:
        wanted = "one line" if at_least == 1 else f"one line of at least {at_least} characters"
        raise UsageProblem(f"{option}: {file} must hold {wanted} and nothing else")
    return text


def usable_authority(option: str, file: Path | None) -> None:
    """See that `file` holds certificates to trust.

    Raises:
        UsageProblem: it does not.
    """
    if file is None:
        return
    if not file.is_file():
        raise UsageProblem(f"{option}: there is no file {file}")
    try:
        ssl.create_default_context(cafile=file)
    except OSError:  # an SSLError is one
        raise UsageProblem(f"{option}: {file} holds no certificate that can be read") from None


def usable_certificate(option: str, certificate_file: Path | None, key_file: Path | None) -> None:
    """See that certificate and key are there, and belong together.

    Args:
        option: what the options' names begin with, for example `--broker`.
        certificate_file: certificate, with its chain where it has one.
        key_file: its private key.

    Raises:
        UsageProblem: they are not, or do not.
    """
    names = {f"{option}-certificate-file": certificate_file, f"{option}-key-file": key_file}
    given = [name for name, file in names.items() if file is not None]
    if len(given) == 1:
        missing = next(name for name in names if name not in given)
        raise UsageProblem(f"{given[0]} needs {missing}")
    for name, file in names.items():
        if file is not None and not file.is_file():
            raise UsageProblem(f"{name}: there is no file {file}")
    if certificate_file is not None:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            # Without a password at hand it would ask for one on the terminal.
            context.load_cert_chain(certificate_file, key_file, password="")
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror or "they cannot be used"
            text = f"{given[0]} and {given[1]}: {str(reason).lower().replace('_', ' ')}"
            raise UsageProblem(text) from None


def web_access(
    token_file: Path | None = None,
    certificate_file: Path | None = None,
    key_file: Path | None = None,
    names: Sequence[str] = (),
) -> Access:
    """How the listener of HTTP is protected, as options say.

    Raises:
        UsageProblem: a file cannot be used, or one option lacks another.
    """
    tokens: tuple[str, ...] = ()
    if token_file is not None:
        tokens = (read_secret("--web-token-file", token_file, MIN_TOKEN_LETTERS),)
        if not is_token(tokens[0]):
            raise UsageProblem("--web-token-file: only letters, digits and signs of ASCII")
    usable_certificate("--web", certificate_file, key_file)
    return Access(tokens, certificate_file, key_file, tuple(names))


def signing_key(option: str, file: Path | None) -> "SigningKey | None":
    """The key that signs what is published.

    Raises:
        UsageProblem: the file holds none, or others may read it.
    """
    if file is None:
        return None
    from rackwatt.collector.signing.keys import KeyProblem, SigningKey

    try:
        return SigningKey.read(file)
    except KeyProblem as error:
        raise UsageProblem(f"{option}: {error}") from None


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

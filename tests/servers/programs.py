# SPDX-License-Identifier: Apache-2.0
"""Where the programs of the servers are, and which ports are free."""

import hashlib
import os
import secrets
import shutil
import socket
from pathlib import Path
from typing import Final

import pytest

HOST: Final = "127.0.0.1"
_MODULE_FOLDER: Final = Path(__file__).resolve().parent
_CHART_TOOLS: Final = ("helm", "helm-docs")


class ServerError(RuntimeError):
    """A server did not start, or refused what it was asked."""


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that nobody listens on.

    It lies below the range from which Linux takes the ports of outgoing connections:
    there, a client that waits for a server could take the port, or connect to itself. And it lies
    below those that `rackwatt up` chooses from (`rackwatt.wire.ports`).
    """
    for _ in range(1_000):
        port = 10_000 + secrets.randbelow(10_000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    msg = "no free port between 10000 and 20000"
    raise ServerError(msg)


def influxd_path() -> Path:
    """Return where `scripts/install-servers` puts influxd, there or not."""
    return _cache() / _key(_MODULE_FOLDER) / "influxd"


def _key(module: Path) -> str:
    """What names the builds of a Go module: other versions, another name."""
    key = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        key.update((module / name).read_bytes())
    return key.hexdigest()[:16]


def _cache() -> Path:
    own = os.environ.get("RACKWATT_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(own) if own else Path(shared) / "rackwatt") / "servers"


def _built(name: str) -> Path | None:
    """What `scripts/install-servers` has built under a name."""
    if name == "influxd":
        path = influxd_path()
    elif name in _CHART_TOOLS:
        path = _cache() / f"helm-{_key(_MODULE_FOLDER / 'helm')}" / name
    else:
        return None
    return path if os.access(path, os.X_OK) else None


def find(*names: str) -> Path | None:
    """Return the first of the named programs that is installed.

    What is built from our own module files goes before any other on PATH.
    """
    for name in names:
        if (built := _built(name)) is not None:
            return built
    # Debian puts brokers into sbin, which is not on everybody's PATH.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    for name in names:
        if (found := shutil.which(name, path=path)) is not None:
            return Path(found)
    return None


def require(*names: str) -> Path:
    """Return the first of the named programs that is installed, or end the test.

    Without one the test is skipped, but fails where CI=true: a missing server must not
    turn into a green run.
    """
    if (found := find(*names)) is not None:
        return found
    reason = f"NOT TESTED: {' or '.join(names)} is not installed; run scripts/install-servers"
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def chromium_path() -> Path:
    """Return the path of Chromium, or of a browser that takes the same options."""
    return require("chromium", "chromium-browser", "google-chrome")

# SPDX-License-Identifier: Apache-2.0
"""Where `scripts/install-servers` puts the readers of Dockerfiles and compose files."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

_MODULE = Path(__file__).resolve().parent / "readers"


def readers_path() -> Path:
    """The program, there or not."""
    key = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        key.update((_MODULE / name).read_bytes())
    own = os.environ.get("RACKWATT_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(own) if own else Path(shared) / "rackwatt"
    return cache / "servers" / f"readers-{key.hexdigest()[:16]}" / "readers"


def read(kind: str, path: Path) -> Any:
    """What Docker's own code reads in a file.

    Raises:
        ValueError: it refuses the file; its words.
    """
    program = readers_path()
    if not os.access(program, os.X_OK):
        reason = f"NOT TESTED: {program} is not there; run scripts/install-servers"
        if os.environ.get("CI", "").lower() in {"true", "1"}:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [program, kind, str(path)], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode != 0:
        raise ValueError(done.stderr.strip())
    return json.loads(done.stdout)

# SPDX-License-Identifier: Apache-2.0
"""The twin's memory across restarts: one file, replaced whole.

It is written every tick *before* the registers of that tick can be read, so no reader has ever
seen a register that the file does not know: after a SIGKILL nothing runs backwards. Vectors are
base64 of 64-bit floats. The file is synced to the disk now and then only: after a power failure
the machine may have lost some seconds, which the advance through the downtime makes up.
"""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

VERSION: Final = 1
_VECTOR: Final = "f8:"


def state_file(data_dir: Path) -> Path:
    """Where it lies."""
    return data_dir / "twin" / "state.json"


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _VECTOR + base64.b64encode(value.astype("<f8").tobytes()).decode()
    raise TypeError(f"{type(value).__name__} cannot be saved")


def _vectors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _vectors(item) for key, item in value.items()}
    if isinstance(value, str) and value.startswith(_VECTOR):
        data = base64.b64decode(value.removeprefix(_VECTOR))
        return np.frombuffer(data, dtype="<f8").astype(np.float64)
    return value


def save(data_dir: Path, state: Mapping[str, Any], *, sync: bool = False) -> None:
    """Replace the file.

    Raises:
        OSError: it cannot be written.
    """
    file = state_file(data_dir)
    partial = file.with_suffix(".partial")
    text = json.dumps({"version": VERSION, **state}, default=_plain)
    with partial.open("w", encoding="ascii") as stream:
        stream.write(text)
        if sync:
            stream.flush()
            os.fsync(stream.fileno())
    partial.replace(file)


def load(data_dir: Path) -> dict[str, Any] | None:
    """The saved state; None at the first start.

    Raises:
        ValueError: it was written by another version.
    """
    file = state_file(data_dir)
    if not file.exists():
        return None
    state = _vectors(json.loads(file.read_text(encoding="ascii")))
    if state.get("version") != VERSION:
        raise ValueError(f"{file} was written by another version of the twin: remove it")
    return dict(state)

# SPDX-License-Identifier: Apache-2.0
"""What really happened, for comparison: one line of JSON per second in `twin/truth.jsonl`.

Each line: `time_ms`; `powers` in W and `energies` in Wh since the first start, by source, sink and
contract (pv, wind, genset, grid_import, discharge; it, losses, cooling, other, charge,
grid_export); `stock_wh` of the battery; `consumption_watts`; `pue_15m` with `pue_since_ms`;
`origin_wh`, the data center's consumption since the first start by origin, traced through the
battery; `shares`, the same as ratios over the last 15 minutes. Two files of bounded size are kept.
"""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from rackwatt.twin.world import World

_WINDOW_MS: Final = 900_000
_LARGEST: Final = 48 * 2**20
"""Bytes of one file: a little more than a day."""
OVERHEAD: Final = ("losses", "cooling", "other")


def truth_file(data_dir: Path) -> Path:
    """Where the twin writes; the older half is beside it."""
    return data_dir / "twin" / "truth.jsonl"


def _older(file: Path) -> Path:
    return file.with_name("truth-older.jsonl")


def dc_energy(line: Mapping[str, Any]) -> float:
    """What the data center has consumed since the first start, Wh: E_DC of the PUE.

    Own generation and import, less export and less what the battery gained; its losses count.
    """
    energies = line["energies"]
    given = sum(energies[name] for name in ("pv", "wind", "genset", "grid_import"))
    return float(given - energies["grid_export"] - line["stock_wh"])


class TruthWriter:
    """Appends to the truth; each line is whole after a SIGKILL or not there.

    Args:
        data_dir: of the run.
        largest: bytes after which a new file is begun.
    """

    def __init__(self, data_dir: Path, largest: int = _LARGEST) -> None:
        self._file = truth_file(data_dir)
        self._largest = largest
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._cut_torn_line()
        self._stream: IO[bytes] = self._file.open("ab", buffering=0)
        self._window: deque[dict[str, Any]] = deque()
        for line in self._tail():
            self._window.append(line)

    def _cut_torn_line(self) -> None:
        if not self._file.exists():
            return
        with self._file.open("rb+") as stream:
            size = stream.seek(0, 2)
            start = max(size - 65_536, 0)
            stream.seek(start)
            end = stream.read().rfind(b"\n")
            stream.truncate(start + end + 1)

    def _tail(self) -> Iterator[dict[str, Any]]:
        last = last_line(self._file)
        if last is not None:
            yield from lines(self._file.parent.parent, last["time_ms"] - _WINDOW_MS)

    def write(self, world: World) -> dict[str, Any]:
        """Append the present state and return it."""
        line: dict[str, Any] = {
            "time_ms": round(world.time * 1000),
            "powers": {name: round(value, 3) for name, value in world.powers.items()},
            "energies": {name: round(value, 4) for name, value in world.energies.items()},
            "stock_wh": round(world.stock, 4),
            "consumption_watts": round(world.consumption, 3),
            "origin_wh": {name: round(v, 4) for name, v in world.tracer.load.items()},
        }
        window = self._window
        window.append(line)
        while line["time_ms"] - window[0]["time_ms"] > _WINDOW_MS:
            window.popleft()
        first = window[0]
        it = line["energies"]["it"] - first["energies"]["it"]
        gained = {n: v - first["origin_wh"][n] for n, v in line["origin_wh"].items()}
        total = sum(gained.values())
        line["pue_15m"] = (dc_energy(line) - dc_energy(first)) / it if it > 0 else None
        line["pue_since_ms"] = first["time_ms"]
        line["shares"] = {n: v / total for n, v in gained.items()} if total > 0 else None
        self._stream.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        if self._stream.tell() > self._largest:
            self._stream.close()
            self._file.replace(_older(self._file))
            self._stream = self._file.open("ab", buffering=0)
        return line

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def last_line(file: Path) -> dict[str, Any] | None:
    """The newest whole line of a file; None when it has none."""
    if not file.exists():
        return None
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(size - 65_536, 0))
        whole = stream.read().split(b"\n")[:-1]
    return _parse(whole[-1]) if whole and whole[-1] else None


def _parse(text: bytes) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(text)
    return line


def _seek(stream: IO[bytes], time_ms: int) -> None:
    """Stand at the beginning of the first line that is not before `time_ms`, by bisection."""
    low, high = 0, stream.seek(0, 2)
    while low < high:
        middle = (low + high) // 2
        stream.seek(middle)
        if middle:
            stream.readline()
        text = stream.readline()
        if text.endswith(b"\n") and _parse(text)["time_ms"] < time_ms:
            low = middle + 1
        else:
            high = middle
    stream.seek(low)
    if low:
        stream.readline()


def lines(data_dir: Path, from_ms: int, to_ms: int | None = None) -> Iterator[dict[str, Any]]:
    """The truth from `from_ms` to `to_ms` (both included), in order."""
    file = truth_file(data_dir)
    for part in (_older(file), file):
        if not part.exists():
            continue
        with part.open("rb") as stream:
            _seek(stream, from_ms)
            for text in stream:
                if not text.endswith(b"\n"):
                    break  # being written
                line = _parse(text)
                if to_ms is not None and line["time_ms"] > to_ms:
                    return
                if line["time_ms"] >= from_ms:
                    yield line


def truth_at(data_dir: Path, time_ms: int) -> dict[str, Any] | None:
    """The state of the second that ended at `time_ms` or last before it.

    None when the truth does not go back so far, or was interrupted for more than 5 s then.
    """
    found = None
    for found in lines(data_dir, time_ms - 5_000, time_ms):  # noqa: B007
        pass
    return found


def latest(data_dir: Path) -> dict[str, Any] | None:
    """The newest state; None before the first."""
    file = truth_file(data_dir)
    return last_line(file) or last_line(_older(file))


def energy_between(data_dir: Path, from_ms: int, to_ms: int) -> dict[str, float] | None:
    """Energies of a period in Wh, by source and sink, `dc` and `origin_*` included.

    Boundaries between two lines are interpolated. None when the truth does not cover the period.
    """
    first, last = _totals(data_dir, from_ms), _totals(data_dir, to_ms)
    if first is None or last is None:
        return None
    return {name: last[name] - first[name] for name in last if name in first}


def _totals(data_dir: Path, time_ms: int) -> dict[str, float] | None:
    before = after = None
    span = 60_000
    while (before is None or after is None) and span <= 32 * 86_400_000:
        before = after = None
        for line in lines(data_dir, time_ms - span, time_ms + span):
            if line["time_ms"] <= time_ms:
                before = line
            if line["time_ms"] >= time_ms:
                after = line
                break
        span *= 30
    if before is None or after is None:
        return None
    low, high = _cumulative(before), _cumulative(after)
    width = after["time_ms"] - before["time_ms"]
    part = (time_ms - before["time_ms"]) / width if width else 0.0
    return {name: low[name] + (high[name] - low[name]) * part for name in high if name in low}


def _cumulative(line: Mapping[str, Any]) -> dict[str, float]:
    origins = {f"origin_{name}": value for name, value in line["origin_wh"].items()}
    return {**line["energies"], **origins, "dc": dc_energy(line)}


def true_pue(data_dir: Path, from_ms: int, to_ms: int) -> float | None:
    """The PUE of a period as the ratio of its energies; None when the truth does not cover it."""
    energies = energy_between(data_dir, from_ms, to_ms)
    if energies is None or energies["it"] <= 0:
        return None
    return energies["dc"] / energies["it"]

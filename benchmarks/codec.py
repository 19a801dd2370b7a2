# SPDX-License-Identifier: Apache-2.0
"""What a message costs to make and to read, per step; JSON on stdout.

Run: `python benchmarks/codec.py [--runs 5]`. One process, one core. p8: one node's 8 GPUs of 12
values; p1: one GPU; p50: 50 rack sensors of 2 values. "json" is the standard parser alone on the
same bytes: what is left to gain with the format as it is. "check" is a sample becoming the
contract's model at the agent, before it is encoded.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.load import gpu_samples
from benchmarks.parts.machine import report, seconds_each, spread
from rackwatt.wire.codec import (
    decode_envelope,
    decode_readings,
    encode,
    encode_received,
    reading_of,
)
from rackwatt.wire.sample import Sample

CALLS: Final = 400


def sensors(count: int) -> list[Sample]:
    """Inlet sensors of a hall."""
    return [
        Sample(
            "climate",
            f"r{number:02d}-inlet",
            {"temperature_celsius": 22.0 + number / 100, "humidity_ratio": 0.4},
        )
        for number in range(count)
    ]


def measure(samples: list[Sample], runs: int) -> dict[str, Any]:
    """Microseconds per message of each step."""
    kind, now = samples[0].kind, 1_790_000_000_000
    epoch = now * 4096
    readings = [reading_of(sample, now) for sample in samples]
    payload = encode(epoch, 12_345, now, readings)
    envelope = decode_envelope(payload)
    decoded = decode_readings(kind, envelope)
    assert not decoded.rejects
    assert len(decoded.readings) == len(samples)
    steps = {
        "check": lambda: [reading_of(sample, now) for sample in samples],
        "encode": lambda: encode(epoch, 12_345, now, readings),
        "json": lambda: json.loads(payload),
        "decode_envelope": lambda: decode_envelope(payload),
        "decode_readings": lambda: decode_readings(kind, envelope),
        "encode_received": lambda: encode_received(envelope, decoded.readings),
    }
    times = {name: seconds_each(work, CALLS, runs) for name, work in steps.items()}
    reading = [
        first + second
        for first, second in zip(times["decode_envelope"], times["decode_readings"], strict=True)
    ]
    return {
        "bytes": len(payload),
        "values": sum(len(sample.values) for sample in samples),
        "microseconds": {name: spread(values, 1e6, 2) for name, values in times.items()},
        "decode_over_json": round(min(reading) / min(times["json"]), 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    messages = {
        "p1": gpu_samples("r0001-n01", 1),
        "p8": gpu_samples("r0001-n01", 8),
        "p50": sensors(50),
    }
    found = {name: measure(samples, options.runs) for name, samples in messages.items()}
    report("codec", {"runs": options.runs, **found})


if __name__ == "__main__":
    main()

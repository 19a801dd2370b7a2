# SPDX-License-Identifier: Apache-2.0
"""What one sampling round of the NVML driver costs, as JSON.

With a GPU on the real driver; without one (or with --fake) on the tests' C library: that tells
what our code and the binding cost, and nothing about the driver's own time.

    python benchmarks/nvml_round.py [--fake] [--gpus 8] [--rounds 2000]
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LIBRARY = Path(__file__).parents[1] / "tests" / "agents" / "fakenvml" / "nvml.c"


def has_gpu() -> bool:
    import pynvml

    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return False
    return bool(count)


def on_fake_library(gpus: int) -> int:
    """Run this program again, in a process whose loader finds the stand-in."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        print("no C compiler and no GPU: nothing to measure on", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "libnvidia-ml.so.1"
        flags = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-shared", "-fPIC", "-pthread"]
        subprocess.run([compiler, *flags, "-o", str(target), str(LIBRARY)], check=True)
        scenario = Path(folder) / "scenario"
        scenario.write_text(f"gpus {gpus}\n")
        environment = {**os.environ, "LD_LIBRARY_PATH": folder, "FAKENVML": str(scenario)}
        arguments = [sys.executable, __file__, *sys.argv[1:], "--measure"]
        return subprocess.run(arguments, env=environment, check=False).returncode


def processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(rounds: int) -> dict[str, Any]:
    from rackwatt.agents.nvml import Settings, create
    from rackwatt.agents.source import Context

    source = create(Settings(events=False), Context(node="bench"))
    await source.start()
    gpus = len(source.inventory())
    milliseconds: list[float] = []
    try:
        await source.sample()  # the first one also reads the slow values
        before = processor_seconds()
        for _ in range(rounds):
            begin = time.perf_counter()
            await source.sample()
            milliseconds.append((time.perf_counter() - begin) * 1000)
        processor = processor_seconds() - before
    finally:
        await source.aclose()
    milliseconds.sort()
    per_round = processor / rounds
    return {
        "gpus": gpus,
        "rounds": rounds,
        "round_milliseconds_median": round(statistics.median(milliseconds), 4),
        "round_milliseconds_p99": round(milliseconds[int(0.99 * (rounds - 1))], 4),
        "processor_milliseconds_per_round": round(per_round * 1000, 4),
        "processor_microseconds_per_gpu": round(per_round * 1e6 / max(gpus, 1), 2),
        "core_ratio_at_1_hertz": round(per_round, 6),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fake", action="store_true", help="on the C library even with a GPU")
    parser.add_argument("--gpus", type=int, default=8, help="GPUs of the C library")
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.measure and (options.fake or not has_gpu()):
        return on_fake_library(options.gpus)
    result = {
        "library": "stand-in" if options.measure else "driver",
        **asyncio.run(measure(options.rounds)),
    }
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""What agents use of a machine, as processes of their own; JSON on stdout.

Run: `python benchmarks/agent.py [--seconds 20]`. Three processes of `rackwatt-agent run` over a
real broker, side by side: `host`, this machine's readings each second; `node`, one GPU node of 8
simulated GPUs, sampled each second and sent every 10 s; `nodes`, 32 nodes of 4 in one process. The
GPUs are the twin's: the driver's own time is not in it (see nvml_round.py).
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.machine import memory_bytes, processor_seconds, report
from rackwatt.twin.kit import Kit, build
from rackwatt.twin.spec import HallSpec, JobSpec, RowSpec, TwinSpec, load_spec
from servers.fixtures import Mosquitto, find

SETTLE_SECONDS: Final = 6.0
"""Starting, importing and connecting are not counted."""


def host_file(folder: Path, url: str) -> Path:
    """An agent for this machine's own readings."""
    agent = {
        "site": "demo",
        "hall": "site",
        "name": "host",
        "sample_every": "1s",
        "send_every": "10s",
    }
    document = {
        "agent": agent,
        "broker": {"url": url},
        "outbox": {"path": "host/outbox.db"},
        "source": "host",
        "host": {},
    }
    file = folder / "host.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


def one_node() -> TwinSpec:
    """A site with one node of 8 GPUs."""
    row = RowSpec(id="row-x", racks="x1-[01-01]", nodes_per_rack=1, gpus_per_node=8)
    job = JobSpec(id="job", kind="training", racks=("x1-01",))
    return TwinSpec(halls=(HallSpec(id="hall-x", rows=(row,)),), jobs=(job,))


@contextlib.contextmanager
def running(folder: Path, name: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, stopped at the end."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def agents(files: Sequence[Path]) -> list[str]:
    """The command line of one process for these agents."""
    return ["rackwatt.agents.cli", "run", *map(str, files)]


def twin(kit: Kit) -> list[str]:
    """The command line of the twin."""
    return ["rackwatt.collector.cli", "twin", "run", "--data", str(kit.data_dir)]


def measure(folder: Path, seconds: float) -> dict[str, Any]:
    """Start all, let them settle, look at what they use."""
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        many = build(load_spec("default"), folder / "many", broker.url)
        single = build(one_node(), folder / "single", broker.url)
        for name, kit in (("twin-many", many), ("twin-single", single)):
            stack.enter_context(running(folder, name, twin(kit)))
        counts = {"host": 1, "node": 1, "nodes": len(many.node_agent_files)}
        files = {
            "host": [host_file(folder, broker.url)],
            "node": list(single.node_agent_files),
            "nodes": list(many.node_agent_files),
        }
        processes = {
            name: stack.enter_context(running(folder, name, agents(files[name]))) for name in counts
        }
        time.sleep(SETTLE_SECONDS)
        before = {name: processor_seconds(p.pid) for name, p in processes.items()}
        begin = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - begin
        found: dict[str, Any] = {}
        for name, process in processes.items():
            assert process.poll() is None, (folder / f"{name}.log").read_text(encoding="utf-8")
            spent = processor_seconds(process.pid) - before[name]
            found[name] = {
                "agents": counts[name],
                "core_ratio": round(spent / took, 5),
                "core_ratio_per_agent": round(spent / took / counts[name], 6),
                **memory_bytes(process.pid),
            }
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    if find("mosquitto") is None:
        print("mosquitto is not installed: run scripts/install-servers", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name:
        report("agent", {"seconds": options.seconds, **measure(Path(name), options.seconds)})
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""What the rules cost a Prometheus that watches the reference campus; JSON on stdout.

Run: `python benchmarks/alert_rules.py [--racks 2540] [--lost 2000] [--seconds 90]`. A server stands
in for the endpoints: series of made-up values, as many as a site of that size exports, and so many
GPUs in trouble. A real Prometheus scrapes it and evaluates the shipped rules every 10 s; what it
says of its own evaluations is the result.
"""

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.machine import report
from servers.fixtures import HOST, free_port
from servers.prometheus import Prometheus

SEEN: Final = "rackwatt_gpus_number"
_CDUS: Final = 350


def rack_lines(number: int, spread: random.Random) -> Iterator[str]:
    """The series of a rack with 18 nodes and two feeds."""
    hall, row, rack = f"hall-{number // 254}", f"row-{number // 8}", f"r-{number}"
    place = f'hall="{hall}",rack="{rack}"'
    whole = f'{place},row="{row}"'
    yield f"rackwatt_rack_inlet_temperature_celsius{{{whole}}} {22 + spread.random()}"
    yield f"rackwatt_rack_power_watts{{{whole}}} {90_000 + 9_000 * spread.random()}"
    yield f'rackwatt_ride_through_seconds{{rack="{rack}"}} {31 + spread.random()}'
    yield f"rackwatt_gpu_memory_temperature_max_celsius{{{place}}} {80 + spread.random()}"
    for state, count in (("reporting", 72), ("silent", 0)):
        yield f'rackwatt_gpus_number{{{place},state="{state}"}} {count}'
    for state, count in (("online", 18), ("silent", 0), ("offline", 0)):
        yield f'rackwatt_gpu_nodes{{rack="{rack}",state="{state}"}} {count}'
    for side in "AB":
        feed = f'feed="{row}-{side}>{rack}",side="{side}"'
        yield f"rackwatt_feed_load_ratio{{{feed}}} {0.4 + 0.1 * spread.random()}"
        yield f"rackwatt_feed_failover_ratio{{{feed}}} {0.8 + 0.1 * spread.random()}"
        yield f"rackwatt_feed_headroom_watts{{{feed}}} {1_000 * spread.random()}"
        yield f'rackwatt_feed_up{{{feed},hall="{hall}",row="{row}"}} 1'
        if number % 8 == 0:
            for phase in "123":
                yield f'rackwatt_feed_current_amperes{{{feed},phase="L{phase}"}} 400'


def site_lines(spread: random.Random) -> Iterator[str]:
    """Coolant units and what meters say of the supply."""
    for number in range(_CDUS):
        unit = f'hall="hall-{number // 35}",device="cdu-{number}"'
        yield f"rackwatt_coolant_supply_temperature_celsius{{{unit}}} {32 + spread.random()}"
        yield f"rackwatt_coolant_return_temperature_celsius{{{unit}}} {45 + spread.random()}"
        yield f"rackwatt_coolant_flow_liters_per_second{{{unit}}} {20 + spread.random()}"
        yield f'rackwatt_frequency_hertz{{device="m-{number}"}} {50 + spread.random() / 100}'
        for phase in "123":
            yield f'rackwatt_voltage_ratio{{device="m-{number}",phase="L{phase}"}} 1'


def exposition(racks: int, lost: int) -> str:
    """Everything, as an endpoint tells it."""
    spread = random.Random(1)  # noqa: S311 - a load, no secret
    lines = [line for number in range(racks) for line in rack_lines(number, spread)]
    lines.extend(site_lines(spread))
    lines.extend(
        f'rackwatt_gpu_trouble{{hall="hall-1",rack="r-{one}",gpu="n{one}/1",trouble="lost"}} 1'
        for one in range(lost)
    )
    return "\n".join(lines) + "\n"


def serving(text: str) -> ThreadingHTTPServer:
    """A server that answers with it."""
    body = text.encode()

    class Endpoint(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name
            """Says nothing."""

    return ThreadingHTTPServer((HOST, free_port()), Endpoint)


def measured(prometheus: Prometheus, seconds: float) -> dict[str, Any]:
    """What the groups took, by family and in all, once everything is there."""
    while not prometheus.query(SEEN):
        time.sleep(0.5)
    taken: dict[tuple[str, str], float] = {}
    rules = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        groups = prometheus.get("rules")["groups"]
        rules = sum(len(group["rules"]) for group in groups)
        bad = [one["name"] for group in groups for one in group["rules"] if one["health"] == "err"]
        if bad:
            raise SystemExit(f"cannot be evaluated: {', '.join(bad)}")
        for group in groups:
            taken[group["name"], group["lastEvaluation"]] = group["evaluationTime"]
        time.sleep(2)
    names = sorted({name for name, _ in taken})
    found = {
        name: statistics.median([one for (of, _), one in taken.items() if of == name])
        for name in names
    }
    return {
        "rules": rules,
        "alerts": len(prometheus.alerts()),
        "seconds_an_evaluation": round(sum(found.values()), 3),
        "by_group": {name.removeprefix("rackwatt-"): round(one, 3) for name, one in found.items()},
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--racks", type=int, default=2540)
    parser.add_argument("--lost", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=90)
    options = parser.parse_args()
    text = exposition(options.racks, options.lost)
    endpoint = serving(text)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            targets = {"rackwatt": [f"{HOST}:{endpoint.server_port}"]}
            with Prometheus(Path(folder) / "prometheus", targets, []) as prometheus:
                found = measured(prometheus, options.seconds)
    finally:
        endpoint.shutdown()
        endpoint.server_close()
    report("alert_rules", {"series": text.count("\n"), **vars(options), **found})


if __name__ == "__main__":
    main()

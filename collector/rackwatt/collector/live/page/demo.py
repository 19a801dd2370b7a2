# SPDX-License-Identifier: Apache-2.0
"""The page with scripted figures, for work on its looks: ``python -m … --port 8410``.

Nothing here is measured and nothing claims to be: the site is called a demonstration, its data
are marked as simulated, and all figures are plain functions of the time.
"""

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from math import pi, sin
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from rackwatt.collector.live.page import LivePage, SecurityHeaders, routes
from rackwatt.collector.live.page.demo_promises import demo_promises

HOUR_MS: Final = 3600 * 1000
STEP_MS: Final = 10_000
WINDOW_MS: Final = 600_000
CAMPUS_WATTS: Final = 41_800.0
UNMETERED_WATTS: Final = 2_100.0
SITE: Final = {
    "id": "page-demo",
    "name": "Scripted demonstration",
    "timezone": "Africa/Casablanca",
    "simulated": True,
    "sold": False,
}


def _wave(time_ms: int, period_seconds: float, phase: float = 0.0) -> float:
    return sin(2 * pi * (time_ms / 1000 / period_seconds + phase))


def _supply(time_ms: int) -> dict[str, float]:
    """Powers in W, with load and others around 800 kW."""
    pv = 318_000 + 72_000 * _wave(time_ms, 1700) + 21_000 * _wave(time_ms, 211, 0.3)
    wind = 164_000 + 41_000 * _wave(time_ms, 940, 0.1) + 12_000 * _wave(time_ms, 173)
    discharge = max(0.0, 60_000 * _wave(time_ms, 3100, 0.55))
    load = 793_000 + 38_000 * _wave(time_ms, 620) + 9_000 * _wave(time_ms, 137)
    unknown = 6_500 + 3_000 * _wave(time_ms, 450, 0.2)
    grid = load - pv - wind - discharge - unknown
    return {
        "pv": pv,
        "wind": wind,
        "hydro": 0.0,
        "grid": grid,
        "genset": 0.0,
        "battery": discharge,
        "unknown": unknown,
    }


def _sources(supply: Mapping[str, float]) -> list[dict[str, Any]]:
    traced = {**supply, "battery": 0.0, "pv": supply["pv"] + supply["battery"]}
    load = sum(supply.values())
    return [
        {
            "id": name,
            "power_watts": power,
            "share": None if name == "battery" else traced[name] / load,
        }
        for name, power in supply.items()
    ]


def _sinks(load: float, pue: float) -> list[dict[str, Any]]:
    overhead = load - load / pue
    powers = {
        "it": load / pue,
        "cooling": overhead * 0.62,
        "losses": overhead * 0.27,
        "other": overhead * 0.11,
        "campus": CAMPUS_WATTS,
        "charge": 0.0,
        "export": 0.0,
        "unmetered": UNMETERED_WATTS,
    }
    return [{"id": name, "power_watts": power} for name, power in powers.items()]


def _racks(time_ms: int) -> list[dict[str, Any]]:
    racks = []
    for index in range(16):
        row, number = divmod(index, 8)
        power = 24_000 + 1_450 * index + 1_900 * _wave(time_ms, 41, index / 16)
        racks.append(
            {
                "id": f"r{row + 1}-{number + 1:02d}",
                "row": f"row-{row + 1}",
                "hall": "hall-a",
                "power_watts": None if index == 11 else power,
                "inlet_celsius": 19.2 + 0.62 * index + 0.3 * _wave(time_ms, 90, index / 7),
                "outlet_celsius": 33.0 + 0.4 * index,
                "gpus": 8,
                "gpus_up": 7 if index == 5 else 8,
            }
        )
    return racks


def _machine(time_ms: int) -> dict[str, Any]:
    host = {
        "device": "demo-host",
        "cpu_ratio": 0.14 + 0.05 * _wave(time_ms, 23),
        "memory_used_bytes": 11.4e9,
        "memory_total_bytes": 33.6e9,
        "temperature_celsius": 51.5 + 2 * _wave(time_ms, 70),
        "power_watts": None,
    }
    coolant = {
        "device": "cdu-a1",
        "supply_celsius": 30.1 + 0.2 * _wave(time_ms, 60),
        "return_celsius": 40.6 + 0.4 * _wave(time_ms, 60, 0.2),
        "flow_lps": 12.4 + 0.2 * _wave(time_ms, 45),
        "heat_watts": 540_000 + 9_000 * _wave(time_ms, 60, 0.1),
    }
    return {
        "racks": _racks(time_ms),
        "gpus": {
            "total": 128,
            "reporting": 127,
            "power_watts": 511_000 + 26_000 * _wave(time_ms, 137),
            "utilization": 0.86 + 0.05 * _wave(time_ms, 137),
            "temperature_max_celsius": 71.4 + 1.2 * _wave(time_ms, 90),
            "simulated": 128,
        },
        "hosts": [host],
        "real_gpus": [],
        "coolant": [coolant],
    }


def _agents(time_ms: int) -> list[dict[str, Any]]:
    named = (
        ("modbus-site", "site", "online", 0, 0, 0, 0.0),
        ("snmp-hall-a", "hall-a", "online", 0, 0, 0, 3600.4),
        ("snmp-hall-b", "hall-a", "silent", 42_000, 4, 0, None),
        ("cdu-hall-a", "hall-a", "offline", 1_260_000, 0, 12, None),
    )
    return [
        {
            "name": name,
            "hall": hall,
            "state": state,
            "last_seen": time_ms - age,
            "missing": missing,
            "lost": lost,
            "clock_offset_seconds": offset,
        }
        for name, hall, state, age, missing, lost, offset in named
    ]


def _quality(time_ms: int) -> dict[str, Any]:
    return {
        "completeness": 0.998,
        "residual_ratio": 0.0011 + 0.0004 * _wave(time_ms, 60),
        "missing": 4,
        "lost": 12,
        "recovered": 31,
        "rejected": 0,
        "dead_letters": 1,
        "spool_bytes": 184_320,
        "restatements": 3,
        "held_readings": 1_412,
        "meters_not_in_service": 2,
        "calibrations_overdue": 1,
        "store_up": True,
        "points_stored": 1_284_907 + time_ms // 1000 % 10_000 * 61,
        "ledger_closed": time_ms - time_ms % 60_000 - 60_000,
        "delay_seconds": 0.9,
    }


def _demand(time_ms: int, grid: float) -> dict[str, Any]:
    start = time_ms - time_ms % WINDOW_MS
    energy = 291_000 * (time_ms - start) / HOUR_MS
    left = (start + WINDOW_MS - time_ms) / HOUR_MS
    return {
        "projected_watts": (energy + grid * left) / (WINDOW_MS / HOUR_MS),
        "subscribed_watts": 320_000.0,
        "power_watts": grid,
        "energy_wh": energy,
        "since": start,
        "until": start + WINDOW_MS,
        "window_minutes": WINDOW_MS / 60_000,
    }


def _events(time_ms: int) -> list[dict[str, Any]]:
    listed = (
        (310_000, "r1-06-n2", "xid_79", "critical", "GPU has fallen off the bus"),
        (1_260_000, "cdu-hall-a", "agent_offline", "warning", "agent went offline"),
        (2_900_000, "grid-1", "register_reset", "info", "register restarted at 0"),
    )
    return [
        {
            "time": time_ms - age,
            "device": device,
            "code": code,
            "severity": severity,
            "text": text,
        }
        for age, device, code, severity, text in listed
    ]


def demo_frame(time_ms: int) -> dict[str, Any]:
    """Return the scripted frame of an instant, in ms since 1970 UTC."""
    supply = _supply(time_ms)
    load = sum(supply.values()) - CAMPUS_WATTS - UNMETERED_WATTS
    pue = 1.183 + 0.006 * _wave(time_ms, 1300)
    total = sum(supply.values())
    renewable = (supply["pv"] + supply["wind"] + supply["battery"]) / total
    grid, unknown = supply["grid"] / total, supply["unknown"] / total
    carbon_free = renewable + 0.215 * grid
    stock = 640_000 + 90_000 * _wave(time_ms, 3100)
    return {
        "time": time_ms,
        "served": time_ms + 900,
        "site": SITE,
        "state": "live",
        "pue": {
            "value": pue,
            "category": 2,
            "window": "15m",
            "since": time_ms - 900_000,
            "reason": None,
        },
        "shares": {
            "renewable": renewable,
            "renewable_claimable": renewable,
            "grid": grid,
            "carbon_free": carbon_free,
            "carbon": 1 - carbon_free,
            "on_site": renewable,
            "contracted": grid * 0.6,
            "unknown": unknown,
        },
        "sources": _sources(supply),
        "sinks": _sinks(load, pue),
        "load_watts": load,
        "intensity": {"operational": 554.24 * grid, "life_cycle": 619.71 * grid + 36 * renewable},
        "demand": _demand(time_ms, supply["grid"]),
        "battery": {
            "stock_wh": stock,
            "capacity_wh": 1_000_000,
            "state_of_charge": stock / 1_000_000,
            "charge_watts": 0.0,
            "discharge_watts": supply["battery"],
        },
        **_machine(time_ms),
        "agents": _agents(time_ms),
        "nodes": {"total": 32, "online": 32},
        "quality": _quality(time_ms),
        "maintenance": [_outage(time_ms)],
        "acks": [_ack(time_ms)],
        "commitments": demo_promises(),
        "events": _events(time_ms),
    }


def _ack(time_ms: int) -> dict[str, Any]:
    return {
        "id": f"{time_ms - 240_000} SafetyLeak{{device=cdu-a1}}",
        "alert": "SafetyLeak{device=cdu-a1}",
        "author": "N. Idrissi",
        "note": "On my way with the kit",
        "since": time_ms - 240_000,
        "until": time_ms + 960_000,
    }


def _outage(time_ms: int) -> dict[str, Any]:
    return {
        "asset": "cdu-a2",
        "since": time_ms - 2_700_000,
        "until": time_ms - time_ms % HOUR_MS + 2 * HOUR_MS,
        "author": "N. Idrissi",
        "reason": "Filter of pump 2",
        "overdue": False,
    }


def demo_history(time_ms: int) -> dict[str, Any]:
    """Return the scripted hour before an instant."""
    end = time_ms - time_ms % STEP_MS
    times = list(range(end - HOUR_MS + STEP_MS, end + 1, STEP_MS))
    frames = [demo_frame(instant) for instant in times]
    names = [source["id"] for source in frames[0]["sources"]]
    return {
        "step_seconds": STEP_MS // 1000,
        "times": times,
        "sources": {
            name: [frame["sources"][index]["power_watts"] for frame in frames]
            for index, name in enumerate(names)
        },
        "load": [frame["load_watts"] for frame in frames],
        "pue": [frame["pue"]["value"] for frame in frames],
        "renewable": [frame["shares"]["renewable"] for frame in frames],
    }


def demo_app() -> Starlette:
    """Return an application that publishes a scripted frame each second."""
    page = LivePage(lambda: demo_history(_now_ms()))

    async def publish() -> None:
        while True:
            page.publish(demo_frame(_now_ms()))
            await asyncio.sleep(1)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(publish(), name="page-demo")
        yield
        task.cancel()

    return Starlette(
        routes=routes(page), middleware=[Middleware(SecurityHeaders)], lifespan=lifespan
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main() -> None:
    """Serve the demonstration on the loopback interface until interrupted."""
    parser = argparse.ArgumentParser(description="Serve the live page with scripted figures.")
    parser.add_argument("--port", type=int, default=8410)
    port = parser.parse_args().port
    uvicorn.run(
        demo_app(), host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1
    )


if __name__ == "__main__":
    main()

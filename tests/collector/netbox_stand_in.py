# SPDX-License-Identifier: Apache-2.0
"""A stand-in for NetBox: it answers with objects of NetBox 4.x' form, and is none.

The objects are written after NetBox' published REST API, not recorded from an installation.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from servers.fixtures import HOST

TOKEN: Final = "0123456789abcdef0123456789abcdef01234567"
PAGE: Final = 3
"""The most that this server gives at once, whatever is asked: pages must be followed."""

Objects = dict[str, list[dict[str, Any]]]
Trick = Callable[[BaseHTTPRequestHandler], bool]
"""Answers a request in a way of its own; whether it did."""


class NetBox:
    """The stand-in: `objects` by endpoint, changed as a test likes."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.asked: list[str] = []
        self.trick: Trick = lambda _: False
        self.url = ""

    def answer(self, path: str, query: dict[str, list[str]]) -> dict[str, Any] | None:
        endpoint = path.removeprefix("/api/").strip("/")
        if endpoint not in self.objects:
            return None
        found = self.objects[endpoint]
        if endpoint == "dcim/sites" and "slug" in query:
            found = [one for one in found if one["slug"] == query["slug"][0]]
        start = int(query.get("offset", ["0"])[0])
        size = min(PAGE, int(query.get("limit", ["50"])[0]) or PAGE)
        more = start + size < len(found)
        following = f"{self.url}/api/{endpoint}/?limit={size}&offset={start + size}"
        return {
            "count": len(found),
            "next": following if more else None,
            "previous": None,
            "results": found[start : start + size],
        }


@contextmanager
def serving(objects: Objects) -> Iterator[NetBox]:
    """Run it on a free port of the loopback."""
    made = NetBox(objects)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            made.asked.append(self.path)
            if made.trick(self):
                return
            if self.headers.get("Authorization") not in {f"Token {TOKEN}", f"Bearer {TOKEN}"}:
                self.reply(403, {"detail": "Invalid token"})
                return
            found = made.answer(parts.path, parse_qs(parts.query))
            self.reply(200 if found else 404, found or {"detail": "Not found."})

        def reply(self, code: int, body: dict[str, Any]) -> None:
            text(self, code, json.dumps(body), "application/json")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    made.url = f"http://{HOST}:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def text(handler: BaseHTTPRequestHandler, code: int, body: str, kind: str = "text/html") -> None:
    raw = body.encode()
    handler.send_response(code)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(raw)))
    handler.send_header("API-Version", "4.3")
    handler.end_headers()
    handler.wfile.write(raw)


def thing(endpoint: str, number: int, **fields: Any) -> dict[str, Any]:
    """An object with what all have."""
    return {
        "id": number,
        "url": f"http://netbox.example.org/api/{endpoint}/{number}/",
        "display_url": f"http://netbox.example.org/{endpoint}/{number}/",
        "custom_fields": {},
        **fields,
    }


def brief(one: dict[str, Any]) -> dict[str, Any]:
    """As it stands within another."""
    return {key: one[key] for key in ("id", "url", "name", "slug") if key in one}


def campus(racks: int = 6, nodes: int = 2) -> Objects:
    """A site with two halls of one row each, PDUs on two sides with feeds, and two tenants."""
    active = {"value": "active", "label": "Active"}
    site = thing(
        "dcim/sites", 1, name="Campus North", slug="campus", time_zone="Africa/Casablanca",
        latitude=35.57, longitude=-5.37, status=active,
    )  # fmt: skip
    halls = [
        thing("dcim/locations", n, name=f"Hall {n}", slug=f"hall-{n}", parent=None) for n in (1, 2)
    ]
    rows = [
        thing("dcim/locations", n + 2, name=f"Row {n}", slug=f"row-{n}", parent=brief(halls[n - 1]))
        for n in (1, 2)
    ]
    tenants = [
        thing("tenancy/tenants", 1, name="The Lab", slug="lab", group={"slug": "researcher"},
              custom_fields={"rackwatt_country": "MA"}),
        thing("tenancy/tenants", 2, name="Shop & Co", slug="shop", group=None),
        thing("tenancy/tenants", 3, name="Nobody", slug="nobody", group=None),
    ]  # fmt: skip
    made: Objects = {
        "dcim/sites": [site], "dcim/locations": [*halls, *rows], "dcim/racks": [],
        "dcim/devices": [], "dcim/power-panels": [], "dcim/power-feeds": [],
        "tenancy/tenants": tenants,
    }  # fmt: skip
    for side, name in enumerate(("panel-a", "panel-b"), 1):
        made["dcim/power-panels"].append(thing("dcim/power-panels", side, name=name))
    for number in range(1, racks + 1):
        _rack(made, number, rows[0 if number <= racks // 2 else 1], nodes, active)
    made["dcim/racks"][0]["tenant"] = brief(tenants[0])
    loose = (("crah-1", "crah", brief(halls[0])), ("weather-1", "sensor", None))
    made["dcim/devices"] += [
        thing(
            "dcim/devices", 900_000 + number, name=name, role={"slug": role}, rack=None,
            location=place, status=active, tenant=None, parent_device=None,
        )
        for number, (name, role, place) in enumerate(loose)
    ]  # fmt: skip
    return made


def _rack(made: Objects, number: int, row: dict[str, Any], nodes: int, active: object) -> None:
    rack = thing("dcim/racks", number, name=f"r{number:02d}", location=brief(row), status=active,
                 tenant=None)  # fmt: skip
    made["dcim/racks"].append(rack)
    names = [(f"r{number:02d}-n{n}", "gpu-node") for n in range(1, nodes + 1)]
    names += [(f"r{number:02d}-pdu-{side}", "pdu") for side in "ab"]
    for offset, (name, role) in enumerate(names):
        device = thing(
            "dcim/devices", number * 100 + offset, name=name, role={"id": 1, "slug": role},
            rack=brief(rack), location=brief(row), status=active, tenant=None, parent_device=None,
        )  # fmt: skip
        made["dcim/devices"].append(device)
        if role == "pdu":
            side = "ab".index(name[-1])
            made["dcim/power-feeds"].append(
                thing(
                    "dcim/power-feeds", number * 10 + side, name=f"feed-{name}", status=active,
                    power_panel=brief(made["dcim/power-panels"][side]), rack=brief(rack),
                    type={"value": ("primary", "redundant")[side]}, voltage=400, amperage=63,
                    phase={"value": "three-phase"}, supply={"value": "ac"}, max_utilization=80,
                    connected_endpoints=[
                        {"id": 1, "name": "inlet", "device": {"id": device["id"], "name": name}}
                    ],
                )
            )  # fmt: skip

# SPDX-License-Identifier: Apache-2.0
"""By its name a GPU node's agent may report its own node's devices, and nobody else may."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from collecting import small_site
from collector.bench import Bench, message, received

from rackwatt.collector.ingest.rights import Rights
from rackwatt.collector.ingest.state import Owners
from rackwatt.collector.site import load_site
from rackwatt.twin.kit import build
from rackwatt.twin.spec import load_spec
from rackwatt.wire.codec import Reason, decode_envelope
from rackwatt.wire.inventory import Inventory, InventoryItem, Register

ROOT = "rackwatt/v1/demo"
NODE = f"{ROOT}/hall-a/node-1"
FIELD = f"{ROOT}/hall-a/snmp-a"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = await Bench(tmp_path / "spool.db").start()
    yield made
    await made.spool.aclose()


@pytest.fixture
def rights() -> Rights:
    return Rights({"n1", "n2", "host-n2"}.__contains__)


@pytest.mark.parametrize(
    ("agent", "node"),
    [
        ("n1", "n1"),
        ("n1-host", "n1"),
        ("host-n1", "n1"),
        ("gpu-n1", "n1"),
        ("n1-nvml", "n1"),
        ("host-n2", "host-n2"),
        ("n3", None),
        ("n1-pdu", None),
        ("host-", None),
        ("snmp-a", None),
    ],
)
def test_the_agents_of_a_node_are_named_after_it(
    rights: Rights, agent: str, node: str | None
) -> None:
    assert rights.node_of(agent) == node


@pytest.mark.parametrize(
    ("agent", "device", "may"),
    [
        ("n1", "n1", True),
        ("n1", "n1/GPU-1", True),
        ("n1", "n1/nvml", True),
        ("n1-host", "n1", True),
        ("n1-host", "n1-host", True),  # what it says of itself
        ("n1", "n2/GPU-1", False),
        ("n1", "n2", False),
        ("n1", "n10/GPU-1", False),
        ("n1", "grid-1", False),
        ("n1", "n1-pdu", False),
        ("snmp-a", "n1-pdu", True),
        ("snmp-a", "grid-1", True),
        ("snmp-a", "n1", False),
        ("snmp-a", "n1/GPU-1", False),
        ("stranger", "machine-7/GPU-1", True),
    ],
)
def test_who_may_report_what(rights: Rights, agent: str, device: str, may: bool) -> None:
    assert (rights.refusal(agent, device) is None) is may


@pytest.mark.parametrize("topic", [f"{NODE}/power", f"{ROOT}/hall-a/host-node-1/power"])
async def test_a_nodes_agent_cannot_be_the_first_to_report_a_meter(
    bench: Bench, topic: str
) -> None:
    forged = {"device": "grid-1", "power_watts": 1.0}
    own = {"device": "node-1/psu", "power_watts": 2.0}
    await bench.take(message(1, forged, own, topic=topic))
    ((_, payload),) = await bench.kept()
    assert [item["device"] for item in decode_envelope(payload).readings] == ["node-1/psu"]
    assert bench.ingest.counts.rejected == {Reason.DEVICE_CONFLICT: 1}
    why = "grid-1 is not for an agent of node 'node-1' to report"
    assert bench.letters() == [("device_conflict", why)]
    await bench.take(message(1, forged, topic=f"{FIELD}/power"))
    assert len(await bench.kept()) == 2, "whose it is reports it"


async def test_a_field_agent_reports_no_nodes_devices(bench: Bench) -> None:
    for number, device in enumerate(("node-1", "node-1/GPU-1"), 1):
        await bench.take(
            message(number, {"device": device, "power_watts": 1.0}, topic=f"{FIELD}/gpu")
        )
    assert await bench.kept() == []
    assert bench.ingest.counts.rejected == {Reason.DEVICE_CONFLICT: 2}


async def test_nobody_says_how_anothers_registers_count(bench: Bench) -> None:
    """A modulus for the grid's meter would turn its next reading into energy."""
    await bench.take(message(1, {"device": "pdu-1", "power_watts": 1.0}))
    wrong = {"energy_import_watt_hours": Register(modulus_watt_hours=1000.0)}
    items = [InventoryItem(device=name, registers=wrong) for name in ("grid-1", "pdu-1", "node-1")]
    said = Inventory.of(items, 1).model_dump_json().encode()
    await bench.take(received(f"{NODE}/inventory", said, retain=True))
    await bench.take(received(f"{ROOT}/hall-b/other/inventory", said))
    _, first, second = await bench.kept()
    assert [item.device for item in Inventory.model_validate_json(first[1]).devices] == ["node-1"]
    assert [item.device for item in Inventory.model_validate_json(second[1]).devices] == ["grid-1"]
    assert bench.ingest.counts.rejected == {Reason.DEVICE_CONFLICT: 2}
    await bench.take(received(f"{FIELD}/inventory", said))
    assert bench.letters()[-1] == (
        "device_conflict", "node-1 is for the agents of node 'node-1' to report",
    )  # fmt: skip


def test_what_the_site_file_forbids_by_now_is_not_remembered(rights: Rights) -> None:
    owners = Owners([("grid-1", "n1"), ("n1/GPU-1", "n1")], 0.0, rights)
    assert owners.claim("grid-1", "meters", 1.0) is None
    (taken,) = owners.notes()
    assert taken.rows == [("grid-1", "meters")]
    assert owners.claim("n1/GPU-1", "meters", 1.0) == "reported by 'n1'"


@pytest.mark.parametrize("scenario", ["default", "tetouan"])
def test_all_agents_of_the_simulated_sites_may_report_their_devices(
    scenario: str, tmp_path: Path
) -> None:
    kit = build(load_spec(scenario), tmp_path, "mqtt://127.0.0.1:1883")
    site = load_site(kit.site_file)
    rights = Rights(site.is_node)
    devices = 0
    for path in kit.field_agent_files:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = config["agent"]["name"]
        assert rights.node_of(name) is None
        for device in config[config["source"]]["devices"]:
            assert rights.refusal(name, device["device"]) is None
            devices += 1
    for path in kit.node_agent_files:
        agent = yaml.safe_load(path.read_text(encoding="utf-8"))["agent"]
        node = agent.get("node", agent["name"])
        assert rights.refusal(agent["name"], f"{node}/GPU-0") is None
        devices += 1
    assert devices > 100


def test_the_example_of_a_host_agent_fits_its_node() -> None:
    assert Rights(small_site().is_node).node_of("r1-n1-host") == "r1-n1"

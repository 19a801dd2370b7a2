# SPDX-License-Identifier: Apache-2.0
"""From a fault of the twin to the phone: `rackwatt up`, Prometheus, Alertmanager, a webhook.

One system serves all tests of this file, in order. Times are from the order to break to the
webhook, with the shipped rules, routes and intervals; only what would last minutes is shortened,
as `SHORTENED` says.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.whole import Whole, wait_for

from rackwatt.twin import clear, inject
from servers.alertmanager import Alertmanager, Notice, Webhook
from servers.fixtures import Mosquitto
from servers.prometheus import Prometheus

pytestmark = pytest.mark.e2e

SHORTENED = {
    "expr: rackwatt_meter_unchanged_seconds >= 600": "expr: rackwatt_meter_unchanged_seconds >= 60",
    "for: 5m": "for: 20s",
}
ROUTES = {"group_wait: 2m": "group_wait: 5s"}
PAGE, SAFETY = 60.0, 5.0
"""Seconds from the fault to the webhook."""
SILENT_PAGE = 90.0
"""An agent counts as silent when three of its statuses are missing, 35 s."""
ROW = [f"r1-{number:02}" for number in range(1, 9)]
STUCK, GPU = "ups-1", "r2-03-n1/1"


class Watch:
    """The system, and who watches it."""

    def __init__(self, folder: Path, webhook: Webhook) -> None:
        self.webhook = webhook
        self.broker = Mosquitto(folder / "broker")
        self.alertmanager = Alertmanager(folder / "alertmanager", webhook.url, replaced=ROUTES)
        arguments = ("--alertmanager", self.alertmanager.url, "--broker", self.broker.url)
        self.system = Whole(folder / "data", *arguments)
        self.prometheus = Prometheus(
            folder / "prometheus",
            {"rackwatt": [f"127.0.0.1:{self.system.port}"]},
            [self.alertmanager.url.removeprefix("http://")],
            replaced=SHORTENED,
        )
        self.broken: dict[str, float] = {}

    def start(self) -> None:
        self.broker.start()
        self.alertmanager.start()
        self.system.start()
        self.prometheus.start()

    def close(self) -> None:
        self.system.close()
        for server in (self.prometheus, self.alertmanager, self.broker):
            server.stop()

    def break_(self, fault: str, *targets: str, value: float | None = None) -> float:
        for target in targets:
            inject(self.system.folder, fault, target, value=value)
        return time.monotonic()

    def mend(self, fault: str, *targets: str) -> None:
        for target in targets:
            clear(self.system.folder, fault, target)

    def told(self, name: str, since: float, seconds: float, **labels: str) -> Notice:
        """The first page, ticket or alarm of that name, and how long it took."""

        def is_it(notice: Notice) -> bool:
            same = labels.items() <= notice.labels.items()
            return notice.name == name and notice.status == "firing" and same

        notice = self.webhook.wait(is_it, 3 * seconds, since)
        print(f"{name}: {notice.at - since:.1f} s to {notice.path} {labels}")
        return notice

    def agents_of(self, hall: str) -> list[int]:
        """Processes in which field agents of a hall run, several in one."""
        assert self.system.process is not None
        found: list[int] = []
        for task in Path(f"/proc/{self.system.process.pid}/task").iterdir():
            below: list[str] = []
            with contextlib.suppress(OSError):  # threads come and go
                below = (task / "children").read_text(encoding="ascii").split()
            for pid in below:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
                if "agents.cli" in line and f"{hall}.yaml" in line:
                    found.append(int(pid))
        return found

    def pages(self) -> list[Notice]:
        return [n for n in self.webhook.notices if n.path.startswith(("/page", "/on-call"))]

    def inhibited(self) -> set[str]:
        found = self.alertmanager.alerts()
        return {a["labels"]["alertname"] for a in found if a["status"]["inhibitedBy"]}


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    with Webhook() as webhook:
        made = Watch(tmp_path_factory.mktemp("alerts"), webhook)
        try:
            made.start()
            yield made
        finally:
            made.close()


def test_a_healthy_site_is_quiet(watch: Watch) -> None:
    # What Prometheus says before it has found Alertmanager it says again after a minute.
    watch.webhook.wait(lambda n: n.name == "DeadMansSwitch" and n.path == "/heartbeat", 180)
    query = 'count(rackwatt_feed_up == 1) and on () rackwatt_coolant_devices_number{state="fresh"}'
    wait_for("signals in Prometheus", lambda: watch.prometheus.query(query), 90)
    rules = watch.prometheus.get("rules")["groups"]
    assert sum(len(group["rules"]) for group in rules) > 60
    assert all(rule["health"] != "err" for group in rules for rule in group["rules"]), rules
    print({n.name for n in watch.pages()})
    # What lasts is broken first: its tickets come while the pages are looked at.
    watch.broken["stuck"] = watch.break_("stuck", STUCK)
    watch.broken["gpu"] = watch.break_("gpu_lost", GPU)


def test_a_leak_rings_at_once(watch: Watch) -> None:
    broken = watch.break_("leak", "cdu-a1")
    notice = watch.told("SafetyLeak", broken, SAFETY)
    assert notice.path == "/on-call"
    assert notice.at - broken < SAFETY
    watch.mend("leak", "cdu-a1")


def test_an_overloaded_feed_pages_the_electrician(watch: Watch) -> None:
    broken = watch.break_("bias", "r2-08-pdu-a", value=20.0)
    feed = "row-2-busway-a>r2-08-pdu-a"
    notice = watch.told("EdgeOverloaded", broken, PAGE, feed=feed)
    assert notice.path == "/page/electrical"
    assert notice.at - broken < PAGE
    assert notice.labels["site"] == "demo"
    watch.mend("bias", "r2-08-pdu-a")


def test_a_lost_feed_pages_once_and_its_silent_meters_do_not(watch: Watch) -> None:
    broken = watch.break_("dead", *(f"{rack}-pdu-a" for rack in ROW))
    watch.break_("bias", *(f"{rack}-pdu-b" for rack in ROW), value=2.0)
    notice = watch.told("FeedLost", broken, PAGE, feed="ups-a>row-1-busway-a")
    assert notice.path == "/page/electrical"
    assert notice.at - broken < PAGE
    wait_for("muted consequence", lambda: "FeedMeterSilent" in watch.inhibited(), 90)
    assert not [n for n in watch.webhook.notices if n.name == "FeedMeterSilent"]
    lost = {n.labels["feed"] for n in watch.webhook.notices if n.name == "FeedLost"}
    assert lost == {"ups-a>row-1-busway-a"}
    watch.mend("dead", *(f"{rack}-pdu-a" for rack in ROW))
    watch.mend("bias", *(f"{rack}-pdu-b" for rack in ROW))


def test_a_lost_gpu_goes_to_the_remediation_queue_and_pages_nobody(watch: Watch) -> None:
    notice = watch.told("GpuLost", watch.broken["gpu"], 180, rack="r2-03")
    assert notice.path == "/remediation"
    assert notice.labels["gpu"].startswith("r2-03-n1/")
    assert not [n for n in watch.pages() if "Gpu" in n.name]


def test_a_stuck_meter_is_a_ticket(watch: Watch) -> None:
    notice = watch.told("MeterStuck", watch.broken["stuck"], 180, meter=STUCK)
    assert notice.path == "/tickets"


def test_silent_agents_page_the_platform_and_the_hall_is_blind(watch: Watch) -> None:
    agents = watch.agents_of("hall-a")
    assert agents
    for pid in agents:
        os.kill(pid, signal.SIGSTOP)
    broken = time.monotonic()
    try:
        blind = watch.told("BlindHall", broken, SILENT_PAGE, hall="hall-a")
        assert blind.path == "/on-call"
        notice = watch.told("AgentSilent", broken, SILENT_PAGE, agent="snmp-hall-a")
        assert notice.path == "/page/it"
        assert notice.labels["hall"] == "hall-a"
        assert notice.at - broken < SILENT_PAGE
    finally:
        for pid in agents:
            os.kill(pid, signal.SIGCONT)
    quiet = "rackwatt_agent_up == 0"
    wait_for("agents back", lambda: not watch.prometheus.query(quiet), 120)


def test_a_killed_broker_pages_once_and_mutes_what_follows(watch: Watch) -> None:
    def settled() -> bool:
        names = {a["labels"]["alertname"] for a in watch.prometheus.alerts()}
        return not names & {"AgentSilent", "BlindHall", "FeedLost"}

    wait_for("quiet", settled, 240)
    watch.broker.kill()
    broken = time.monotonic()
    notice = watch.told("BrokerDown", broken, PAGE)
    assert notice.path == "/page/it"
    assert notice.at - broken < PAGE
    wait_for("muted agents", lambda: "AgentSilent" in watch.inhibited(), 120)
    blind = watch.told("BlindHall", broken, SILENT_PAGE)
    assert blind.path == "/on-call"
    assert "BlindHall" not in watch.inhibited()
    told = [n for n in watch.webhook.notices if n.name == "AgentSilent" and n.at > broken]
    assert not [n for n in told if n.status == "firing"], told
    print(f"muted by their cause: {sorted(watch.inhibited())}")

# SPDX-License-Identifier: Apache-2.0
"""`rackwatt site import netbox` against a stand-in that speaks NetBox' REST API."""

import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from collector.netbox_stand_in import TOKEN, NetBox, Objects, campus, serving, text
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rackwatt.collector.netbox.regions import RegionError, body, find, put
from rackwatt.collector.netbox.writing import _list
from rackwatt.collector.site import load_site
from rackwatt.collector.site.cli import site_app
from rackwatt.collector.site.patterns import expand
from servers.fixtures import free_port
from servers.mutual import pki

MINE = """\
# A remark.
meters:
  - {id: grid-1, role: grid}   # ours
  - {id: it, role: it, position: pdu_output, sum: ["r[01-06]-pdu-[a-b]"]}
# Meters"""
SINCE = "2026-11-01T00:00:00+00:00"


@pytest.fixture
def netbox() -> Iterator[NetBox]:
    with serving(campus()) as made:
        yield made


def call(
    netbox: NetBox, file: Path, *more: str, token: str = TOKEN, url: str = ""
) -> tuple[int, str]:
    secret = file.parent / "netbox.token"
    secret.write_text(token, encoding="ascii")
    found = CliRunner().invoke(
        site_app,
        ["import", "netbox", str(file), "--url", url or netbox.url, "--site", "campus",
         "--token-file", str(secret), *more],
    )  # fmt: skip
    assert TOKEN not in found.output
    return found.exit_code, found.output


def test_a_site_file_is_made_and_loads(netbox: NetBox, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    code, said = call(netbox, file)
    assert code == 1, said
    assert "nothing was written" in said
    assert not file.exists()
    code, said = call(netbox, file, "--write")
    assert code == 0, said
    site = load_site(file)
    assert (site.id, site.timezone.key) == ("campus", "Africa/Casablanca")
    assert [hall.id for hall in site.halls] == ["hall-1", "hall-2"]
    place = site.place("r05-n2", 0)
    assert place is not None
    assert (place.hall, place.row, place.rack) == ("hall-2", "row-2", "r05")
    assert site.place("crah-1", 0).hall == "hall-1"  # type: ignore[union-attr]
    assert site.place("weather-1", 0).hall == "site"  # type: ignore[union-attr]
    assert site.meters_at(0)["r04-pdu-b"].accuracy == 1.0
    written = file.read_text(encoding="utf-8")
    assert 'racks: "r[01-03]"' in written
    assert "amperes: 63, volts: 400, phases: 3, derating: 0.8, side: B" in written
    assert "shop" not in written
    assert [tenant.id for tenant in site.tenants] == ["lab"]
    assert call(netbox, file) == (0, f"{file}: as NetBox says\n")


def test_what_people_wrote_stays(netbox: NetBox, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    call(netbox, file, "--write")
    own = file.read_text(encoding="utf-8").replace("# Meters", MINE, 1)
    file.write_text(own, encoding="utf-8")
    netbox.objects["dcim/devices"] = [
        one for one in netbox.objects["dcim/devices"] if one["name"] != "r04-n2"
    ]
    code, said = call(netbox, file, "--write")
    assert code == 0, said
    after = file.read_text(encoding="utf-8")
    assert "# A remark." in after
    assert "- {id: grid-1, role: grid}   # ours" in after
    assert load_site(file).place("r04-n2", 0) is None
    assert file.with_name("site.yaml.old").read_text(encoding="utf-8") == own
    assert {line[0] for line in said.splitlines() if line[1:].startswith("  ")} >= {"+", "-"}


def test_a_tenancy_that_changes_is_dated(netbox: NetBox, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    call(netbox, file, "--write")
    lab, shop = netbox.objects["tenancy/tenants"][:2]
    netbox.objects["dcim/racks"][0]["tenant"] = {"id": shop["id"], "slug": "shop"}
    netbox.objects["dcim/devices"][4]["tenant"] = {"id": lab["id"], "slug": "lab"}  # r02-n1
    code, said = call(netbox, file, "--write", "--since", SINCE)
    assert code == 0, said
    written = file.read_text(encoding="utf-8")
    assert f"{{racks: r01, valid_to: {SINCE}}}" in written
    assert f"{{racks: r01, valid_from: {SINCE}}}" in written
    assert f"{{nodes: r02-n1, valid_from: {SINCE}}}" in written
    assert "kind '' is none of" in said
    load_site(file)
    assert call(netbox, file)[0] == 0
    netbox.objects["dcim/devices"][4]["tenant"] = None
    code, said = call(netbox, file, "--write", "--since", "2026-12-01T00:00:00+00:00")
    assert code == 0, said
    ended = f"{{nodes: r02-n1, valid_from: {SINCE}, valid_to: 2026-12-01T00:00:00+00:00}}"
    assert ended in file.read_text(encoding="utf-8")
    load_site(file)


def test_what_has_moved_wants_an_act(netbox: NetBox, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    call(netbox, file, "--write")
    node = next(one for one in netbox.objects["dcim/devices"] if one["name"] == "r01-n1")
    node["rack"] = {"id": 3}
    code, said = call(netbox, file, "--write")
    assert code == 2
    assert "rackwatt site move r01-n1 --to hall-1/row-1/r03 --since TIME" in said.replace("\n", " ")
    done = CliRunner().invoke(
        site_app,
        ["move", "r01-n1", "--to", "hall-1/row-1/r03", "--since", "2026-10-01T00:00+00:00",
         "--author", "A", "--reason", "R", "--site", str(file), "--without-ledger",
         "--data", str(tmp_path)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    before = file.read_text(encoding="utf-8")
    code, said = call(netbox, file)
    assert code == 0, said
    assert file.read_text(encoding="utf-8") == before
    assert load_site(file).place("r01-n1", 0).rack == "r01"  # type: ignore[union-attr]


WRONG: dict[str, tuple[Callable[[Objects], object], str]] = {
    "two of one name": (
        lambda o: o["dcim/devices"][1].update(name="r01-n1"), "is also the name of"
    ),
    "no name": (lambda o: o["dcim/devices"][0].update(name=None), "has no name: name it"),
    "a name with a space": (lambda o: o["dcim/racks"][0].update(name="R 1"), "rackwatt_id"),
    "a rack in no location": (lambda o: o["dcim/racks"][0].update(location=None), "no location"),
    "a device in a refused rack": (
        lambda o: o["dcim/devices"][0].update(rack={"id": 77}), "in a rack that is not active"
    ),
    "a node in no rack": (lambda o: o["dcim/devices"][0].update(rack=None), "is in no rack"),
    "a feed without volts": (lambda o: o["dcim/power-feeds"][0].update(voltage=0), "needs voltage"),
    "a foreign parent": (
        lambda o: o["dcim/locations"][2].update(parent={"id": 99}), "a parent that is not"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_a_site_file_cannot_say_is_named(netbox: NetBox, tmp_path: Path, what: str) -> None:
    file = tmp_path / "site.yaml"
    change, said = WRONG[what]
    change(netbox.objects)
    code, found = call(netbox, file, "--write")
    assert code == 2, found
    assert said in found
    assert "http://netbox.example.org/dcim/" in found.replace("\n", "")
    assert not file.exists()


def test_what_is_not_in_use_is_left_out_and_counted(netbox: NetBox, tmp_path: Path) -> None:
    netbox.objects["dcim/racks"][3]["status"] = {"value": "planned"}
    for one in netbox.objects["dcim/devices"]:
        if one["name"].startswith("r04"):
            one["status"] = {"value": "planned"}
    code, said = call(netbox, tmp_path / "site.yaml", "--write")
    assert code == 0, said
    assert "left out: 1 racks that are planned" in said
    assert "left out: 4 devices that are planned" in said
    assert "left out: 2 power feeds that no cable joins to a PDU in a rack" in said


def test_a_name_of_ones_own(netbox: NetBox, tmp_path: Path) -> None:
    netbox.objects["dcim/racks"][0].update(name="R 1", custom_fields={"rackwatt_id": "r01"})
    file = tmp_path / "site.yaml"
    assert call(netbox, file, "--write")[0] == 0
    assert load_site(file).place("r01-n1", 0).rack == "r01"  # type: ignore[union-attr]


def test_keys_that_are_written_by_hand_are_not_doubled(netbox: NetBox, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("site: {id: campus, timezone: UTC}\nhalls: [{id: hall-1}]\n", encoding="utf-8")
    code, said = call(netbox, file, "--write")
    assert code == 2
    assert "line 2: 'halls:' is written by hand" in said.replace("\n", " ")


TRICKS = {
    "html": (200, "<html>a portal</html>", "the answer is no JSON"),
    "half": (200, '{"count": 2, "next": null, "results": [{"id": 1', "the answer is no JSON"),
    "error": (500, "broken", "500"),
    "absent": (404, "no", "404: name the address without /api"),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_answers_that_are_none(netbox: NetBox, tmp_path: Path, trick: str) -> None:
    code, content, said = TRICKS[trick]

    def answer(handler: object) -> bool:
        text(handler, code, content)  # type: ignore[arg-type]
        return True

    netbox.trick = answer
    found = call(netbox, tmp_path / "site.yaml", "--write")
    assert found[0] == 1
    assert said in found[1]


def test_a_wrong_token_no_server_no_site(netbox: NetBox, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    assert "403: the token is wrong" in call(netbox, file, token="another")[1]
    code, said = call(netbox, file, url=f"http://127.0.0.1:{free_port()}")
    assert code == 1
    assert "cannot be reached" in said
    netbox.objects["dcim/sites"][0]["slug"] = "other"
    code, said = call(netbox, file)
    assert code == 1
    assert "no site 'campus'" in said
    assert "it has other" in said


def test_pages_are_followed(netbox: NetBox, tmp_path: Path) -> None:
    assert call(netbox, tmp_path / "site.yaml", "--write")[0] == 0
    assert any("offset=3" in path for path in netbox.asked)
    racks = [rack.id for rack in load_site(tmp_path / "site.yaml").racks]
    assert racks == [f"r0{number}" for number in range(1, 7)]


def test_the_authority_must_be_known(netbox: NetBox, tmp_path: Path) -> None:
    pki(tmp_path / "pki", "init", "--site", "demo")
    pki(tmp_path / "pki", "server", "web", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = tmp_path / "pki" / "servers"
    context.load_cert_chain(folder / "web.crt", folder / "web.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"https://127.0.0.1:{server.server_port}"
        code, said = call(netbox, tmp_path / "site.yaml", url=url)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert code == 1
    assert "TLS failed" in said
    assert "--ca-file" in said


names = st.sets(
    st.one_of(
        st.from_regex(r"[a-z]{1,3}-?[0-9]{1,3}", fullmatch=True),
        st.from_regex(r"[a-z]{1,2}-[a-d]", fullmatch=True),
        st.from_regex(r"r0[0-9]-n[0-9]{1,2}", fullmatch=True),
    ),
    min_size=1,
    max_size=40,
)


@given(names)
def test_patterns_give_the_names_back(given_names: set[str]) -> None:
    loaded = yaml.safe_load(_list(given_names))
    patterns = [loaded] if isinstance(loaded, str) else loaded
    found = [name for pattern in patterns for name in expand(pattern)]
    assert sorted(found) == sorted(given_names)


@given(st.text("ab\n #:", max_size=60), st.sampled_from(["halls: []", "halls:\n  - {id: a}"]))
def test_regions_keep_what_is_around(around: str, made: str) -> None:
    first = put(around, {"halls": made})
    assert body(first, "halls") == made + "\n"
    assert put(first, {"halls": made}) == first
    assert first.startswith(around.rstrip("\n"))


def test_marks_without_partners_are_named() -> None:
    begin, end = "# >>> netbox halls: x\n", "# <<< netbox halls\n"
    for wrong in (begin, end, begin + begin + end):
        with pytest.raises(RegionError):
            find(wrong)

# SPDX-License-Identifier: Apache-2.0
"""Pushing to a Grafana, of which only a stand-in for its HTTP API is here."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dashboards.grafana_stand_in import TOKEN, GrafanaStandIn, serving
from typer.testing import CliRunner

from rackwatt.dashboards.cargo import cargo
from rackwatt.dashboards.cli import app
from rackwatt.dashboards.datasources import Places, data_sources
from rackwatt.dashboards.editions import all_boards
from rackwatt.dashboards.push import ATTEMPTS, Cargo, Pusher, PushError, connected
from rackwatt.wire.backoff import Backoff

PLACES = Places("http://influx:8086", "secret-1", prometheus="http://prom:9090",
                alertmanager="http://alerts:9093")  # fmt: skip
EVERYTHING = cargo(PLACES)


class Desk:
    """A pusher, what it said, and how long it would have waited."""

    def __init__(self, api: Any) -> None:
        self.said: list[str] = []
        self.waits: list[float] = []
        backoff = Backoff(first=0.5, cap=8.0, rng=random.Random(1))  # noqa: S311
        self.pusher = Pusher(api, self.said.append, self.waits.append, backoff=backoff)

    def push(self, load: Cargo = EVERYTHING) -> dict[str, int]:
        return {str(done): count for done, count in self.pusher.push(load).items()}


Open = Callable[..., Desk]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens desks at a Grafana, and closes them."""
    with ExitStack() as stack:
        yield lambda grafana, token=TOKEN: Desk(stack.enter_context(connected(grafana.url, token)))


@pytest.fixture
def desk(grafana: GrafanaStandIn, opened: Open) -> "Desk":
    return opened(grafana)


@pytest.fixture
def grafana() -> Iterator[GrafanaStandIn]:
    with serving() as stand_in:
        yield stand_in


def test_everything_is_made_and_a_second_push_writes_nothing(
    grafana: GrafanaStandIn, desk: Desk
) -> None:
    assert desk.push() == {"made": len(EVERYTHING), "changed": 0, "there": 0}
    assert len(grafana.boards) == 2 * len(all_boards())
    assert grafana.boards["rackwatt-now-fr"]["meta"]["folderUid"] == "rackwatt-fr"
    assert grafana.secrets["rackwatt-influx"] == {"httpHeaderValue1": "Token secret-1"}
    assert desk.said[0] == f"1/{len(EVERYTHING)} folder 'Rackwatt': made"
    before = len(grafana.writes)
    assert desk.push() == {"made": 0, "changed": 0, "there": len(EVERYTHING)}
    assert len(grafana.writes) == before
    assert desk.waits == []


def test_what_differs_is_corrected_and_a_dry_run_only_says_so(
    grafana: GrafanaStandIn, desk: Desk
) -> None:
    desk.push()
    grafana.boards["rackwatt-now-en"]["dashboard"]["panels"][1]["title"] = "Mine"
    grafana.sources["rackwatt-prometheus"]["url"] = "http://elsewhere"
    grafana.folders["rackwatt-fr"]["title"] = "Autre"
    before = len(grafana.writes)
    desk.pusher.dry = True
    assert desk.push()["changed"] == 3
    assert len(grafana.writes) == before
    said = "\n".join(desk.said)
    assert '-   "title": "Mine",' in said
    assert '+   "title": "PUE, interim (15 min)",' in said
    assert '+ "url": "http://prom:9090"' in said
    desk.pusher.dry = False
    assert desk.push()["changed"] == 3
    assert desk.push()["there"] == len(EVERYTHING)


def test_a_dashboard_in_the_wrong_folder_moves(grafana: GrafanaStandIn, desk: Desk) -> None:
    desk.push()
    grafana.boards["rackwatt-now-en"]["meta"]["folderUid"] = "general"
    assert desk.push()["changed"] == 1
    assert grafana.boards["rackwatt-now-en"]["meta"]["folderUid"] == "rackwatt-en"


def test_secrets_are_sent_where_they_are_missing_or_asked_for(
    grafana: GrafanaStandIn, desk: Desk
) -> None:
    desk.push()
    grafana.secrets["rackwatt-influx"].clear()
    renewed = Cargo({}, data_sources(Places("http://influx:8086", "secret-2", "3")), ())
    assert desk.push(renewed) == {"made": 0, "changed": 1, "there": 1}
    assert grafana.secrets["rackwatt-influx"] == {"httpHeaderValue1": "Bearer secret-2"}
    desk.pusher.new_secrets = True
    assert desk.push(renewed)["changed"] == 2
    assert "secret" not in "\n".join(desk.said)


def test_a_wrong_token_and_missing_rights_are_named(
    grafana: GrafanaStandIn, desk: Desk, opened: Open
) -> None:
    with pytest.raises(PushError, match=r"does not know this token \(401\)"):
        opened(grafana, "wrong").push()
    grafana.fail = [403]
    with pytest.raises(PushError, match=r"role Admin"):
        desk.push()
    assert grafana.writes == []


def test_who_was_faster_is_read_again(grafana: GrafanaStandIn, desk: Desk) -> None:
    desk.push()
    grafana.boards["rackwatt-now-en"]["dashboard"]["title"] = "Mine"
    grafana.faster = 2
    assert desk.push()["changed"] == 1
    assert len(desk.waits) == 2
    grafana.boards["rackwatt-now-en"]["dashboard"]["title"] = "Mine"
    grafana.faster = 99
    with pytest.raises(PushError, match="412"):
        desk.push()


def test_a_grafana_that_is_ill_is_asked_later_and_later(
    grafana: GrafanaStandIn, desk: Desk
) -> None:
    grafana.fail = [500, 503, 502]
    desk.push()
    assert len(desk.waits) == 3
    assert desk.waits == sorted(desk.waits)
    assert len(grafana.boards) == 2 * len(all_boards())
    grafana.fail = [503] * ATTEMPTS
    with pytest.raises(PushError, match="does not answer"):
        desk.push()


def test_nobody_there(opened: Open) -> None:
    with serving() as gone:
        pass
    desk = opened(gone)
    with pytest.raises(PushError, match="does not answer"):
        desk.push()
    assert len(desk.waits) == ATTEMPTS - 1


def test_the_command(grafana: GrafanaStandIn, tmp_path: Path) -> None:
    run = CliRunner().invoke
    token = tmp_path / "token"
    token.write_text(TOKEN, encoding="utf-8")
    push = ["push", "--grafana", grafana.url, "--grafana-token-file", str(token)]
    boards = len(all_boards())
    found = run(app, [*push, "--language", "fr", "--dry-run"])
    assert found.exit_code == 0, found.output
    assert f"{boards + 1} would be made, 0 would change, 0 there" in found.output
    assert grafana.writes == []
    found = run(app, [*push, "--language", "fr"])
    assert f"{boards + 1} made, 0 changed, 0 there" in found.output
    assert set(grafana.folders) == {"rackwatt-fr"}
    found = run(app, ["push", "--grafana", grafana.url], env={"RACKWATT_GRAFANA_TOKEN": "x"})
    assert found.exit_code == 1
    assert "401" in found.output
    assert run(app, ["push", "--grafana", grafana.url], env={"RACKWATT_GRAFANA_TOKEN": ""}
               ).exit_code == 2  # fmt: skip
    assert run(app, ["push", "--grafana", "nonsense"]).exit_code == 2


def test_build_and_check(tmp_path: Path) -> None:
    run = CliRunner().invoke
    out = ["--out", str(tmp_path)]
    assert run(app, ["check", *out]).exit_code == 1
    assert run(app, ["build", *out]).exit_code == 0
    assert run(app, ["check", *out]).exit_code == 0
    path = tmp_path / "generated" / "fr" / "now.json"
    path.write_text(path.read_text(encoding="utf-8").replace("39", "40"), encoding="utf-8")
    found = run(app, ["check", *out])
    assert found.exit_code == 1
    assert '+  "schemaVersion": 39,' in found.output

# SPDX-License-Identifier: Apache-2.0
"""The soak in short, so that it does not rot, and a proof that it would see a value go missing."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from faults_kit.table import Line
from soak.faults import FAULTS, plan
from soak.runner import Settings, Soak
from soak.verdict import Verdict, judge

from servers.fixtures import require

pytestmark = pytest.mark.e2e

SHORT = Settings(
    seconds=60.0,
    seed=5,
    rate=40.0,
    kinds=("collector", "cut", "restored"),
    most=3,
    pause=(1.0, 1.5),
    longest=3.0,
    look_every=1.0,
)


async def test_a_soak_of_three_faults(tmp_path: Path, line: Line) -> None:
    require("mosquitto")
    said: list[str] = []
    soak = Soak(SHORT, tmp_path / "soak", said.append)
    result = await soak.run()
    assert not result.failures(), "\n".join([*result.failures(), *result.verdict.examples])
    assert len(result.done) == 3
    assert result.verdict.values > 1000
    assert result.verdict.booked > 100
    assert soak.world.discarded, "an outbox was replaced"
    line.note("three random faults over the whole system", messages=result.verdict.messages,
              values=result.verdict.values, lost=0, seed=SHORT.seed)  # fmt: skip
    for damage in (_lose, _change, _unbook):
        assert damaged(soak, damage), f"{damage.__name__} is not seen"


def damaged(soak: Soak, damage) -> dict[str, int]:  # type: ignore[no-untyped-def]
    """What is wrong once something was damaged behind the system's back."""
    damage(soak.world.data / "store", soak.world.books / "ledger.db")
    found: Verdict = judge(soak.world, soak.until)
    return found.wrong


def _lose(store: Path, _: Path) -> None:
    _do(store, "DELETE FROM gpu WHERE time_ms = (SELECT min(time_ms) FROM gpu)")


def _change(store: Path, _: Path) -> None:
    _do(store, "UPDATE climate SET humidity_ratio = 0.1 WHERE time_ms = (SELECT max(time_ms) FROM"
               " climate)")  # fmt: skip


def _unbook(_: Path, ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("DELETE FROM inputs WHERE time_ms = (SELECT max(time_ms) FROM inputs)")
        db.commit()


def _do(store: Path, statement: str) -> None:
    for path in store.glob("raw-*.db"):
        with closing(sqlite3.connect(path)) as db:
            db.execute(statement)
            db.commit()


def test_the_same_seed_plans_the_same_faults() -> None:
    def some(seed: int) -> list[object]:
        planned = plan(seed, list(FAULTS), (1.0, 2.0), 10.0)
        return [next(planned) for _ in range(40)]

    assert some(7) == some(7)
    assert some(7) != some(8)

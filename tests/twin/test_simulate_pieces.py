# SPDX-License-Identifier: Apache-2.0
"""Blocks of rollups are what the collector's rules make of the same readings, one by one."""

from pathlib import Path

import numpy as np
import pytest

from rackwatt.collector.store.read import read
from rackwatt.collector.store.rollups import HOUR_RULES, MINUTE_RULES, fold
from rackwatt.twin.simulate.filling import EmbeddedFiller
from rackwatt.twin.simulate.pieces import Field, Piece, hour_piece, minute_piece, raw_piece

HOUR = 1_790_809_200_000
STARTS = [HOUR + 60_000 * i for i in range(60)]
TAGS = [(("device", name), ("hall", "h"), ("site", "s")) for name in ("a", "b")]
GPU = ("power_watts", "temperature_celsius", "utilization_ratio", "energy_import_watt_hours")


def samples() -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 1, (60, 6, 2, len(GPU)))


def named(values: np.ndarray) -> dict[str, float]:
    return dict(zip(GPU, values.tolist(), strict=True))


def test_minutes_and_hours_follow_the_rules_of_the_collector() -> None:
    values = samples()
    fields = {
        name: Field(
            values[:, -1, :, at] if "energy" in name else values[:, :, :, at].mean(axis=1),
            values[:, :, :, at].min(axis=1),
            values[:, :, :, at].max(axis=1),
        )
        for at, name in enumerate(GPU)
    }
    piece = minute_piece("gpu", STARTS, TAGS, fields)
    made = [dict(row.fields) for row in piece.rows()]
    expected = [
        fold(
            MINUTE_RULES["gpu"],
            [(start + 10_000 * i, named(values[at, i, d])) for i in range(6)],
        )
        for at, start in enumerate(STARTS)
        for d in range(2)
    ]
    assert [set(row) for row in made] == [set(row) for row in expected]
    for one, other in zip(made, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-12)
    hour = [dict(row.fields) for row in hour_piece("gpu", HOUR, piece).rows()]
    for d in range(2):
        folded = fold(HOUR_RULES["gpu"], list(zip(STARTS, expected[d::2], strict=True)))
        assert hour[d] == pytest.approx(folded, rel=1e-12)


def test_pieces_read_back_from_the_store_as_rows(tmp_path: Path) -> None:
    fields = {"power_watts": Field(np.arange(120.0).reshape(60, 2))}
    minutes = minute_piece("power", STARTS, TAGS, fields)
    racked = [(*tags, ("z", "1")) for tags in TAGS]  # other tags in the same table
    renamed = tuple((("device", f"{t[0][1]}2"), *t[1:]) for t in racked)
    more = Piece(
        "power_1m", tuple(STARTS), renamed, ("power_watts",), fields["power_watts"].mean[..., None]
    )
    raw = raw_piece("power", [start + 60_000 for start in STARTS], TAGS, fields)
    filler = EmbeddedFiller(tmp_path)
    assert filler.write([minutes, more, hour_piece("power", HOUR, minutes), raw]) == 362
    assert filler.write([minutes]) == 120  # writing again overwrites
    filler.close()
    rows = list(read(tmp_path, "power_1m"))
    assert len(rows) == 240
    assert [row.fields["power_watts"] for row in rows if row.tags["device"] == "b"] == list(
        range(1, 120, 2)
    )
    assert len(list(read(tmp_path, "power"))) == 120
    assert next(iter(read(tmp_path, "power_1h"))).fields["power_watts"] == 59.0


def test_what_is_not_known_is_left_out() -> None:
    piece = Piece("power_1m", (HOUR,), (TAGS[0],), ("x", "y"), np.array([[[1.0, np.nan]]]))
    assert [dict(row.fields) for row in piece.rows()] == [{"x": 1.0}]

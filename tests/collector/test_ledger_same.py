# SPDX-License-Identifier: Apache-2.0
"""Speed changes no book: rows of bad days are, to the last bit, those of a slower release."""

import logging

import pytest
from collector.ledger_histories import digest, history

GOLDEN = (
    "ea341080b118d53bd0b800257bc020ef3e9ed690e5f41a63ff0974c2bacc82fb",
    "d27be0bac24dd29c90e823c7ca6e8442509cdd022d7127c2d5f1262027b6e498",
    "15eb007c4c82ea72dec631c4575fbf104f16057d03edb9a1a2068e283e029a8d",
    "0bb64a3e4487d8187e0ddf29b8a6cb1ca6a47452c6ae4f81f7c6b72c65b700ed",
    "09823b8f4389265bf9f7c511134cdeebde3b72bed75ded1341f21f7a4f0a1255",
    "0f194a00e3ff3ab3f0793e9a58d2b39561809be12e799a15695632e1e23b6cc1",
    "9dcf448ceb4b739586e65423433b28d5954d9a2dfc328dee2d1aeed21b019e61",
    "0a73580027a9bc24bd5ca7c0dbc7b9378e7b547c877efafd866c13b5b37bf2a2",
    "890f4fc87fae94b12040727fc821c7e4674e75169d5fcc6dc3ede4de59738f1c",
    "d0016ab7b971e83e71002049bd23fe60eccaf327f98c2661ae8647da68e0bbff",
)
"""Of seeds 0, 1, ...: booked before metering and accounting were made faster."""


@pytest.mark.parametrize("seed", range(len(GOLDEN)))
def test_a_bad_day_is_booked_as_ever(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    book = history(seed)
    assert len(list(book.rows(0, 2**60))) > 100, "no history, no proof"
    assert digest(book) == GOLDEN[seed]
    book.close()


def test_the_bad_days_are_bad() -> None:
    flags: set[str] = set()
    kinds: set[str] = set()
    for seed in range(len(GOLDEN)):
        book = history(seed)
        for row in book.rows(0, 2**60):
            flags |= {*row.data["flags"], *row.data["metering"]}
            kinds |= {"buses" if row.data["buses"] else "one bus"}
            kinds |= {"unknown" if row.data["shares"] is None else "known"}
        kinds |= {entry.cause for entry in book.entries(0, 1_000_000)}
        book.close()
    assert kinds >= {"buses", "one bus", "known", "unknown", "late_data", "hour_closed", "battery"}
    assert flags >= {
        "estimated",
        "shape_estimated",
        "provisional",
        "register_reset",
        "register_swap",
        "maintenance",
        "ups_on_battery",
        "negative_sink",
        "negative_source",
        "discharge_beyond_stock",
        "charge_of_unknown_origin",
        "residual_beyond_uncertainty",
        "residual_unknown",
        "initial_stock",
    }

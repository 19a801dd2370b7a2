# SPDX-License-Identifier: Apache-2.0
"""What a site's roles are made of, written short: `it=["a", "-b"]` is a without b."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    meter_id: str
    sign: int = 1
    bus: str = ""


@dataclass(frozen=True)
class Tie:
    source: str
    target: str
    meter_id: str


@dataclass(frozen=True)
class Terms:
    roles: Mapping[str, tuple[Term, ...]]
    pue_category: int | None = 2
    buses: tuple[str, ...] = ("",)
    ties: tuple[Tie, ...] = ()
    not_in_service: frozenset[str] = frozenset()


def terms(category: int = 2, **roles: Sequence[str]) -> Terms:
    return Terms(
        {
            role: tuple(Term(d.removeprefix("-"), -1 if d.startswith("-") else 1) for d in devices)
            for role, devices in roles.items()
        },
        category,
    )

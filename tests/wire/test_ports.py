# SPDX-License-Identifier: Apache-2.0
"""Ports for processes that are started together."""

import socket
from random import Random

import pytest

from rackwatt.wire.ports import FOR_TWIN, free_ports


def chance(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - repeatable


def test_they_lie_side_by_side_and_can_be_opened() -> None:
    ports = free_ports(40, socket.SOCK_DGRAM, FOR_TWIN, chance(1))
    assert ports == list(range(ports[0], ports[0] + 40))
    assert set(ports) <= set(FOR_TWIN)
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", port))


def test_where_no_block_is_whole_single_ones_are_found() -> None:
    first = free_ports(10, socket.SOCK_STREAM, FOR_TWIN, chance(2))[0]
    among = range(first, first + 10)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first + 5))
        found = free_ports(6, socket.SOCK_STREAM, among, chance(1))
        assert len(set(found)) == 6
        assert first + 5 not in found
        with pytest.raises(OSError, match="no 10 free ports"):
            free_ports(10, socket.SOCK_STREAM, among, chance(1))


def test_two_who_choose_at_the_same_moment_seldom_meet() -> None:
    chosen = [set(free_ports(40, socket.SOCK_DGRAM, FOR_TWIN, chance(n))) for n in range(40)]
    pairs = [(a, b) for number, a in enumerate(chosen) for b in chosen[:number]]
    assert sum(bool(a & b) for a, b in pairs) < len(pairs) * 0.03

# SPDX-License-Identifier: Apache-2.0
"""Topics: what parses, what is refused, what a collector subscribes to."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.wire.readings import KINDS
from rackwatt.wire.topics import RESERVED, Topic, TopicError, check_name, subscriptions

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True)


@given(names, names, names, st.sampled_from([*KINDS, *RESERVED]))
def test_a_topic_survives_the_wire(site: str, hall: str, agent: str, last: str) -> None:
    topic = Topic(site, hall, agent, last)
    assert Topic.parse(str(topic)) == topic


@given(st.text(max_size=80))
def test_any_text_parses_or_is_refused(text: str) -> None:
    with contextlib.suppress(TopicError):
        assert str(Topic.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rackwatt/v1/demo/hall-a/agent",
        "rackwatt/v1/demo/hall-a/agent/power/more",
        "rackwatt/v2/demo/hall-a/agent/power",
        "other/v1/demo/hall-a/agent/power",
        "rackwatt/v1/demo/hall-a/agent/volts",
        "rackwatt/v1/demo//agent/power",
        "rackwatt/v1/demo/hall-a/a gent/power",
        "rackwatt/v1/demo/+/agent/power",
        "rackwatt/v1/demo/hall-a/#/power",
        "rackwatt/v1/demo/hall-a/-agent/power",
        f"rackwatt/v1/demo/hall-a/{'a' * 101}/power",
        "rackwatt/v1/demo/hall-a/agent\n/power",
    ],
)
def test_a_topic_that_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(TopicError):
        Topic.parse(text)


def test_a_bad_name_says_what_would_be_good() -> None:
    assert check_name("node-1.rack_2", "agent") == "node-1.rack_2"
    with pytest.raises(ValueError, match="agent 'a/b' must be 1 to 100 letters"):
        check_name("a/b", "agent")


def test_a_collector_subscribes_to_kinds_by_name_and_never_to_replay() -> None:
    everything = subscriptions("demo")
    assert "rackwatt/v1/demo/+/+/power" in everything
    assert "rackwatt/v1/demo/+/+/status" in everything
    assert not [topic for topic in everything if "#" in topic or topic.endswith("replay")]
    shard = subscriptions("demo", ("hall-a", "site"))
    assert len(shard) == 2 * len(everything)
    assert "rackwatt/v1/demo/hall-a/+/gpu" in shard

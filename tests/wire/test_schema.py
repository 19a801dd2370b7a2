# SPDX-License-Identifier: Apache-2.0
"""The contract for machines says what the code does, and the files in the tree are its latest."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rackwatt.wire.codec import encode, reading_of
from rackwatt.wire.readings import FIELDS, KINDS, MODELS, Kind
from rackwatt.wire.sample import Event, Sample
from rackwatt.wire.schema import asyncapi, files, message_schema, schemas
from rackwatt.wire.topics import INVENTORY, REPLAY, STATUS, Topic

ROOT = Path(__file__).resolve().parents[2]


def reading_schema(kind: Kind) -> dict[str, Any]:
    schema: dict[str, Any] = message_schema(kind)["$defs"][MODELS[kind].__name__]
    return schema


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_kind_and_every_reserved_topic_has_a_schema() -> None:
    assert set(schemas()) == {*KINDS, STATUS, INVENTORY, REPLAY}
    assert len({schema["$id"] for schema in schemas().values()}) == len(schemas())


@pytest.mark.parametrize("name", sorted(schemas()))
def test_references_lead_somewhere(name: str) -> None:
    schema = schemas()[name]
    for reference in references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"], reference


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_has_the_keys_of_its_schema_and_no_others(kind: Kind) -> None:
    schema, reading = message_schema(kind), reading_schema(kind)
    values = {name: spec.low for name, spec in FIELDS[kind].items()}
    event = Event("code", "info", "text") if kind == "event" else None
    sent = json.loads(encode(1, 1, 0, [reading_of(Sample(kind, "d", values, event=event), 0)]))
    assert set(sent) == set(schema["required"]) == set(schema["properties"])
    assert schema["additionalProperties"] is reading["additionalProperties"] is False
    assert set(sent["readings"][0]) <= set(reading["properties"])
    assert set(reading["required"]) <= set(sent["readings"][0])


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_may_be_null_and_has_its_bounds(kind: Kind) -> None:
    for name, spec in FIELDS[kind].items():
        choices = reading_schema(kind)["properties"][name]["anyOf"]
        assert {"type": "null"} in choices
        (number,) = [choice for choice in choices if choice.get("type") == "number"]
        assert (number["minimum"], number["maximum"]) == (spec.low, spec.high), name


def test_channels_are_topics_and_only_what_is_retained_says_so() -> None:
    described = asyncapi()
    assert set(described["channels"]) == set(schemas())
    for last, channel in described["channels"].items():
        text = channel["address"].format(site="demo", hall="hall-a", agent="a")
        assert Topic.parse(text).last == last
        assert channel["messages"][last]["payload"]["$ref"] == f"./{last}.schema.json"
    actions = {name: item["action"] for name, item in described["operations"].items()}
    assert [name for name, action in actions.items() if action == "receive"] == ["receive-replay"]
    retained = {
        name for name, item in described["operations"].items() if item["bindings"]["mqtt"]["retain"]
    }
    assert retained == {"send-status", "send-inventory"}


def test_files_are_what_they_claim() -> None:
    for name, text in files().items():
        parsed = yaml.safe_load(text) if name.endswith(".yaml") else json.loads(text)
        assert isinstance(parsed, dict)
        assert text.endswith("\n")


def test_what_is_generated_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")

# SPDX-License-Identifier: Apache-2.0
"""The contract for machines: JSON Schema of every message, and an AsyncAPI description."""

import json
from typing import Any, Final

import yaml
from pydantic import BaseModel

from rackwatt.wire.inventory import Inventory
from rackwatt.wire.readings import KINDS, MODELS, Kind
from rackwatt.wire.replay import ReplayRequest
from rackwatt.wire.status import Status
from rackwatt.wire.topics import INVENTORY, REPLAY, ROOT, STATUS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NO_CLOCK: Final = {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**53}


def message_schema(kind: Kind) -> dict[str, Any]:
    """The JSON Schema of a message of one kind."""
    model = MODELS[kind]
    reading = model.model_json_schema(ref_template="#/$defs/{model}")
    definitions = reading.pop("$defs", {})
    number = {**_NO_CLOCK, "minimum": 1}
    return {
        "$schema": DIALECT,
        "$id": f"rackwatt:v1:{kind}",
        "title": f"Rackwatt {kind} message",
        "description": "One agent's readings of one kind at one instant.",
        "type": "object",
        "required": ["epoch", "seq", "time", "readings"],
        "additionalProperties": False,
        "properties": {
            "epoch": {**number, "description": "one start of the agent; grows"},
            "seq": {**number, "description": "counts from 1 over all kinds of an epoch"},
            "time": {**_NO_CLOCK, "description": "ms since 1970 UTC"},
            "readings": {"type": "array", "items": {"$ref": f"#/$defs/{model.__name__}"}},
        },
        "$defs": {**definitions, model.__name__: reading},
    }


def model_schema(model: type[BaseModel], name: str) -> dict[str, Any]:
    """The JSON Schema of a status, inventory or replay message."""
    schema = model.model_json_schema(ref_template="#/$defs/{model}")
    return {"$schema": DIALECT, "$id": f"rackwatt:v1:{name}", **schema}


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema, by the last part of its topic."""
    found: dict[str, dict[str, Any]] = {kind: message_schema(kind) for kind in KINDS}
    return {
        **found,
        STATUS: model_schema(Status, STATUS),
        INVENTORY: model_schema(Inventory, INVENTORY),
        REPLAY: model_schema(ReplayRequest, REPLAY),
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 description of all topics."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    parameters = {
        "site": {"description": "the site's id"},
        "hall": {"description": "a hall of the site file, or `site`"},
        "agent": {"description": "the agent's name, also its MQTT user name"},
    }
    for last in schemas():
        channels[last] = {
            "address": f"{ROOT}/{{site}}/{{hall}}/{{agent}}/{last}",
            "parameters": parameters,
            "messages": {last: {"payload": {"$ref": f"./{last}.schema.json"}}},
        }
        action = "receive" if last == REPLAY else "send"
        operations[f"{action}-{last}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{last}"},
            "bindings": {"mqtt": {"qos": 1, "retain": last in {STATUS, INVENTORY}}},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Rackwatt wire contract, seen from an agent",
            "version": "1",
            "description": "MQTT 3.1.1, QoS 1, persistent sessions, manual acknowledgement.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    }


def files() -> dict[str, str]:
    """File name to content, as they lie in `docs/schema/`."""
    found = {
        f"{name}.schema.json": json.dumps(schema, indent=2, sort_keys=True) + "\n"
        for name, schema in schemas().items()
    }
    text = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=100)
    return {**found, "asyncapi.yaml": text}

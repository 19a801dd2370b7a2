# SPDX-License-Identifier: Apache-2.0
"""`rackwatt store setup`: buckets, mappings and least-right tokens, as often as one likes."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rackwatt.collector.store.base import StoreRefused
from rackwatt.collector.store.open import RAW_BUCKET, ROLLUPS_BUCKET

if TYPE_CHECKING:
    from rackwatt.collector.store.http import InfluxHttp

RAW_SECONDS: Final = 30 * 86_400
"""How long raw readings stay by default: a month, and the ledger keeps what it needs longer."""
WRITE_FILE: Final = "influx-write.token"
READ_FILE: Final = "influx-read.token"


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall be there afterwards."""

    token_directory: Path
    raw_bucket: str = RAW_BUCKET
    rollups_bucket: str = ROLLUPS_BUCKET
    raw_seconds: int = RAW_SECONDS
    """Retention of raw readings in seconds, whole hours; 0 keeps for ever."""
    rollups_seconds: int = 0


def set_up(server: "InfluxHttp", plan: Plan, say: Callable[[str], None]) -> None:
    """Make what is missing, correct what differs, leave the rest, and say which.

    The server must have been initialised, and the token must be allowed to make buckets and
    tokens. Data is never deleted, but a shorter retention lets the database forget.

    Args:
        server: with an operator's token.
        plan: what shall be there.
        say: told each thing that was made, corrected or left.

    Raises:
        StoreUnavailable: no answer.
        StoreRefused: the organization does not exist, or the token may not.
    """
    org_id = _organization(server)
    buckets: dict[str, str] = {}
    for name, seconds in (
        (plan.raw_bucket, plan.raw_seconds),
        (plan.rollups_bucket, plan.rollups_seconds),
    ):
        buckets[name] = _bucket(server, org_id, name, seconds, say)
        _mapping(server, org_id, name, buckets[name], say)
    plan.token_directory.mkdir(parents=True, exist_ok=True)
    for action, rights, name in (
        # Rollups of late readings are made by reading the stored ones back.
        ("write", ("read", "write"), WRITE_FILE),
        ("read", ("read",), READ_FILE),
    ):
        path = plan.token_directory / name
        _token(server, org_id, sorted(buckets.values()), (action, rights), path, say)


def _organization(server: "InfluxHttp") -> str:
    # The filter answers 404 for an unknown name: say which one it was.
    found = server.call("GET", "/api/v2/orgs", query={"limit": "100"}).get("orgs", [])
    for org in found:
        if org["name"] == server.org:
            return str(org["id"])
    names = ", ".join(sorted(str(org["name"]) for org in found)) or "none that this token may see"
    raise StoreRefused(f"InfluxDB has no organization {server.org!r}; there is {names}")


def _bucket(
    server: "InfluxHttp", org_id: str, name: str, seconds: int, say: Callable[[str], None]
) -> str:
    rules = [
        {
            "type": "expire",
            "everySeconds": seconds,
            "shardGroupDurationSeconds": _shard_seconds(seconds),
        }
    ]
    query = {"orgID": org_id, "name": name}
    found = _found(server, "/api/v2/buckets", query, "buckets")
    if not found:
        body = {"orgID": org_id, "name": name, "retentionRules": rules}
        made = server.call("POST", "/api/v2/buckets", body=body)
        say(f"bucket {name}: made, keeps {_span(seconds)}")
        return str(made["id"])
    bucket = found[0]
    now = sum(rule.get("everySeconds", 0) for rule in bucket.get("retentionRules", []))
    if now == seconds:
        say(f"bucket {name}: there, keeps {_span(seconds)}")
    else:
        body = {"retentionRules": rules}
        server.call("PATCH", f"/api/v2/buckets/{bucket['id']}", body=body)
        say(f"bucket {name}: kept {_span(now)}, now keeps {_span(seconds)}")
    return str(bucket["id"])


def _shard_seconds(seconds: int) -> int:
    """The database's own choice for new buckets; an old bucket's would refuse a short retention.

    https://docs.influxdata.com/influxdb/v2/reference/internals/shards/#shard-group-duration
    """
    if seconds and seconds < 2 * 86_400:
        return 3600
    return 86_400 if seconds and seconds <= 183 * 86_400 else 7 * 86_400


def _found(
    server: "InfluxHttp", path: str, query: dict[str, str], key: str
) -> list[dict[str, Any]]:
    try:
        answer = server.call("GET", path, query=query)
    except StoreRefused as error:
        if ": 404 " in str(error):
            return []
        raise
    return list(answer.get(key) or [])


def _span(seconds: int) -> str:
    if not seconds:
        return "for ever"
    return f"{seconds / 86_400:g} days" if seconds >= 86_400 else f"{seconds / 3600:g} hours"


def _mapping(
    server: "InfluxHttp", org_id: str, name: str, bucket_id: str, say: Callable[[str], None]
) -> None:
    """Let InfluxQL reach the bucket as a database of its name, by an explicit mapping.

    A virtual mapping would do the same today, but ends when someone maps the name elsewhere.
    """
    found = _found(server, "/api/v2/dbrps", {"orgID": org_id, "db": name}, "content")
    real = [item for item in found if not item.get("virtual")]
    right = [item for item in real if item["bucketID"] == bucket_id and item.get("default")]
    if right:
        say(f"database {name}: there")
        return
    body: dict[str, Any] = {
        "orgID": org_id,
        "bucketID": bucket_id,
        "database": name,
        "retention_policy": "autogen",
        "default": True,
    }
    clash = next((item for item in real if item["retention_policy"] == "autogen"), None)
    if clash is not None and clash["bucketID"] != bucket_id:
        raise StoreRefused(f"database {name!r} is mapped to another bucket: {clash['bucketID']}")
    server.call("POST", "/api/v2/dbrps", body=body)
    say(f"database {name}: mapped for InfluxQL")


def _token(
    server: "InfluxHttp",
    org_id: str,
    buckets: list[str],
    purpose: tuple[str, tuple[str, ...]],
    path: Path,
    say: Callable[[str], None],
) -> None:
    """Write a token that may only do so much, and only with these buckets; keep one that does."""
    action, rights = purpose
    if path.exists() and _serves(server, path, rights, buckets):
        path.chmod(0o600)
        say(f"token to {action}: there, in {path}")
        return
    body: dict[str, Any] = {
        "orgID": org_id,
        "description": f"rackwatt {action}",
        "permissions": [
            {"action": right, "resource": {"type": "buckets", "id": bucket, "orgID": org_id}}
            for bucket in buckets
            for right in rights
        ],
    }
    made = server.call("POST", "/api/v2/authorizations", body=body)
    # Made with its mode, so that no one can read it in between.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{made['token']}\n")
    say(f"token to {action}: made, in {path}")
    _mention_old(server, org_id, action, str(made["id"]), say)


def _serves(server: "InfluxHttp", path: Path, rights: tuple[str, ...], buckets: list[str]) -> bool:
    """Whether the token in the file is active, and has these rights to all buckets."""
    token = path.read_text(encoding="utf-8").strip()
    listed = server.call("GET", "/api/v2/authorizations").get("authorizations", [])
    for item in listed:
        if item.get("token") == token and item.get("status") == "active":
            allowed = {
                (permission["action"], permission["resource"].get("id"))
                for permission in item.get("permissions", [])
            }
            return allowed >= {(right, bucket) for right in rights for bucket in buckets}
    return False


def _mention_old(
    server: "InfluxHttp", org_id: str, action: str, new_id: str, say: Callable[[str], None]
) -> None:
    """Name earlier tokens of ours: another host may use them, so deleting is a person's choice."""
    listed = server.call("GET", "/api/v2/authorizations", query={"orgID": org_id})
    old = [
        str(item["id"])
        for item in listed.get("authorizations", [])
        if item.get("description") == f"rackwatt {action}" and str(item["id"]) != new_id
    ]
    if old:
        say(f"token to {action}: earlier ones still work, delete those unused: {', '.join(old)}")

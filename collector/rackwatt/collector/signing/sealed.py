# SPDX-License-Identifier: Apache-2.0
"""A document with signatures under it, each of its own signer and role.

What is signed is the canonical JSON of `{"document": …, "signed": {…}}`: nobody can move a
signature to another document, or another role, name or time to a signature. A document says by its
`type` what it is, so that one of another kind cannot pass for it.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rackwatt.collector.signing.canonical import canonical
from rackwatt.collector.signing.keys import PublicKey, SigningKey

ALGORITHM: Final = "Ed25519"
_SIGNED: Final = ("algorithm", "key_id", "role", "signer", "time")


class SealProblem(Exception):  # noqa: N818 - the document's, not ours
    """A text is no sealed document; it says in what."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature under a document, as it was checked.

    Attributes:
        role: As what it was signed: ``published``, ``prepared``, ``reviewed``, ``approved`` …
        signer: Who signed, by their own words.
        time: When, ISO 8601 in UTC, by their own words.
        key_id: Of the key that it names.
        valid: Whether that key is one of those given, and it signed this very document.
        known: Whether that key is one of those given.
    """

    role: str
    signer: str
    time: str
    key_id: str
    valid: bool
    known: bool


def sign(
    document: Mapping[str, Any], key: SigningKey, *, role: str, signer: str, time: str
) -> dict[str, str]:
    """Return one signature, to be put under the document.

    Raises:
        ValueError: the document cannot be written as canonical JSON.
    """
    signed = {
        "algorithm": ALGORITHM,
        "key_id": key.public.id,
        "role": role,
        "signer": signer,
        "time": time,
    }
    made = key.sign(message(document, signed))
    return {**signed, "signature": base64.b64encode(made).decode("ascii")}


def seal(
    document: Mapping[str, Any], signatures: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """Return the document with its signatures; without any it says that it is unsigned."""
    return {
        "document": document,
        "status": "signed" if signatures else "unsigned",
        "signatures": list(signatures),
    }


def message(document: Mapping[str, Any], signed: Mapping[str, str]) -> bytes:
    """Return the bytes over which a signature is formed."""
    return canonical({"document": document, "signed": {name: signed[name] for name in _SIGNED}})


def check(sealed: object, keys: Sequence[PublicKey]) -> tuple[dict[str, Any], list[Signature]]:
    """Check all signatures under a document.

    Args:
        sealed: What :func:`seal` made, read from JSON.
        keys: Whom the reader trusts; what a document says of itself is no reason to.

    Returns:
        The document and its signatures, valid ones and others.

    Raises:
        SealProblem: it is no sealed document.
    """
    document = sealed.get("document") if isinstance(sealed, Mapping) else None
    found = sealed.get("signatures") if isinstance(sealed, Mapping) else None
    if not isinstance(document, dict) or not isinstance(found, list):
        raise SealProblem("it has no 'document' with 'signatures'")
    by_id = {key.id: key for key in keys}
    return document, [_checked(document, item, by_id) for item in found]


def _checked(document: Mapping[str, Any], item: object, keys: Mapping[str, PublicKey]) -> Signature:
    names = (*_SIGNED, "signature")
    if not isinstance(item, Mapping) or not all(isinstance(item.get(n), str) for n in names):
        raise SealProblem(f"a signature needs {', '.join(names)}, all of them texts")
    if not all(item[name].isprintable() for name in names):
        raise SealProblem("a signature holds signs that cannot be shown")
    key = keys.get(item["key_id"])
    valid = False
    if key is not None and item["algorithm"] == ALGORITHM:
        try:
            made = base64.b64decode(item["signature"], validate=True)
            valid = key.checks(made, message(document, item))
        except (binascii.Error, ValueError):
            valid = False
    return Signature(
        role=item["role"],
        signer=item["signer"],
        time=item["time"],
        key_id=item["key_id"],
        valid=valid,
        known=key is not None,
    )

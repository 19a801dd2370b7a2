# SPDX-License-Identifier: Apache-2.0
"""Keys, canonical JSON, and signatures under documents: what is proven, and what is not."""

import base64
import json
import shutil
import stat
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rackwatt.collector.pki.cli import pki_app
from rackwatt.collector.signing.canonical import canonical, number
from rackwatt.collector.signing.keys import KeyProblem, PublicKey, SigningKey
from rackwatt.collector.signing.sealed import SealProblem, check, message, seal, sign

DOCUMENT = {"type": "test/1", "share": 0.25, "words": "نصف طاقته", "none": None, "flag": True}
TIME = "2026-11-23T00:00:00Z"


def run(*arguments: str | Path, code: int = 0, text: str | None = None) -> str:
    found = CliRunner().invoke(pki_app, [str(argument) for argument in arguments], input=text)
    assert found.exit_code == code, found.output
    return found.output


def signed(key: SigningKey, role: str = "published") -> dict[str, Any]:
    made = sign(DOCUMENT, key, role=role, signer="N. Idrissi", time=TIME)
    found: dict[str, Any] = json.loads(json.dumps(seal(DOCUMENT, [made])))
    return found


# RFC 8785, appendix B.
@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_numbers_are_written_as_the_standard_says(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_the_same(value: float) -> None:
    assert float(number(value)) == value


def test_texts_and_keys_are_written_as_the_standard_says() -> None:
    # RFC 8785, 3.2.2 and 3.2.3.
    text = json.loads('"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/"')
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": text,
        "literals": [None, True, False],
    }
    assert canonical(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    keys = ["€", "\r", "\ufb33", "1", "😀", "\u0080", "ö"]
    order = list(json.loads(canonical(dict.fromkeys(keys, 0))))
    assert order == ["\r", "1", "\u0080", "ö", "€", "😀", "\ufb33"]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**60, {1: 2}, {"a": {3}}, "\ud800", b"bytes"]
)
def test_what_has_no_one_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        canonical(value)


def test_a_signature_proves_document_role_signer_and_time() -> None:
    key, other = SigningKey.new(), SigningKey.new()
    sealed = signed(key)
    assert sealed["status"] == "signed"
    document, (found,) = check(sealed, [other.public, key.public])
    assert document == DOCUMENT
    assert (found.valid, found.known, found.role, found.signer) == (
        True, True, "published", "N. Idrissi",
    )  # fmt: skip
    _, (stranger,) = check(sealed, [other.public])
    assert (stranger.valid, stranger.known) == (False, False)
    for name in ("role", "signer", "time", "algorithm"):
        changed = {**sealed, "signatures": [{**sealed["signatures"][0], name: "approved"}]}
        assert not check(changed, [key.public])[1][0].valid, name
    changed = {**sealed, "document": {**DOCUMENT, "share": 0.26}}
    assert not check(changed, [key.public])[1][0].valid
    forged = {**sealed["signatures"][0], "key_id": other.public.id}
    assert not check({**sealed, "signatures": [forged]}, [other.public])[1][0].valid


def test_several_people_sign_one_document_each_in_a_role() -> None:
    keys = {role: SigningKey.new() for role in ("prepared", "reviewed", "approved")}
    made = [sign(DOCUMENT, key, role=r, signer=r, time=TIME) for r, key in keys.items()]
    _, found = check(seal(DOCUMENT, made), [key.public for key in keys.values()])
    assert [(one.role, one.valid) for one in found] == [(role, True) for role in keys]


@pytest.mark.parametrize(
    "sealed",
    [None, [], {}, {"document": {}}, {"document": 1, "signatures": []},
     {"document": {}, "signatures": [3]}, {"document": {}, "signatures": [{"role": "x"}]}],
)  # fmt: skip
def test_what_is_no_sealed_document_is_said_to_be_none(sealed: object) -> None:
    with pytest.raises(SealProblem):
        check(sealed, [])


@pytest.mark.parametrize("text", ["", "no base64 !", "QUJD", "A" * 88])
def test_a_broken_signature_is_not_valid(text: str) -> None:
    key = SigningKey.new()
    sealed = signed(key)
    sealed["signatures"][0]["signature"] = text
    assert not check(sealed, [key.public])[1][0].valid


def test_a_name_that_paints_the_terminal_is_refused() -> None:
    sealed = signed(SigningKey.new())
    sealed["signatures"][0]["signer"] = "\x1b[32mvalid"
    with pytest.raises(SealProblem, match="cannot be shown"):
        check(sealed, [])


def test_a_key_is_its_owners_alone_and_never_shows(tmp_path: Path) -> None:
    said = run("sign-key", "campus", "--dir", tmp_path / "keys")
    secret, public = tmp_path / "keys" / "campus.key", tmp_path / "keys" / "campus.pub"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    key = SigningKey.read(secret)
    assert key.public.id == PublicKey.read(public).id
    assert key.public.id in said
    assert base64.b64encode(key.pem[30:60]).decode() not in repr(key)
    assert "PRIVATE" not in repr(key) + said
    before = secret.read_bytes()
    assert "is there already" in run("sign-key", "campus", "--dir", tmp_path / "keys", code=2)
    assert secret.read_bytes() == before
    assert "name" in run("sign-key", "../evil", "--dir", tmp_path / "keys", code=2)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    run("sign-key", "campus", "--dir", tmp_path)
    file = tmp_path / "campus.key"
    file.chmod(0o640)
    with pytest.raises(KeyProblem, match=r"can be read by others: chmod 600"):
        SigningKey.read(file)
    file.chmod(0o600)
    file.write_bytes(b"no key")
    with pytest.raises(KeyProblem, match="pki sign-key NAME"):
        SigningKey.read(file)
    with pytest.raises(KeyProblem, match="there is no file"):
        SigningKey.read(tmp_path / "none")
    with pytest.raises(KeyProblem, match=r"ends in \.pub"):
        PublicKey.read(file)


def test_verify_says_what_is_proven(tmp_path: Path) -> None:
    for name in ("campus", "other"):
        run("sign-key", name, "--dir", tmp_path)
    public, file = tmp_path / "campus.pub", tmp_path / "a.json"
    sealed = signed(SigningKey.read(tmp_path / "campus.key"))
    file.write_text(json.dumps(sealed, indent=3))
    assert "valid " in run("verify", file, "--key", public)
    assert "unknown key" in run("verify", file, "--key", tmp_path / "other.pub", code=1)
    text = json.dumps(sealed).replace("0.25", "0.26")
    assert "WRONG" in run("verify", "-", "--key", public, code=1, text=text)
    assert "unsigned" in run(
        "verify", "-", "--key", public, code=1, text=json.dumps(seal(DOCUMENT))
    )
    twice = json.dumps(sealed).replace('"share"', '"share": 0.9, "share"')
    assert "stands twice" in run("verify", "-", "--key", public, code=2, text=twice)
    assert "JSON" in run("verify", "-", "--key", public, code=2, text="{")
    assert "no file" in run("verify", file, "--key", tmp_path / "none.pub", code=2)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing: NOT TESTED")
def test_openssl_finds_the_same(tmp_path: Path) -> None:
    run("sign-key", "campus", "--dir", tmp_path)
    sealed = signed(SigningKey.read(tmp_path / "campus.key"))
    one = sealed["signatures"][0]
    (tmp_path / "message").write_bytes(message(sealed["document"], one))
    (tmp_path / "signature").write_bytes(base64.b64decode(one["signature"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "campus.pub", "-rawin",
               "-in", "message", "-sigfile", "signature"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verified Successfully" in done.stdout, done

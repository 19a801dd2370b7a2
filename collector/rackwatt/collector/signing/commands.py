# SPDX-License-Identifier: Apache-2.0
"""`rackwatt pki sign-key` and `rackwatt pki verify`: who signs, and whether they did."""

import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from rackwatt.collector.helptext import more
from rackwatt.collector.pki.folder import write
from rackwatt.collector.signing.keys import KeyProblem, PublicKey, SigningKey
from rackwatt.collector.signing.sealed import SealProblem, Signature, check
from rackwatt.collector.site.console import stop
from rackwatt.wire.topics import check_name

FOLDER: Final = Path("pki") / "signing"
_LARGEST: Final = 50_000_000


def sign_key_command(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where keys to sign with are.")
    ] = FOLDER,
) -> None:
    """Make a key that signs documents.

    An Ed25519 key for --sign-key-file: NAME.key, which its owner alone may read, and NAME.pub,
    which readers need. Needs no authority. Tell readers the key's id by another way than the page.
    """
    try:
        check_name(name, "name")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret, public = folder / f"{name}.key", folder / f"{name}.pub"
        if secret.exists() or public.exists():
            stop(f"{secret} is there already: choose another name, or move it away")
        key = SigningKey.new()
        write(secret, key.pem, secret=True)
        write(public, key.public.pem)
    except ValueError as error:
        stop(str(error))
    except OSError as error:
        stop(f"{error.filename or folder}: {error.strerror}")
    typer.echo(f"key     {secret}  (readable by you alone; for --sign-key-file)")
    typer.echo(f"public  {public}  (for everybody)")
    typer.echo(f"id      {key.public.id}")


def verify_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A signed document; - reads from stdin.")
    ],
    keys: Annotated[
        list[Path],
        typer.Option("--key", metavar="FILE", help="A public key that you trust; repeatable."),
    ],
) -> None:
    """Check the signatures under a document.

    Good is a document of which at least one signature is by a key given here, and none of those
    is wrong.
    """
    try:
        trusted = [PublicKey.read(path) for path in keys]
        document, found = check(_read(file), trusted)
    except (KeyProblem, SealProblem) as error:
        stop(str(error) if isinstance(error, KeyProblem) else f"{file}: {error}")
    kind = str(document.get("type", ""))
    typer.echo(kind if kind and kind.isprintable() else "a document that does not say what it is")
    for one in found:
        typer.echo(f"{_word(one):12} {one.role}  {one.signer}  {one.time}  {one.key_id[:16]}")
    if not found:
        typer.echo("unsigned")
    good = any(one.valid for one in found) and all(one.valid for one in found if one.known)
    if not good:
        typer.echo("not proven: no valid signature by a key given here", err=True)
        raise typer.Exit(1)


def _word(one: Signature) -> str:
    if one.valid:
        return "valid"
    return "WRONG" if one.known else "unknown key"


def _read(file: Path) -> object:
    try:
        if str(file) == "-":
            text = sys.stdin.buffer.read(_LARGEST)
        else:
            with file.open("rb") as handle:
                text = handle.read(_LARGEST)
        return json.loads(text, object_pairs_hook=_once)
    except OSError as error:
        stop(f"{file}: {error.strerror}")
    except (ValueError, RecursionError) as error:
        stop(f"{file} cannot be read as JSON: {error}")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A key that stands twice is read as one value here, and as the other elsewhere."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


SIGN_KEY_EPILOG: Final = more("rackwatt pki sign-key campus-public")
VERIFY_EPILOG: Final = more(
    "rackwatt pki verify commitments.json --key campus-public.pub",
    failed="no valid signature by a key given, or a wrong one",
)

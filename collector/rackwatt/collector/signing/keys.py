# SPDX-License-Identifier: Apache-2.0
"""Keys to sign with: one file each, readable by its owner alone, and its public half beside it."""

import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_OTHERS: Final = 0o077
_LARGEST: Final = 10_000
"""Bytes of a file that may be a key."""


class KeyProblem(Exception):  # noqa: N818 - a person's, not ours
    """A file is no key to sign or to check with; the text says what to do."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What checks signatures. Anybody may have it."""

    pem: bytes
    id: str
    """SHA-256 of its 32 bytes, 64 hexadecimal digits."""
    _key: Ed25519PublicKey = field(repr=False)

    @classmethod
    def of(cls, key: Ed25519PublicKey) -> Self:
        """The public half, with its name."""
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        pem = key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(pem, sha256(raw).hexdigest(), key)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The public key that a file holds.

        Raises:
            KeyProblem: it holds none.
        """
        try:
            key = serialization.load_pem_public_key(_content(path))
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise KeyProblem(f"{path} holds no public Ed25519 key: name the file that ends in .pub")
        return cls.of(key)

    def checks(self, signature: bytes, message: bytes) -> bool:
        """Whether this key's owner signed the message."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What signs. It never shows in its text form."""

    public: PublicKey
    _key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """A new key, by the system's randomness."""
        return cls._of(Ed25519PrivateKey.generate())

    @classmethod
    def _of(cls, key: Ed25519PrivateKey) -> Self:
        return cls(PublicKey.of(key.public_key()), key)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The key that a file holds, which its owner alone may read.

        Raises:
            KeyProblem: it holds none, or others may read it.
        """
        content = _content(path, secret=True)
        try:
            key = serialization.load_pem_private_key(content, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None  # a TypeError: it wants a password
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyProblem(
                f"{path} holds no Ed25519 key without a password: "
                "make one with 'rackwatt pki sign-key NAME'"
            )
        return cls._of(key)

    @property
    def pem(self) -> bytes:
        """The whole key: for its file alone."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(message)


def _credential(path: Path) -> bool:
    """Whether systemd gave us the file: by an access list, which the mode shows as a group's."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return folder is not None and path.resolve().parent == Path(folder).resolve()


def _content(path: Path, *, secret: bool = False) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if secret and mode & _OTHERS and not _credential(path):
                raise KeyProblem(f"{path} can be read by others: chmod 600 {path}")
            return file.read(_LARGEST)
    except FileNotFoundError:
        raise KeyProblem(f"there is no file {path}") from None
    except OSError as error:
        raise KeyProblem(f"{path} cannot be read: {error.strerror}") from None

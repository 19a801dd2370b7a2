# SPDX-License-Identifier: Apache-2.0
"""The folder of an authority: private keys readable by their owner alone, and what was signed."""

import contextlib
import csv
import fcntl
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rackwatt.collector.pki.authority import (
    MAX_NAME_LETTERS,
    Pair,
    load_pair,
    new_authority,
    revocation_list,
    sign_client,
    sign_server,
)

CA_CERTIFICATE: Final = "ca.crt"
CA_KEY: Final = "ca.key"
REVOKED: Final = "revoked.crl"
INDEX: Final = "issued.csv"
BROKER: Final = "broker"
ACL: Final = "acl"
_COLUMNS: Final = ("serial", "name", "purpose", "issued", "expires", "revoked")


class PkiError(Exception):
    """What a person must change, in a sentence."""


@dataclass(frozen=True, slots=True)
class Issued:
    """One signed certificate. ``revoked`` is empty or the time of its revocation."""

    serial: int
    name: str
    purpose: str
    issued: str
    expires: str
    revoked: str = ""


class Folder:
    """An authority in a folder.

    Args:
        path: ``ca.crt``, ``ca.key``, ``revoked.crl``, ``issued.csv`` and a folder per purpose.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def certificate_file(self) -> Path:
        """The authority's certificate: what clients and the broker trust."""
        return self.path / CA_CERTIFICATE

    def create(self, site: str, now: datetime) -> None:
        """Make the authority.

        Raises:
            PkiError: There is one.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.locked():
            if (self.path / CA_KEY).exists():
                raise PkiError(f"{self.path} holds an authority already: nothing was changed")
            authority = new_authority(site, now)
            self._save([])
            write(self.path / REVOKED, revocation_list(authority, [], now))
            write(self.certificate_file, authority.certificate_pem)
            write(self.path / CA_KEY, authority.key_pem, secret=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One command at a time: what two of them wrote at once could never be revoked.

        Raises:
            PkiError: There is no folder, or others may write into it.
        """
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            raise PkiError(f"no authority in {self.path}: run 'rackwatt pki init' first") from None
        try:
            found = os.fstat(handle)
            if found.st_mode & 0o022 or found.st_uid not in {os.geteuid(), 0}:
                raise PkiError(
                    f"{self.path}: others may write into it and could put their own key there: "
                    f"chmod 700 {self.path}"
                )
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def client(self, purpose: str, name: str, now: datetime, days: int) -> tuple[Path, Path]:
        """Sign a client's certificate; return its file and its key's file.

        Raises:
            PkiError: There is no authority, or the name is another's.
        """
        if len(name) > MAX_NAME_LETTERS:
            raise PkiError(f"{name!r}: a certificate's name has at most {MAX_NAME_LETTERS} letters")
        self.refuse_second(purpose, name, now)
        return self._keep(purpose, name, sign_client(self._authority(), name, now, days), now)

    def server(
        self, hosts: list[str], now: datetime, days: int, name: str = BROKER
    ) -> tuple[Path, Path]:
        """Sign the broker's certificate, or another server's; an older one stays valid.

        Raises:
            PkiError: There is no authority, a host is none, or the name is another's.
        """
        authority, purpose = self._authority(), BROKER if name == BROKER else "server"
        self.refuse_second(purpose, name, now)
        try:
            pair = sign_server(authority, hosts, now, days)
        except ValueError as error:
            raise PkiError(str(error)) from None
        paths = self._keep(purpose, name, pair, now)
        self._copy_for_broker()
        return paths

    def revoke(self, name: str, now: datetime) -> int:
        """Revoke all certificates of a name that hold; return how many these were.

        Raises:
            PkiError: There is none.
        """
        authority, issued = self._authority(), self.issued()
        stamp = _stamp(now)
        hit = [item for item in issued if item.name == name and not item.revoked]
        if not hit:
            raise PkiError(f"{name!r} holds no certificate of this authority")
        changed = [
            Issued(i.serial, i.name, i.purpose, i.issued, i.expires, stamp) if i in hit else i
            for i in issued
        ]
        gone = [(i.serial, datetime.fromisoformat(i.revoked)) for i in changed if i.revoked]
        self._save(changed)
        write(self.path / REVOKED, revocation_list(authority, gone, now))
        self._copy_for_broker()
        return len(hit)

    def _copy_for_broker(self) -> None:
        """The broker's folder holds all that the broker needs, and no key but its own."""
        folder = self.path / BROKER
        if folder.is_dir():
            for name in (CA_CERTIFICATE, REVOKED):
                write(folder / name, (self.path / name).read_bytes())

    def collectors(self) -> set[str]:
        """Whom the broker's rules take for a collector."""
        try:
            text = (self.path / BROKER / ACL).read_text(encoding="utf-8")
        except FileNotFoundError:
            return set()
        return {line.split()[1] for line in text.splitlines() if line.startswith("user ")}

    def issued(self) -> list[Issued]:
        """All certificates signed so far, oldest first.

        Raises:
            PkiError: There is no authority.
        """
        try:
            text = (self.path / INDEX).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise PkiError(f"no authority in {self.path}: run 'rackwatt pki init' first") from None
        rows = csv.DictReader(io.StringIO(text))
        return [Issued(int(row.pop("serial"), 16), **row) for row in rows]

    def refuse_second(self, purpose: str, name: str, now: datetime) -> None:
        """See that a name has one purpose: an agent named as a collector would have its rights.

        Raises:
            PkiError: It has another.
        """
        if purpose != "collector" and name in self.collectors():
            raise PkiError(f"{name!r} is a collector in the broker's rules")
        for item in self.issued():
            holds = not item.revoked and datetime.fromisoformat(item.expires) > now
            if item.name == name and item.purpose != purpose and holds:
                raise PkiError(
                    f"{name!r} is taken: it is the name of a certificate for: {item.purpose}"
                )

    def _authority(self) -> Pair:
        try:
            certificate = self.certificate_file.read_bytes()
            key = (self.path / CA_KEY).read_bytes()
        except FileNotFoundError:
            raise PkiError(f"no authority in {self.path}: run 'rackwatt pki init' first") from None
        except OSError as error:
            raise PkiError(f"{error.filename}: {error.strerror}") from None
        try:
            return load_pair(certificate, key)
        except ValueError as error:
            raise PkiError(f"{self.path}: {error}") from None

    def _keep(self, purpose: str, name: str, pair: Pair, now: datetime) -> tuple[Path, Path]:
        folder = self.path / (purpose if purpose == "broker" else f"{purpose}s")
        folder.mkdir(exist_ok=True, mode=0o700)
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        leaf = pair.certificate
        expires = _stamp(leaf.not_valid_after_utc)
        entry = Issued(leaf.serial_number, name, purpose, _stamp(now), expires)
        # First into the list: what is not in it can never be revoked.
        self._save([*self.issued(), entry])
        write(key, pair.key_pem, secret=True)
        write(certificate, pair.certificate_pem)
        return certificate, key

    def _save(self, issued: list[Issued]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for i in issued:
            writer.writerow([f"{i.serial:x}", i.name, i.purpose, i.issued, i.expires, i.revoked])
        write(self.path / INDEX, text.getvalue().encode("utf-8"))


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).replace(microsecond=0).isoformat()


def write(path: Path, content: bytes, *, secret: bool = False) -> None:
    """Replace a file as a whole; a secret one is never readable by others, not for an instant."""
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    mode = 0o600 if secret else 0o644
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)

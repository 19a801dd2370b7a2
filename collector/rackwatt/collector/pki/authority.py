# SPDX-License-Identifier: Apache-2.0
"""A small certificate authority: one key pair in one folder, for one site's broker and agents.

ECDSA on P-256, SHA-256, X.509 version 3 (RFC 5280). The common name of an agent's certificate is
its name, which the broker takes for its user name; the broker's certificate names its hosts.
"""

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS: Final = 3650
LEAF_DAYS: Final = 730
"""How long a certificate holds by default; a fleet is renewed once a year, so one may be missed."""
CRL_DAYS: Final = 3650
"""A list of revoked certificates that expires would stop every agent: it is replaced, not aged."""
MAX_NAME_LETTERS: Final = 64
"""A common name holds no more (RFC 5280, ub-common-name)."""
_HOST: Final = re.compile(
    r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_CLOCK_SKEW: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as PKCS #8 PEM, unencrypted: its file's mode protects it."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def new_authority(site: str, now: datetime) -> Pair:
    """Make an authority that signs itself.

    Args:
        site: Named in its subject.
        now: The present.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    # OpenSSL looks authorities and revocation lists up by name: the next one must have another.
    number = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:16]
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"Rackwatt CA of {site}"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, number),
        ]
    )
    builder = (
        _builder(name, name, key.public_key(), now, now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=True), critical=True)
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def sign_client(authority: Pair, name: str, now: datetime, days: int = LEAF_DAYS) -> Pair:
    """Make the certificate of an agent or a collector, for TLS clients only."""
    return _leaf(authority, name, now, days, ExtendedKeyUsageOID.CLIENT_AUTH, None)


def sign_server(authority: Pair, hosts: list[str], now: datetime, days: int = LEAF_DAYS) -> Pair:
    """Make a server's certificate.

    Args:
        authority: Who signs.
        hosts: Host names and IP addresses by which clients reach it; the first names it.
        now: The present.
        days: How long it holds, never longer than the authority.

    Raises:
        ValueError: A host is none, or there is none.
    """
    if not hosts:
        msg = "a broker's certificate needs the names or addresses by which it is reached"
        raise ValueError(msg)
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    return _leaf(
        authority, hosts[0][:MAX_NAME_LETTERS], now, days, ExtendedKeyUsageOID.SERVER_AUTH, names
    )


def revocation_list(authority: Pair, revoked: list[tuple[int, datetime]], now: datetime) -> bytes:
    """Return the list of revoked certificates (serial number and time) as PEM."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - _CLOCK_SKEW)
        .next_update(now + timedelta(days=CRL_DAYS))
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    for serial, time in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(time)
        builder = builder.add_revoked_certificate(entry.build())
    crl = builder.sign(authority.key, hashes.SHA256())
    return crl.public_bytes(serialization.Encoding.PEM)


def load_pair(certificate_pem: bytes, key_pem: bytes) -> Pair:
    """Read a pair back.

    Raises:
        ValueError: They are no certificate and EC key, or do not belong together.
    """
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    key = serialization.load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        msg = "the key is no elliptic-curve key"
        raise ValueError(msg)  # noqa: TRY004 - callers know one error
    if key.public_key() != certificate.public_key():
        msg = "certificate and key do not belong together"
        raise ValueError(msg)
    return Pair(certificate, key)


def _leaf(
    authority: Pair,
    name: str,
    now: datetime,
    days: int,
    purpose: x509.ObjectIdentifier,
    hosts: x509.SubjectAlternativeName | None,
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = authority.certificate.subject
    end = min(now + timedelta(days=days), authority.certificate.not_valid_after_utc)
    builder = (
        _builder(subject, issuer, key.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    if hosts is not None:
        builder = builder.add_extension(hosts, critical=False)
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if _HOST.fullmatch(host) is None or len(host) > 253:
            msg = f"{host!r} is no host name or IP address"
            raise ValueError(msg) from None
        return x509.DNSName(host)

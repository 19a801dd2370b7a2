# SPDX-License-Identifier: Apache-2.0
"""What every listener of HTTP asks of a request, at the edge and at the site: token and name.

A request carries a token as `Authorization: Bearer TOKEN`, or as the password of HTTP Basic with
any user name, which is what a browser asks a person for.
"""

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Collection, Sequence
from typing import Final

MIN_TOKEN_LETTERS: Final = 16
LOCAL: Final = "localhost"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == LOCAL


def is_named(host_header: str, names: Collection[str]) -> bool:
    """Whether a request's `Host` is an address, or one of our names.

    A page elsewhere can make a browser ask a name that it lets point here (DNS rebinding). Its
    requests bear that name; an address cannot be made to point elsewhere.
    """
    host = host_header.rpartition("]")[0].lstrip("[") or host_header.partition(":")[0]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.lower().rstrip(".") in names
    return True


def shown_token(authorization: str) -> bytes:
    """The token in an `Authorization` header: a bearer's, or the password of HTTP Basic."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


def opens(tokens: Sequence[bytes], authorizations: Sequence[str]) -> bool:
    """Whether the one `Authorization` of a request shows one of the tokens.

    Every token is compared, whichever fits: the time it takes tells nothing.
    """
    shown = [shown_token(given) for given in authorizations]
    fits = [hmac.compare_digest(mine, one) for mine in tokens for one in shown]
    return len(shown) == 1 and any(fits)


def is_token(text: str) -> bool:
    """Whether a text may serve as a token: long enough, and fit for a header."""
    printable = text.isascii() and text.isprintable() and " " not in text
    return printable and len(text) >= MIN_TOKEN_LETTERS

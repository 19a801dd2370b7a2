# SPDX-License-Identifier: Apache-2.0
"""Who may read over HTTP: methods, names, tokens. Nobody may write, whoever it is.

Where a token is set, a request carries it as `Authorization: Bearer TOKEN`, or as the password of
HTTP Basic with any user name, which is what a browser asks a person for. There is no log-in form
and no cookie: there is no state that a forged request could change.
"""

import base64
import binascii
import hmac
import ipaddress
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rackwatt.collector.refusals import Reason, Refusals, client_of

_log = logging.getLogger(__name__)

METHODS: Final = ("GET", "HEAD")
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""Probes of an orchestrator: they say `ok` or why not, and hold no figures."""
MIN_TOKEN_LETTERS: Final = 16


@dataclass(frozen=True, slots=True)
class Access:
    """How a listener of HTTP is protected. Tokens never show in its text form."""

    tokens: Sequence[str] = field(default=(), repr=False)
    """Any one of them opens; none: everybody may read."""
    certificate_file: Path | None = None
    """With a key file: TLS. May hold the chain."""
    key_file: Path | None = None
    names: Sequence[str] = ()
    """Host names by which it is known, beside `localhost` and addresses."""

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS."""
        return self.certificate_file is not None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def warn_of_exposure(host: str, port: int, access: Access) -> None:
    """Say what others can read or hear. No refusal: a proxy may well stand in front."""
    if is_loopback(host):
        return
    if not access.tokens:
        _log.warning(
            "%s:%d: whoever reaches this address may read figures and metrics: name a "
            "--web-token-file, or let a proxy or a firewall decide who does",
            host,
            port,
        )
    elif not access.tls:
        _log.warning(
            "%s:%d: the token crosses the network in the clear: name --web-certificate-file and "
            "--web-key-file, or end TLS at a proxy on this machine",
            host,
            port,
        )


class Guard:
    """ASGI middleware: answers what is not allowed itself.

    A page elsewhere can make a browser ask a name that it lets point here (DNS rebinding). Its
    requests bear that name: so on the loopback only known names and plain addresses are answered,
    elsewhere any name, unless some are given.

    Args:
        app: what is guarded.
        access: who may read.
        host: the address that is listened on.
        refusals: where what is refused is counted.
    """

    def __init__(
        self, app: ASGIApp, access: Access, host: str, refusals: Refusals | None = None
    ) -> None:
        self._app = app
        self._refusals = refusals or Refusals()
        self._tokens = [token.encode() for token in access.tokens]
        self._names: frozenset[str] | None = None
        if access.names or is_loopback(host):
            self._names = frozenset({"localhost", *(name.lower() for name in access.names)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            self._refusals.into(scope)
            answer = self._refusal(scope) or self._app
            await answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope["method"] not in METHODS:
            return self._refuse(
                scope, "method", 405, "only GET and HEAD", {"Allow": ", ".join(METHODS)}
            )
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return self._refuse(scope, "too_large", 413, "no body")
        if not self._is_ours(headers.get("host", "")):
            return self._refuse(scope, "host", 421, "this name is not known here: see --web-name")
        if self._tokens and scope["path"] not in OPEN_PATHS and not self._shows_token(headers):
            ask = 'Basic realm="Rackwatt", charset="UTF-8"'
            return self._refuse(scope, "token", 401, "show the token", {"WWW-Authenticate": ask})
        return None

    def _is_ours(self, given: str) -> bool:
        if self._names is None:
            return True
        host = given.rpartition("]")[0].lstrip("[") or given.partition(":")[0]
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return host.lower().rstrip(".") in self._names
        return True  # an address cannot be made to point elsewhere

    def _shows_token(self, headers: Headers) -> bool:
        shown = [shown_token(given) for given in headers.getlist("authorization")]
        # Every token is compared, whichever fits: the time it takes tells nothing.
        fits = [hmac.compare_digest(mine, one) for mine in self._tokens for one in shown]
        return len(shown) == 1 and any(fits)

    def _refuse(
        self,
        scope: Scope,
        reason: Reason,
        status: int,
        text: str,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Answer, count and log."""
        self._refusals.note(reason, client_of(scope), f"{status}: {text}")
        more = {"Connection": "close", "Cache-Control": "no-store", **(headers or {})}
        return PlainTextResponse(f"{text}\n", status_code=status, headers=more)


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

# SPDX-License-Identifier: Apache-2.0
"""Who may read over HTTP: methods, names, tokens. Nobody may write, whoever it is.

There is no log-in form and no cookie: there is no state that a forged request could change.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rackwatt.collector.refusals import Reason, Refusals, client_of
from rackwatt.wire.listening import LOCAL, is_loopback, is_named, opens

_log = logging.getLogger(__name__)

METHODS: Final = ("GET", "HEAD")
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""Probes of an orchestrator: they say `ok` or why not, and hold no figures."""


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
            self._names = frozenset({LOCAL, *(name.lower() for name in access.names)})

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
        if self._names is not None and not is_named(headers.get("host", ""), self._names):
            return self._refuse(scope, "host", 421, "this name is not known here: see --web-name")
        guarded = self._tokens and scope["path"] not in OPEN_PATHS
        if guarded and not opens(self._tokens, headers.getlist("authorization")):
            ask = 'Basic realm="Rackwatt", charset="UTF-8"'
            return self._refuse(scope, "token", 401, "show the token", {"WWW-Authenticate": ask})
        return None

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

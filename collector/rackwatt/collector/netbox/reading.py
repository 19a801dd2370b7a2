# SPDX-License-Identifier: Apache-2.0
"""Reads what NetBox has of a site, with pynetbox; writes nothing there.

Objects and fields after NetBox' REST API, https://netboxlabs.com/docs/netbox/en/stable/integrations/rest-api/
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pynetbox
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

PAGE: Final = 500
"""Objects in one answer; a server may give fewer."""
_TIMEOUT: Final = (10.0, 60.0)
"""Seconds to connect, and between two bytes."""
_TRIES: Final = 4

Object = Mapping[str, Any]


class NetBoxError(Exception):
    """NetBox does not answer, refuses, or answers what is no NetBox."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What NetBox has of one site, each object as its API gives it."""

    site: Object
    locations: list[Object]
    racks: list[Object]
    devices: list[Object]
    panels: list[Object]
    feeds: list[Object]
    tenants: list[Object]


@dataclass(frozen=True, slots=True)
class Server:
    """Where NetBox is.

    Attributes:
        url: Without ``/api``.
        token: To read with; never shown.
        ca_file: Whom to trust instead of the system's authorities.
    """

    url: str
    token: str
    ca_file: Path | None = None


class _Patient(HTTPAdapter):
    """No request waits for ever."""

    def send(self, *given: Any, **more: Any) -> requests.Response:
        more["timeout"] = more.get("timeout") or _TIMEOUT
        return super().send(*given, **more)


def read_site(
    server: Server, slug: str, told: Callable[[str, int], None] = lambda _what, _count: None
) -> Inventory:
    """Read a site.

    Args:
        server: Where.
        slug: The site's, in NetBox.
        told: Is called with each kind of object and how many there are.

    Raises:
        NetBoxError: It cannot be read, or there is no such site.
    """
    with _session(server) as session:
        api = pynetbox.api(server.url, token=server.token)
        api.http_session = session

        def every(endpoint: Any, what: str, **chosen: Any) -> list[Object]:
            try:
                found: list[Object] = [dict(one) for one in endpoint.filter(limit=PAGE, **chosen)]
            except (pynetbox.RequestError, pynetbox.ContentError, requests.RequestException) as e:
                raise NetBoxError(_said(server.url, what, e)) from None
            told(what, len(found))
            return found

        sites = every(api.dcim.sites, "sites", slug=slug)
        if not sites:
            known = every(api.dcim.sites, "sites", brief=True)
            names = ", ".join(sorted(str(one.get("slug")) for one in known)[:20]) or "none"
            raise NetBoxError(f"no site {slug!r} in NetBox at {server.url}: it has {names}")
        return Inventory(
            site=sites[0],
            locations=every(api.dcim.locations, "locations", site=slug),
            racks=every(api.dcim.racks, "racks", site=slug),
            devices=every(api.dcim.devices, "devices", site=slug),
            panels=every(api.dcim.power_panels, "power panels", site=slug),
            feeds=every(api.dcim.power_feeds, "power feeds", site=slug),
            tenants=every(api.tenancy.tenants, "tenants", ordering="slug"),
        )


def _session(server: Server) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # a proxy for the outer world must not see the token
    session.verify = True if server.ca_file is None else str(server.ca_file)
    retries = Retry(
        total=_TRIES,
        connect=1,
        other=1,
        backoff_factor=0.5,
        backoff_jitter=0.5,
        backoff_max=10,
        status_forcelist=(429, 502, 503, 504),
        allowed_methods=("GET",),
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Patient(max_retries=retries))
    return session


def _said(url: str, what: str, error: Exception) -> str:
    """What is wrong and what to do, without the token."""
    start = f"NetBox at {url}: {what}: "
    if isinstance(error, pynetbox.RequestError):
        code = error.req.status_code
        if code in {401, 403}:
            return f"{start}{code}: the token is wrong, or may not read this"
        if code == 404:
            return f"{start}404: name the address without /api, and look whether it is NetBox"
        return f"{start}{code} {' '.join(str(error.req.text).split())[:120]}"
    if isinstance(error, pynetbox.ContentError):
        return f"{start}the answer is no JSON: is it NetBox, and is nothing between?"
    if isinstance(error, requests.exceptions.SSLError):
        return f"{start}TLS failed: {_cause(error)}; name its authority with --ca-file"
    if isinstance(error, requests.Timeout):
        return f"{start}no answer within {_TIMEOUT[1]:g} s"
    return f"{start}cannot be reached: {_cause(error)}"


def _cause(error: BaseException) -> str:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__

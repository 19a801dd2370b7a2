# SPDX-License-Identifier: Apache-2.0
"""The few calls to InfluxDB's HTTP API that set it up and read it back."""

import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

import httpx

from rackwatt.collector.store.base import StoreRefused, StoreUnavailable

TIMEOUT_SECONDS: Final = 30.0


class InfluxHttp:
    """A connection to one InfluxDB 2.x with one token. Close it, or use it in a `with`.

    Args:
        url: the server's address.
        org: its organization.
        token: what it may do is what the calls may do.
        ca_file: certificates to trust instead of the system's.
    """

    def __init__(self, url: str, org: str, token: str, ca_file: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.org = org
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Token {token}"},
            timeout=TIMEOUT_SECONDS,
            verify=True if ca_file is None else ssl.create_default_context(cafile=ca_file),
            trust_env=False,  # a proxy for the outer world must not see the token
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """The answer to one request.

        Raises:
            StoreUnavailable: no answer, or the server is not able to.
            StoreRefused: it says no.
        """
        try:
            answer = self._client.request(method, path, params=query, json=body)
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"InfluxDB at {self.url} cannot be reached: {error}") from error
        _check(self.url, method, path, answer)
        return answer.json() if answer.content else None

    def query(self, bucket: str, statement: str) -> Iterator[Mapping[str, Any]]:
        """The series of an InfluxQL statement, chunk by chunk, times in ms.

        Raises:
            StoreUnavailable, StoreRefused: as `call`; the statement may be refused too.
        """
        query = {"db": bucket, "epoch": "ms", "q": statement, "chunked": "true"}
        try:
            with self._client.stream("POST", "/query", params=query) as answer:
                if answer.is_error:
                    answer.read()
                _check(self.url, "POST", "/query", answer)
                for line in answer.iter_lines():
                    yield from _series(json.loads(line)) if line.strip() else ()
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"InfluxDB at {self.url} cannot be reached: {error}") from error


def _series(chunk: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for result in chunk.get("results", ()):
        if "error" in result:
            raise StoreRefused(f"InfluxDB refuses the query: {result['error']}")
        yield from result.get("series", ())


def _check(url: str, method: str, path: str, answer: httpx.Response) -> None:
    if answer.is_success:
        return
    text = " ".join(answer.text.split())[:300]
    message = f"InfluxDB at {url}: {method} {path}: {answer.status_code} {text}"
    if answer.status_code == 429 or answer.status_code >= 500:
        raise StoreUnavailable(message)
    raise StoreRefused(message)

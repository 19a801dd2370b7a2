# SPDX-License-Identifier: Apache-2.0
"""InfluxDB that speaks TLS only, with a certificate of an authority that no system knows."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from unittest import mock

from servers.influxdb import InfluxDB
from servers.programs import HOST


class TlsInfluxDB(InfluxDB):
    """`InfluxDB` behind TLS.

    Args:
        directory: its data and log.
        certificate: its certificate; the key beside it ends in `.key`.
        authority: who signed it.
    """

    def __init__(self, directory: Path, certificate: Path, authority: Path) -> None:
        super().__init__(directory)
        key = certificate.with_suffix(".key")
        self.command += [f"--tls-cert={certificate}", f"--tls-key={key}"]
        self.authority = authority

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"https://{HOST}:{self.port}"

    def start(self) -> Self:
        """Start; the first time, make the organization, the bucket and the token."""
        with self.trusted():
            return super().start()

    @contextmanager
    def trusted(self) -> Iterator[None]:
        """Meanwhile our own requests know the authority; processes started meanwhile, too."""
        with mock.patch.dict(os.environ, {"SSL_CERT_FILE": str(self.authority)}):
            yield

# SPDX-License-Identifier: Apache-2.0
"""The page's headers are those of every answer."""

from rackwatt.collector.headers import (
    CONTENT_SECURITY_POLICY,
    SECURITY_HEADERS,
    SecurityHeaders,
)

__all__ = ["CONTENT_SECURITY_POLICY", "SECURITY_HEADERS", "SecurityHeaders"]

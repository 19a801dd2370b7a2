# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger`: one module per command or family of commands; each adds itself to the app."""

from rackwatt.collector.ledger.commands import (
    basis,
    certificates,
    decisions,
    importing,
    proof,
    reconcile,
    show,
)
from rackwatt.collector.ledger.commands.app import ledger_app

__all__ = [
    "basis",
    "certificates",
    "decisions",
    "importing",
    "ledger_app",
    "proof",
    "reconcile",
    "show",
]

# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger`: one module per command or family of commands; each adds itself to the app."""

from rackwatt.collector.ledger.commands import importing, show
from rackwatt.collector.ledger.commands.app import ledger_app

__all__ = ["importing", "ledger_app", "show"]

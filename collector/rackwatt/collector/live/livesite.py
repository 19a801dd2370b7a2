# SPDX-License-Identifier: Apache-2.0
"""What the live figures need of a site."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rackwatt.collector.accounting.channels import TermsLike
from rackwatt.collector.accounting.modelled import LossModel
from rackwatt.collector.live.demand import SettlementLike


class LiveSite(Protocol):
    """The part of a site that the live figures use."""

    @property
    def contracts(self) -> Sequence[Any]:
        """Claims on the import, each with ``id``, ``meter`` and ``validity.holds(time_ms)``."""

    @property
    def supply(self) -> Mapping[str, Any]:
        """By source, with ``attributes``: retained, sold or unissued."""

    @property
    def settlement(self) -> SettlementLike | None:
        """How the utility measures demand, if the site says so."""

    @property
    def modelled_losses(self) -> Sequence[LossModel]:
        """Transformers and lines whose losses no meter sees."""

    def terms_at(self, time_ms: int) -> TermsLike:
        """What each role is made of, as physical meters with signs."""

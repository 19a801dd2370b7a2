# SPDX-License-Identifier: Apache-2.0
"""The site file: what stands where, what each meter means, and since when."""

from rackwatt.collector.site.check import check, summary
from rackwatt.collector.site.factors import Factor, FactorName, FactorValue, Scope
from rackwatt.collector.site.loader import load_site, site_of
from rackwatt.collector.site.models import Claim, Position, Role, TenantKind
from rackwatt.collector.site.patterns import PatternError, expand
from rackwatt.collector.site.topology import (
    SITE_HALL,
    Agent,
    Assignment,
    Battery,
    Carbon,
    Contract,
    Hall,
    Meter,
    Placement,
    Rack,
    Site,
    Supply,
    Tenant,
    Term,
    Terms,
    Validity,
)

__all__ = [
    "SITE_HALL",
    "Agent",
    "Assignment",
    "Battery",
    "Carbon",
    "Claim",
    "Contract",
    "Factor",
    "FactorName",
    "FactorValue",
    "Hall",
    "Meter",
    "PatternError",
    "Placement",
    "Position",
    "Rack",
    "Role",
    "Scope",
    "Site",
    "Supply",
    "Tenant",
    "TenantKind",
    "Term",
    "Terms",
    "Validity",
    "check",
    "expand",
    "load_site",
    "site_of",
    "summary",
]

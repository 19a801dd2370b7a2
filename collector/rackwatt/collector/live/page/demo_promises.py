# SPDX-License-Identifier: Apache-2.0
"""Made-up promises of the scripted site."""

from typing import Any


def demo_promises() -> list[dict[str, Any]]:
    """Return three made-up promises, one of each kind."""
    share = {
        "id": "renewable-2026",
        "kind": "renewable_share",
        "ratio": True,
        "text": {
            "en": "At least 70 % of the energy from own sun and wind",
            "fr": "Au moins 70 % de l’énergie du soleil et du vent du site",
            "ar": "70 % على الأقل من الطاقة من شمس الموقع ورياحه",
        },
        "phase": None,
        "promised": 0.7,
        "live": 0.646,
        "live_at_least": False,
        "live_reason": None,
        "measured": 0.7134,
        "measured_at_least": False,
        "or_before": False,
        "measured_reason": None,
        "coverage": 0.998,
        "due": "2026-12-31",
        "published": "2025-06-01",
        "source": "https://campus.example/charter",
        "link": "https://campus.example/charter",
        "state": "not_due",
    }
    capacity = {
        "id": "capacity-1",
        "kind": "capacity",
        "watts": True,
        "text": {
            "en": "Half a megawatt of data center",
            "fr": "Un demi-mégawatt de centre de données",
            "ar": "نصف ميغاواط لمركز البيانات",
        },
        "promised": 500_000.0,
        "live": 421_300.0,
        "measured": 512_400.0,
        "measured_at_least": True,
        "due": "2026-06-30",
        "state": "met",
    }
    service = {
        "id": "phase-2",
        "kind": "in_service",
        "date": True,
        "text": {
            "en": "Phase 2 is in service",
            "fr": "La phase 2 est en service",
            "ar": "المرحلة الثانية في الخدمة",
        },
        "phase": "Phase 2",
        "promised": 100_000.0,
        "live": None,
        "live_reason": "no_racks",
        "measured": None,
        "measured_reason": "not_yet",
        "coverage": None,
        "due": "2026-09-01",
        "source": "Annual report 2025, page 14",
        "link": None,
        "state": "not_met",
    }
    plain = {key: value for key, value in share.items() if key != "ratio"}
    return [share, plain | capacity, plain | service]

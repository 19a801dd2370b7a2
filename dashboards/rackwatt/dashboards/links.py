# SPDX-License-Identifier: Apache-2.0
"""From one dashboard to the next: the bar of links, the other language, and drilling down."""

from typing import Final

from rackwatt.dashboards.sdk import dashboard
from rackwatt.dashboards.texts import LANGUAGES, Language, Speaker

TAG: Final = "rackwatt"


def uid_of(key: str, language: Language) -> str:
    """The uid of a dashboard's edition."""
    return f"{TAG}-{key}-{language}"


def tags_of(language: Language) -> list[str]:
    """The tags of an edition: the bar of links is made of the second."""
    return [TAG, f"{TAG}-{language}"]


def bar(key: str, speaker: Speaker) -> list[dashboard.DashboardLink]:
    """All dashboards of this language, and this one in the others."""
    shared = dashboard.DashboardLink(
        title=speaker.name("dashboards"),
        type_val=dashboard.DashboardLinkType.DASHBOARDS,
        icon="external link",
        tags=tags_of(speaker.language)[1:],
        include_vars=True,
        keep_time=True,
    )
    others = [
        dashboard.DashboardLink(
            title={"en": "English", "fr": "Français"}[language],
            type_val=dashboard.DashboardLinkType.LINK,
            icon="external link",
            url=f"/d/{uid_of(key, language)}",
            include_vars=True,
            keep_time=True,
            tags=[],
        )
        for language in LANGUAGES
        if language != speaker.language
    ]
    return [shared, *others]


def drill(key: str, speaker: Speaker, *tags: str) -> dashboard.DashboardLink:
    """From a series to another dashboard, with the series' place or tenant chosen there.

    Args:
        key: of the other dashboard.
        speaker: this one's.
        tags: of the series, each the name of a variable, too.
    """
    chosen = "".join(f"&var-{tag}=${{__field.labels.{tag}}}" for tag in tags)
    return dashboard.DashboardLink(
        title=speaker.name(f"to_{key}"),
        url=f"/d/{uid_of(key, speaker.language)}?${{site:queryparam}}{chosen}"
        "&${__url_time_range}",
        type_val=dashboard.DashboardLinkType.LINK,
        tags=[],
    )


def drill_cell(key: str, speaker: Speaker, tag: str) -> dashboard.DashboardLink:
    """From a row of a table to another dashboard, with what stands in a column chosen there.

    Args:
        key: of the other dashboard.
        speaker: this one's.
        tag: the column, and the name of the variable.
    """
    return dashboard.DashboardLink(
        title=speaker.name(f"to_{key}"),
        url=f"/d/{uid_of(key, speaker.language)}?${{site:queryparam}}"
        f"&var-{tag}=${{__data.fields.{tag}}}&${{__url_time_range}}",
        type_val=dashboard.DashboardLinkType.LINK,
        tags=[],
    )

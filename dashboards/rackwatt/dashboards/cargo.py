# SPDX-License-Identifier: Apache-2.0
"""What a push brings."""

from collections.abc import Sequence

from rackwatt.dashboards.datasources import Places, data_sources
from rackwatt.dashboards.editions import parsed
from rackwatt.dashboards.folders import folder_title, folder_uid
from rackwatt.dashboards.push import Cargo
from rackwatt.dashboards.texts import LANGUAGES, Language


def cargo(places: Places, languages: Sequence[Language] = LANGUAGES) -> Cargo:
    """Folders and dashboards of these languages, and the sources of these places."""
    return Cargo(
        {folder_uid(language): folder_title(language) for language in languages},
        data_sources(places),
        [
            (folder_uid(language), board)
            for language in languages
            for path, board in parsed().items()
            if path.startswith(f"{language}/")
        ],
    )

# SPDX-License-Identifier: Apache-2.0
"""The dashboards: one module each, with its `BOARD`; its texts are in `texts/KEY.yaml`.

A new one is these two files, and `rackwatt dashboards build`. The bar of links finds it by its
tags, and the tests find it here. The module says what is asked and where it stands; `influxql`
writes the queries, `panels` the panels with their defaults, `Sheet.add` places them:

    def _lay(sheet: Sheet) -> None:
        sheet.row("racks")
        sheet.add("power", lines("watt"), power("rack_energy", "it_watt_hours", group=["rack"],
                  places=PLACES, alias="$tag_rack"), width=12, height=8)

    BOARD = Board("racks", 9, _lay, variables=PLACE)
"""

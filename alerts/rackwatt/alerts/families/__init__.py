# SPDX-License-Identifier: Apache-2.0
"""The families of alerts: one module each, with `alerts(limits)`.

A new alert is a line there, its texts in `texts/FAMILY.yaml`, its cases in `cases/FAMILY.yaml`,
its runbook `alerts/runbooks/NAME.md`, and `rackwatt alerts build`; tests miss what is left out.

Pages wait 20 s at most: with a scrape and an evaluation every 10 s they ring within a minute.
An expression that compares keeps the value that the description shows on its left. What is
missing fires nothing here: that is the matter of `pipeline`, once for all.
"""

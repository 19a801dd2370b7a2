# SPDX-License-Identifier: Apache-2.0
"""Dashboards as code: Grafana boards, built, checked and pushed."""

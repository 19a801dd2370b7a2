# SPDX-License-Identifier: Apache-2.0
"""Book a site's history, or a what-if, from a CSV file: offline, without store or collector."""

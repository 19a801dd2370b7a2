# SPDX-License-Identifier: Apache-2.0
"""The printed report: from its figures to a PDF, in French, English and Arabic.

`sections` say what a report holds, `blocks` are what a page is made of,
and `press` sets them with typst. Nothing here reads a ledger or a clock.
"""

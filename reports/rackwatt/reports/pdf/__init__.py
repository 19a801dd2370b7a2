# SPDX-License-Identifier: Apache-2.0
"""The printed report: from its figures to a PDF, in French, English and Arabic.

`content` is what may be printed, `sections` say it in words, `blocks` are what a page is made of,
and `press` sets them with typst. Nothing here reads a ledger or a clock.
"""

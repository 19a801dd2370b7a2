# SPDX-License-Identifier: Apache-2.0
"""The ledger's copy in the store: its rows as points, and sums by hour, day and month."""

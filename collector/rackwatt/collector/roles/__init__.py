# SPDX-License-Identifier: Apache-2.0
"""The processes: `collect` (one per hall shard), `account` (one), and `up`, which starts all."""

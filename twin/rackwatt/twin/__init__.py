# SPDX-License-Identifier: Apache-2.0
"""A simulated site that speaks real protocols: for demonstrations and tests."""

# SPDX-License-Identifier: Apache-2.0
"""The collector and everything that lives behind it."""
